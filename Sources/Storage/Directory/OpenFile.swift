internal import CHoldfast
internal import Glibc

/// An open file or directory, closed when its owner lets it go.
struct OpenFile: ~Copyable {
    private(set) var descriptor: Int32
    let path: String

    /// Opens a path; `mode` holds for a file that is made.
    init(_ path: String, _ flags: Int32, mode: mode_t = 0o600) throws(FileError) {
        while true {
            let opened = Glibc.open(path, flags | chf_o_cloexec(), mode)
            if opened >= 0 {
                self.descriptor = opened
                self.path = path
                return
            }
            if errno != EINTR { throw FileError.now("open", path) }
        }
    }

    deinit {
        if descriptor >= 0 { _ = Glibc.close(descriptor) }
    }

    /// Gives the descriptor to the caller, who closes it.
    consuming func release() -> Int32 {
        let released = descriptor
        descriptor = -1
        return released
    }

    /// The size in bytes.
    func size() throws(FileError) -> Int { try status().bytes }

    /// The size in bytes, and whether it is a plain file.
    func status() throws(FileError) -> (bytes: Int, isRegular: Bool) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw FileError.now("examine", path) }
        return (Int(status.st_size), status.st_mode & S_IFMT == S_IFREG)
    }

    /// Writes all bytes at `offset`.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let count = pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
            if count >= 0 {
                done += count
            } else if errno != EINTR {
                throw FileError.now("write", path)
            }
        }
    }

    /// Writes all bytes at `offset`.
    func write(_ bytes: [UInt8], at offset: Int) throws(FileError) {
        try bytes.withUnsafeBufferPointer { (buffer) throws(FileError) in
            try write(UnsafeRawBufferPointer(buffer), at: offset)
        }
    }

    /// The first bytes of the file, at most `count`.
    func read(count: Int) throws(FileError) -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 8)
        defer { buffer.deallocate() }
        return Array(buffer.prefix(try read(into: buffer, at: 0)))
    }

    /// Fills `buffer` from `offset`; fewer bytes only at the end of the file.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileError) -> Int {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count = pread(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
            if count == 0 { break }
            if count > 0 {
                done += count
            } else if errno != EINTR {
                throw FileError.now("read", path)
            }
        }
        return done
    }

    /// Starts to write out a part without waiting, so that a later sync finds less to do. Only a hint: no error.
    func startWriteout(at offset: Int, count: Int) {
        _ = chf_start_writeout(descriptor, off_t(offset), off_t(count))
    }

    /// Waits until data and all metadata are durable; for a directory: its entries.
    func sync() throws(FileError) {
        guard fsync(descriptor) == 0 else { throw FileError.now("sync", path) }
    }
}
