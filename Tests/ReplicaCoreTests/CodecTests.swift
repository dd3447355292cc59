import Testing

@testable import ReplicaCore

@Suite struct CodecTests {
    /// Encodes, decodes, and then feeds the decoder every cut and many damaged forms.
    private func check<Value: Coded & Equatable>(_ value: Value, _ random: inout SeededRandom) throws {
        let bytes = value.encoded()
        #expect(try Value(decoding: bytes) == value)
        for cut in 0..<bytes.count {
            #expect(throws: DecodeError.self) { try Value(decoding: bytes[..<cut]) }
        }
        #expect(throws: DecodeError.self) { try Value(decoding: bytes + [0]) }
        #expect(throws: DecodeError.unknownVersion(what: Value.codedName, 0)) {
            try Value(decoding: [0] + bytes.dropFirst())
        }
        for _ in 0..<20 {
            var damaged = bytes
            for _ in 0...random.below(3) { damaged[random.below(bytes.count)] = UInt8(random.below(256)) }
            do throws(DecodeError) {
                // What decodes at all must be one value with one form.
                let other = try Value(decoding: damaged)
                #expect(other.encoded() == damaged)
            } catch {
                continue
            }
        }
    }

    @Test(arguments: UInt64(0)..<60) func `every value survives its binary form, and no bytes break a decoder`(
        seed: UInt64
    ) throws {
        var random = SeededRandom(seed: seed)
        try check(random.envelope(), &random)
        try check(random.command(), &random)
        try check(random.outcome(), &random)
        try check(random.query(), &random)
        try check(random.rangeResult(), &random)
        try check(random.watchEvent(), &random)
        try check(random.keyValue(), &random)
        try check(random.model(), &random)
        try check(random.upload(), &random)
        try check(random.transaction(), &random)
        try check(random.siteCommand(), &random)
        try check(random.siteRecord(), &random)
        try check(random.siteProgress(), &random)
        try check(random.siteReport(), &random)
        try check(random.siteAnswer(), &random)
        try check(random.siteUploads(), &random)
        try check(random.seedRecord(), &random)
        try check(random.seedOffer(), &random)
        try check(random.orphan(), &random)
        try check(Completeness(node: random.number(), incarnation: random.identifier(), through: 3), &random)
        var state = AppliedState()
        state.revision = 9 + random.number() >> 1
        state.compactRevision = 8
        state.feedFloor = 7
        try check(state, &random)
        try check(random.members(), &random)
    }

    @Test func aConfigurationHasOneForm() throws {
        var members = Members(voters: [1, 2, 3], learners: [4, 5])
        #expect(try Members(decoding: members.encoded()) == members)
        members.learners = [5, 4]
        #expect(throws: DecodeError.self) { try Members(decoding: members.encoded()) }
    }

    @Test func `random bytes break no decoder`() {
        var random = SeededRandom(seed: 5)
        func survive<Value: Coded>(_ type: Value.Type, _ bytes: [UInt8]) {
            do throws(DecodeError) {
                _ = try Value(decoding: bytes)
            } catch {
                return
            }
        }
        for _ in 0..<3_000 {
            let bytes = [1] + Array(random.bytes(random.below(60)))
            survive(Envelope.self, bytes)
            survive(Command.self, bytes)
            survive(Outcome.self, bytes)
            survive(RangeResult.self, bytes)
            survive(WatchEvent.self, bytes)
            survive(Members.self, bytes)
            survive(UploadRecord.self, bytes)
            survive(ClientSession.self, bytes)
            survive(CompactionSweep.self, bytes)
            bytes.withUnsafeBytes { raw in
                _ = VersionRecord(raw)
                _ = RowKey.decodeVersion(raw)
                _ = RowKey.decodeChunk(raw)
                _ = RowKey.decodeChunkList(raw)
            }
            do throws(DecodeError) {
                _ = try FeedRecord(decoding: bytes)
            } catch {
                continue
            }
        }
    }

    @Test func `a length beyond the bytes is refused before anything is allocated`() {
        var writer = ByteWriter([1, 3])
        writer.varint(UInt64(1) << 60)
        #expect(throws: DecodeError.truncated) { try Command(decoding: writer.bytes) }
        var add = ByteWriter([1, 9])
        add.identifier(.zero)
        add.varint(0)
        add.varint(UInt64.max)
        #expect(throws: DecodeError.truncated) { try Command(decoding: add.bytes) }
        #expect(throws: DecodeError.invalid(what: "envelope length")) {
            try EntryPayload.split([0xFF, 0xFF, 0xFF, 0x7F])
        }
    }

    @Test func `numbers have one form only`() throws {
        var reader = ByteReader([0x80, 0x00])
        #expect(throws: DecodeError.invalid(what: "number")) { try reader.varint() }
        reader = ByteReader([UInt8](repeating: 0xFF, count: 9) + [2])
        #expect(throws: DecodeError.invalid(what: "number")) { try reader.varint() }
        reader = ByteReader([UInt8](repeating: 0xFF, count: 9) + [1])
        #expect(try reader.varint() == UInt64.max)
    }

    @Test func `the stored and sent forms are those of the reference`() throws {
        func form(_ value: some Coded) -> String { Hex.encode(value.encoded()) }
        let put = Command.put(key: "k".asBytes, value: "vv".asBytes, lease: 0)
        #expect(form(put) == "0101016b02767600")
        let envelope = Envelope(session: 1, sequence: 2, lowestUnanswered: 3, time: 0x0102_0304, command: put)
        let envelopeHex =
            "01" + "0100000000000000" + "0200000000000000" + "0300000000000000" + "0403020100000000" + "01016b02767600"
        #expect(form(envelope) == envelopeHex)
        var payload: [UInt8] = []
        EntryPayload.append(envelope, to: &payload)
        EntryPayload.append(encoded: envelope.encoded()[...], to: &payload)
        #expect(Hex.encode(payload) == "28000000\(envelopeHex)28000000\(envelopeHex)")
        #expect(try EntryPayload.split(payload).map { try Envelope(decoding: $0) } == [envelope, envelope])
        #expect(form(Command.delete(.range(from: "a".asBytes, below: "b".asBytes))) == "01020201610162")
        let transaction = Transaction(
            compares: [Compare(key: "k".asBytes, .equal, .modRevision(300))],
            then: [.put(key: "k".asBytes, value: "v".asBytes, lease: 0)],
            otherwise: [.range(RangeQuery(.prefix("p".asBytes), revision: 7, limit: 5, order: .descending))])
        #expect(
            form(Command.transaction(transaction)) == "0103" + "01016b0003ac02" + "0101016b017600" + "0103010101700705")
        #expect(form(Command.compact(revision: 128)) == "01048001")
        #expect(form(Command.openSession) == "0105")
        #expect(form(Command.closeSession) == "0106")
        let id = Identifier(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f)
        let idHex = "000102030405060708090a0b0c0d0e0f"
        #expect(form(Command.lineage(id)) == "0107" + idHex)
        #expect(form(Command.uploadBegin(id, name: "m", version: nil)) == "0108" + idHex + "016d00")
        let chunk = Digest(1, 2, 3, 4)
        let chunkHex = "0000000000000001000000000000000200000000000000030000000000000004"
        #expect(form(Command.uploadAdd(id, first: 5, ids: [chunk])) == "0109" + idHex + "0501" + chunkHex)
        #expect(form(Command.uploadAbort(id)) == "010a" + idHex)
        #expect(form(Command.uploadExpire(before: 1)) == "010b01")
        let publication = Publication(
            upload: id, name: "m", version: "1", root: chunk, bytes: 1, chunks: 2, files: 3,
            durableOn: [.init(node: 1, incarnation: id)])
        #expect(
            form(Command.publish(publication)) == "010c" + idHex + "016d010131" + chunkHex + "010203" + "0101" + idHex)
        #expect(form(Command.retire(name: "m", version: "1")) == "010d016d0131")
        #expect(form(Command.complete(node: 2, incarnation: id, through: 9)) == "010e02" + idHex + "09")
        #expect(
            form(Command.complete(node: 2, incarnation: id, through: 9, rewound: 3)) == "012902" + idHex + "0903")
        #expect(form(Outcome.done(revision: 5)) == "010105")
        #expect(form(Outcome.refused(Refusal(.compacted, "x", earliestRevision: 4))) == "01070d040178")
        let kv = KeyValue(
            key: "k".asBytes, value: "v".asBytes, createRevision: 1, modRevision: 2, version: 3, lease: 0)
        #expect(form(WatchEvent(kind: .put, space: .user, kv: kv)) == "010000016b01760102030000")
        #expect(form(RangeResult(revision: 9, kvs: [kv], more: true, count: 1)) == "0109010101016b017601020300")
    }
}
