/// The files of a log that do not lie in a directory of the system: a simulated disk. Each call promises what `LogDisk`'s of the same name does.
///
/// Files are named by path and used by number. Nothing is unbuffered: a durable write is `write`, then `flush`.
package protocol LogFiles: Sendable {
    /// Names in the directory, in any order.
    func names() throws(LogError) -> [String]
    /// Opens a file; nil if it does not exist.
    func open(_ path: String) throws(LogError) -> Int32?
    /// Bytes in the file.
    func size(_ file: Int32) throws(LogError) -> Int
    /// Reads up to `bytes.count` bytes; fewer at the end of the file.
    func read(_ file: Int32, into bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws(LogError) -> Int
    /// Writes; `flush` makes it durable.
    func write(_ file: Int32, _ bytes: UnsafeRawBufferPointer, at offset: Int) throws(LogError)
    /// Makes everything written to the file durable.
    func flush(_ file: Int32) throws(LogError)
    /// Creates a file of `bytes` zeros, durable and under its name only when it is complete.
    func create(_ name: String, bytes: Int) throws(LogError)
    /// Removes a file, if it exists.
    func remove(_ path: String) throws(LogError)
}
