import CRocksDB
import Foundation

/// Writes batch after batch to RocksDB with synced writes: a log entry is a row under its index.
final class RocksRunner {
    struct Failure: Error { let message: String }

    private let database: OpaquePointer
    private let writeOptions: OpaquePointer
    private var index: UInt64 = 0

    init(directory: String) throws {
        guard let options = rocksdb_options_create(), let writeOptions = rocksdb_writeoptions_create() else {
            throw Failure(message: "no options")
        }
        rocksdb_options_set_create_if_missing(options, 1)
        rocksdb_options_set_compression(options, 0)  // the bytes do not compress: spare it the attempt
        rocksdb_options_increase_parallelism(options, 2)
        rocksdb_writeoptions_set_sync(writeOptions, 1)
        var message: UnsafeMutablePointer<CChar>?
        let database = rocksdb_open(options, directory, &message)
        rocksdb_options_destroy(options)
        guard let database else { throw Failure(message: message.map { String(cString: $0) } ?? "open") }
        self.database = database
        self.writeOptions = writeOptions
    }

    /// Entries per second over the given time.
    func run(bytes: Int, batch: Int, seconds time: Double) throws -> Double {
        let data = incompressible(bytes)
        guard let rows = rocksdb_writebatch_create() else { throw Failure(message: "no batch") }
        defer { rocksdb_writebatch_destroy(rows) }
        let started = seconds()
        var written = 0
        while seconds() < started + time {
            rocksdb_writebatch_clear(rows)
            for _ in 0..<batch {
                index += 1
                withUnsafeBytes(of: index.bigEndian) { key in
                    data.withUnsafeBytes { value in
                        rocksdb_writebatch_put(
                            rows, key.baseAddress?.assumingMemoryBound(to: CChar.self), key.count,
                            value.baseAddress?.assumingMemoryBound(to: CChar.self), value.count)
                    }
                }
            }
            var message: UnsafeMutablePointer<CChar>?
            rocksdb_write(database, writeOptions, rows, &message)
            if let message { throw Failure(message: String(cString: message)) }
            written += batch
        }
        return Double(written) / (seconds() - started)
    }

    func close() {
        rocksdb_writeoptions_destroy(writeOptions)
        rocksdb_close(database)
    }
}
