internal import CHoldfast
internal import Foundation
internal import Holdfast

/// What this machine can do without Holdfast, measured just before a benchmark.
struct MachineLimits: Sendable {
    /// The median of writing 4 KiB into a file that is already written once, and fdatasync.
    var fdatasyncMicroseconds: Double
    /// The median of a TCP round trip of 128 bytes between two threads over loopback.
    var roundTripMicroseconds: Double
    /// Writing a file and fsyncing it, in MB/s.
    var sequentialWriteMegabytes: Double
    /// SHA-256 on one core, in MB/s.
    var sha256Megabytes: Double

    /// The limits as figures.
    var figures: [Figure] {
        [
            Figure("limit.fdatasync.p50", fdatasyncMicroseconds, "us"),
            Figure("limit.roundTrip.p50", roundTripMicroseconds, "us"),
            Figure("limit.sequentialWrite", sequentialWriteMegabytes, "MB/s"),
            Figure("limit.sha256", sha256Megabytes, "MB/s"),
        ]
    }

    /// Measures in `directory` (on the disk in question); takes about a second, blocks the calling thread.
    static func measure(in directory: String) throws(Failure) -> MachineLimits {
        let path = "\(directory)/holdfast-bench-\(getpid()).tmp"
        defer { unlink(path) }
        return MachineLimits(
            fdatasyncMicroseconds: try fdatasyncMedian(path),
            roundTripMicroseconds: try LoopbackProbe.median(),
            sequentialWriteMegabytes: try sequentialWrite(path),
            sha256Megabytes: sha256())
    }

    private static func fdatasyncMedian(_ path: String) throws(Failure) -> Double {
        let block = 4096
        let blocks = 2048
        let descriptor = try create(path)
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0x5A, count: block)
        // Written once and fsynced before, so that no write below changes the file's metadata.
        for index in 0..<blocks {
            guard pwrite(descriptor, bytes, block, off_t(index * block)) == block else { throw failed("written", path) }
        }
        guard fsync(descriptor) == 0 else { throw failed("fsynced", path) }
        var samples: [UInt64] = []
        for index in 0..<400 {
            bytes[0] = UInt8(truncatingIfNeeded: index)
            let begin = Clock.nanoseconds()
            guard pwrite(descriptor, bytes, block, off_t(index * block)) == block, fdatasync(descriptor) == 0 else {
                throw failed("fsynced", path)
            }
            samples.append(Clock.nanoseconds() - begin)
        }
        return Latencies(samples).microseconds(50)
    }

    private static func sequentialWrite(_ path: String) throws(Failure) -> Double {
        let bytes = RandomBytes(seed: 1).array(1 << 20)
        let total = 128
        let descriptor = try create(path)
        defer { close(descriptor) }
        let begin = Clock.nanoseconds()
        for _ in 0..<total {
            guard bytes.withUnsafeBytes({ Descriptor.writeAll(descriptor, $0) }) else { throw failed("written", path) }
        }
        guard fsync(descriptor) == 0 else { throw failed("fsynced", path) }
        return Double(total * bytes.count) / Double(Clock.nanoseconds() - begin) * 1000
    }

    private static func sha256() -> Double {
        let bytes = RandomBytes(seed: 2).array(1 << 20)
        var digest = [UInt8](repeating: 0, count: 32)
        let rounds = 128
        let begin = Clock.nanoseconds()
        for _ in 0..<rounds { chf_sha256(bytes, bytes.count, &digest) }
        return Double(rounds * bytes.count) / Double(Clock.nanoseconds() - begin) * 1000
    }

    private static func create(_ path: String) throws(Failure) -> Int32 {
        let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
        guard descriptor >= 0 else { throw failed("made", path) }
        return descriptor
    }

    private static func failed(_ what: String, _ path: String) -> Failure {
        .file("'\(path)' cannot be \(what): \(String(cString: strerror(errno))); set TMPDIR to a directory with room")
    }
}

/// The monotonic clock.
enum Clock {
    /// Nanoseconds since some fixed point.
    static func nanoseconds() -> UInt64 { DispatchTime.now().uptimeNanoseconds }
}

/// A stream of bytes that does not compress; the same seed gives the same bytes (SplitMix64).
struct RandomBytes {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    private mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }

    /// Fills the whole buffer.
    mutating func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        var offset = 0
        while offset + 8 <= buffer.count {
            buffer.storeBytes(of: next(), toByteOffset: offset, as: UInt64.self)
            offset += 8
        }
        var word = next()
        while offset < buffer.count {
            buffer[offset] = UInt8(truncatingIfNeeded: word)
            word >>= 8
            offset += 1
        }
    }

    /// The first bytes of the stream.
    func array(_ count: Int) -> [UInt8] {
        var copy = self
        var bytes = [UInt8](repeating: 0, count: count)
        bytes.withUnsafeMutableBytes { copy.fill($0) }
        return bytes
    }
}
