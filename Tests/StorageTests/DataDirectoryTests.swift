import Glibc
import ReplicaCore
import Testing

@testable import Storage

@Suite struct DataDirectoryTests {
    let directory: TemporaryDirectory
    var path: String { directory.path + "/deep/data" }
    static let request = FormatRequest(
        node: 2, cluster: "prod-1", token: "t",
        members: [
            .init(node: 3, endpoint: "[::1]:7003"), .init(node: 1, endpoint: "a.example:7001"),
            .init(node: 2, endpoint: "b:7002"),
        ],
        nowMilliseconds: 1_700_000_000_123)

    init() throws { directory = try TemporaryDirectory() }

    private func refusal(_ body: () throws -> Void) -> DirectoryError? {
        #expect(throws: DirectoryError.self, performing: body)
    }

    @discardableResult
    private func format(_ request: FormatRequest = request) throws -> NodeIdentity {
        var request = request
        request.reserveBytes = 1 << 16
        return try DataDirectory.format(at: path, request)
    }

    private func open() throws -> DataDirectory { try DataDirectory.open(at: path, reserveBytes: 1 << 16) }

    @Test func `a formatted directory opens with the identity it was given`() throws {
        let identity = try format()
        let opened = try open()
        #expect(opened.identity == identity)
        #expect(identity.node == 2)
        #expect(identity.cluster == "prod-1")
        #expect(identity.members.map(\.node) == [1, 2, 3])
        #expect(identity.createdMilliseconds == 1_700_000_000_123)
        #expect(opened.lineage == nil)
        #expect(opened.isReserveHeld)
        #expect(try opened.space().free > 0)
        for path in [opened.layout.log, opened.layout.rows, opened.layout.quarantine, opened.layout.chunks + "/ff"] {
            #expect(TemporaryDirectory.isDirectory(path))
        }
        #expect(access(opened.layout.formatting, F_OK) != 0)
        var options = RowStoreOptions()
        options.createsIfMissing = false
        _ = try RowStore(path: opened.layout.rows, options: options)
    }

    @Test func `formatting refuses a formatted directory and touches nothing`() throws {
        try format()
        let before = try directory.tree()
        let error = refusal { try format() }
        #expect(error?.cause == .alreadyFormatted)
        #expect(try directory.tree() == before)
    }

    @Test func `formatting refuses files of others and touches nothing`() throws {
        mkdir(directory.path + "/deep", 0o700)
        mkdir(path, 0o700)
        try put([1], at: path + "/thesis.txt")
        let before = try directory.tree()
        let error = refusal { try format() }
        #expect(error?.cause == .notEmpty)
        #expect(error?.message.contains("thesis.txt") == true)
        #expect(refusal { _ = try open() }?.cause == .notEmpty)
        #expect(try directory.tree() == before)
    }

    @Test func `an empty directory, also the root of a new file system, can be formatted`() throws {
        mkdir(directory.path + "/deep", 0o700)
        mkdir(path, 0o700)
        mkdir(path + "/lost+found", 0o700)
        #expect(refusal { _ = try open() }?.cause == .notFormatted)
        try format()
        _ = try open()
    }

    @Test func `a file in the place of the directory is refused`() throws {
        try put([1], at: directory.path + "/deep")
        #expect(refusal { try format() }?.cause == .inputOutput)
        #expect(refusal { _ = try open() }?.cause == .notFormatted)
        #expect(try bytes(of: directory.path + "/deep") == [1])
    }

    @Test func `formatting that was interrupted is recognised`() throws {
        let interrupted = refusal {
            _ = try DataDirectory.format(at: path, DataDirectoryTests.request) { _, _ throws(DirectoryError) in
                throw DirectoryError(.noSpace, "as if the power failed")
            }
        }
        #expect(interrupted?.cause == .noSpace)
        let before = try directory.tree()
        #expect(refusal { _ = try open() }?.cause == .halfFormatted)
        #expect(refusal { try format() }?.cause == .halfFormatted)
        #expect(try directory.tree() == before)
    }

    @Test func `an interruption after the identity was written leaves a whole directory`() throws {
        try format()
        try put([], at: path + "/formatting")
        _ = try open()
        #expect(access(path + "/formatting", F_OK) != 0)
    }

    @Test func `what is not there is not made by opening it`() throws {
        let error = refusal { _ = try open() }
        #expect(error?.cause == .notFormatted)
        #expect(error?.message.contains("node format") == true)
        #expect(try directory.tree().isEmpty)
    }

    @Test func `an open directory is refused with the process that has it`() throws {
        try format()
        var first: DataDirectory? = try open()
        let error = refusal { _ = try open() }
        #expect(error?.cause == .locked(getpid()))
        #expect(error?.message.contains("process \(getpid())") == true)
        #expect(first != nil)
        first = nil
        _ = try open()
    }

    @Test func `an identity of another version or of somebody else is refused and not touched`() throws {
        try format()
        let identity = path + "/identity"
        let newest = NodeIdentity.formatVersions.upperBound
        for version in [0, newest + 1] {
            try put(SealedText(kind: "identity", version: version, fields: [("x", "y")]).bytes, at: identity)
            let before = try directory.tree()
            let error = refusal { _ = try open() }
            #expect(error?.cause == .version(found: version, reads: newest))
            #expect(error?.message.contains(version > newest ? "newer build" : "older build") == true)
            #expect(try directory.tree() == before)
        }
        try put(Array("[core]\n\trepositoryformatversion = 0\n".utf8), at: identity)
        unlink(path + "/lock")
        let before = try directory.tree()
        #expect(refusal { _ = try open() }?.cause == .foreign)
        #expect(refusal { try format() }?.cause == .alreadyFormatted)
        #expect(try directory.tree() == before)
    }

    @Test(arguments: ["identity", "peers", "lineage"])
    func `a file with any bit flipped or any end cut off is refused, never misread`(name: String) throws {
        try format()
        do {
            let opened = try open()
            try opened.recordLineage(Lineage(1, 2))
            #expect(try opened.pin(node: 1, incarnation: Incarnation(3, 4)) == .new)
        }
        let file = "\(path)/\(name)"
        let good = try bytes(of: file)
        for position in good.indices {
            var bad = good
            for bit in 0..<8 {
                bad[position] = good[position] ^ 1 << UInt8(bit)
                #expect(throws: SealedText.Fault.self) { try SealedText(bad, kind: name, version: 1) }
            }
            bad[position] = good[position] ^ 1 << UInt8(position % 8)
            try put(bad, at: file)
            let cause = refusal { _ = try open() }?.cause
            #expect(cause == .corrupted || cause == .foreign, "byte \(position)")
            try put(Array(good[..<position]), at: file)
            #expect(refusal { _ = try open() } != nil, "cut at \(position)")
        }
        try put(good + [10], at: file)
        #expect(refusal { _ = try open() }?.cause == .corrupted)
        try put(good, at: file)
        #expect(try open().pinnedIncarnation(of: 1) == Incarnation(3, 4))
    }

    @Test func `lost pins are refused, since a wiped node would be believed`() throws {
        try format()
        unlink(path + "/peers")
        #expect(refusal { _ = try open() }?.cause == .corrupted)
    }

    @Test func `a wiped node has another incarnation and is refused by who knew it`() throws {
        try format()
        let peerPath = directory.path + "/peer"
        var request = DataDirectoryTests.request
        request.node = 1
        request.reserveBytes = 0
        let before = try DataDirectory.format(at: peerPath, request)
        do {
            let opened = try open()
            #expect(opened.pinnedIncarnation(of: 1) == nil)
            #expect(try opened.pin(node: 1, incarnation: before.incarnation) == .new)
            #expect(try opened.pin(node: 1, incarnation: before.incarnation) == .same)
            #expect(try opened.pin(node: 3, incarnation: Incarnation(5, 6)) == .new)
        }
        for inner in try TemporaryDirectory.walk(peerPath).reversed() where rmdir(inner) != 0 { unlink(inner) }
        let after = try DataDirectory.format(at: peerPath, request)
        #expect(after.incarnation != before.incarnation)
        #expect(after.bootstrap == before.bootstrap)
        let opened = try open()
        #expect(try opened.pin(node: 1, incarnation: after.incarnation) == .differs(known: before.incarnation))
        #expect(try opened.pin(node: 1, incarnation: before.incarnation) == .same)
        #expect(try opened.pin(node: 3, incarnation: Incarnation(5, 6)) == .same)
    }

    @Test func `a stranger under this node's own ID is refused`() throws {
        let identity = try format()
        let opened = try open()
        #expect(try opened.pin(node: 2, incarnation: identity.incarnation) == .same)
        #expect(try opened.pin(node: 2, incarnation: Incarnation(9, 9)) == .differs(known: identity.incarnation))
    }

    @Test func `a directory that was sealed is refused by builds that know less, and not touched`() throws {
        let identity = try format()
        do {
            let opened = try open()
            #expect(opened.formatVersion == 1)
            try opened.seal(1)
            #expect(opened.formatVersion == 1)
            try opened.seal(2)
            try opened.seal(1)
            #expect(opened.formatVersion == 2)
            #expect(opened.identity == identity)
        }
        let before = try directory.tree()
        let error = refusal { _ = try DataDirectory.open(at: path, formatVersionMax: 1) }
        #expect(error?.cause == .version(found: 2, reads: 1))
        #expect(error?.message.contains("may not go back") == true)
        // What the first release does with the file: it reads version 1 alone.
        #expect(throws: SealedText.Fault.version(2)) {
            try SealedText(bytes(of: path + "/identity"), kind: "identity", version: 1)
        }
        #expect(try directory.tree() == before)
        let opened = try open()
        #expect(opened.identity == identity && opened.formatVersion == 2)
    }

    @Test func `a lineage is recorded once and for ever`() throws {
        try format()
        do {
            let opened = try open()
            try opened.recordLineage(Lineage(1, 2))
            try opened.recordLineage(Lineage(1, 2))
            #expect(refusal { try opened.recordLineage(Lineage(1, 3)) }?.cause == .lineageDiffers)
            #expect(opened.lineage == Lineage(1, 2))
        }
        let opened = try open()
        #expect(opened.lineage == Lineage(1, 2))
        #expect(refusal { try opened.recordLineage(Lineage(1, 3)) }?.cause == .lineageDiffers)
    }

    @Test func `left-over temporary files of a crash do no harm`() throws {
        try format()
        for name in ["identity.new", "peers.new", "lineage.new"] { try put([1, 2, 3], at: "\(path)/\(name)") }
        let opened = try open()
        #expect(try opened.pin(node: 1, incarnation: Incarnation(3, 4)) == .new)
        try opened.recordLineage(Lineage(1, 2))
        #expect(opened.pinnedIncarnation(of: 1) == Incarnation(3, 4))
    }

    @Test(.enabled(if: TemporaryDirectory.canMount, "only root may mount the small file system that this fills"))
    func `the reserve gives its space back on a full disk, and the node still starts there`() throws {
        let small = try TemporaryDirectory(tmpfsBytes: 8 << 20)
        let path = small.path + "/data"
        var request = DataDirectoryTests.request
        request.reserveBytes = 2 << 20
        _ = try DataDirectory.format(at: path, request)
        do {
            let opened = try DataDirectory.open(at: path, reserveBytes: 2 << 20)
            let free = try opened.space().free
            try put([UInt8](repeating: 1, count: Int(free) - 8_192), at: small.path + "/ballast")
            #expect(try opened.space().free < 1 << 16)
            #expect(try opened.releaseReserve())
            #expect(try !opened.releaseReserve())
            #expect(try opened.space().free > 2 << 20)
            #expect(!opened.isReserveHeld)
            try put([UInt8](repeating: 1, count: 1 << 20), at: small.path + "/more")
            #expect(refusal { try opened.restoreReserve() }?.cause == .noSpace)
        }
        let opened = try DataDirectory.open(at: path, reserveBytes: 2 << 20)
        #expect(!opened.isReserveHeld)
        unlink(small.path + "/ballast")
        try opened.restoreReserve()
        #expect(opened.isReserveHeld)
    }
}
