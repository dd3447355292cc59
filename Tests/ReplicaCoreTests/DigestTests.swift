import Testing

@testable import ReplicaCore

@Suite struct DigestTests {
    @Test func `digests compare and print in byte order`() throws {
        let low = try #require(Digest(Array(UInt8(0)..<32)))
        let high = try #require(Digest([255] + Array(repeating: UInt8(0), count: 31)))
        #expect(low < high)
        #expect(low.hex == "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
        #expect(Digest(hex: low.hex) == low)
        #expect(Digest(hex: low.hex.uppercased()) == low)
        #expect(low.bytes == Array(0..<32))
    }

    @Test func `a digest of another length or alphabet is refused`() {
        #expect(Digest([UInt8](repeating: 0, count: 31)) == nil)
        #expect(Digest(hex: String(repeating: "0", count: 63)) == nil)
        #expect(Digest(hex: String(repeating: "g", count: 64)) == nil)
        #expect(Identifier(hex: "00") == nil)
        #expect(Identifier(hex: "0123456789abcdef0123456789ABCDEF")?.hex == "0123456789abcdef0123456789abcdef")
    }
}
