internal import Logging
internal import NIOCore
internal import ReplicaCore
internal import Synchronization
internal import Transport

/// Finds the node that can answer a request, and asks again elsewhere while the deadline allows.
///
/// A read is repeated freely. A command is repeated only under its session's number, so that it is applied once however often
/// it arrives; where no answer came in the end, the caller is told `outcomeUnknown`.
///
/// Once closed it holds nothing of its node any more, so that a `Store` that outlives the node keeps no directory locked.
final class Router: Sendable {
    /// Where a request must go.
    enum Route: Sendable {
        /// Any node answers it.
        case any
        /// Only the leader answers it.
        case leader
        /// One node takes all of an upload's bytes, until it fails.
        case uploads
    }

    private struct State {
        /// The target that answered last.
        var preferred = 0
        /// The target that was last known to lead.
        var leader: Int?
        /// The target that takes the bytes of uploads.
        var uploads = 0
        /// Targets: the configured ones, then those that hints led to; none once the router is closed.
        var targets: [any RequestTarget]
        /// Names of the targets that stay whoever the members are: those that the caller gave.
        var given: Set<String>
        /// When the members' addresses are to be asked for again; nil where somebody tells them.
        var nextLearning: NIODeadline?
        /// Reaches nodes that hints name; nil once the router is closed.
        var makeTarget: (@Sendable (Endpoint) -> any RequestTarget)?
        /// The highest epoch of a pair of sites that this client has seen, and the targets that know it.
        var word: SiteWord?
        var told: Set<String> = []
        var session: ClientSession?
        var sessionOpening: [CheckedContinuation<Result<ClientSession, HoldfastError>, Never>]?
    }

    /// The longest that one attempt waits before another node is asked.
    static let attemptMilliseconds: Int64 = 3_000
    /// How often a client asks for the members' addresses while all goes well; after a failure it asks at the next answer.
    private static let learningPause = TimeAmount.seconds(10)
    /// A client that lives no longer than this need not learn.
    private static let firstLearningPause = TimeAmount.seconds(1)
    /// Hints that are followed without a pause.
    private static let hintsMax = 2

    private let state: Mutex<State>
    let logger: Logger

    /// A router over `targets`, asked in this order; `makeTarget` reaches nodes that hints name.
    ///
    /// - Parameter learns: asks the nodes for the members' addresses now and then, so that a client outlives those it was given.
    init(
        _ targets: [any RequestTarget], learns: Bool, logger: Logger,
        makeTarget: @escaping @Sendable (Endpoint) -> any RequestTarget
    ) {
        precondition(!targets.isEmpty, "a router needs a target")
        state = Mutex(
            State(
                targets: targets, given: Set(targets.map(\.name)),
                nextLearning: learns ? .now() + Self.firstLearningPause : nil, makeTarget: makeTarget))
        self.logger = logger
    }

    /// Closes every connection and lets the targets go; what is asked later fails with `unavailable`.
    func close() {
        let targets = state.withLock { state in
            defer {
                state.targets = []
                state.makeTarget = nil
            }
            return state.targets
        }
        for target in targets { (target as? RemoteNode)?.close() }
    }

    // MARK: Requests

    /// Sends a request that may be repeated: a read, or a write that repeats harmlessly.
    ///
    /// - Parameter isWrite: whether a missing answer is `outcomeUnknown` rather than a missed deadline.
    func send(
        _ kind: FrameKind, _ body: ByteBuffer, to route: Route, deadline: NIODeadline, isWrite: Bool = false,
        attempt: TimeAmount = .milliseconds(attemptMilliseconds)
    ) async throws(HoldfastError) -> ByteBuffer {
        var mayHaveHappened = false
        var attempts = Attempts()
        var hints = 0
        var full = 0
        while true {
            guard let target = pick(route) else {
                throw isWrite && mayHaveHappened ? outcomeUnknown(Self.closed) : Self.closed
            }
            if let word = untold(target) {
                // A primary that was cut off learns here that it is none any more, before it is asked for anything.
                _ = try? await target.call(
                    .siteEpoch, .written { word.encode(into: &$0) }, deadline: min(deadline, .now() + .seconds(1)))
            }
            do throws(CallFailure) {
                let answer = try await target.call(kind, body, deadline: min(deadline, .now() + attempt))
                answered(target, route)
                return answer
            } catch {
                mayHaveHappened = mayHaveHappened || error.mayHaveHappened
                attempts.failed(error, at: target.name)
                let follows = error.error.code == .fenced && follow(error.error, from: target.name)
                guard follows || Self.isWorthRepeating(error.error.code) else {
                    // One disk is full; a quorum of others makes a version durable as well.
                    if case .uploads = route, error.error.code == .resourceExhausted,
                        full < state.withLock({ $0.targets.count }) - 1
                    {
                        full += 1
                        _ = failed(target, error.error)
                        continue
                    }
                    if isWrite, mayHaveHappened, !Self.tellsOfAll(error.error.code) {
                        throw outcomeUnknown(error.error)
                    }
                    throw error.error
                }
                // While leadership changes, nodes may name each other in turn.
                if failed(target, error.error), hints < Self.hintsMax, .now() < deadline {
                    hints += 1
                    continue
                }
            }
            hints = 0
            guard await pause(attempts.nextPause(), until: deadline) else {
                throw ended(attempts.summary, isWrite: isWrite, mayHaveHappened: mayHaveHappened)
            }
        }
    }

    /// Proposes a command under this client's session: applied at most once, whatever is lost on the way.
    func command(_ command: Command, deadline: NIODeadline) async throws(HoldfastError) -> Outcome {
        var isSecondSession = false
        var attempts = Attempts()
        while true {
            let session = try await openSession(deadline: deadline)
            guard let ticket = session.take() else {
                // One command that waits for its answer holds up the window of all that came after it.
                if await pause(attempts.nextPause(), until: deadline) { continue }
                throw HoldfastError(.overloaded, "too many commands of this client wait for an answer")
            }
            let envelope = Envelope(
                session: ticket.session, sequence: ticket.sequence, lowestUnanswered: ticket.lowestUnanswered, time: 0,
                command: command)
            do throws(HoldfastError) {
                let answer = try await propose(envelope, deadline: deadline)
                session.finish(ticket)
                return answer
            } catch {
                session.finish(ticket)
                guard error.code == .sessionExpired else { throw error }
                drop(session)
                guard !isSecondSession else { throw error }
                isSecondSession = true
            }
        }
    }

    /// Proposes a command that repeats harmlessly, without a session: the node's own.
    func proposeUnnumbered(_ command: Command, deadline: NIODeadline) async throws(HoldfastError) -> Outcome {
        try await propose(Envelope(time: 0, command: command), deadline: deadline)
    }

    private func propose(_ envelope: Envelope, deadline: NIODeadline) async throws(HoldfastError) -> Outcome {
        var answer = try await send(
            .command, ByteBuffer(bytes: envelope.encoded()), to: .leader, deadline: deadline, isWrite: true)
        do throws(DecodeError) {
            return try Outcome(decoding: answer.readBytes(length: answer.readableBytes) ?? [])
        } catch {
            throw HoldfastError(.incompatible, "the node's answer cannot be read: \(error)")
        }
    }

    /// Starts a watch at the node that answers; see `RequestTarget.watch`.
    func watch(
        _ request: WatchRequest, deadline: NIODeadline,
        take: @escaping @Sendable (Result<WatchFrame, HoldfastError>) -> Void
    ) async throws(HoldfastError) -> @Sendable () -> Void {
        var attempts = Attempts()
        while true {
            guard let target = pick(.any) else { throw Self.closed }
            do throws(CallFailure) {
                return try await target.watch(request, deadline: deadline, take: take)
            } catch {
                attempts.failed(error, at: target.name)
                guard Self.isWorthRepeating(error.error.code) else { throw error.error }
                _ = failed(target, error.error)
            }
            guard await pause(attempts.nextPause(), until: deadline) else {
                throw ended(attempts.summary, isWrite: false, mayHaveHappened: false)
            }
        }
    }

    /// Lets the next request go to another node than the one that was asked last.
    func rotate() {
        state.withLock { state in
            guard !state.targets.isEmpty else { return }
            state.preferred = (state.preferred + 1) % state.targets.count
        }
    }

    // MARK: Sessions

    private func openSession(deadline: NIODeadline) async throws(HoldfastError) -> ClientSession {
        var attempts = Attempts()
        while true {
            if let session = state.withLock({ $0.session }) { return session }
            let isOpener = Mutex(false)
            let result = await withCheckedContinuation { (continuation: SessionContinuation) in
                let opens = state.withLock { state -> Bool in
                    if let session = state.session {
                        continuation.resume(returning: .success(session))
                        return false
                    }
                    defer { state.sessionOpening = (state.sessionOpening ?? []) + [continuation] }
                    return state.sessionOpening == nil
                }
                isOpener.withLock { $0 = opens }
                if opens { Task { await self.open(deadline: deadline) } }
            }
            // Another caller's patience may have ended before this one's.
            if case .failure(let error) = result, !isOpener.withLock({ $0 }), Self.isWorthRepeating(error.code),
                .now() < deadline, !Task.isCancelled, await pause(attempts.nextPause(), until: deadline)
            {
                continue
            }
            return try result.get()
        }
    }

    private typealias SessionContinuation = CheckedContinuation<Result<ClientSession, HoldfastError>, Never>

    private func open(deadline: NIODeadline) async {
        let session = ClientSession()
        var result: Result<ClientSession, HoldfastError>
        do throws(HoldfastError) {
            _ = try await propose(Envelope(session: session.id, time: 0, command: .openSession), deadline: deadline)
            result = .success(session)
        } catch {
            // Nothing of the caller's was sent: opening a session that nobody uses changes nothing.
            let code = error.code == .outcomeUnknown ? .unavailable : error.code
            result = .failure(
                HoldfastError(code, "no session could be opened: \(error.message)", details: error.details))
        }
        let made = result
        let waiting = state.withLock { state -> [SessionContinuation] in
            if case .success(let session) = made { state.session = session }
            defer { state.sessionOpening = nil }
            return state.sessionOpening ?? []
        }
        for continuation in waiting { continuation.resume(returning: made) }
    }

    private func drop(_ session: ClientSession) {
        state.withLock { state in
            if state.session === session { state.session = nil }
        }
    }

    // MARK: Choosing

    /// Whom to ask; nil once the router is closed.
    private func pick(_ route: Route) -> (any RequestTarget)? {
        state.withLock { state in
            guard !state.targets.isEmpty else { return nil }
            let place =
                switch route {
                case .any: state.preferred
                case .leader: state.leader ?? state.preferred
                case .uploads: state.uploads
                }
            return state.targets[place]
        }
    }

    private func answered(_ target: any RequestTarget, _ route: Route) {
        let learns = state.withLock { state in
            // The targets may have changed since it was asked.
            guard let place = state.targets.firstIndex(where: { $0 === target }) else { return false }
            switch route {
            case .any: state.preferred = place
            case .leader: state.leader = place
            case .uploads: state.uploads = place
            }
            guard let next = state.nextLearning, next <= .now() else { return false }
            state.nextLearning = .now() + Self.learningPause
            return true
        }
        if learns { Task { await self.learn(from: target) } }
    }

    /// Learns from a failure; true where it named another node to ask at once.
    private func failed(_ target: any RequestTarget, _ error: HoldfastError) -> Bool {
        let hint = error.code == .notLeader ? error.details["endpoint"].flatMap { Endpoint($0) } : nil
        return state.withLock { state in
            if state.nextLearning != nil { state.nextLearning = .now() }
            guard let place = state.targets.firstIndex(where: { $0 === target }), let makeTarget = state.makeTarget
            else { return false }
            if let hint {
                let name = "\(hint)"
                if let known = state.targets.firstIndex(where: { $0.name == name }) {
                    state.leader = known
                } else {
                    state.targets.append(makeTarget(hint))
                    state.leader = state.targets.count - 1
                }
                return state.leader != place
            }
            if state.leader == place { state.leader = nil }
            if state.preferred == place { state.preferred = (place + 1) % state.targets.count }
            if state.uploads == place { state.uploads = (place + 1) % state.targets.count }
            return false
        }
    }

    /// What a target is to be told before it is asked; nil if it was, or there is nothing to tell.
    private func untold(_ target: any RequestTarget) -> SiteWord? {
        state.withLock { state in
            guard let word = state.word, state.told.insert(target.name).inserted else { return nil }
            return word
        }
    }

    /// The highest epoch of a pair of sites that this client has seen; 0 for none.
    var knownEpoch: UInt64 { state.withLock { $0.word?.epoch ?? 0 } }

    /// Keeps the highest epoch; `name` is who told it.
    private func note(_ word: SiteWord, from name: String) {
        state.withLock { state in
            if let known = state.word, known.lineage == word.lineage, known.epoch >= word.epoch { return }
            state.word = word
            state.told = [name]
        }
    }

    /// Goes to the site that a fenced one names as the primary; false where none is named, or this is a node's own router.
    private func follow(_ error: HoldfastError, from name: String) -> Bool {
        if let epoch = error.details["epoch"].flatMap({ UInt64($0) }),
            let lineage = error.details["lineage"].flatMap({ Lineage(hex: $0) }),
            let site = error.details["site"].flatMap({ SiteID(hex: $0) })
        {
            note(SiteWord(epoch: epoch, lineage: lineage, site: site), from: name)
        }
        let names = error.details["primary"]?.split(separator: ",").compactMap { Endpoint(String($0)) } ?? []
        guard let first = names.first, state.withLock({ $0.nextLearning != nil }) else { return false }
        know(names)
        return state.withLock { state in
            guard let place = state.targets.firstIndex(where: { $0.name == "\(first)" }) else { return false }
            state.preferred = place
            state.uploads = place
            state.leader = nil
            // Sessions do not cross sites.
            state.session = nil
            return true
        }
    }

    // MARK: Members

    /// These are the members now: others are asked no more, but for those that the caller gave.
    func know(_ endpoints: [Endpoint]) {
        let names = endpoints.map { "\($0)" }
        let dropped = state.withLock { state -> [any RequestTarget] in
            guard !endpoints.isEmpty, let makeTarget = state.makeTarget else { return [] }
            let old = state.targets
            var targets = old.filter { names.contains($0.name) || state.given.contains($0.name) }
            for (name, endpoint) in zip(names, endpoints) where !targets.contains(where: { $0.name == name }) {
                targets.append(makeTarget(endpoint))
            }
            func place(of old: any RequestTarget) -> Int? { targets.firstIndex { $0 === old } }
            let (preferred, uploads) = (place(of: old[state.preferred]), place(of: old[state.uploads]))
            state.leader = state.leader.flatMap { place(of: old[$0]) }
            state.preferred = preferred ?? 0
            state.uploads = uploads ?? 0
            state.targets = targets
            return old.filter { place(of: $0) == nil }
        }
        for target in dropped { (target as? RemoteNode)?.close() }
    }

    /// Asks a node that has just answered for the members' addresses.
    private func learn(from target: any RequestTarget) async {
        do {
            let answer = try await target.call(
                .membership, .written { $0.byte(ReadConsistency.stale.tag) },
                deadline: .now() + .milliseconds(Self.attemptMilliseconds))
            let report = try Store.decode(answer) { reader throws(DecodeError) in
                try MembershipReport.decode(from: &reader)
            }
            if let word = report.site { note(word, from: target.name) }
            know(report.addresses.compactMap { Endpoint($0.endpoint) })
        } catch {
            // A node of an older version, or one that has just gone: what is known goes on being used.
            logger.debug("the members' addresses are not known", metadata: ["reason": "\(error)"])
        }
    }

    private static var closed: HoldfastError { HoldfastError(.unavailable, "the node was stopped") }

    /// Whether a refusal with this code tells what became of every attempt before it: those that the state machine gives do, since
    /// they come under the command's number. These come before it, or from whoever does not know the number.
    private static func tellsOfAll(_ code: HoldfastError.Code) -> Bool {
        switch code {
        case .sessionExpired, .incompatible, .permissionDenied, .unauthenticated, .corrupted, .resourceExhausted,
            .fenced:
            false
        default: true
        }
    }

    private static func isWorthRepeating(_ code: HoldfastError.Code) -> Bool {
        switch code {
        case .notLeader, .unavailable, .overloaded, .outcomeUnknown, .deadlineExceeded: true
        default: false
        }
    }

    /// Waits a moment; false when the deadline would pass or the caller was cancelled.
    private func pause(_ pause: TimeAmount, until deadline: NIODeadline) async -> Bool {
        let left = deadline - .now()
        // A long pause leaves time for another attempt.
        let pause = min(pause, max(.nanoseconds(left.nanoseconds / 4 * 3), .milliseconds(10)))
        guard NIODeadline.now() + pause < deadline else { return false }
        do {
            try await Task.sleep(nanoseconds: UInt64(pause.nanoseconds))
            return true
        } catch {
            return false
        }
    }

    private func ended(_ error: HoldfastError, isWrite: Bool, mayHaveHappened: Bool) -> HoldfastError {
        if isWrite, mayHaveHappened { return outcomeUnknown(error) }
        switch error.code {
        case .notLeader:
            return HoldfastError(.unavailable, "no leader answered in time: \(error.message)", details: error.details)
        case .outcomeUnknown:
            return HoldfastError(.unavailable, error.message, details: error.details)
        case .deadlineExceeded where isWrite:
            return HoldfastError(.unavailable, error.message, details: error.details)
        default:
            return error
        }
    }

    private func outcomeUnknown(_ error: HoldfastError) -> HoldfastError {
        HoldfastError(
            .outcomeUnknown,
            "the write was sent and no answer came; it may have been applied, read it back before repeating it "
                + "(\(error.message))", details: error.details)
    }
}
