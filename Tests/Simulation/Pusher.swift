internal import RaftCore
internal import ReplicaCore

/// A customer that pushes models: begins an upload, names its chunks, sends what is missing, publishes; now and then it retires a version and gives up history.
///
/// Chunks are drawn from a small set, so that uploads share them with each other and with versions that are just swept.
final class Pusher: Customer {
    private enum Stage {
        case idle
        case begin
        case add
        case ask
        case send([Int])
        case publish
        case retire
        case compact
    }

    /// The cluster that it asks: of two sites the one that it takes for the primary.
    private unowned var world: World
    private let number: Int
    private var stage = Stage.idle
    private var upload = UploadID.zero
    private var chunks: [ChunkID] = []
    private var uploads: UInt64 = 0
    private var calls: UInt64 = 0
    private var hint = noNode
    private var attempts = 0
    private var published: [ModelVersion] = []
    private var due: Instant = 0

    init(world: World, number: Int) {
        self.world = world
        self.number = number
    }

    /// At the other site with whatever comes next.
    private func turnAway() {
        stage = .idle
        published.removeAll()
        guard let sites = world.sites, sites.isJoined else { return }
        world = sites.worlds[1 - world.place]
        hint = noNode
    }

    var isIdle: Bool {
        if case .idle = stage { return true }
        return false
    }

    var wish: String { "\(stage) of upload \(uploads), asked \(attempts) times" }

    private var name: String { "model-\(number)" }

    func wake() {
        guard world.now >= due else { return }
        if isIdle {
            guard !world.isCalm else { return }
            begin()
        } else {
            attempts += 1
            if attempts > 12, !world.isCalm || world.sites != nil {
                stage = .idle
                if world.sites != nil { turnAway() }
                return rest(500_000)
            }
            // A chunk may have gone with the only node that had it: whoever pushes again sends what is missing.
            // And what was published, though the answer was lost, is open no more.
            switch stage {
            case .publish, .send: if attempts % 8 == 0 { stage = .ask }
            default: break
            }
        }
        ask()
    }

    private func begin() {
        attempts = 0
        if !published.isEmpty, world.dice.chance(perMille: 400) {
            stage = .retire
            return
        }
        uploads += 1
        upload = UploadID(UInt64(number), uploads)
        let count = 1 + world.dice.below(4)
        let first = world.dice.below(12)
        chunks = (0..<count).map { ChunkID(0, 0, 7, UInt64((first + $0) % 12)) }
        stage = .begin
    }

    /// Asks for the next step, or again.
    private func ask() {
        calls += 1
        let ticket = Ticket(customer: number, call: calls)
        let target = world.target(attempts % 3 == 2 ? noNode : hint)
        switch stage {
        case .idle: return
        case .begin: command(.uploadBegin(upload, name: name, version: nil), ticket, target)
        case .add: command(.uploadAdd(upload, first: 0, ids: chunks), ticket, target)
        case .ask: world.request(.have(upload, ticket), to: target)
        case .send(let missing):
            guard let ordinal = missing.first else { return }
            world.request(.store(upload, ordinal: UInt64(ordinal), chunks[ordinal], ticket), to: target)
        case .publish:
            let publication = Publication(
                upload: upload, name: name, version: nil, root: chunks[0], bytes: 1, chunks: UInt64(chunks.count),
                files: 1, durableOn: [])
            world.request(.publish(publication, ticket), to: target)
        case .retire:
            guard let model = published.first else { return }
            command(.retire(name: model.name, version: model.version), ticket, target)
        case .compact: command(.compact(revision: max(1, world.checks.registers.told)), ticket, target)
        }
        hint = target
        rest(2_000_000)
    }

    private func command(_ command: Command, _ ticket: Ticket, _ target: NodeID) {
        world.request(.command(Envelope(time: 0, command: command).encoded(), ticket), to: target)
    }

    private func rest(_ time: UInt64) {
        due = world.now + time
        world.schedule(.wake(number), after: time)
    }

    func hears(_ answer: Answer, _ call: UInt64, from node: NodeID) {
        guard call == calls else { return }
        switch answer {
        case .notLeader(let leader):
            hint = leader
            return rest(world.dice.between(5_000, 100_000))
        case .overloaded, .unknown: return rest(100_000)
        case .notNamed:
            if case .ask = stage { stage = .begin }
            return rest(100_000)
        case .have(let here):
            guard case .ask = stage, here.count == chunks.count else { return rest(50_000) }
            let missing = here.indices.filter { !here[$0] }
            stage = missing.isEmpty ? .publish : .send(missing)
        case .stored:
            guard case .send(let missing) = stage else { return }
            stage = missing.count > 1 ? .send(Array(missing.dropFirst())) : .publish
        case .outcome(let outcome):
            hint = node
            guard advance(outcome) else { return rest(100_000) }
        case .value: return
        }
        attempts = 0
        if isIdle { return rest(world.dice.between(10_000, 4 * world.climate.thinkTime)) }
        ask()
    }

    /// Takes the outcome of a command; false if it is to be asked for again.
    private func advance(_ outcome: Outcome) -> Bool {
        switch (stage, outcome) {
        case (_, .refused(let refusal)):
            if refusal.isTransient { return false }
            if refusal.code == .fenced { turnAway() }
            if world.sites != nil { published.removeAll() }
            // Aborted meanwhile, a name in use, a revision already given up: the next one.
            stage = .idle
        case (.begin, _): stage = .add
        case (.add, _): stage = .ask
        case (.publish, .model(let model)):
            published.append(model)
            stage = .idle
        case (.retire, _):
            published.removeFirst()
            // A site that is to follow from the first revision on must find it.
            stage = world.sites?.isJoined == false ? .idle : .compact
        case (.compact, _): stage = .idle
        default: break
        }
        return true
    }
}
