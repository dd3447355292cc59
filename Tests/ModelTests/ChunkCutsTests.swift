import Testing

@testable import Holdfast

@Suite struct ChunkCutsTests {
    private let limit = UInt64(ModelLimits.chunkBytesMax)

    private func header(_ sizes: [UInt64], dataStart: UInt64 = 100) -> SafetensorsHeader {
        var begin: UInt64 = 0
        let tensors = sizes.enumerated().map { index, size in
            defer { begin += size }
            return SafetensorsHeader.Tensor(
                name: "t\(index)", type: .u8, shape: [size], begin: begin, end: begin + size)
        }
        return SafetensorsHeader(tensors: tensors, notes: [], dataStart: dataStart)
    }

    @Test func `plain files are cut every 4 MiB`() {
        #expect(ChunkCuts.plain(bytes: 0) == [])
        #expect(ChunkCuts.plain(bytes: 1) == [1])
        #expect(ChunkCuts.plain(bytes: limit) == [UInt32(limit)])
        #expect(ChunkCuts.plain(bytes: 2 * limit + 5) == [UInt32(limit), UInt32(limit), 5])
    }

    @Test func `small neighbours share a chunk and large tensors begin their own`() {
        #expect(ChunkCuts.safetensors(header([10, 20, 30])) == [100, 60])
        #expect(ChunkCuts.safetensors(header([10, limit + 7, 20])) == [100, 10, UInt32(limit), 7, 20])
        #expect(ChunkCuts.safetensors(header([limit - 5, 5, 1])) == [100, UInt32(limit), 1])
        #expect(ChunkCuts.safetensors(header([limit - 5, 6])) == [100, UInt32(limit - 5), 6])
        #expect(ChunkCuts.safetensors(header([0, 0])) == [100])
        #expect(ChunkCuts.safetensors(header([0, limit, 0])) == [100, UInt32(limit)])
        #expect(ChunkCuts.safetensors(header([], dataStart: limit + 1)) == [UInt32(limit), 1])
    }

    @Test func `a tensor is whole in one chunk or in pieces of whole pages from its start`() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("cuts seed=\(seed)")
        var random = SeededRandom(state: seed)
        for _ in 0..<200 {
            let sizes = (0..<Int.random(in: 0...40, using: &random)).map { _ in
                Bool.random(using: &random)
                    ? UInt64.random(in: 0...3 * limit, using: &random)
                    : UInt64.random(in: 0...limit / 3, using: &random)
            }
            let header = header(sizes, dataStart: UInt64.random(in: 8...9_000, using: &random))
            let cuts = ChunkCuts.safetensors(header)
            var starts: Set<UInt64> = []
            var end: UInt64 = 0
            for cut in cuts {
                #expect(cut >= 1 && UInt64(cut) <= limit)
                starts.insert(end)
                end += UInt64(cut)
            }
            #expect(end == header.dataStart + (header.tensors.last?.end ?? 0))
            #expect(starts.contains(header.dataStart) || end == header.dataStart)
            for tensor in header.tensors where tensor.end > tensor.begin {
                let start = header.dataStart + tensor.begin
                let inside = starts.filter { $0 > start && $0 < header.dataStart + tensor.end }
                if inside.isEmpty { continue }
                #expect(starts.contains(start))
                #expect(inside.allSatisfy { ($0 - start) % limit == 0 })
            }
        }
    }
}
