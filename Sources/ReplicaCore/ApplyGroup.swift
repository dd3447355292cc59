/// One group of entries while it is applied: its rows, its answers, and the command at hand.
struct ApplyGroup: ~Copyable {
    var overlay: Overlay
    var output = ApplyOutput()
    var effects = EffectLog()
    let digest: (UnsafeRawBufferPointer) -> Digest
    /// The command at hand.
    var index: UInt64 = 0
    var ordinal: UInt32 = 0
    var session: UInt64 = 0
    var sequence: UInt64 = 0
    var time: UInt64 = 0
    /// Reused for the key and the head of every row.
    var rowKey: [UInt8] = []
    var rowHead: [UInt8] = []

    init(rows: ErasedRows, digest: @escaping (UnsafeRawBufferPointer) -> Digest) {
        overlay = Overlay(over: rows, batch: WriteBatch())
        self.digest = digest
    }

    /// Answers the command at hand.
    mutating func answer(_ outcome: Outcome, isRepeated: Bool = false) {
        output.outcomes.append(
            CommandOutcome(
                index: index, ordinal: ordinal, session: session, sequence: sequence, isRepeated: isRepeated,
                outcome: outcome))
        session = 0
        sequence = 0
    }
}
