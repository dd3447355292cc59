internal import RaftCore
internal import ReplicaCore

/// A client of the pair: it writes and reads wherever the primary is, as far as it knows, in a session of its own at each site it turns to.
///
/// A write is asked for again, under the same number, until it is answered. What a site that is fenced has not answered is not known to it, and is not
/// asked for elsewhere: sessions do not cross.
final class SiteClient: Customer {
    private unowned let sites: TwoSites
    private let number: Int
    private var place = 0
    private var session: UInt64 = 0
    private var sessions: UInt64 = 0
    private var isOpen = false
    private var sequence: UInt64 = 0
    private var calls: UInt64 = 0
    private var call: RegisterCall?
    private var hint = noNode
    private var due: Instant = 0
    private var seen: [[UInt8]: UInt64] = [:]
    /// The highest epoch seen at any site, and who began it.
    private var epoch: UInt64 = 0

    init(sites: TwoSites, number: Int) {
        self.sites = sites
        self.number = number
    }

    private var world: World { sites.worlds[place] }
    private var climate: Climate { sites.climate.clusters[0] }
    var isIdle: Bool { call == nil }
    var wish: String {
        call.map { "\($0.kind) at \(TwoSites.name(of: place)), asked \($0.attempts) times" } ?? "nothing"
    }

    func wake() {
        guard sites.now >= due else { return }
        if call != nil { return retry() }
        guard !sites.isCalm else { return }
        begin()
    }

    private func begin() {
        calls += 1
        var next = RegisterCall(
            number: calls, kind: .open, sequence: 0, envelope: [], since: world.checks.registers.told,
            branch: world.branch)
        if !isOpen {
            sessions += 1
            session = UInt64(number + 1) << 24 | sessions
            sequence = 0
            next.envelope = Envelope(session: session, time: 0, command: .openSession).encoded()
        } else if sites.dice.chance(perMille: 250) {
            next.kind = .read(RegisterCall.key(of: climate.keys, &sites.dice))
        } else {
            sequence += 1
            next.kind = .write
            next.sequence = sequence
            next.envelope = Envelope(
                session: session, sequence: sequence, lowestUnanswered: sequence, time: 0,
                command: RegisterCall.write(
                    session: session, sequence: sequence, keys: climate.keys, seen: seen, &sites.dice)
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
        tell(target)
        if case .read(let key) = asked.kind {
            world.request(.read(ReadRequest(ticket: ticket, key: key)), to: target)
        } else {
            world.request(.command(asked.envelope, ticket), to: target)
        }
        sleep(1_500_000)
    }

    /// Tells a node of an epoch that is higher than its own, as a client does before anything else.
    private func tell(_ target: NodeID) {
        guard let record = world.node(target).process?.applier.site else { return }
        if epoch > record.seen, record.role != .alone {
            world.request(.word(epoch: epoch, by: TwoSites.id(of: epoch % 2 == 1 ? 0 : 1)), to: target)
        }
        epoch = max(epoch, record.seen)
    }

    private func sleep(_ time: UInt64) {
        due = sites.now + time
        sites.worlds[0].schedule(.wake(number), after: time)
    }

    private func retry() {
        guard let asked = call else { return }
        if asked.attempts > 4, sites.isCalm || sites.dice.chance(perMille: 300) {
            // Given up: nobody will ever know from the client what became of it.
            return turn(away: sites.dice.chance(perMille: 500))
        }
        ask()
    }

    /// Begins anew, perhaps at the other site.
    private func turn(away: Bool) {
        call = nil
        isOpen = false
        if away, sites.isJoined {
            place = 1 - place
            hint = noNode
        }
        sleep(sites.dice.between(20_000, 500_000))
    }

    func hears(_ answer: Answer, _ number: UInt64, from node: NodeID) {
        guard let asked = call, asked.number == number else { return }
        switch world.take(answer, to: asked, session: session, seen: &seen) {
        case .other: return
        case .later(let low, let high, let leader):
            if let leader { hint = leader }
            return sleep(sites.dice.between(low, high))
        case .refused(let refusal):
            switch refusal.code {
            case .unavailable: return sleep(sites.dice.between(50_000, 300_000))
            case .fenced: return turn(away: true)
            case .outcomeUnknown, .sessionExpired: return turn(away: false)
            default: return world.fail("session \(session), command \(asked.sequence): \(refusal.message)")
            }
        case .settled: if case .open = asked.kind { isOpen = true }
        }
        hint = node
        call = nil
        sleep(sites.dice.between(1_000, climate.thinkTime))
    }
}
