import Foundation
import Glibc
import ReplicaCore
import Testing

@testable import Holdfast

@Suite struct TensorTests {
    private func model(
        _ tensors: [(String, [UInt8])], _ plane: MemoryPlane, copies: [String] = ["m.safetensors"]
    ) async throws -> Model {
        let scratch = try Scratch()
        for copy in copies { try scratch.write(copy, safetensors(tensors)) }
        let pushed = try await Pusher.push(scratch.path, as: "m", plane: plane)
        return try await Model.load(pushed.model, from: plane)
    }

    @Test func `a tensor is the same mapped from local chunks and read from a source`() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("tensor seed=\(seed)")
        var random = SeededRandom(state: seed)
        var tensors: [(String, [UInt8])] = [
            ("large", random.bytes(9 << 20 | 17)), ("empty", []), ("whole", random.bytes(4 << 20)),
        ]
        for index in 0..<20 {
            tensors.append(("small\(index)", random.bytes(Int.random(in: 1...300_000, using: &random))))
        }
        let chunkFiles = try Scratch()
        let local = try await model(tensors, MemoryPlane(directory: chunkFiles.path))
        let remote = try await model(tensors, MemoryPlane())
        for (name, bytes) in tensors {
            let mapped = try await local.tensor(name)
            let read = try await remote.tensor(name)
            #expect(mapped.isMapped == !bytes.isEmpty)
            #expect(!read.isMapped)
            #expect(mapped.withBytes { Array($0) } == bytes)
            #expect(read.withBytes { Array($0) } == bytes)
            #expect(mapped.info.shape == [UInt64(bytes.count)])
        }
    }

    @Test func `a mapped tensor outlives its chunk files and its model`() async throws {
        var random = SeededRandom(state: 21)
        let bytes = random.bytes(6 << 20)
        let tensor: Tensor
        do {
            let chunkFiles = try Scratch()
            tensor = try await model([("w", bytes)], MemoryPlane(directory: chunkFiles.path)).tensor("w")
        }
        #expect(tensor.isMapped)
        #expect(tensor.withBytes { Array($0) } == bytes)
    }

    @Test func `a chunk file of another length is read and checked instead of mapped`() async throws {
        let chunkFiles = try Scratch()
        let plane = MemoryPlane(directory: chunkFiles.path)
        let local = try await model([("w", [UInt8](repeating: 5, count: 6 << 20))], plane)
        for name in try FileManager.default.contentsOfDirectory(atPath: chunkFiles.path) {
            #expect(truncate(chunkFiles(name), 10) == 0)
        }
        let tensor = try await local.tensor("w")
        #expect(!tensor.isMapped)
        #expect(tensor.withBytes { $0.allSatisfy { $0 == 5 } && $0.count == 6 << 20 })
        plane.state.withLock { state in
            let ids = state.chunks.keys.sorted()
            for id in ids where (state.chunks[id]?.count ?? 0) > 1_000_000 { state.chunks[id]?[0] ^= 1 }
        }
        let error = await failure { () throws(HoldfastError) in try await local.tensor("w") }
        #expect(error?.code == .corrupted)
    }

    @Test func `an unknown tensor is not found and an ambiguous one asks for its file`() async throws {
        let plane = MemoryPlane()
        let model = try await model([("w", [1, 2])], plane, copies: ["unet/m.safetensors", "vae/m.safetensors"])
        #expect(await failure { () throws(HoldfastError) in try await model.tensor("v") }?.code == .notFound)
        let error = await failure { () throws(HoldfastError) in try await model.tensor("w") }
        #expect(error?.code == .invalidArgument && error?.message.contains("unet/m.safetensors") == true)
        let tensor = try await model.tensor("w", in: "vae/m.safetensors")
        #expect(tensor.withBytes { Array($0) } == [1, 2])
        #expect(await failure { () throws(HoldfastError) in try await model.data(of: "none") }?.code == .notFound)
    }

    @Test func `a root that does not fit its name or its totals is corrupted`() async throws {
        let plane = MemoryPlane()
        var version = try await model([("w", [1, 2])], plane).version
        let good = version
        version.bytes += 1
        let totals = version
        #expect(
            await failure { () throws(HoldfastError) in try await Model.load(totals, from: plane) }?.code == .corrupted)
        let id = try #require(ChunkID(hex: good.root))
        plane.state.withLock { $0.chunks[id]?[6] ^= 1 }
        #expect(
            await failure { () throws(HoldfastError) in try await Model.load(good, from: plane) }?.code == .corrupted)
    }

    private func summary<T: FixedWidthInteger>(_ elements: [T], _ type: ElementType) -> TensorSummary? {
        let bytes = elements.flatMap { element in withUnsafeBytes(of: element.littleEndian) { Array($0) } }
        return bytes.withUnsafeBytes { TensorSummary(of: $0, type: type) }
    }

    private func expect(_ found: TensorSummary?, _ low: Double, _ high: Double, _ mean: Double) {
        #expect(found?.minimum == low)
        #expect(found?.maximum == high)
        #expect(found?.mean == mean)
        #expect(found?.elements == 4)
        #expect(found?.notANumber == 0 && found?.infinite == 0)
    }

    @Test func `a summary has the smallest, largest and mean element of every type`() {
        let values: [Float] = [-2, 0.5, 4, 1.5]
        expect(summary(values.map(\.bitPattern), .f32), -2, 4, 1)
        expect(summary(values.map { Double($0).bitPattern }, .f64), -2, 4, 1)
        expect(summary(values.map { UInt16($0.bitPattern >> 16) }, .bf16), -2, 4, 1)
        expect(summary([UInt16(0xC000), 0x3800, 0x4400, 0x3E00], .f16), -2, 4, 1)
        expect(summary([UInt8(0xC0), 0x38, 0x44, 0x3E], .f8E5M2), -2, 4, 1)
        expect(summary([UInt8(0xC0), 0x30, 0x48, 0x3C], .f8E4M3), -2, 4, 1)
        expect(summary([Int8(-2), 1, 4, 1], .i8), -2, 4, 1)
        expect(summary([Int16(-2), 1, 4, 1], .i16), -2, 4, 1)
        expect(summary([Int32(-2), 1, 4, 1], .i32), -2, 4, 1)
        expect(summary([Int64(-2), 1, 4, 1], .i64), -2, 4, 1)
        expect(summary([UInt8(0), 1, 2, 1], .u8), 0, 2, 1)
        expect(summary([UInt16(0), 1, 2, 1], .u16), 0, 2, 1)
        expect(summary([UInt32(0), 1, 2, 1], .u32), 0, 2, 1)
        expect(summary([UInt64(0), 1, 2, 1], .u64), 0, 2, 1)
        expect(summary([UInt8(0), 1, 1, 0], .bool), 0, 1, 0.5)
        #expect(summary([UInt64(0)], .c64) == nil)
        #expect(summary([UInt8(0)], .f4) == nil)
    }

    @Test func `halves and 8-bit floats have every value of their format`() {
        for bits in UInt16.min...UInt16.max {
            let expected = Double(Float16(bitPattern: bits))
            let found = summary([bits], .f16)
            if expected.isNaN {
                #expect(found?.notANumber == 1)
            } else if expected.isInfinite {
                #expect(found?.infinite == 1)
            } else if found?.minimum != expected {
                Issue.record("half \(bits) is \(String(describing: found?.minimum)), not \(expected)")
            }
        }
        #expect(summary([UInt8(0x7F), 0xFF], .f8E4M3)?.notANumber == 2)
        #expect(summary([UInt8(0x7E)], .f8E4M3)?.maximum == 448)
        #expect(summary([UInt8(0x01)], .f8E4M3)?.minimum == 0x1p-9)
        #expect(summary([UInt8(0x7C)], .f8E5M2)?.infinite == 1)
        #expect(summary([UInt8(0x7B)], .f8E5M2)?.maximum == 57_344)
    }

    @Test func `not-a-number and infinity are counted apart from the rest`() {
        let found = summary(
            [Float.nan, .infinity, -.infinity, 3, 5].map(\.bitPattern), .f32)
        #expect(found?.notANumber == 1 && found?.infinite == 2 && found?.elements == 5)
        #expect(found?.minimum == 3 && found?.maximum == 5 && found?.mean == 4)
        let none = summary([Float.nan.bitPattern], .f32)
        #expect(none?.minimum == nil && none?.mean == nil)
    }
}
