internal import CHoldfast
internal import Glibc
internal import Synchronization

/// A preallocated file whose space can be given back when the disk is full, so that the log has room until the node has
/// refused new work. Who decides that it is full is not here.
final class SpaceReserve: Sendable {
    private let path: String
    private let bytes: Int
    private let held: Mutex<Bool>

    /// Looks at what is there; allocates nothing.
    init(path: String, bytes: Int) throws(FileError) {
        self.path = path
        self.bytes = bytes
        self.held = Mutex(try FileTree.size(path) ?? 0 >= bytes && bytes > 0)
    }

    var isHeld: Bool { held.withLock { $0 } }

    /// Takes the space again. A full disk is an error, and then nothing is held.
    func restore() throws(FileError) {
        let outcome: Result<Void, FileError> = held.withLock { held in
            if held || bytes == 0 { return .success(()) }
            do throws(FileError) {
                try allocate()
                held = true
                return .success(())
            } catch {
                _ = unlink(path)
                return .failure(error)
            }
        }
        try outcome.get()
    }

    /// Gives the space back: false if it was given back before.
    func release() throws(FileError) -> Bool {
        let outcome: Result<Bool, FileError> = held.withLock { held in
            guard held else { return .success(false) }
            do throws(FileError) {
                try FileTree.remove(path)
                held = false
                return .success(true)
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    private func allocate() throws(FileError) {
        let file = try OpenFile(path, O_WRONLY | O_CREAT)
        let number = chf_fallocate(file.descriptor, 0, off_t(bytes))
        if number == EOPNOTSUPP {
            try fill(file)
        } else if number != 0 {
            throw FileError(action: "allocate \(bytes) bytes for", path: path, number: number)
        }
        try file.sync()
        try FileTree.syncDirectory(FileTree.parent(of: path))
    }

    /// File systems without fallocate(2) get written zeros.
    private func fill(_ file: borrowing OpenFile) throws(FileError) {
        let zeros = [UInt8](repeating: 0, count: 1 << 20)
        for offset in stride(from: 0, to: bytes, by: zeros.count) {
            try file.write(Array(zeros.prefix(bytes - offset)), at: offset)
        }
    }
}
