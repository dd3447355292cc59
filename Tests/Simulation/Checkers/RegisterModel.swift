internal import RaftCore
internal import ReplicaCore

/// What the committed log means, worked out anew with plain dictionaries: sessions that apply each command once, keys with their history. Answers are held
/// against it as they arrive.
///
/// Linearizability, incrementally: the log is the order of writes, and every answer tells the revision that it stands at. An answer is right if its value is the
/// model's at that revision, and the revision is not below any that was answered before the request was made (real time). For writes the revision lies
/// above those.
struct RegisterModel {
    private struct Session {
        var answers: [UInt64: Outcome] = [:]
        var lowestUnanswered: UInt64 = 1
        /// The site's part has changed: sessions do not cross.
        var mayBeClosed = false
    }

    private struct Version {
        var revision: UInt64
        var value: [UInt8]?
    }

    private var sessions: [UInt64: Session] = [:]
    private var keys: [[UInt8]: [Version]] = [:]
    private var revision: UInt64 = 0
    /// Entries that are committed and not yet applied anywhere.
    private var pending: [(index: LogIndex, envelopes: [Envelope])] = []
    private var pendingFrom = 0
    /// The index that the model is at.
    private var reached: LogIndex = 0
    /// The highest revision that any customer was told of.
    private(set) var told: UInt64 = 0
    /// Where seeds have ended, and `arrive` was not told yet what they brought.
    private var arrivals: [UInt64] = []
    /// Answers that were checked.
    private(set) var answers = 0

    /// Sees an entry of the log for the first time, in order.
    mutating func commit(_ entry: Entry) {
        var envelopes: [Envelope] = []
        if entry.kind == .normal {
            do throws(DecodeError) {
                for bytes in try EntryPayload.split(entry.data) { envelopes.append(try Envelope(decoding: bytes)) }
            } catch {
                preconditionFailure("a customer's command cannot be read: \(error)")
            }
        }
        pending.append((entry.index, envelopes))
    }

    /// A replica applied a group. The first one to reach an index moves the model on, and its answers are held against the model's.
    mutating func applied(_ output: ApplyOutput, through index: LogIndex, revision applied: UInt64) -> String? {
        var place = 0
        while pendingFrom < pending.count, pending[pendingFrom].index <= index {
            let entry = pending[pendingFrom]
            pendingFrom += 1
            while place < output.outcomes.count, output.outcomes[place].index < entry.index { place += 1 }
            for envelope in entry.envelopes {
                guard place < output.outcomes.count, output.outcomes[place].index == entry.index else {
                    return "an entry at \(entry.index) was applied without an answer to each of its commands"
                }
                let outcome = output.outcomes[place]
                place += 1
                if let violation = apply(envelope, outcome, output, at: entry.index) { return violation }
            }
        }
        if pendingFrom > 256 {
            pending.removeFirst(pendingFrom)
            pendingFrom = 0
        }
        guard index > reached else { return nil }
        reached = index
        return revision == applied ? nil : "revision \(applied) after \(index), but the log has made \(revision)"
    }

    private mutating func apply(
        _ envelope: Envelope, _ found: CommandOutcome, _ output: ApplyOutput, at index: LogIndex
    ) -> String? {
        guard envelope.session != 0 else {
            perform(envelope.command, found, output)
            return nil
        }
        if case .openSession = envelope.command {
            if case .refused = found.outcome { return nil }
            if sessions[envelope.session] == nil { sessions[envelope.session] = Session() }
            return nil
        }
        if case .refused(let refusal) = found.outcome {
            switch refusal.code {
            // The site's part stands against it: nothing was done, and nothing is kept; or it was, and who knows where.
            case .fenced, .unavailable, .outcomeUnknown:
                // But what the session has given up with it is given up.
                if let session = sessions[envelope.session] {
                    sessions[envelope.session]?.lowestUnanswered = max(
                        session.lowestUnanswered, envelope.lowestUnanswered)
                }
                return nil
            case .sessionExpired where sessions[envelope.session]?.mayBeClosed ?? true: return nil
            default: break
            }
        }
        guard var session = sessions[envelope.session] else {
            return "a command of session \(envelope.session), which is not open, was applied at \(index)"
        }
        session.lowestUnanswered = max(session.lowestUnanswered, envelope.lowestUnanswered)
        defer { sessions[envelope.session] = session }
        if envelope.sequence < session.lowestUnanswered {
            if case .refused = found.outcome { return nil }
            return "command \(envelope.sequence) of session \(envelope.session) was applied after it was given up"
        }
        if let answer = session.answers[envelope.sequence] {
            guard found.isRepeated, answer == found.outcome else {
                return
                    "command \(envelope.sequence) of session \(envelope.session) was applied twice, again at \(index): \(answer), \(found.outcome)"
            }
            return nil
        }
        guard !found.isRepeated else {
            return
                "command \(envelope.sequence) of session \(envelope.session) was never applied, but is called a repetition"
        }
        let expected = perform(envelope.command, found, output)
        session.answers[envelope.sequence] = found.outcome
        if let expected, expected != found.outcome {
            return "command \(envelope.sequence) of session \(envelope.session) gave \(found.outcome), not \(expected)"
        }
        return nil
    }

    /// Does a command; nil where the model has no opinion on the answer.
    @discardableResult
    private mutating func perform(_ command: Command, _ found: CommandOutcome, _ output: ApplyOutput) -> Outcome? {
        switch command {
        case .put(let key, let value, _):
            set(Array(key), Array(value))
            return .done(revision: revision)
        case .delete(.key(let key)):
            guard value(of: Array(key)) != nil else { return .deleted(revision: revision, count: 0) }
            set(Array(key), nil)
            return .deleted(revision: revision, count: 1)
        case .transaction(let transaction):
            guard case .modRevision(let wanted)? = transaction.compares.first?.operand,
                let key = transaction.compares.first?.key, case .put(_, let value, _)? = transaction.then.first
            else { return nil }
            guard modRevision(of: Array(key)) == wanted else {
                return .transaction(TransactionResult(revision: revision, succeeded: false, results: []))
            }
            set(Array(key), Array(value))
            return .transaction(TransactionResult(revision: revision, succeeded: true, results: [.put]))
        case .site(let command):
            if case .refused = found.outcome { return nil }
            follow(command, found.outcome)
            return nil
        case .publish, .retire:
            if case .model(let model) = found.outcome, model.modRevision == revision + 1 { revision += 1 }
            return nil
        default: return nil
        }
    }

    /// What a site has taken from the other, or undone.
    private mutating func follow(_ command: SiteCommand, _ outcome: Outcome) {
        switch command {
        case .apply(let shipment):
            for entry in shipment.entries {
                guard let effects = try? entry.decoded().effects else { continue }
                revision += 1
                for effect in effects {
                    switch effect {
                    case .put(.user, let key, let value, _):
                        keys[Array(key), default: []].append(Version(revision: revision, value: Array(value)))
                    case .delete(.user, .key(let key)):
                        keys[Array(key), default: []].append(Version(revision: revision, value: nil))
                    default: break
                    }
                }
            }
        case .rewind:
            guard case .done(let reached) = outcome else { return }
            revision = reached
            told = min(told, reached)
            for key in keys.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
                keys[key]?.removeAll { $0.revision > reached }
            }
        case .seedEnd(let target):
            revision = target
            arrivals.append(target)
        case .follow, .promote, .force:
            for session in sessions.keys.sorted() { sessions[session]?.mayBeClosed = true }
        default: break
        }
    }

    /// Where seeds have ended since this was asked last.
    mutating func takeArrivals() -> [UInt64] {
        defer { arrivals = [] }
        return arrivals
    }

    /// A seed has made the keys what they are in `state`, at a revision.
    mutating func arrive(at target: UInt64, _ state: [SiteStates.Key: KeyValue]) {
        var held: [[UInt8]: Version] = [:]
        for (key, kv) in state where key.space == .user {
            held[Array(key.bytes)] = Version(revision: kv.modRevision, value: Array(kv.value))
        }
        for key in Set(keys.keys).union(held.keys) {
            var versions = keys[key] ?? []
            let later = versions.filter { $0.revision > target }
            versions.removeAll { $0.revision > target }
            if let version = held[key] {
                versions.removeAll { $0.revision >= version.revision }
                versions.append(version)
            } else if versions.last?.value != nil {
                versions.append(Version(revision: target, value: nil))
            }
            keys[key] = versions + later
        }
    }

    private mutating func set(_ key: [UInt8], _ value: [UInt8]?) {
        revision += 1
        keys[key, default: []].append(Version(revision: revision, value: value))
    }

    private func value(of key: [UInt8]) -> [UInt8]? { keys[key]?.last?.value }

    private func modRevision(of key: [UInt8]) -> UInt64 {
        guard let last = keys[key]?.last, last.value != nil else { return 0 }
        return last.revision
    }

    /// The revision that a key had been set at, as of a revision; 0 if it did not exist.
    func modRevision(of key: [UInt8], at seen: UInt64) -> UInt64 {
        guard let last = keys[key]?.last(where: { $0.revision <= seen }), last.value != nil else { return 0 }
        return last.revision
    }

    // MARK: answers

    /// A write was answered; `since` is what `told` was when it was asked for.
    mutating func answered(session: UInt64, sequence: UInt64, _ outcome: Outcome, since: UInt64) -> String? {
        answers += 1
        guard sessions[session]?.answers[sequence] == outcome else {
            return "command \(sequence) of session \(session) was answered with \(outcome), which it did not come to"
        }
        var made: UInt64 = 0
        var isChange = true
        switch outcome {
        case .done(let revision): made = revision
        case .deleted(let revision, let count):
            made = revision
            isChange = count > 0
        case .transaction(let result):
            made = result.revision
            isChange = result.succeeded
        default: return nil
        }
        defer { told = max(told, made) }
        guard isChange ? made > since : made >= since else {
            return "a write was given revision \(made), though \(since) had been answered before it was asked for"
        }
        return nil
    }

    /// A linearizable read was answered.
    mutating func read(_ key: [UInt8], _ value: [UInt8]?, at seen: UInt64, since: UInt64) -> String? {
        answers += 1
        defer { told = max(told, seen) }
        guard seen >= since else {
            return "stale read: revision \(seen), though \(since) had been answered before it was asked for"
        }
        guard seen <= revision else { return "a read saw revision \(seen), the log has made \(revision)" }
        let expected = keys[key]?.last { $0.revision <= seen }?.value ?? nil
        return expected == value ? nil : "a read at revision \(seen) gave another value than was written"
    }
}
