import Testing

@testable import ReplicaCore

@Suite struct RowTests {
    @Test func `a write batch has RocksDB's form`() throws {
        var batch = WriteBatch()
        batch.put([0x61], [0x62, 0x63])
        batch.delete([0x64])
        batch.deleteRange(from: [0x65], below: [0x66])
        #expect(Hex.encode(batch.bytes) == "0000000000000000" + "03000000" + "0101610262630001640f01650166")
        #expect(
            try batch.records() == [
                .put(key: [0x61], value: [0x62, 0x63]), .delete(key: [0x64]), .deleteRange(from: [0x65], below: [0x66]),
            ])
        batch.reset(keepingCapacity: true)
        #expect(batch == WriteBatch())
        batch.put([1], [UInt8](repeating: 7, count: 300))
        #expect(Array(batch.bytes[12..<17]) == [1, 1, 1, 0xAC, 0x02])
    }

    @Test func `version rows sort by key and then newest first, whatever bytes the keys have`() {
        var random = SeededRandom(seed: 11)
        func key() -> Bytes { (0..<random.below(5)).map { _ in [0, 1, 2, 0xFE, 0xFF][random.below(5)] }[...] }
        for _ in 0..<5_000 {
            let (left, right) = (key(), key())
            let (old, new) = (random.next() >> 1, random.next() >> 1)
            var leftRow = RowKey.versions(of: left, in: .user)
            RowKey.append(revision: old, to: &leftRow)
            var rightRow = RowKey.versions(of: right, in: .user)
            RowKey.append(revision: new, to: &rightRow)
            let expected = left == right ? old > new : left.lexicographicallyPrecedes(right)
            #expect(leftRow.lexicographicallyPrecedes(rightRow) == expected)
            let decoded = leftRow.withUnsafeBytes { RowKey.decodeVersion($0) }
            #expect(decoded?.key[...] == left && decoded?.revision == old && decoded?.space == .user)
            for selector: KeySelector in [
                .key(right), .prefix(right), .from(right), .range(from: right, below: [0xFE, 0]),
            ] {
                let bounds = RowKey.bounds(of: selector, in: .user)
                let isInside =
                    !leftRow.lexicographicallyPrecedes(bounds.from) && leftRow.lexicographicallyPrecedes(bounds.below)
                #expect(isInside == selector.contains(left), "\(selector) \(left)")
            }
        }
    }

    @Test func `an overlay shows what a written batch would show`() throws {
        for seed in UInt64(0)..<20 {
            var random = SeededRandom(seed: seed)
            var stored = ArrayRows()
            var first = WriteBatch()
            for _ in 0..<20 { first.put([UInt8(random.below(40))], Array(random.bytes(2))) }
            try stored.write(first)
            try ErasedRows.with(stored) { base in
                var overlay = Overlay(over: base, batch: WriteBatch())
                for _ in 0..<30 {
                    for _ in 0..<random.below(4) {
                        let key = [UInt8(random.below(40))]
                        if random.chance(1, in: 3) {
                            overlay.delete(key)
                        } else {
                            overlay.put(key, [1], random.bytes(1))
                        }
                    }
                    overlay.settle()
                    var expected = stored
                    try expected.write(overlay.batch)
                    let from = [UInt8(random.below(40))]
                    let below = [UInt8(random.below(41))]
                    let limit = random.below(10) + 1
                    for reverse in [false, true] {
                        var seen: [[UInt8]] = []
                        try overlay.scan(from: from, below: below, reverse: reverse) { key, value in
                            seen.append(Array(key) + Array(value))
                            return seen.count < limit
                        }
                        var wanted: [[UInt8]] = []
                        try expected.scan(from: from, below: below, reverse: reverse) { key, value in
                            wanted.append(Array(key) + Array(value))
                            return wanted.count < limit
                        }
                        #expect(seen == wanted, "seed \(seed)")
                    }
                    #expect(try overlay.get(from) == expected.get(from), "seed \(seed)")
                }
            }
        }
    }

    @Test func `a rotted row is an error and never a wrong answer`() throws {
        var replica = try TestReplica()
        _ = try replica.put("a", "1")
        for row in replica.rows.rows where row.key.first == UInt8(ascii: "k") {
            var batch = WriteBatch()
            batch.put(row.key, [9])
            try replica.rows.write(batch)
        }
        #expect(throws: QueryError.rows(.corrupted("a version row"))) { try replica.get("a") }
        var batch = WriteBatch()
        batch.put(RowKey.state, [1, 2, 3])
        try replica.rows.write(batch)
        let error = #expect(throws: RowError.self) { try Applier(loading: replica.rows) }
        #expect(error?.isCorruption == true)
    }
}
