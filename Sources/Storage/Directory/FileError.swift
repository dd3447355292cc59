internal import Glibc

/// A call of the operating system that failed.
package struct FileError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What was being done: "open", "write", "sync".
    package let action: String
    package let path: String
    /// The error number (errno(3)).
    package let number: Int32

    /// The disk or a quota is full.
    package var isNoSpace: Bool { number == ENOSPC || number == EDQUOT }
    /// There is nothing at that path.
    package var isMissing: Bool { number == ENOENT }
    /// The device could not read or write.
    package var isDeviceFault: Bool { number == EIO }

    package var description: String { "cannot \(action) \(path): \(String(cString: strerror(number)))" }

    /// The failure that errno(3) tells of now.
    static func now(_ action: String, _ path: String) -> FileError {
        FileError(action: action, path: path, number: errno)
    }
}
