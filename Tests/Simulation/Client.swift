internal import RaftCore
internal import ReplicaCore

/// A customer that puts, deletes, compares and sets, and reads a few keys in a session, one request at a time.
///
/// A write is asked for again, under the same number, until it is answered; now and then one is given up, and may still happen or not.
final class Client: Customer {
    private unowned let world: World
    private let number: Int
    private let session: UInt64
    private var isOpen = false
    private var sequence: UInt64 = 0
    private var calls: UInt64 = 0
    private var call: RegisterCall?
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
        var next = RegisterCall(
            number: calls, kind: .open, sequence: 0, envelope: [], since: world.checks.registers.told,
            branch: world.branch)
        if !isOpen {
            next.envelope = Envelope(session: session, time: 0, command: .openSession).encoded()
        } else if world.dice.chance(perMille: 300) {
            next.kind = .read(RegisterCall.key(of: world.climate.keys, &world.dice))
        } else {
            sequence += 1
            next.kind = .write
            next.sequence = sequence
            next.envelope = Envelope(
                session: session, sequence: sequence, lowestUnanswered: sequence, time: 0,
                command: RegisterCall.write(
                    session: session, sequence: sequence, keys: world.climate.keys, seen: seen, &world.dice)
            ).encoded()
        }
        call = next
        ask()
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
        switch world.take(answer, to: asked, session: session, seen: &seen) {
        case .other: return
        case .later(let low, let high, let leader):
            if let leader { hint = leader }
            return sleep(world.dice.between(low, high))
        case .refused(let refusal):
            world.fail("session \(session), command \(asked.sequence): \(refusal.message)")
        case .settled: if case .open = asked.kind { isOpen = true }
        }
        hint = node
        call = nil
        sleep(world.dice.between(1_000, world.climate.thinkTime))
    }
}
