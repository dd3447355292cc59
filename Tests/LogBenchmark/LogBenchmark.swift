import Foundation
import RaftCore
import Storage

/// Durable entries per second: the log store against RocksDB with synced writes, in one run, in turns, in the same directory.
@main
struct LogBenchmark {
    static let limit = 2.0
    /// Turns are short and many, so that a disturbance hits both and the median passes over it.
    static let turns = 25
    static let turnSeconds = 0.03

    static func main() throws {
        guard CommandLine.arguments.count == 2 else {
            print("usage: LogBenchmark DIRECTORY   (a new directory is made in it and removed)")
            exit(64)
        }
        let directory = CommandLine.arguments[1] + "/holdfast-log-benchmark-\(getpid())"
        try FileManager.default.createDirectory(atPath: directory + "/log", withIntermediateDirectories: true)
        defer {
            do { try FileManager.default.removeItem(atPath: directory) } catch { print("left behind: \(directory)") }
        }
        try LogStore.format(directory: directory + "/log", identity: 1)
        let log = try LogRunner(directory: directory + "/log")
        let rocks = try RocksRunner(directory: directory + "/rocksdb")
        // Both have written for a while before anything counts: our segments are recycled ones from then on.
        _ = log.run(bytes: 4096, batch: 256, bytesMin: 300 << 20)
        _ = try rocks.run(bytes: 4096, batch: 256, seconds: 0.25)

        for bytes in [128, 4096] {
            for batch in [1, 16, 256] {
                var ours: [Double] = []
                var theirs: [Double] = []
                for _ in 0..<turns {
                    ours.append(log.run(bytes: bytes, batch: batch, seconds: turnSeconds))
                    theirs.append(try rocks.run(bytes: bytes, batch: batch, seconds: turnSeconds))
                }
                report("log \(bytes) B x \(batch)", ours: median(ours), theirs: median(theirs))
            }
        }
        log.close()
        rocks.close()
    }

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

    private static func report(_ name: String, ours: Double, theirs: Double) {
        let ratio = ours / theirs
        print(
            "{\"name\":\"\(name)\",\"value\":\(Int(ours)),\"unit\":\"entries/s\",\"limit\":\(Int(limit * theirs)),"
                + "\"ratio\":\(Double(Int(ratio * 100)) / 100)}")
    }
}

/// The monotonic clock in seconds.
func seconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Bytes that do not compress.
func incompressible(_ count: Int) -> [UInt8] {
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    return (0..<count).map { _ in
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return UInt8(truncatingIfNeeded: state)
    }
}
