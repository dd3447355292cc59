internal import Foundation
internal import Synchronization

/// Standard output, without a buffer: what was written is seen at once, also through a pipe.
enum StandardOutput {
    private static let isClosed = Atomic<Bool>(false)

    /// Whether whoever read our output has gone: nothing more can be said.
    static var hasNoReader: Bool { isClosed.load(ordering: .relaxed) }

    /// Whether a person sees standard output.
    static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    /// Writes one line.
    static func line(_ text: String) { bytes(Array((text + "\n").utf8)) }

    /// Writes exactly these bytes.
    static func bytes(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { raw($0) }
    }

    /// Writes exactly these bytes; after a closed pipe the rest goes nowhere, quietly.
    static func raw(_ buffer: UnsafeRawBufferPointer) {
        guard !hasNoReader else { return }
        if !Descriptor.writeAll(STDOUT_FILENO, buffer) { isClosed.store(true, ordering: .relaxed) }
    }

    /// Writes a value as one line of JSON.
    static func json(_ value: some Encodable) { line(JSON.text(value)) }
}

/// Standard error: messages for people and the progress bar.
enum StandardError {
    /// Whether a person sees standard error.
    static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    /// The width of the terminal in columns, or 80 where it does not say.
    static var columns: Int {
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    /// Writes one line.
    static func line(_ text: String) { write(text + "\n") }

    /// Writes `text` as it is.
    static func write(_ text: String) {
        // Nothing is left to tell a failure of standard error to.
        _ = Array(text.utf8).withUnsafeBytes { Descriptor.writeAll(STDERR_FILENO, $0) }
    }
}

/// Writes that do not stop half-way.
enum Descriptor {
    /// Writes the whole buffer, whatever the system takes at a time; false where the descriptor takes no more.
    static func writeAll(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer) -> Bool {
        var rest = buffer[...]
        while !rest.isEmpty {
            let count = write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                return false
            }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// Everything up to the end of a descriptor, at most `limit` bytes; nil where there is more or the read fails.
    static func readAll(_ descriptor: Int32, limit: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                return nil
            }
            if count == 0 { return bytes }
            bytes.append(contentsOf: chunk[..<count])
            if bytes.count > limit { return nil }
        }
    }
}
