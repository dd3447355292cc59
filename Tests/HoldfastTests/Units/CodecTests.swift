import NIOCore
import RaftCore
import ReplicaCore
import Testing

@testable import Holdfast

@Suite struct CodecTests {
    private static func message(_ random: inout SeededRandom) -> Message {
        var message = Message(
            Message.Kind.allCases.randomElement(using: &random) ?? .heartbeat,
            to: .random(in: 0...(.max), using: &random),
            from: .random(in: 0...9, using: &random), term: .random(in: 0...(.max), using: &random))
        message.logTerm = .random(in: 0...(.max), using: &random)
        message.index = .random(in: 0...(.max), using: &random)
        message.commit = .random(in: 0...(.max), using: &random)
        message.reject = .random(using: &random)
        message.rejectHint = .random(in: 0...(.max), using: &random)
        message.context = .random(in: 0...(.max), using: &random)
        message.session = .random(in: 0...(.max), using: &random)
        let first = UInt64.random(in: 1...(1 << 60), using: &random)
        for place in 0..<UInt64.random(in: 0...4, using: &random) {
            message.entries.append(
                Entry(
                    kind: .normal, term: .random(in: 1...9, using: &random), index: first + place,
                    data: (0..<Int.random(in: 0...40, using: &random)).map { UInt8(truncatingIfNeeded: $0) }))
        }
        if Bool.random(using: &random) {
            var state = ConfState()
            state.voters = [1, 2, 3]
            state.votersOutgoing = [1, 2]
            state.learners = [7]
            state.learnersNext = [2]
            state.autoLeave = .random(using: &random)
            message.snapshot = Snapshot(index: 7, term: 3, configuration: state, data: [1, 2, 3])
        }
        return message
    }

    @Test func aConsensusMessageComesBackAsItWas() throws {
        var random = SeededRandom(seed: 41)
        for _ in 0..<300 {
            let message = Self.message(&random)
            var buffer = ByteBuffer()
            ConsensusCodec.encode(message, into: &buffer)
            #expect(try ConsensusCodec.decode(&buffer) == message)
        }
    }

    @Test func aCutOffOrSpoiltConsensusMessageIsRefusedAndNeverTraps() throws {
        let seed = UInt64.random(in: 0...(.max))
        print("consensus codec seed \(seed)")
        var random = SeededRandom(seed: seed)
        for _ in 0..<30 {
            var buffer = ByteBuffer()
            ConsensusCodec.encode(Self.message(&random), into: &buffer)
            for length in 0..<buffer.readableBytes {
                var cut = try #require(buffer.getSlice(at: 0, length: length))
                #expect(throws: ConsensusCodec.Fault.self) { try ConsensusCodec.decode(&cut) }
            }
            var longer = buffer
            longer.writeInteger(UInt8(0))
            #expect(throws: ConsensusCodec.Fault.self) { try ConsensusCodec.decode(&longer) }
            for _ in 0..<200 {
                var bytes = Array(buffer.readableBytesView)
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
                }
                var spoilt = ByteBuffer(bytes: bytes)
                // Spoilt bytes may still be a message; then they are one that is written the same way.
                guard let message = try? ConsensusCodec.decode(&spoilt) else { continue }
                var again = ByteBuffer()
                ConsensusCodec.encode(message, into: &again)
                #expect(try ConsensusCodec.decode(&again) == message)
            }
        }
        var noise = ByteBuffer(bytes: (0..<500).map { _ in UInt8.random(in: 0...255, using: &random) })
        #expect(throws: ConsensusCodec.Fault.self) { try ConsensusCodec.decode(&noise) }
    }

    @Test func aMessageThatAnnouncesTooManyEntriesReservesNothing() throws {
        var buffer = ByteBuffer()
        ConsensusCodec.encode(Message(.appendEntries, to: 1, from: 2, term: 3), into: &buffer)
        buffer.setInteger(UInt32.max, at: buffer.writerIndex - 4, endianness: .little)
        #expect(throws: ConsensusCodec.Fault.self) { try ConsensusCodec.decode(&buffer) }
    }

    @Test func everyErrorComesBackAsItWas() {
        for code in HoldfastError.Code.allCases {
            let error = HoldfastError(code, "what failed: ü", details: ["leader": "2", "endpoint": "h:1", "": ""])
            var buffer = ByteBuffer()
            ErrorCodec.encode(error, into: &buffer)
            #expect(ErrorCodec.decode(buffer) == error)
            for length in 0..<buffer.readableBytes {
                let cut = ErrorCodec.decode(buffer.getSlice(at: 0, length: length) ?? ByteBuffer())
                #expect(cut == error || cut.code == .incompatible || cut.code == code)
            }
        }
        let long = HoldfastError(.corrupted, String(repeating: "x", count: 70_000))
        var buffer = ByteBuffer()
        ErrorCodec.encode(long, into: &buffer)
        #expect(ErrorCodec.decode(buffer).message.utf8.count == 65_535)
        #expect(ErrorCodec.decode(ByteBuffer(bytes: [200, 1, 2])).code == .incompatible)
    }

    @Test func aStatusComesBackAsItWas() throws {
        let roles: [ClusterStatus.Node.Role] = [.leader, .follower, .candidate, .learner, .unreachable]
        var nodes: [ClusterStatus.Node] = []
        for (place, role) in roles.enumerated() {
            var node = ClusterStatus.Node(id: UInt64(place), endpoint: "h:\(place)", role: role)
            node.applied = .max
            node.commit = 2
            node.revision = 3
            node.completeRevision = 4
            node.complete = place % 2 == 0
            node.missingBytes = 5
            node.quarantined = place % 2 == 1
            node.feedHash = "ab"
            node.protocolVersion = 1
            node.featureVersion = 7
            node.full = place % 2 == 0
            node.freeBytes = 300
            nodes.append(node)
        }
        for leader in [nil, 3] as [UInt64?] {
            var status = ClusterStatus(
                cluster: "c", lineage: "l", term: 9, leader: leader, revision: 3, nodes: nodes)
            status.featureVersion = 6
            var writer = ByteWriter()
            status.encode(into: &writer)
            var reader = ByteReader(writer.bytes)
            #expect(try ClusterStatus.decode(from: &reader) == status)
            // An older node ends before a section. Each has its number and its length; then the versions have one number and two a
            // node, and the disks a byte and a number of two bytes a node.
            let disks = writer.bytes.count - (2 + 3 * nodes.count)
            let versions = disks - (2 + 4 + 8 * nodes.count)
            for length in 0..<writer.bytes.count where length != versions && length != disks {
                var cut = ByteReader(Array(writer.bytes[..<length]))
                #expect(throws: DecodeError.self) { try ClusterStatus.decode(from: &cut) }
            }
            var old = ByteReader(Array(writer.bytes[..<versions]))
            #expect(try ClusterStatus.decode(from: &old).nodes.map(\.featureVersion) == [0, 0, 0, 0, 0])
            var newer = ByteReader(Array(writer.bytes[..<disks]))
            let withVersions = try ClusterStatus.decode(from: &newer)
            #expect(withVersions.nodes.map(\.featureVersion) == [7, 7, 7, 7, 7])
            #expect(withVersions.nodes.map(\.freeBytes) == [0, 0, 0, 0, 0])
        }
    }

    @Test func `a reader passes over sections and fields that it does not know`() throws {
        var report = NodeReport(
            node: ClusterStatus.Node(id: 3, endpoint: "h:3", role: .follower), publishedRevision: 4)
        report.featureVersion = 2
        report.node.featureVersion = 9
        var writer = ByteWriter()
        report.encode(into: &writer)
        writer.byte(250)
        writer.text("of a later release")
        writer.byte(StatusSection.versions.rawValue)
        writer.string([5, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 77, 77][...])
        var reader = ByteReader(writer.bytes)
        let found = try NodeReport.decode(from: &reader)
        #expect(found.node.id == 3 && found.publishedRevision == 4)
        #expect(found.featureVersion == 5 && found.node.protocolVersion == 1 && found.node.featureVersion == 8)
    }

    @Test func requestBodiesComeBackAsTheyWere() throws {
        let watch = WatchRequest(keys: .prefix(Array("a/".utf8)[...]), space: .user, from: 9)
        var reader = ByteReader(Array(ByteBuffer.written { watch.encode(into: &$0) }.readableBytesView))
        let same = try WatchRequest.decode(from: &reader)
        #expect(same.keys == watch.keys && same.from == 9 && same.space == .user)
        var put = ByteBuffer()
        let id = try #require(ChunkID([UInt8](repeating: 3, count: 32)))
        ChunkPut(upload: UploadID(1, 2), ordinal: 7, id: id).encode(into: &put)
        #expect(put.readableBytes + 4 == Int(ChunkPut.headBytes))
        for length in 0..<put.readableBytes {
            var cut = put.getSlice(at: 0, length: length) ?? ByteBuffer()
            #expect(throws: HoldfastError.self) { try ChunkPut.decode(&cut) }
        }
        let again = try ChunkPut.decode(&put)
        #expect(again.upload == UploadID(1, 2) && again.ordinal == 7 && again.id == id)
    }

    @Test func modelReferencesAreParsed() throws {
        #expect(try ModelReference(parsing: "org/m@v1") == ModelReference(name: "org/m", version: "v1"))
        #expect(try ModelReference(parsing: "m").version == nil)
        #expect(try ModelReference(parsing: "m@3").description == "m@3")
        for text in ["", "@", "m@", "@1"] {
            #expect(throws: HoldfastError.self) { try ModelReference(parsing: text) }
        }
    }
}
