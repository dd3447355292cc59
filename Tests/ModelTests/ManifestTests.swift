import ReplicaCore
import Testing

@testable import Holdfast

@Suite struct ManifestTests {
    static func sample() -> Manifest {
        let one = digest([1])
        let two = digest([2])
        let three = digest([3])
        return Manifest(
            files: [
                Manifest.File(
                    path: "a/config.json", bytes: 0, sha256: digest([]), kind: .plain, firstChunk: 0, chunkCount: 0,
                    notes: []),
                Manifest.File(
                    path: "a/m.safetensors", bytes: 300, sha256: digest([9]), kind: .safetensors, firstChunk: 0,
                    chunkCount: 2, notes: [SafetensorsHeader.Note(key: "format", value: "pt")]),
                Manifest.File(
                    path: "b.txt", bytes: 5, sha256: three, kind: .plain, firstChunk: 2, chunkCount: 1, notes: []),
            ],
            tensors: [
                Manifest.Tensor(name: "w", type: .f32, shape: [2, 5], file: 1, offset: 100, bytes: 40),
                Manifest.Tensor(name: "x", type: .u8, shape: [160], file: 1, offset: 140, bytes: 160),
            ],
            chunks: [
                Manifest.Chunk(id: one, bytes: 100), Manifest.Chunk(id: two, bytes: 200),
                Manifest.Chunk(id: three, bytes: 5),
            ])
    }

    /// The bytes of `sample()` in version 1 of the format; they never change.
    static let golden =
        "48464d4601034bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a64dbc1b4c900ffe48d57"
        + "5b5da5c638040125f65db0fe3e24494b76ea986457d986c801084fed08b978af4d7d196a7446a86b58009e636b611db1"
        + "6211b65a9aadff29c505030d612f636f6e6669672e6a736f6e0000e3b0c44298fc1c149afbf4c8996fb92427ae41e464"
        + "9b934ca495991b7852b8550000000f612f6d2e7361666574656e736f727301ac022b4c342f5433ebe591a1da77e013d1"
        + "b72475562d48578dca8b84bac6651c3cb900020106666f726d617402707405622e7478740005084fed08b978af4d7d19"
        + "6a7446a86b58009e636b611db16211b65a9aadff29c50201000201771202020501642801780501a001018c01a001"

    @Test func `the bytes of format version 1 are those of the golden manifest`() throws {
        #expect(Hex.encode(Self.sample().encoded()) == Self.golden)
        let bytes = try #require(Hex.decode(Self.golden))
        #expect(try Manifest(decoding: bytes) == Self.sample())
    }

    @Test func `the root chunk has its golden bytes`() throws {
        let root = ManifestRoot(manifestBytes: 5_000_000, parts: [digest([1]), digest([2])])
        let golden =
            "4846525401c096b10202" + digest([1]).hex + digest([2]).hex
        #expect(Hex.encode(root.encoded()) == golden)
        #expect(try ManifestRoot(decoding: root.encoded()) == root)
        #expect(root.bytes(ofPart: 0) == 4 << 20)
        #expect(root.bytes(ofPart: 1) == 5_000_000 - 4 << 20)
    }

    @Test func `a root chunk that does not add up is refused`() {
        let one = digest([1])
        let wrong: [ManifestRoot] = [
            ManifestRoot(manifestBytes: 0, parts: []), ManifestRoot(manifestBytes: 10, parts: []),
            ManifestRoot(manifestBytes: 10, parts: [one, one]), ManifestRoot(manifestBytes: 5_000_000, parts: [one]),
            ManifestRoot(manifestBytes: UInt64.max, parts: [one]),
        ]
        for root in wrong { #expect(throws: HoldfastError.self) { try ManifestRoot(decoding: root.encoded()) } }
        #expect(throws: HoldfastError.self) {
            try ManifestRoot(decoding: ManifestRoot(manifestBytes: 10, parts: [one]).encoded() + [0])
        }
    }

    @Test func `another version is incompatible, not corrupted`() async throws {
        var bytes = Self.sample().encoded()
        bytes[4] = 2
        let changed = bytes
        let error = await failure { () throws(HoldfastError) in try Manifest(decoding: changed) }
        #expect(error?.code == .incompatible)
    }

    static let hostilePaths = [
        "", "/etc/passwd", "..", "../x", "a/../x", "a/..", "./x", "a/./b", "a//b", "a/", "/", "a\0b", ".",
        ".a.holdfast-partial", "d/.x.holdfast-partial", String(repeating: "x", count: 256),
        String(repeating: "y/", count: 3_000) + "z",
    ]

    @Test(arguments: hostilePaths)
    func `a path that leaves the directory is refused`(path: String) async {
        var manifest = Self.sample()
        manifest.files = [manifest.files[0]]
        manifest.files[0].path = path
        manifest.tensors = []
        manifest.chunks = []
        let bytes = manifest.encoded()
        let error = await failure { () throws(HoldfastError) in try Manifest(decoding: bytes) }
        #expect(error?.code == .corrupted)
        #expect(error?.message.contains("path") == true)
    }

    /// Ways to break one rule each.
    static let breaks: [(rule: String, change: @Sendable (inout Manifest) -> Void)] = [
        ("paths out of order", { $0.files[2].path = "A" }),
        ("a path twice", { $0.files[2].path = "a/m.safetensors" }),
        ("a file that is a directory", { $0.files[0].path = "a" }),
        ("a file longer than its chunks", { $0.files[1].bytes = 301 }),
        ("a file shorter than its chunks", { $0.files[1].bytes = 299 }),
        ("chunks that overlap", { $0.files[2].firstChunk = 1 }),
        ("a chunk of no file", { $0.chunks.append(Manifest.Chunk(id: digest([7]), bytes: 1)) }),
        ("chunks beyond the list", { $0.files[2].chunkCount = 2 }),
        ("an empty chunk", { $0.chunks[0].bytes = 0 }),
        (
            "a chunk above 4 MiB",
            {
                $0.chunks[0].bytes = (4 << 20) + 1; $0.files[1].bytes = (4 << 20) + 201
            }
        ),
        ("one chunk with another hash", { $0.files[2].sha256 = digest([8]) }),
        ("metadata of a plain file", { $0.files[2].notes = [SafetensorsHeader.Note(key: "a", value: "b")] }),
        ("a tensor of no file", { $0.tensors[1].file = 3 }),
        (
            "a tensor of a plain file",
            {
                $0.tensors[1].file = 2; $0.tensors[1].bytes = 5; $0.tensors[1].shape = [5]
            }
        ),
        ("a tensor beyond its file", { $0.tensors[1].offset = 141 }),
        ("a tensor whose end overflows", { $0.tensors[1].offset = UInt64.max }),
        ("a tensor with another size", { $0.tensors[1].bytes = 159 }),
        ("a tensor whose shape overflows", { $0.tensors[1].shape = [UInt64.max, 2] }),
        ("a tensor twice", { $0.tensors[1].name = "w" }),
        ("tensors out of order", { $0.tensors.swapAt(0, 1) }),
    ]

    @Test(arguments: breaks.indices)
    func `a manifest that breaks one rule is refused`(index: Int) {
        var manifest = Self.sample()
        Self.breaks[index].change(&manifest)
        let bytes = manifest.encoded()
        #expect(throws: HoldfastError.self, "\(Self.breaks[index].rule)") { try Manifest(decoding: bytes) }
    }

    @Test func `a manifest cut at any byte is refused and a changed one never traps`() {
        let bytes = Self.sample().encoded()
        for count in bytes.indices {
            #expect(throws: HoldfastError.self) { try Manifest(decoding: Array(bytes[..<count])) }
        }
        for index in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[index] ^= 1 << UInt8(bit)
                // What still decodes keeps every rule, and says something else.
                if let decoded = try? Manifest(decoding: changed) {
                    #expect(decoded.fault() == nil)
                    #expect(decoded != Self.sample())
                }
            }
        }
    }
}
