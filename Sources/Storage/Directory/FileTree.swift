internal import CHoldfast
internal import Glibc

/// What the stores ask of a directory tree. Nothing here follows a plan of its own; every call is one step.
enum FileTree {
    static func syncDirectory(_ path: String) throws(FileError) {
        try OpenFile(path, O_RDONLY | O_DIRECTORY).sync()
    }

    /// Makes a directory and the ones above it that are missing, each durable in the one above it.
    static func makeDirectories(_ path: String) throws(FileError) {
        if isDirectory(path) { return }
        let above = parent(of: path)
        if above != path { try makeDirectories(above) }
        guard mkdir(path, 0o700) == 0 || (errno == EEXIST && isDirectory(path)) else {
            throw FileError.now("make the directory", path)
        }
        try syncDirectory(above)
    }

    /// Makes one directory; none of an old one is an error, and durability is left to the caller.
    static func makeDirectory(_ path: String) throws(FileError) {
        guard mkdir(path, 0o700) == 0 || (errno == EEXIST && isDirectory(path)) else {
            throw FileError.now("make the directory", path)
        }
    }

    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// The size of a plain file in bytes; nil if there is none at that path.
    static func size(_ path: String) throws(FileError) -> Int? {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw FileError.now("examine", path)
        }
        return status.st_mode & S_IFMT == S_IFREG ? Int(status.st_size) : nil
    }

    static func rename(_ from: String, to: String) throws(FileError) {
        guard Glibc.rename(from, to) == 0 else { throw FileError.now("rename", from) }
    }

    /// Gives a file a second name.
    static func link(_ path: String, to other: String) throws(FileError) {
        guard Glibc.link(path, other) == 0 else { throw FileError.now("link", path) }
    }

    /// Renames unless something is there already: false then.
    static func renameExclusive(_ from: String, to: String) throws(FileError) -> Bool {
        let number = chf_rename_exclusive(from, to)
        if number == EEXIST { return false }
        guard number == 0 else { throw FileError(action: "rename", path: from, number: number) }
        return true
    }

    /// Unlinks a file: false if there was none.
    @discardableResult
    static func remove(_ path: String) throws(FileError) -> Bool {
        if unlink(path) == 0 { return true }
        if errno == ENOENT { return false }
        throw FileError.now("remove", path)
    }

    /// Removes a file or a directory with all that is in it; none is no error. Not durable before the directory above is synced.
    static func removeTree(_ path: String) throws(FileError) {
        if unlink(path) == 0 || errno == ENOENT { return }
        guard errno == EISDIR || errno == EPERM else { throw FileError.now("remove", path) }
        for name in try names(in: path) { try removeTree(path + "/" + name) }
        guard rmdir(path) == 0 || errno == ENOENT else { throw FileError.now("remove", path) }
    }

    /// The names in a directory in byte order, without "." and "..".
    static func names(in path: String) throws(FileError) -> [String] {
        guard let directory = opendir(path) else { throw FileError.now("list", path) }
        defer { closedir(directory) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(directory) else {
                if errno != 0 { throw FileError.now("list", path) }
                break
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// The bytes of a file of at most `bytesMax`; nil if there is none. A longer one is cut at `bytesMax + 1`.
    static func read(_ path: String, bytesMax: Int) throws(FileError) -> [UInt8]? {
        guard try size(path) != nil else { return nil }
        let file = try OpenFile(path, O_RDONLY)
        return try file.read(count: min(try file.size(), bytesMax + 1))
    }

    /// Replaces a file so that after a crash either the old or the new bytes are there; durable when it returns.
    static func replace(_ path: String, with bytes: [UInt8]) throws(FileError) {
        let temporary = path + ".new"
        do throws(FileError) {
            let file = try OpenFile(temporary, O_WRONLY | O_CREAT | O_TRUNC)
            try file.write(bytes, at: 0)
            try file.sync()
            try rename(temporary, to: path)
        } catch {
            _ = unlink(temporary)
            throw error
        }
        try syncDirectory(parent(of: path))
    }

    /// Bytes that an ordinary process may still use on the file system of `path`, and all bytes of it.
    static func space(of path: String) throws(FileError) -> (free: UInt64, total: UInt64) {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { throw FileError.now("examine the file system of", path) }
        return (UInt64(status.f_bavail) * UInt64(status.f_frsize), UInt64(status.f_blocks) * UInt64(status.f_frsize))
    }

    /// The path of the directory that holds `path`.
    static func parent(of path: String) -> String {
        let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        guard let slash = trimmed.lastIndex(of: "/") else { return "." }
        return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
    }
}
