import Testing

@testable import ReplicaCore

/// SplitMix64: the same seed gives the same numbers on every machine.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
    mutating func chance(_ one: Int, in all: Int) -> Bool { below(all) < one }
    mutating func bytes(_ count: Int) -> Bytes { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }[...] }
    mutating func digest() -> Digest { Digest(next(), next(), next(), next()) }
    mutating func identifier() -> Identifier { Identifier(next(), next()) }
}

/// SHA-256 (FIPS 180-4), so that golden hashes can be checked with any other program.
struct SHA256: HashFunction {
    private var message: [UInt8] = []

    mutating func update(_ bytes: UnsafeRawBufferPointer) { message.append(contentsOf: bytes) }

    mutating func finish() -> Digest {
        let bits = UInt64(message.count) * 8
        message.append(0x80)
        while message.count % 64 != 56 { message.append(0) }
        message.appendBigEndian(bits)
        var hash: [UInt32] = [
            0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
        ]
        for start in stride(from: 0, to: message.count, by: 64) { SHA256.block(message[start..<(start + 64)], &hash) }
        return Digest(
            UInt64(hash[0]) << 32 | UInt64(hash[1]), UInt64(hash[2]) << 32 | UInt64(hash[3]),
            UInt64(hash[4]) << 32 | UInt64(hash[5]), UInt64(hash[6]) << 32 | UInt64(hash[7]))
    }

    private static let constants: [UInt32] = [
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
        0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
        0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
        0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
        0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
        0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
        0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2,
    ]

    private static func block(_ block: Bytes, _ hash: inout [UInt32]) {
        func rotated(_ word: UInt32, _ by: UInt32) -> UInt32 { word >> by | word << (32 - by) }
        var words = [UInt32](repeating: 0, count: 64)
        for (place, byte) in block.enumerated() { words[place / 4] = words[place / 4] << 8 | UInt32(byte) }
        for place in 16..<64 {
            let a = words[place - 15]
            let b = words[place - 2]
            let s0 = rotated(a, 7) ^ rotated(a, 18) ^ (a >> 3)
            let s1 = rotated(b, 17) ^ rotated(b, 19) ^ (b >> 10)
            words[place] = words[place - 16] &+ s0 &+ words[place - 7] &+ s1
        }
        var s = hash
        for place in 0..<64 {
            let s1 = rotated(s[4], 6) ^ rotated(s[4], 11) ^ rotated(s[4], 25)
            let choice = (s[4] & s[5]) ^ (~s[4] & s[6])
            let one = s[7] &+ s1 &+ choice &+ constants[place] &+ words[place]
            let s0 = rotated(s[0], 2) ^ rotated(s[0], 13) ^ rotated(s[0], 22)
            let two = s0 &+ ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]))
            s = [one &+ two, s[0], s[1], s[2], s[3] &+ one, s[4], s[5], s[6]]
        }
        for place in 0..<8 { hash[place] = hash[place] &+ s[place] }
    }
}

/// A quick hash for tests that compare runs with each other.
struct QuickHash: HashFunction {
    private var words: (UInt64, UInt64) = (0xcbf2_9ce4_8422_2325, 0x9E37_79B9_7F4A_7C15)

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        for byte in bytes {
            words.0 = (words.0 ^ UInt64(byte)) &* 0x100_0000_01b3
            words.1 = (words.1 &+ UInt64(byte)) &* 0xBF58_476D_1CE4_E5B9 ^ (words.1 >> 29)
        }
    }

    mutating func finish() -> Digest { Digest(words.0, words.1, ~words.0, ~words.1) }
}

/// One replica over rows in memory.
struct TestReplica {
    var rows = ArrayRows()
    var applier: Applier
    var output = ApplyOutput()
    var time: UInt64 = 1_000

    init(members: Members = Members(voters: [1, 2, 3])) throws {
        var batch = WriteBatch()
        Applier.format(members: members, into: &batch)
        try rows.write(batch)
        applier = try Applier(loading: rows)
    }

    var point: ReadPoint { applier.readPoint }

    /// Applies entries as one group; `output` is that of the group.
    mutating func apply(entries: [CommittedEntry]) throws {
        var batch = WriteBatch()
        output.reset()
        try applier.apply(entries, reader: rows, hash: QuickHash.self, into: &batch, output: &output)
        try rows.write(batch)
    }

    /// Applies envelopes as one entry in a group of its own.
    @discardableResult
    mutating func apply(_ envelopes: [Envelope]) throws -> [Outcome] {
        var payload: [UInt8] = []
        for envelope in envelopes { EntryPayload.append(envelope, to: &payload) }
        try apply(entries: [CommittedEntry(index: applier.state.index + 1, term: 1, content: .normal(payload))])
        return output.outcomes.map(\.outcome)
    }

    /// Applies one command outside any session.
    @discardableResult
    mutating func run(_ command: Command) throws -> Outcome {
        try #require(try apply([Envelope(time: time, command: command)]).first)
    }

    /// Applies a change of the configuration and returns why it did nothing, if so.
    @discardableResult
    mutating func configure(_ change: MembershipChange?) throws -> Refusal? {
        try apply(entries: [CommittedEntry(index: applier.state.index + 1, term: 1, content: .configuration(change))])
        let outcome = try #require(output.configurations.first)
        #expect(outcome.index == applier.state.index && outcome.members == applier.members)
        return outcome.refusal
    }

    /// An address for each of these nodes.
    func addresses(_ nodes: [UInt64]) -> [MemberAddress] {
        nodes.map { MemberAddress(node: $0, endpoint: "host:\($0)", incarnation: Incarnation($0, $0)) }
    }

    mutating func put(_ key: String, _ value: String) throws -> Outcome {
        try run(.put(key: key.asBytes, value: value.asBytes, lease: 0))
    }

    func range(_ query: RangeQuery) throws -> RangeResult { try History.range(query, at: point, rows: rows) }

    func get(_ key: String, revision: UInt64 = 0) throws -> KeyValue? {
        try range(RangeQuery(.key(key.asBytes), revision: revision)).kvs.first
    }

    mutating func restart() throws { applier = try Applier(loading: rows) }

    /// Runs whole sweep passes to the end.
    mutating func sweep(rowsMax: Int = 7) throws {
        var sweep = try CompactionSweep(loading: rows)
        var isOver = false
        while !isOver {
            var batch = WriteBatch()
            isOver = try sweep.step(at: point, rowsMax: rowsMax, rows: rows, into: &batch)
            try rows.write(batch)
        }
    }
}

extension String {
    var asBytes: Bytes { Array(utf8)[...] }
}

extension Outcome {
    var refusal: Refusal? {
        if case .refused(let refusal) = self { return refusal }
        return nil
    }

    var transaction: TransactionResult? {
        if case .transaction(let result) = self { return result }
        return nil
    }

    var model: ModelVersion? {
        if case .model(let model) = self { return model }
        return nil
    }

    var upload: UploadInfo? {
        if case .upload(let info) = self { return info }
        return nil
    }
}

extension QueryError {
    var refusal: Refusal? {
        if case .refused(let refusal) = self { return refusal }
        return nil
    }
}
