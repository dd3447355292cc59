import ReplicaCore
import Testing

@testable import Holdfast

@Suite struct ChunkMessagesTests {
    private static let upload = UploadID(7, 9)
    private static let ids = (UInt64(0)..<5).map { ChunkID($0, 1, 2, $0) }

    private static let requests: [ChunkRequest] = [
        .have(upload, first: 3, count: 65_536, appliedAtLeast: .max),
        .receipt(upload, appliedAtLeast: 12),
        .announce(upload, ranges: [0..<1, 5..<70_000], holder: 3),
        .announce(upload, ranges: [], holder: 1),
        .ensure(upload, holders: [1, 2, .max], waitMilliseconds: 5_000, appliedAtLeast: 0),
        .locate(ids), .locate([]),
        .suspect(ids[3]),
    ]

    private static var answers: [ChunkAnswer] {
        var bits = ChunkBitmap(count: 13)
        bits[0] = true
        bits[12] = true
        return [
            .done, .bitmap(bits), .bitmap(ChunkBitmap(count: 0)),
            .receipt(UploadReceipt(node: 2, incarnation: Incarnation(1, 2), named: 256, missing: 3)),
            .refused(code: .notFound, message: "no such upload", details: ["upload": "00", "a": "b"]),
        ]
    }

    @Test func everyMessageIsReadAsItWasWritten() throws {
        for request in Self.requests { #expect(try ChunkRequest(decoding: request.encoded()) == request) }
        for answer in Self.answers { #expect(try ChunkAnswer(decoding: answer.encoded()) == answer) }
    }

    @Test func aMessageCutAnywhereIsRefused() {
        for bytes in Self.requests.map({ $0.encoded() }) {
            for length in 0..<bytes.count {
                #expect(throws: DecodeError.self) { try ChunkRequest(decoding: Array(bytes[..<length])) }
            }
            #expect(throws: DecodeError.self) { try ChunkRequest(decoding: bytes + [0]) }
        }
        for bytes in Self.answers.map({ $0.encoded() }) {
            for length in 0..<bytes.count {
                #expect(throws: DecodeError.self) { try ChunkAnswer(decoding: Array(bytes[..<length])) }
            }
        }
    }

    @Test func hostileNumbersAreRefusedBeforeAnythingIsAllocated() {
        let upload = Self.upload.bytes
        let huge: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]
        let hostile: [[UInt8]] = [
            [1, 1] + upload + [0] + huge + [0],  // have: count
            [1, 1] + upload + huge + [1, 0],  // have: first ordinal
            [1, 3] + upload + [1] + huge,  // announce: ranges
            [1, 3] + upload + [1, 1] + [0] + huge,  // announce: a range past the end
            [1, 3] + upload + [1, 1, 0, 0],  // announce: an empty range
            [1, 4] + upload + [0, 0] + huge,  // ensure: holders
            [1, 5] + huge,  // locate
            [1, 99], [2, 1], [],
        ]
        for bytes in hostile { #expect(throws: DecodeError.self) { try ChunkRequest(decoding: bytes) } }
        #expect(throws: DecodeError.self) { try ChunkAnswer(decoding: [1, 1] + huge + [0]) }
        #expect(throws: DecodeError.self) { try ChunkAnswer(decoding: [1, 1, 3, 1, 0xFF]) }  // bits past the count
    }

    @Test(arguments: [UInt64(1), 2, 3]) func randomBytesNeverTrap(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<20_000 {
            var bytes: [UInt8] = [1, UInt8.random(in: 0...8, using: &random)]
            for _ in 0..<Int.random(in: 0...60, using: &random) { bytes.append(.random(in: 0...255, using: &random)) }
            if let request = try? ChunkRequest(decoding: bytes) { #expect(request.encoded() == bytes) }
            _ = try? ChunkAnswer(decoding: bytes)
        }
    }

    @Test func ordinalsAreAnnouncedAsRanges() {
        #expect(Announcer.ranges([5, 3, 4, 9, 4]) == [3..<6, 9..<10])
        #expect(Announcer.ranges([]) == [])
    }
}
