import NIOCore
import Testing

@testable import Holdfast

@Suite struct LinkChunkTests {
    private func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
    }

    @Test func `a chunk comes out as it went in, whatever it holds`() throws {
        let chunks: [[UInt8]] = [
            [], [1], noise(1_000), noise(1 << 20), [UInt8](repeating: 7, count: 1 << 20),
            noise(300_000) + [UInt8](repeating: 0, count: 700_000),
        ]
        for chunk in chunks {
            #expect(Array(buffer: try LinkChunk.decode(LinkChunk.encode(ByteBuffer(bytes: chunk)))) == chunk)
        }
    }

    @Test func `what compression does not make shorter goes raw, and the rest does not`() {
        let raw = LinkChunk.encode(ByteBuffer(bytes: noise(1 << 20)))
        #expect(raw.readableBytes == (1 << 20) + 1)
        // Weights: of every two bytes one says little.
        var weights = [UInt8](repeating: 0x3F, count: 1 << 20)
        for (place, byte) in noise(1 << 19).enumerated() { weights[2 * place] = byte }
        #expect(LinkChunk.encode(ByteBuffer(bytes: weights)).readableBytes < (1 << 20) * 2 / 3)
        #expect(!LinkChunk.pays(0, of: 100), "it did not fit")
        #expect(!LinkChunk.pays(95, of: 100))
    }

    @Test func `bytes that are no chunk are refused, and so is one that would grow past any chunk`() throws {
        for bytes in [[], [2, 1, 1], [1], [1, 2, 3, 4]] as [[UInt8]] {
            #expect(throws: HoldfastError.self) { try LinkChunk.decode(ByteBuffer(bytes: bytes)) }
        }
        let bomb = LinkChunk.encode(ByteBuffer(bytes: [UInt8](repeating: 0, count: ChunkLimits.chunkBytesMax + 1)))
        #expect(bomb.readableBytes < 1 << 16)
        #expect(throws: HoldfastError.self) { try LinkChunk.decode(bomb) }
        var cut = LinkChunk.encode(ByteBuffer(bytes: [UInt8](repeating: 0, count: 1 << 20)))
        cut.moveWriterIndex(to: cut.writerIndex - 1)
        #expect(throws: HoldfastError.self) { try LinkChunk.decode(cut) }
    }
}
