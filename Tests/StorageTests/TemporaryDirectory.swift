import Glibc

/// An empty directory that is removed with everything in it when it is let go.
final class TemporaryDirectory {
    let path: String
    private let isMounted: Bool

    init() throws {
        path = try TemporaryDirectory.make()
        isMounted = false
    }

    /// A file system of its own with room for `bytes`; only root may mount one.
    init(tmpfsBytes bytes: Int) throws {
        path = try TemporaryDirectory.make()
        guard mount("tmpfs", path, "tmpfs", 0, "size=\(bytes)") == 0 else {
            throw Failure(description: "cannot mount a tmpfs at \(path): \(String(cString: strerror(errno)))")
        }
        isMounted = true
    }

    /// Whether this process may mount a tmpfs.
    static let canMount: Bool = (try? TemporaryDirectory(tmpfsBytes: 1 << 16)) != nil

    deinit {
        if isMounted { umount2(path, Int32(MNT_DETACH)) }
        TemporaryDirectory.removeTree(path)
    }

    private static func make() throws -> String {
        var template = Array("/tmp/holdfast-storage-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure(description: "cannot make a temporary directory") }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Every path below, files with their bytes, in byte order.
    func tree() throws -> [String] {
        try TemporaryDirectory.walk(path).map { path in
            TemporaryDirectory.isDirectory(path) ? path : "\(path) \(try bytes(of: path))"
        }
    }

    static func walk(_ path: String) throws -> [String] {
        guard let directory = opendir(path) else { throw Failure(description: "cannot list \(path)") }
        defer { closedir(directory) }
        var found: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name == "." || name == ".." { continue }
            let inner = "\(path)/\(name)"
            found.append(inner)
            if isDirectory(inner) { found += try walk(inner) }
        }
        return found.sorted()
    }

    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func removeTree(_ path: String) {
        for inner in ((try? walk(path)) ?? []).reversed() where rmdir(inner) != 0 { unlink(inner) }
        rmdir(path)
    }
}

struct Failure: Error, CustomStringConvertible {
    let description: String
}

/// The bytes of a file.
func bytes(of path: String) throws -> [UInt8] {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { throw Failure(description: "cannot open \(path)") }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Failure(description: "cannot examine \(path)") }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    let count = bytes.count
    guard read(descriptor, &bytes, count) == count else { throw Failure(description: "cannot read \(path)") }
    return bytes
}

/// Makes or overwrites a file, whatever its permissions.
func put(_ bytes: [UInt8], at path: String) throws {
    chmod(path, 0o600)
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    guard descriptor >= 0 else { throw Failure(description: "cannot make \(path)") }
    defer { close(descriptor) }
    guard write(descriptor, bytes, bytes.count) == bytes.count else {
        throw Failure(description: "cannot write \(path)")
    }
}

/// SplitMix64: a seeded source of numbers.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
