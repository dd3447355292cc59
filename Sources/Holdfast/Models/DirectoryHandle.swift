package import Glibc

/// An open directory below which files are named by relative paths, never through a symbolic link.
package final class DirectoryHandle: Sendable {
    /// The path as the user gave it, for messages.
    package let path: String
    private let descriptor: Int32

    private init(owning descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    // A directory opened for reading has nothing to lose at its close.
    deinit { _ = close(descriptor) }

    /// Opens the user's own directory: here, and only here, symbolic links are followed.
    package convenience init(path: String) throws(HoldfastError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw fileError("cannot open directory", path, errno) }
        self.init(owning: descriptor, path: path)
    }

    /// Opens the user's own directory, making it and its parents where they are absent.
    package static func create(path: String) throws(HoldfastError) -> DirectoryHandle {
        var made = path.utf8.first == UInt8(ascii: "/") ? "/" : ""
        for part in path.split(separator: "/", omittingEmptySubsequences: true) {
            made += made.isEmpty || made.hasSuffix("/") ? String(part) : "/\(part)"
            if mkdir(made, 0o777) != 0, errno != EEXIST {
                let number = errno
                // A parent that exists may refuse with another number (a read-only root).
                var status = stat()
                if stat(made, &status) != 0 { throw fileError("cannot make directory", made, number) }
            }
        }
        return try DirectoryHandle(path: path)
    }

    /// The directory `name` in this one; made first where it is absent if `creating`.
    package func directory(_ name: String, creating: Bool = false) throws(HoldfastError) -> DirectoryHandle {
        let below = "\(path)/\(name)"
        if creating, mkdirat(descriptor, name, 0o777) != 0, errno != EEXIST {
            throw fileError("cannot make directory", below, errno)
        }
        let opened = openat(descriptor, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard opened >= 0 else {
            // Linux answers ENOTDIR for a link here, so what stands there is looked at once more.
            let number = errno
            if try status(name).map(DirectoryHandle.isLink) == true { throw Self.linkRefused(below) }
            throw fileError("cannot open directory", below, number)
        }
        return DirectoryHandle(owning: opened, path: below)
    }

    /// Opens `name` in this directory with `flags`; a symbolic link is refused.
    package func file(_ name: String, flags: Int32) throws(HoldfastError) -> OpenFile {
        let below = "\(path)/\(name)"
        let opened = openat(descriptor, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0o666)
        guard opened >= 0 else {
            if errno == ELOOP { throw Self.linkRefused(below) }
            throw fileError("cannot open", below, errno)
        }
        return OpenFile(owning: opened, path: below)
    }

    /// What stands at `name`, links not followed; nil where nothing does.
    package func status(_ name: String) throws(HoldfastError) -> stat? {
        var status = stat()
        if fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 { return status }
        if errno == ENOENT { return nil }
        throw fileError("cannot look at", "\(path)/\(name)", errno)
    }

    /// Gives a file its name: fails with `alreadyExists` if that is taken and `replacing` is false.
    package func rename(_ from: String, to name: String, replacing: Bool) throws(HoldfastError) {
        if !replacing {
            // link(2) never replaces, and needs no flag that older file systems lack.
            if linkat(descriptor, from, descriptor, name, 0) == 0 {
                try unlink(from)
                return
            }
            guard errno == EPERM || errno == EOPNOTSUPP || errno == EMLINK || errno == ENOSYS else {
                throw fileError("cannot name", "\(path)/\(name)", errno)
            }
            if try status(name) != nil { throw fileError("cannot name", "\(path)/\(name)", EEXIST) }
        }
        guard renameat(descriptor, from, descriptor, name) == 0 else {
            throw fileError("cannot name", "\(path)/\(name)", errno)
        }
    }

    /// Removes a file; one that is absent is no error.
    package func unlink(_ name: String) throws(HoldfastError) {
        guard unlinkat(descriptor, name, 0) == 0 || errno == ENOENT else {
            throw fileError("cannot remove", "\(path)/\(name)", errno)
        }
    }

    /// The names in this directory in the order of their bytes, without `.` and `..`.
    package func names() throws(HoldfastError) -> [String] {
        let copy = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard copy >= 0 else { throw fileError("cannot open directory", path, errno) }
        guard let stream = fdopendir(copy) else {
            let number = errno
            _ = close(copy)
            throw fileError("cannot read directory", path, number)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { field in
                field.withMemoryRebound(to: CChar.self, capacity: 256) { String(validatingCString: $0) }
            }
            guard let name else {
                throw HoldfastError(.invalidArgument, "directory '\(path)' holds a name that is not UTF-8; rename it")
            }
            if name != ".", name != ".." { names.append(name) }
        }
        guard errno == 0 else { throw fileError("cannot read directory", path, errno) }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Opens the directory that holds the last part of `relative`, and returns that part's name.
    package func parent(of relative: String, creating: Bool = false) throws(HoldfastError) -> (DirectoryHandle, String)
    {
        var directory = self
        let parts = relative.split(separator: "/", omittingEmptySubsequences: false)
        for part in parts.dropLast() { directory = try directory.directory(String(part), creating: creating) }
        return (directory, String(parts.last ?? ""))
    }

    /// Whether a status is that of a symbolic link.
    package static func isLink(_ status: stat) -> Bool { status.st_mode & S_IFMT == S_IFLNK }
    /// Whether a status is that of a regular file.
    package static func isFile(_ status: stat) -> Bool { status.st_mode & S_IFMT == S_IFREG }
    /// Whether a status is that of a directory.
    package static func isDirectory(_ status: stat) -> Bool { status.st_mode & S_IFMT == S_IFDIR }

    /// The refusal of a symbolic link.
    package static func linkRefused(_ path: String) -> HoldfastError {
        HoldfastError(
            .invalidArgument, "'\(path)' is a symbolic link, which Holdfast does not follow; put the file itself there",
            details: ["file": path])
    }
}
