import ReplicaCore
import Testing

@testable import Storage

/// Compares the store with a sorted array, with views and their iterators kept across many scans.
@Suite struct RowStoreModelTests {
    /// The prefix of an MVCC row's key: 'k', the keyspace, the escaped key, its end mark.
    private static func prefix(_ random: inout SeededRandom) -> [UInt8] {
        var row: [UInt8] = [UInt8(ascii: "k"), UInt8.random(in: 0...1, using: &random)]
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            let choices: [UInt8] = [0, 1, 2, 0x61, 0xFF]
            let byte = choices.randomElement(using: &random) ?? 0
            row.append(byte)
            if byte == 0 { row.append(0xFF) }
        }
        return row + [0, 1]
    }

    private static func key(_ random: inout SeededRandom) -> [UInt8] {
        if UInt8.random(in: 0...9, using: &random) == 0 {
            return [UInt8(ascii: "f"), UInt8.random(in: 0...20, using: &random)]
        }
        return prefix(&random) + [UInt8](repeating: 0xFF, count: 7) + [UInt8.random(in: 0...15, using: &random)]
    }

    private static func bounds(_ random: inout SeededRandom) -> (from: [UInt8], below: [UInt8]) {
        switch UInt8.random(in: 0...5, using: &random) {
        case 0: return (key(&random), key(&random))
        case 1: return ([UInt8(ascii: "k")], [UInt8(ascii: "k") + 1])
        case 2: return ([], [0xFF])
        case 3:
            let from = prefix(&random)
            return (from, prefix(&random))
        default:
            // All versions of a key, or those from some revision back, or those between two.
            let start = prefix(&random)
            var end = start
            end[end.count - 1] = 2
            func revision(_ random: inout SeededRandom) -> [UInt8] {
                [UInt8](repeating: 0xFF, count: 7) + [UInt8.random(in: 0...15, using: &random)]
            }
            let from = Bool.random(using: &random) ? start : start + revision(&random)
            return (from, Bool.random(using: &random) ? end : start + revision(&random))
        }
    }

    private static func change(_ random: inout SeededRandom) -> WriteBatch {
        var batch = WriteBatch()
        for _ in 0..<Int.random(in: 1...40, using: &random) {
            switch UInt8.random(in: 0...19, using: &random) {
            case 0:
                let bounds = bounds(&random)
                if bounds.from.lexicographicallyPrecedes(bounds.below), Bool.random(using: &random) {
                    batch.deleteRange(from: bounds.from, below: bounds.below)
                }
            case 1...5: batch.delete(key(&random))
            default: batch.put(key(&random), [UInt8.random(in: 0...255, using: &random)])
            }
        }
        return batch
    }

    @Test(arguments: [true, false], UInt64(1)...4)
    func `views answer like a sorted array`(filtersPrefixes: Bool, seed: UInt64) throws {
        print("seed \(seed)")
        var random = SeededRandom(seed)
        let directory = try TemporaryDirectory()
        var options = RowStoreOptions()
        options.filtersPrefixes = filtersPrefixes
        let store = try RowStore(path: directory.path + "/rows", options: options)
        var model = ArrayRows()
        var seen = model
        var reader = store.reader()
        var found = 0
        for step in 0..<400 {
            let batch = RowStoreModelTests.change(&random)
            try store.write(batch)
            try model.write(batch)
            if step % 17 == 3 { try store.flush() }
            if step % 131 == 90 { try store.compactAll() }
            if UInt8.random(in: 0...2, using: &random) == 0 {
                reader.refresh()
                seen = model
            }
            for _ in 0..<12 {
                let (from, below) = RowStoreModelTests.bounds(&random)
                let reverse = UInt8.random(in: 0...3, using: &random) == 0
                let limit = Bool.random(using: &random) ? 1 : Int.max
                let answer = try rows(reader, from, below, reverse: reverse, limit: limit)
                #expect(
                    answer == (try rows(seen, from, below, reverse: reverse, limit: limit)), "seed \(seed) step \(step)"
                )
                found += answer.count
                let key = RowStoreModelTests.key(&random)
                #expect(try reader.get(key) == seen.get(key), "seed \(seed) step \(step)")
                #expect(try store.get(key) == model.get(key), "seed \(seed) step \(step)")
            }
        }
        #expect(found > 1_000, "the scans found too little to compare")
    }
}
