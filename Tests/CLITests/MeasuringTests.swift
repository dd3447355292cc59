import Foundation
import Testing

@testable import HoldfastCLI

@Suite struct MeasuringTests {
    @Test func aPercentileIsTheNearestRank() {
        let latencies = Latencies((1...100).map { UInt64($0) * 1000 }.shuffled())
        #expect(latencies.microseconds(50) == 50)
        #expect(latencies.microseconds(99) == 99)
        #expect(latencies.microseconds(100) == 100)
        #expect(Latencies([]).microseconds(50) == 0)
        #expect(Latencies([7000]).microseconds(1) == 7)
    }

    @Test func theLongestGapIsBetweenNeighbours() {
        #expect(KeyLoad.longestGap([9_000_000, 1_000_000, 2_000_000]) == 7)
        #expect(KeyLoad.longestGap([5]) == 0)
        #expect(KeyLoad.offset(of: 3, among: 4, rate: 2_000) == .microseconds(1_500))
        #expect(KeyLoad.offset(of: 3, among: 4, rate: nil) == .zero)
    }

    @Test func theLimitsOfThisMachineAreMeasured() throws {
        let limits = try MachineLimits.measure(in: NSTemporaryDirectory())
        for figure in limits.figures { #expect(figure.value > 0 && figure.value.isFinite, "\(figure.name)") }
    }

    @Test func theSameSeedGivesTheSameBytesAtAnyLength() {
        let random = RandomBytes(seed: 42)
        #expect(Array(random.array(1000).prefix(24)) == random.array(24))
        #expect(random.array(21).count == 21)
        #expect(random.array(64) != RandomBytes(seed: 43).array(64))
    }

    @Test func theBenchModelIsAWellFormedSafetensorsFile() throws {
        let dataBytes = BenchModelFile.tensorBytes + 10
        let header = BenchModelFile.header(dataBytes: dataBytes)
        let length = header.prefix(8).enumerated().reduce(0) { $0 + Int($1.element) << (8 * $1.offset) }
        #expect(length == header.count - 8)
        #expect(length % 8 == 0)
        let entries = try object(String(decoding: header.dropFirst(8), as: UTF8.self))
        #expect(entries.count == 2)
        let last = try #require(entries["block.1.weight"] as? [String: any Sendable])
        #expect(last["data_offsets"] as? [Int] == [BenchModelFile.tensorBytes, dataBytes])
        #expect(last["shape"] as? [Int] == [10])
    }

    @Test func theFileHasExactlyTheBytesAskedFor() throws {
        let path = NSTemporaryDirectory() + "/holdfast-test-\(UUID().uuidString)"
        defer { unlink(path) }
        let dataBytes = 3 << 20 | 5
        try BenchModelFile.write(path, dataBytes: dataBytes, seed: 1)
        let size = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
        #expect(size == BenchModelFile.header(dataBytes: dataBytes).count + dataBytes)
    }
}

@Suite struct TensorReportTests {
    @Test func hexHasTwoDigitsForEachByte() {
        #expect(Hex.text([0x00, 0xAF, 0x10]) == "00af10")
    }

    @Test func aShapeIsReadable() {
        #expect(TensorShape.text([30522, 384]) == "[30522, 384]")
        #expect(TensorShape.text([]) == "scalar")
    }
}
