/// Client sessions: what makes a retried command apply once.
///
/// Invariants:
/// 1. An answer is kept exactly for the sequence numbers >= `lowestUnanswered` whose command was applied.
/// 2. `keptBytes` of a session, and of the table, is the sum over the answers kept.
/// 3. No two sessions were last used by the same command, so "least recently used" means one session.
struct SessionTable: Sendable {
    /// What to do with a command that names a session.
    enum Admission {
        case apply
        case repeated(Outcome)
        case refused(Refusal)
    }

    private var slots: [ClientSession] = []
    private var vacant: [Int] = []
    private var places: [UInt64: Int] = [:]
    private var keptBytes = 0
    /// Places changed since the rows were written; a session may be closed again.
    private var touched: [Int] = []
    /// Sessions whose row must go.
    private var closed: [UInt64] = []
    private let countMax: Int
    private let evictedTogether: Int
    private let keptBytesMax: Int

    init(
        countMax: Int = Limits.sessionsMax,
        evictedTogether: Int = Limits.sessionsEvictedTogether,
        keptBytesMax: Int = Limits.keptBytesMax
    ) {
        self.countMax = countMax
        self.evictedTogether = evictedTogether
        self.keptBytesMax = keptBytesMax
    }

    /// Number of open sessions.
    var count: Int { places.count }

    /// Restores the table from its rows.
    mutating func load(_ rows: ErasedRows) throws(RowError) {
        let all = RowKey.sessions
        try rows.forEach(from: all.from, below: all.below) { _, value throws(RowError) in
            do throws(DecodeError) {
                insert(try ClientSession(decoding: Array(value)))
            } catch {
                throw .corrupted("the row of a client session", error)
            }
            return true
        }
    }

    /// Opens a session, or finds it open; evicts the least recently used ones when there are too many.
    mutating func open(_ id: UInt64, command: UInt64) {
        if let place = places[id] {
            use(place, command)
            return
        }
        if count >= countMax { evict(atLeast: min(evictedTogether, countMax), except: id) }
        insert(ClientSession(id: id, lastUsed: command))
        if let place = places[id] { touch(place) }
    }

    /// Closes a session; false if it was not open.
    mutating func close(_ id: UInt64) -> Bool {
        guard let place = places.removeValue(forKey: id) else { return false }
        keptBytes -= slots[place].keptBytes
        slots[place] = ClientSession(id: 0, lastUsed: 0)
        vacant.append(place)
        closed.append(id)
        return true
    }

    /// Closes all sessions.
    mutating func closeAll() {
        for id in places.keys.sorted() { _ = close(id) }
    }

    /// Decides about command `sequence` of a session; drops the answers below `lowestUnanswered`.
    mutating func admit(_ id: UInt64, sequence: UInt64, lowestUnanswered: UInt64, command: UInt64) -> Admission {
        guard let place = places[id] else {
            return .refused(
                Refusal(.sessionExpired, "client session \(id) is not open or was evicted; open a new one"))
        }
        guard sequence > 0, lowestUnanswered <= sequence else {
            return .refused(
                Refusal(
                    .invalidArgument,
                    "command \(sequence) of a session whose lowest unanswered is \(lowestUnanswered)"))
        }
        use(place, command)
        let before = slots[place].keptBytes
        slots[place].acknowledge(below: lowestUnanswered)
        keptBytes += slots[place].keptBytes - before
        if sequence < slots[place].lowestUnanswered {
            return .refused(
                Refusal(
                    .invalidArgument,
                    "command \(sequence) of client session \(id) is already acknowledged; its answer is no longer kept"
                ))
        }
        if let kept = slots[place].answer(to: sequence) { return .repeated(kept) }
        if sequence - slots[place].lowestUnanswered >= Limits.sessionWindow {
            return .refused(
                Refusal(
                    .resourceExhausted,
                    "more than \(Limits.sessionWindow) commands of client session \(id) are unanswered"))
        }
        return .apply
    }

    /// Keeps the answer of a command that `admit` let through.
    mutating func keep(_ outcome: Outcome, of id: UInt64, sequence: UInt64) {
        guard let place = places[id] else { return }
        let before = slots[place].keptBytes
        slots[place].keep(outcome, sequence: sequence)
        keptBytes += slots[place].keptBytes - before
        while keptBytes > keptBytesMax, count > 1 { evict(atLeast: 1, except: id) }
    }

    /// Writes the rows of all sessions changed since the last call.
    mutating func flush(into batch: inout WriteBatch) {
        for id in closed where places[id] == nil { batch.delete(RowKey.session(id)) }
        closed.removeAll(keepingCapacity: true)
        for place in touched where slots[place].isTouched {
            slots[place].isTouched = false
            guard slots[place].id != 0 else { continue }
            batch.put(RowKey.session(slots[place].id), slots[place].encoded())
        }
        touched.removeAll(keepingCapacity: true)
    }

    private mutating func insert(_ session: ClientSession) {
        keptBytes += session.keptBytes
        if let place = vacant.popLast() {
            slots[place] = session
            places[session.id] = place
        } else {
            places[session.id] = slots.count
            slots.append(session)
        }
    }

    private mutating func use(_ place: Int, _ command: UInt64) {
        slots[place].lastUsed = command
        touch(place)
    }

    private mutating func touch(_ place: Int) {
        guard !slots[place].isTouched else { return }
        slots[place].isTouched = true
        touched.append(place)
    }

    /// Closes the least recently used sessions: a rule that every replica decides alike.
    private mutating func evict(atLeast number: Int, except kept: UInt64) {
        let oldest = slots.filter { $0.id != 0 && $0.id != kept }.sorted { $0.lastUsed < $1.lastUsed }
        for session in oldest.prefix(number) { _ = close(session.id) }
    }
}

/// One client session.
struct ClientSession: Sendable {
    /// An answer that is kept; a plain put's is only a revision.
    enum Answer: Sendable, Hashable {
        case done(revision: UInt64)
        case other([UInt8])

        var byteCount: Int {
            switch self {
            case .done: 16
            case .other(let bytes): 32 + bytes.count
            }
        }
    }

    /// Chosen by the client; 0 marks a vacant place.
    var id: UInt64
    /// The number of the command that used it last.
    var lastUsed: UInt64
    private(set) var lowestUnanswered: UInt64 = 1
    private(set) var keptBytes = 0
    /// Its row is not written yet.
    var isTouched = false
    /// Answers from `lowestUnanswered` on, beginning at `head`; nil where none is kept.
    private var answers: [Answer?] = []
    private var head = 0

    init(id: UInt64, lastUsed: UInt64) {
        self.id = id
        self.lastUsed = lastUsed
    }

    /// The kept answer.
    func answer(to sequence: UInt64) -> Outcome? {
        guard let place = place(of: sequence), place < answers.count, let answer = answers[place] else { return nil }
        switch answer {
        case .done(let revision): return .done(revision: revision)
        case .other(let bytes):
            do throws(DecodeError) {
                return try Outcome(decoding: bytes)
            } catch {
                // Rows are checked when loaded and the rest was encoded here: only our own error leads here.
                preconditionFailure("kept answer \(sequence) of client session \(id): \(error)")
            }
        }
    }

    /// Drops the answers below `lowest`.
    mutating func acknowledge(below lowest: UInt64) {
        guard lowest > lowestUnanswered else { return }
        let dropped = Int(min(lowest - lowestUnanswered, UInt64(answers.count - head)))
        for place in head..<(head + dropped) {
            if let answer = answers[place] { keptBytes -= answer.byteCount }
            answers[place] = nil
        }
        head += dropped
        lowestUnanswered = lowest
        if head > 64, head * 2 > answers.count || head == answers.count {
            answers.removeFirst(head)
            head = 0
        }
    }

    /// Keeps an answer; what a large one read is dropped.
    mutating func keep(_ outcome: Outcome, sequence: UInt64) {
        guard let place = place(of: sequence), place - head < Int(Limits.sessionWindow) else { return }
        while answers.count <= place { answers.append(nil) }
        let answer = answer(for: outcome)
        if let old = answers[place] { keptBytes -= old.byteCount }
        answers[place] = answer
        keptBytes += answer.byteCount
    }

    private func answer(for outcome: Outcome) -> Answer {
        if case .done(let revision) = outcome { return .done(revision: revision) }
        let bytes = outcome.encoded()
        if bytes.count > Limits.keptAnswerBytesMax || keptBytes + bytes.count > Limits.keptSessionBytesMax,
            case .transaction(let result) = outcome
        {
            let short = TransactionResult(
                revision: result.revision, succeeded: result.succeeded, results: [], resultsDropped: true)
            return .other(Outcome.transaction(short).encoded())
        }
        return .other(bytes)
    }

    private func place(of sequence: UInt64) -> Int? {
        guard sequence >= lowestUnanswered, sequence - lowestUnanswered <= Limits.sessionWindow else { return nil }
        return head + Int(sequence - lowestUnanswered)
    }
}

extension ClientSession: Coded {
    static var codedName: String { "client session" }

    /// Each answer begins with twice the distance of its sequence number from the one before, plus 1 if it is not just a revision.
    func encode(into writer: inout ByteWriter) {
        writer.fixed64(id)
        writer.varint(lastUsed)
        writer.varint(lowestUnanswered)
        writer.varint(answers[head...].count(where: { $0 != nil }))
        var last = head
        for place in head..<answers.count {
            guard let answer = answers[place] else { continue }
            let distance = UInt64(place - last)
            last = place
            switch answer {
            case .done(let revision):
                writer.varint(distance * 2)
                writer.varint(revision)
            case .other(let bytes):
                writer.varint(distance * 2 + 1)
                writer.string(bytes[...])
            }
        }
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> ClientSession {
        var session = ClientSession(id: try reader.fixed64(), lastUsed: try reader.varint())
        guard session.id != 0 else { throw .invalid(what: "client session ID") }
        session.lowestUnanswered = try reader.varint()
        let count = try reader.count(itemBytes: 2)
        var place = 0
        for position in 0..<count {
            let first = try reader.varint()
            guard first / 2 < Limits.sessionWindow, position == 0 || first / 2 > 0 else {
                throw .invalid(what: "sequence of a kept answer")
            }
            place += Int(first / 2)
            guard place < Int(Limits.sessionWindow) else { throw .invalid(what: "sequence of a kept answer") }
            while session.answers.count < place { session.answers.append(nil) }
            let answer: Answer
            if first & 1 == 0 {
                answer = .done(revision: try reader.varint())
            } else {
                let bytes = try reader.string()
                _ = try Outcome(decoding: bytes)
                answer = .other(Array(bytes))
            }
            session.answers.append(answer)
            session.keptBytes += answer.byteCount
        }
        return session
    }
}
