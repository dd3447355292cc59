internal import Glibc

/// What a push will read: the files of a directory in a fixed order, what each one was when it was looked at, and where
/// it will be cut. Making it reads directories and safetensors headers only.
///
/// Invariants: (1) `files` are in the order of their paths' bytes and every path passes `ModelPath`; (2) a file's chunk
/// lengths add up to its bytes.
package struct PushPlan: Sendable {
    /// One file to be read.
    package struct File: Sendable {
        /// The path below the model's directory.
        package var path: String
        /// What the file was when the plan was made.
        package var identity: FileIdentity
        /// Its header, if it is a safetensors file.
        package var header: SafetensorsHeader?
        /// The lengths of its chunks.
        package var chunks: [UInt32]
    }

    /// The directory that the paths are below.
    package let root: DirectoryHandle
    /// The files.
    package private(set) var files: [File] = []
    /// The bytes of all files.
    package private(set) var totalBytes: UInt64 = 0

    /// Plans the push of a directory, or of one file. Blocks on the disk.
    package init(path: String) throws(HoldfastError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { throw fileError("cannot push", path, errno) }
        if DirectoryHandle.isFile(status) {
            let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
            let parent = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
            root = try DirectoryHandle(path: parent)
            try add(slash.map { String(path[path.utf8.index(after: $0)...]) } ?? path, in: root)
            return
        }
        // A link that the user names as the directory is followed, as `ls DIR/` does; one that names a file is not.
        if DirectoryHandle.isLink(status), stat(path, &status) == 0, !DirectoryHandle.isDirectory(status) {
            throw DirectoryHandle.linkRefused(path)
        }
        root = try DirectoryHandle(path: path)
        try walk(root, prefix: "", depth: 0)
        files.sort { ModelPath.precedes($0.path, $1.path) }  // Keeps (1).
        guard !files.isEmpty else {
            throw HoldfastError(.invalidArgument, "directory '\(path)' holds no files; there is nothing to push")
        }
    }

    /// Opens a planned file and checks that it is still the one that was planned. Blocks on the disk.
    package func open(_ file: File) throws(HoldfastError) -> OpenFile {
        let (directory, name) = try root.parent(of: file.path)
        let opened = try directory.file(name, flags: O_RDONLY)
        guard FileIdentity(try opened.status()) == file.identity else { throw Self.changed(file) }
        return opened
    }

    /// Checks after reading that neither the open file nor its name has changed.
    package func checkUnchanged(_ file: File, _ opened: OpenFile) throws(HoldfastError) {
        guard FileIdentity(try opened.status()) == file.identity else { throw Self.changed(file) }
        let (directory, name) = try root.parent(of: file.path)
        guard let status = try directory.status(name) else {
            throw HoldfastError(
                .notFound, "'\(file.path)' vanished while it was pushed; push again when the files are still",
                details: ["file": file.path])
        }
        guard FileIdentity(status) == file.identity else { throw Self.changed(file) }
    }

    /// The error of a file that is not the one that was planned.
    package static func changed(_ file: File) -> HoldfastError {
        HoldfastError(
            .preconditionFailed, "'\(file.path)' changed while it was pushed; push again when the files are still",
            details: ["file": file.path])
    }

    private mutating func walk(_ directory: DirectoryHandle, prefix: String, depth: Int) throws(HoldfastError) {
        guard depth < 64 else {
            throw HoldfastError(.invalidArgument, "directory '\(directory.path)' is nested deeper than 64")
        }
        for name in try directory.names() {
            guard let status = try directory.status(name) else { continue }
            if DirectoryHandle.isDirectory(status) {
                try walk(try directory.directory(name), prefix: "\(prefix)\(name)/", depth: depth + 1)
            } else {
                try add(name, in: directory, prefix: prefix)
            }
        }
    }

    private mutating func add(
        _ name: String, in directory: DirectoryHandle, prefix: String = ""
    ) throws(HoldfastError) {
        let path = prefix + name
        if let fault = ModelPath.fault(in: path) {
            throw HoldfastError(.invalidArgument, "the file name '\(path)' \(fault)", details: ["file": path])
        }
        // Opened without blocking (a pipe would wait for a writer), and judged by what was opened, not by its name.
        let opened = try directory.file(name, flags: O_RDONLY)
        let status = try opened.status()
        guard DirectoryHandle.isFile(status) else {
            throw HoldfastError(
                .invalidArgument, "'\(path)' is neither a file nor a directory; remove it from the model",
                details: ["file": path])
        }
        guard files.count < ModelLimits.filesMax else {
            throw HoldfastError(.invalidArgument, "the model has more than \(ModelLimits.filesMax) files")
        }
        let identity = FileIdentity(status)
        let header = SafetensorsHeader.isNamed(path) ? try Self.header(of: opened, path, identity.bytes) : nil
        let chunks = header.map(ChunkCuts.safetensors) ?? ChunkCuts.plain(bytes: identity.bytes)
        files.append(File(path: path, identity: identity, header: header, chunks: chunks))
        totalBytes += identity.bytes
    }

    private static func header(
        of file: OpenFile, _ path: String, _ bytes: UInt64
    ) throws(HoldfastError) -> SafetensorsHeader {
        let prefix = try file.read(count: 8, at: 0)
        let length = try SafetensorsHeader.length(prefix: prefix, file: path, fileBytes: bytes)
        let json = try file.read(count: Int(length), at: 8)
        return try SafetensorsHeader(json: json, file: path, fileBytes: bytes)
    }
}
