internal import RaftCore
internal import ReplicaCore

/// A customer that puts, deletes, compares and sets, and reads a few keys in a session, one request at a time.
///
/// A write is asked for again, under the same number, until it is answered; now and then one is given up, and may still happen or not.
final class Client: Customer {
    private enum Kind {
        case open
        case write
        case read([UInt8])
    }

    private struct Call {
        var number: UInt64
        var kind: Kind
        var sequence: UInt64
        var envelope: [UInt8]
        /// What had been told to anybody when it was first asked for.
        var since: UInt64
        var attempts = 0
    }

    private unowned let world: World
    private let number: Int
    private let session: UInt64
    private var isOpen = false
    private var sequence: UInt64 = 0
    private var calls: UInt64 = 0
    private var call: Call?
    private var hint = noNode
    /// When to go on; earlier wakes are of something that is over.
    private var due: Instant = 0
    /// The modification revision that this client saw last, by key.
    private var seen: [[UInt8]: UInt64] = [:]

    init(world: World, number: Int) {
        self.world = world
        self.number = number
        session = UInt64(number) + 1
    }

    var isIdle: Bool { call == nil }
    var wish: String { call.map { "\($0.kind), asked \($0.attempts) times" } ?? "nothing" }

    func wake() {
        guard world.now >= due else { return }
        if call == nil {
            guard !world.isCalm else { return }
            begin()
        } else {
            retry()
        }
    }

    private func begin() {
        calls += 1
        var next = Call(number: calls, kind: .open, sequence: 0, envelope: [], since: world.checks.registers.told)
        if !isOpen {
            next.envelope = Envelope(session: session, time: 0, command: .openSession).encoded()
        } else if world.dice.chance(perMille: 300) {
            next.kind = .read(key())
        } else {
            sequence += 1
            next.kind = .write
            next.sequence = sequence
            next.envelope = Envelope(
                session: session, sequence: sequence, lowestUnanswered: sequence, time: 0, command: command()
            ).encoded()
        }
        call = next
        ask()
    }

    private func key() -> [UInt8] { [UInt8(ascii: "k"), UInt8(world.dice.below(world.climate.keys))] }

    private func command() -> Command {
        let key = key()
        let value = withUnsafeBytes(of: (session << 32 | sequence).bigEndian) { Array($0) }
        switch world.dice.below(10) {
        case 0, 1: return .delete(.key(key[...]))
        case 2, 3, 4:
            let compare = Compare(key: key[...], .equal, .modRevision(seen[key] ?? 0))
            return .transaction(
                Transaction(compares: [compare], then: [.put(key: key[...], value: value[...], lease: 0)]))
        default: return .put(key: key[...], value: value[...], lease: 0)
        }
    }

    private func ask() {
        guard var asked = call else { return }
        asked.attempts += 1
        call = asked
        let ticket = Ticket(customer: number, call: asked.number)
        let target = world.target(asked.attempts % 3 == 0 ? noNode : hint)
        hint = target
        if case .read(let key) = asked.kind {
            let reader = world.dice.chance(perMille: 500) ? world.target(noNode) : target
            world.request(.read(ReadRequest(ticket: ticket, key: key)), to: reader)
        } else {
            world.request(.command(asked.envelope, ticket), to: target)
        }
        sleep(1_500_000)
    }

    private func sleep(_ time: UInt64) {
        due = world.now + time
        world.schedule(.wake(number), after: time)
    }

    private func retry() {
        guard let asked = call else { return }
        if asked.attempts > 4, case .write = asked.kind, !world.isCalm, world.dice.chance(perMille: 200) {
            // Given up: nobody will ever know from the client what became of it.
            call = nil
            return sleep(1)
        }
        ask()
    }

    func hears(_ answer: Answer, _ number: UInt64, from node: NodeID) {
        guard let asked = call, asked.number == number else { return }
        switch answer {
        case .notLeader(let leader):
            hint = leader
            return sleep(world.dice.between(5_000, 100_000))
        case .overloaded, .unknown:
            return sleep(world.dice.between(20_000, 200_000))
        case .outcome(let outcome): finish(asked, outcome)
        case .value(let value, let revision):
            guard case .read(let key) = asked.kind else { return }
            world.report(world.checks.registers.read(key, value, at: revision, since: asked.since))
            seen[key] = world.checks.registers.modRevision(of: key, at: revision)
        case .stored, .have, .notNamed: return
        }
        hint = node
        call = nil
        sleep(world.dice.between(1_000, world.climate.thinkTime))
    }

    private func finish(_ asked: Call, _ outcome: Outcome) {
        if case .refused(let refusal) = outcome {
            world.fail("session \(session), command \(asked.sequence): \(refusal.message)")
        }
        guard case .write = asked.kind else {
            isOpen = true
            return
        }
        world.report(
            world.checks.registers.answered(
                session: session, sequence: asked.sequence, outcome, since: asked.since))
    }
}
