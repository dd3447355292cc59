internal import Holdfast

/// Writes many new keys, which stay: what a store holds before its restart, its memory or a catch-up is measured.
struct FillLoad {
    /// How many keys.
    var rows: Int
    /// The length of a value in bytes; every value is its own random bytes.
    var valueBytes: Int
    /// Clients that each wait for one transaction.
    var clients: Int
    /// Before every key.
    var prefix: String

    /// Operations of one transaction, and its bytes: well below what a transaction may have (512 KiB).
    private static let rowsPerTransaction = 256
    private static let bytesPerTransaction = 256 << 10

    /// Writes the keys over the stores, spread evenly; returns the seconds that it took.
    func run(_ stores: [Store]) async throws -> Double {
        let begin = ContinuousClock.now
        let rowBytes = prefix.utf8.count + 16 + valueBytes
        let step = max(1, min(Self.rowsPerTransaction, Self.bytesPerTransaction / rowBytes))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for client in 0..<clients {
                let store = stores[client % stores.count]
                group.addTask {
                    var first = client * step
                    while first < rows {
                        try await write(first..<min(first + step, rows), to: store)
                        first += clients * step
                    }
                }
            }
            try await group.waitForAll()
        }
        return (ContinuousClock.now - begin).inSeconds
    }

    private func write(_ range: Range<Int>, to store: Store) async throws {
        let operations = range.map { row in
            Transaction.Operation.put(
                Key("\(prefix)\(row)"), RandomBytes(seed: UInt64(row) &+ 1).array(valueBytes))
        }
        _ = try await store.transaction(Transaction(then: operations))
    }
}
