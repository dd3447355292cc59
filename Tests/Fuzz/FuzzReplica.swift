import NIOCore

@testable import Holdfast
@testable import ReplicaCore

/// Everything that the state machine reads from the log or the network: what decodes has one form.
enum FuzzCommands {
    static func run(_ bytes: [UInt8]) {
        var input = Input(bytes)
        let kind = input.below(12)
        let rest = input.rest()
        switch kind {
        case 0: check(Envelope.self, rest)
        case 1: check(Command.self, rest)
        case 2: check(Outcome.self, rest)
        case 3: check(RangeQuery.self, rest)
        case 4: check(RangeResult.self, rest)
        case 5: check(WatchEvent.self, rest)
        case 6: check(Transaction.self, rest)
        case 7: check(ModelVersion.self, rest)
        case 8: check(UploadInfo.self, rest)
        case 9: check(Publication.self, rest)
        case 10: check(MemberRecord.self, rest)
        default:
            do throws(DecodeError) {
                for envelope in try EntryPayload.split(rest) { _ = try Envelope(decoding: envelope) }
            } catch {
                return
            }
        }
    }

    private static func check<Value: Coded & Equatable>(_ type: Value.Type, _ bytes: [UInt8]) {
        do throws(DecodeError) {
            let value = try Value(decoding: bytes)
            precondition(value.encoded() == bytes, "\(Value.codedName) has two forms")
        } catch {
            return
        }
    }
}

/// Entries of any bytes through the state machine, one by one and after a restart: the same rows.
enum FuzzApply {
    static func run(_ bytes: [UInt8]) {
        var input = Input(bytes)
        var entries: [CommittedEntry] = []
        while !input.isEmpty, entries.count < 24 {
            var payload: [UInt8] = []
            for _ in 0...input.below(3) {
                // An envelope whose fields are right: the fuzzer works on what is inside.
                var writer = ByteWriter()
                writer.byte(1)
                for _ in 0..<4 { writer.fixed64(input.number()) }
                let head = writer.bytes
                EntryPayload.append(encoded: (head + input.take(Int(input.byte())))[...], to: &payload)
            }
            if input.byte() == 7 { payload.removeLast(min(payload.count, 3)) }
            entries.append(CommittedEntry(index: UInt64(entries.count + 1), term: 1, content: .normal(payload)))
        }
        let together = apply([entries])
        precondition(apply(entries.map { [$0] }) == together || together == nil, "grouping changes the rows")
    }

    /// The rows after these groups, each applied by an applier loaded anew; nil where a command of a newer build came.
    private static func apply(_ groups: [[CommittedEntry]]) -> [ArrayRows.Row]? {
        var rows = ArrayRows()
        do throws(RowError) {
            var batch = WriteBatch()
            Applier.format(members: Members(voters: [1, 2, 3]), into: &batch)
            try rows.write(batch)
            for group in groups {
                var applier = try Applier(loading: rows)
                batch = WriteBatch()
                var output = ApplyOutput()
                try applier.apply(group, reader: rows, hash: FuzzHash.self, into: &batch, output: &output)
                try rows.write(batch)
            }
        } catch {
            precondition(!error.isCorruption, "the rows that it wrote cannot be read: \(error)")
            return nil
        }
        return rows.rows
    }
}

/// A quick hash: what is hashed is not what is sought.
struct FuzzHash: HashFunction {
    private var state: UInt64 = 0xCBF2_9CE4_8422_2325

    init() {}
    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        for byte in bytes { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }
    }
    mutating func finish() -> Digest { Digest(state, state &* 3, state &* 5, state &* 7) }
}

/// Records of rows, which a damaged disk may have changed.
enum FuzzRows {
    static func run(_ bytes: [UInt8]) {
        survive(AppliedState.self, bytes)
        survive(Members.self, bytes)
        survive(UploadRecord.self, bytes)
        survive(ClientSession.self, bytes)
        survive(CompactionSweep.self, bytes)
        survive(ModelRecord.self, bytes)
        survive(Completeness.self, bytes)
        survive(MemberRecord.self, bytes)
        _ = try? FeedRecord(decoding: bytes)
        bytes.withUnsafeBytes { raw in
            _ = VersionRecord(raw)
            _ = RowKey.decodeVersion(raw)
            _ = RowKey.decodeChunk(raw)
            _ = RowKey.decodeChunkList(raw)
        }
        // Rows of any bytes under the keys that a start reads.
        var input = Input(bytes)
        var rows = ArrayRows()
        var batch = WriteBatch()
        for key in [RowKey.state, RowKey.members, RowKey.lineage, RowKey.featureVersion] where input.byte() & 1 == 1 {
            batch.put(key, input.take(Int(input.byte())))
        }
        try? rows.write(batch)
        _ = try? Applier(loading: rows)
    }

    private static func survive<Value: Coded>(_ type: Value.Type, _ bytes: [UInt8]) { _ = try? Value(decoding: bytes) }
}

/// Bodies of requests and answers between nodes and clients.
enum FuzzRequests {
    static func run(_ bytes: [UInt8]) {
        var input = Input(bytes)
        let kind = input.below(12)
        let rest = input.rest()
        var reader = ByteReader(rest)
        var buffer = ByteBuffer(bytes: rest)
        switch kind {
        case 0: _ = try? WatchRequest.decode(from: &reader)
        case 1: _ = try? WatchFrame.decode(from: &reader)
        case 2: _ = try? PublishRequest.decode(from: &reader)
        case 3: check(ChunkRequest.self, rest)
        case 4: check(ChunkAnswer.self, rest)
        case 5: _ = try? ChunkPut.decode(&buffer)
        case 6: _ = try? NodeReport.decode(from: &reader)
        case 7: _ = try? ClusterStatus.decode(from: &reader)
        case 8: _ = ErrorCodec.decode(buffer)
        case 9: _ = try? RequestHead.decode(&buffer)
        case 10: _ = try? IntegrityRequest.decode(from: &reader)
        default: _ = try? IntegrityAnswer.decode(from: &reader)
        }
    }

    private static func check<Value: Coded>(_ type: Value.Type, _ bytes: [UInt8]) {
        guard let value = try? Value(decoding: bytes) else { return }
        // Not the bytes that came: the details of an error may have come in any order.
        let form = value.encoded()
        precondition((try? Value(decoding: form))?.encoded() == form, "\(Value.codedName) changes on its way")
    }
}
