import Testing

@testable import ReplicaCore

/// A row store that fails at every scan of versions, or pretends to hold many keys.
private struct StrangeRows: RowReader {
    var keys = 0
    var fails = false

    func get(_ key: [UInt8]) throws(RowError) -> [UInt8]? { nil }

    func scan(
        from: [UInt8],
        below: [UInt8],
        reverse: Bool,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(RowError) {
        guard from.first == UInt8(ascii: "k") else { return }
        if fails { throw RowError(message: "the disk is gone", isCorruption: false) }
        var head: [UInt8] = []
        VersionRecord.encodePut(createRevision: 0, version: 1, lease: 0, into: &head)
        for number in 0..<keys {
            let key: [UInt8] = [1, UInt8(number >> 16), UInt8(number >> 8 & 255), UInt8(number & 255)]
            var row = RowKey.versions(of: key[...], in: .user)
            RowKey.append(revision: 0, to: &row)
            let goesOn = row.withUnsafeBytes { row in head.withUnsafeBytes { body(row, $0) } }
            if !goesOn { return }
        }
    }
}

@Suite struct ReaderFaultTests {
    private func entry(_ index: UInt64, _ command: Command) -> CommittedEntry {
        var payload: [UInt8] = []
        EntryPayload.append(Envelope(time: 1, command: command), to: &payload)
        return CommittedEntry(index: index, term: 1, content: .normal(payload))
    }

    @Test func `a failing row store ends apply, and its group leaves nothing to write`() throws {
        var applier = try Applier(loading: StrangeRows())
        var batch = WriteBatch()
        var output = ApplyOutput()
        let error = #expect(throws: RowError.self) {
            try applier.apply(
                [entry(1, .lineage(Lineage(1, 1))), entry(2, .put(key: [1], value: [], lease: 0))],
                reader: StrangeRows(fails: true), hash: QuickHash.self, into: &batch, output: &output)
        }
        #expect(error == RowError(message: "the disk is gone", isCorruption: false))
        #expect(batch.isEmpty && output.outcomes.isEmpty && output.lineage == nil)
    }

    @Test func `a range delete of too many keys is refused whole, alone and in a transaction`() throws {
        let rows = StrangeRows(keys: Limits.deleteRangeKeysMax + 1)
        var applier = try Applier(loading: rows)
        let transaction = Transaction(
            compares: [], then: [.put(key: [2], value: [], lease: 0), .delete(.prefix([1]))])
        for (index, command) in [Command.delete(.prefix([])), .transaction(transaction)].enumerated() {
            var batch = WriteBatch()
            var output = ApplyOutput()
            try applier.apply(
                [entry(UInt64(index) + 1, command)], reader: rows, hash: QuickHash.self, into: &batch, output: &output)
            #expect(output.outcomes.first?.outcome.refusal?.code == .resourceExhausted)
            #expect(batch.count == 1 && applier.state.revision == 0)
        }
    }
}
