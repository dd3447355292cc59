internal import CHoldfast
internal import Glibc

/// The log's only door to the file system: every call checked, none retried but an interrupted one.
struct LogDisk: Sendable {
    let directory: String
    /// See `LogOptions.failure`.
    let failure: (@Sendable (LogCall, _ path: String) -> Int32?)?

    /// See `LogOptions.unbuffered`.
    let unbuffered: Bool

    /// See `LogOptions.files`.
    let files: (any LogFiles)?

    init(directory: String, options: LogOptions) {
        self.directory = directory
        failure = options.failure
        unbuffered = options.unbuffered
        files = options.files
    }

    func path(_ name: String) -> String { directory + "/" + name }

    /// Names in the directory, in order.
    func names() throws(LogError) -> [String] {
        if let files { return try files.names().sorted() }
        guard let stream = opendir(directory) else {
            if errno == ENOENT { throw .notFormatted(path: directory) }
            throw .failed(operation: "read the directory", path: directory, code: errno)
        }
        defer { closedir(stream) }
        var names: [String] = []
        errno = 0
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: $0.pointee)) {
                    String(cString: $0)
                }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        guard errno == 0 else { throw .failed(operation: "read the directory", path: directory, code: errno) }
        return names.sorted()
    }

    /// Opens a file; nil if it does not exist.
    func open(_ path: String, flags: Int32) throws(LogError) -> Int32? {
        if let files { return try files.open(path) }
        while true {
            let descriptor = Glibc.open(path, flags | chf_o_cloexec(), 0o640)
            if descriptor >= 0 { return descriptor }
            if errno == EINTR { continue }
            if errno == ENOENT { return nil }
            throw Self.error("open", path, errno)
        }
    }

    /// Opens a file for unbuffered writes that return when the bytes are durable; nil if the file system has no such thing.
    func openDirect(_ path: String) -> Int32? {
        guard unbuffered, files == nil else { return nil }
        let descriptor = Glibc.open(path, O_RDWR | chf_o_direct() | chf_o_dsync() | chf_o_cloexec())
        return descriptor >= 0 ? descriptor : nil
    }

    /// Reads up to `bytes.count` bytes; fewer at the end of the file.
    func read(
        _ descriptor: Int32, _ path: String, into bytes: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(LogError) -> Int {
        if let files { return try files.read(descriptor, into: bytes, at: offset) }
        var done = 0
        while done < bytes.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: bytes[done...])
            let count = pread(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
            if count < 0 {
                if errno == EINTR { continue }
                throw Self.error("read", path, errno)
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    func write(
        _ descriptor: Int32, _ path: String, _ bytes: UnsafeRawBufferPointer, at offset: Int
    ) throws(LogError) {
        try inject(.write, path)
        if let files { return try files.write(descriptor, bytes, at: offset) }
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let count = pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
            if count < 0 {
                if errno == EINTR { continue }
                throw Self.error("write", path, errno)
            }
            done += count
        }
    }

    func flush(_ descriptor: Int32, _ path: String) throws(LogError) {
        try inject(.flush, path)
        if let files { return try files.flush(descriptor) }
        guard fdatasync(descriptor) == 0 else { throw Self.error("flush", path, errno) }
    }

    /// Makes the names in the directory durable.
    func flushDirectory() throws(LogError) {
        try inject(.flushDirectory, directory)
        if files != nil { return }
        let descriptor = Glibc.open(directory, O_RDONLY | O_DIRECTORY | chf_o_cloexec())
        guard descriptor >= 0 else { throw Self.error("open", directory, errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw Self.error("flush", directory, errno) }
    }

    /// Creates a file of `bytes` zeros, written out once and durable, under its name only when it is complete.
    func create(_ name: String, bytes: Int) throws(LogError) {
        let final = path(name)
        let temporary = final + ".new"
        try inject(.create, final)
        if let files { return try files.create(name, bytes: bytes) }
        try requireSpace(bytes, for: final)
        guard let descriptor = try open(temporary, flags: O_RDWR | O_CREAT | O_TRUNC) else {
            throw .notFormatted(path: directory)
        }
        defer { close(descriptor) }
        do throws(LogError) {
            try inject(.allocate, final)
            let code = chf_fallocate(descriptor, 0, off_t(bytes))
            guard code == 0 || code == EOPNOTSUPP else { throw Self.error("allocate", final, code) }
            // Written as well as allocated: the first write into an allocated block would put a journal commit into every fsync.
            let zeros = PageBuffer(bytes: min(bytes, 1 << 20))
            var offset = 0
            while offset < bytes {
                let count = min(zeros.bytes.count, bytes - offset)
                try write(descriptor, final, UnsafeRawBufferPointer(rebasing: zeros.bytes[..<count]), at: offset)
                _ = chf_start_writeout(descriptor, off_t(offset), off_t(count))  // a hint: the flush below counts
                offset += count
            }
            try inject(.flush, final)
            guard fsync(descriptor) == 0 else { throw Self.error("flush", final, errno) }
            guard rename(temporary, final) == 0 else { throw Self.error("rename", temporary, errno) }
            try flushDirectory()
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// Where there is no room fallocate(2) may take what is left before it fails, and others would find none for that moment.
    private func requireSpace(_ bytes: Int, for path: String) throws(LogError) {
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else { throw Self.error("measure the disk of", path, errno) }
        guard UInt64(status.f_bavail) * UInt64(status.f_frsize) >= UInt64(bytes) else {
            throw .noSpace(detail: "allocate \(path)")
        }
    }

    func remove(_ path: String) throws(LogError) {
        try inject(.remove, path)
        if let files { return try files.remove(path) }
        guard unlink(path) == 0 || errno == ENOENT else { throw Self.error("remove", path, errno) }
    }

    private func inject(_ call: LogCall, _ path: String) throws(LogError) {
        if let failure, let code = failure(call, path) { throw Self.error("\(call)", path, code) }
    }

    private static func error(_ operation: String, _ path: String, _ code: Int32) -> LogError {
        if code == ENOSPC || code == EDQUOT { return .noSpace(detail: "\(operation) \(path)") }
        return .failed(operation: operation, path: path, code: code)
    }
}

/// A file of the log that is open for reading and durable writing in whole blocks.
final class LogFile: Sendable {
    let disk: LogDisk
    let path: String
    /// Buffered: reads, and writes where there is no other way.
    let plain: Int32
    /// Unbuffered and durable on return; nil where the file system has no such thing.
    let direct: Int32?

    /// Opens a file that exists; nil if it does not.
    init?(_ name: String, disk: LogDisk) throws(LogError) {
        self.disk = disk
        path = disk.path(name)
        guard let plain = try disk.open(path, flags: O_RDWR) else { return nil }
        self.plain = plain
        direct = disk.openDirect(path)
    }

    deinit {
        guard disk.files == nil else { return }
        close(plain)
        if let direct { close(direct) }
    }

    /// Bytes in the file.
    func size() throws(LogError) -> Int {
        if let files = disk.files { return try files.size(plain) }
        var status = stat()
        guard fstat(plain, &status) == 0 else { throw .failed(operation: "stat", path: path, code: errno) }
        return Int(status.st_size)
    }

    /// Reads up to `bytes.count` bytes; fewer at the end of the file.
    func read(
        into bytes: UnsafeMutableRawBufferPointer, at offset: Int, direct past: Bool = false
    ) throws(LogError) -> Int {
        try disk.read(past ? direct ?? plain : plain, path, into: bytes, at: offset)
    }

    /// Writes and returns when the bytes are durable. Address, count and offset are multiples of a block.
    func writeDurably(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(LogError) {
        if let direct {
            try disk.write(direct, path, bytes, at: offset)
        } else {
            try disk.write(plain, path, bytes, at: offset)
            try disk.flush(plain, path)
        }
    }

    /// Writes to the page cache; `flush` makes it durable.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(LogError) {
        try disk.write(plain, path, bytes, at: offset)
    }

    /// Makes everything written durable.
    func flush() throws(LogError) { try disk.flush(plain, path) }
}
