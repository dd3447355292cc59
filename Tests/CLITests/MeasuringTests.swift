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

@Suite struct TensorSummaryTests {
    private func values(_ dtype: String, _ bytes: [UInt8]) -> TensorSummary.Values? {
        bytes.withUnsafeBytes { TensorSummary.values(dtype, $0) }
    }

    @Test func floatsOfEveryWidthAreRead() throws {
        let numbers: [Float] = [-1.5, 0, 4]
        let expected = TensorSummary.Values(count: 3, minimum: -1.5, maximum: 4, mean: 2.5 / 3, notFinite: 0)
        let single = numbers.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } }
        #expect(values("F32", single) == expected)
        let double = numbers.flatMap { value in
            withUnsafeBytes(of: Double(value).bitPattern.littleEndian) { Array($0) }
        }
        #expect(values("F64", double) == expected)
        // bfloat16 and binary16 of the same numbers.
        #expect(values("BF16", [0xC0, 0xBF, 0, 0, 0x80, 0x40]) == expected)
        #expect(values("F16", [0x00, 0xBE, 0, 0, 0x00, 0x44]) == expected)
    }

    @Test func whatIsNotFiniteIsCountedApart() throws {
        let bytes = [Float.nan, .infinity, 2].flatMap { value in
            withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
        }
        #expect(values("F32", bytes) == .init(count: 1, minimum: 2, maximum: 2, mean: 2, notFinite: 2))
        #expect(values("F16", [0x00, 0x7C, 0x01, 0x7C])?.notFinite == 2)
        #expect(values("F16", [0x01, 0x00])?.minimum == 1.0 / 16_777_216)
    }

    @Test func integersKeepTheirSign() {
        #expect(values("I8", [0xFF, 1])?.minimum == -1)
        #expect(values("U8", [0xFF, 1])?.maximum == 255)
        #expect(values("I64", [0xFE] + [UInt8](repeating: 0xFF, count: 7))?.minimum == -2)
    }

    @Test func anElementTypeWithoutPlainNumbersHasNoRange() {
        #expect(values("F8_E4M3", [1, 2]) == nil)
        #expect(values("F32", []) == TensorSummary.Values())
    }

    @Test func hexHasTwoDigitsForEachByte() {
        #expect(Hex.text([0x00, 0xAF, 0x10]) == "00af10")
    }
}
