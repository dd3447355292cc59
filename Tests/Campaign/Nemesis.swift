internal import Holdfast
internal import Processes

/// A kind of fault that a campaign can inject.
enum FaultKind: String, CaseIterable, Sendable {
    /// Processes end at once and come back: one, the leader, a majority, or all.
    case kill
    /// Processes stop where they stand (SIGSTOP), past elections, and go on.
    case pause
    /// Links are cut, in both directions or one.
    case partition
    /// The disk stalls, is full, or fails.
    case disk
    /// A node joins, becomes a voter, and another one leaves.
    case members
    /// The time of day jumps.
    case clock
}

/// Draws one fault after another from a seed, injects it, takes it back, and demands that writes go on.
struct Nemesis {
    let world: World
    let kinds: [FaultKind]
    /// Tells who leads.
    let store: Store
    /// Where a client reaches the nodes.
    let endpoints: [String]
    let recorder: Recorder
    let violations: Violations
    var numbers: SeededNumbers
    /// How many faults of each kind and form were injected.
    private(set) var counts: [String: Int] = [:]
    /// How many nodes ended of a disk that failed, as they must.
    private(set) var ended = 0
    /// The highest node ID that was ever given.
    private var newest: UInt64

    init(
        world: World, kinds: [FaultKind], store: Store, endpoints: [String], recorder: Recorder, violations: Violations,
        seed: UInt64, newest: UInt64
    ) {
        self.world = world
        self.kinds = kinds
        self.store = store
        self.endpoints = endpoints
        self.recorder = recorder
        self.violations = violations
        numbers = SeededNumbers(seed: seed)
        self.newest = newest
    }

    /// Works until a moment.
    mutating func run(until end: ContinuousClock.Instant) async throws {
        while ContinuousClock.now < end {
            await wait(0.3...2)
            guard let kind = kinds.randomElement(using: &numbers) else { return await wait(1...1) }
            switch kind {
            case .kill: try await kill()
            case .pause: try await pause()
            case .partition: try await partition()
            case .disk: try await disk()
            case .members: try await members()
            case .clock: try await clock()
            }
            try await progress(after: kind)
        }
    }

    // MARK: Faults

    private mutating func kill() async throws {
        var victims = await world.members.shuffled(using: &numbers)
        switch Int.random(in: 0..<10, using: &numbers) {
        case 0..<4: victims = Array(victims.prefix(1))
        case 4..<7: victims = [await leader() ?? victims[0]]
        case 7..<9: victims = Array(victims.prefix(2))
        default: break
        }
        await count(.kill, victims.count == 1 ? "one" : "several", victims)
        for victim in victims { try await world.kill(victim) }
        await wait(0.1...4)
        for victim in victims { try await world.start(victim) }
    }

    private mutating func pause() async throws {
        var victims = await world.members.shuffled(using: &numbers)
        switch Int.random(in: 0..<10, using: &numbers) {
        case 0..<3: victims = Array(victims.prefix(1))
        case 3..<8: victims = [await leader() ?? victims[0]]
        default: victims = Array(victims.prefix(2))
        }
        await count(.pause, victims.count == 1 ? "one" : "several", victims)
        for victim in victims { await world.pause(victim, true) }
        await wait(0.2...6)
        for victim in victims { await world.pause(victim, false) }
    }

    private mutating func partition() async throws {
        let all = await world.members
        let order = all.shuffled(using: &numbers)
        let chosen = Bool.random(using: &numbers) ? await leader() ?? order[0] : order[0]
        let others = all.filter { $0 != chosen }
        let drops: [(at: Int, from: [Int])]
        let form: String
        switch Int.random(in: 0..<6, using: &numbers) {
        case 0, 1:
            form = "one alone"
            drops = [(chosen, others)] + others.map { ($0, [chosen]) }
        case 2:
            form = "one deaf"
            drops = [(chosen, others)]
        case 3:
            form = "one mute"
            drops = others.map { ($0, [chosen]) }
        case 4:
            form = "one link"
            drops = [(chosen, [others[0]]), (others[0], [chosen])]
        default:
            form = "all alone"
            drops = all.map { place in (place, all.filter { $0 != place }) }
        }
        await count(.partition, form, [chosen])
        try await world.cut(drops)
        await wait(0.5...7)
        // A node that restarts while it is cut off.
        if Int.random(in: 0..<4, using: &numbers) == 0, let victim = all.randomElement(using: &numbers) {
            await count(.kill, "while cut off", [victim])
            try await world.kill(victim)
            try await world.start(victim)
            await wait(0.5...2)
        }
        try await world.cut(all.map { ($0, []) })
    }

    private mutating func disk() async throws {
        let all = await world.members
        let random = all.randomElement(using: &numbers) ?? all[0]
        let victim = Bool.random(using: &numbers) ? await leader() ?? random : random
        let (form, rules): (String, [String])
        switch Int.random(in: 0..<7, using: &numbers) {
        case 0, 1: (form, rules) = ("stalled log", ["write /log/ stall", "flush /log/ stall"])
        case 2: (form, rules) = ("stalled", ["write /place stall", "flush /place stall"])
        case 3: (form, rules) = ("failed write", ["write /log/ EIO"])
        case 4: (form, rules) = ("failed flush", ["flush /log/ EIO"])
        default:
            (form, rules) = (
                "full", ["allocate /place ENOSPC", "write /rows ENOSPC", "write /chunks ENOSPC"]
            )
        }
        await count(.disk, form, [victim])
        try await world.breakDisk(victim, rules, mayEnd: form.hasPrefix("failed"))
        await wait(0.3...5)
        try await world.mendDisk(victim)
    }

    private mutating func clock() async throws {
        let all = await world.members
        let victims = Bool.random(using: &numbers) ? all : [all.randomElement(using: &numbers) ?? all[0]]
        let ahead = Int.random(in: -7_200...7_200, using: &numbers)
        await count(.clock, ahead < 0 ? "back" : "ahead", victims)
        for victim in victims {
            try await world.setClock(
                victim, ahead: victims.count == 1 ? ahead : Int.random(in: -60...60, using: &numbers))
        }
    }

    // MARK: Members

    private mutating func members() async throws {
        guard let place = await world.spare else { return }
        let all = await world.members
        let leaving =
            Bool.random(using: &numbers) ? await leader() ?? all[0] : all.randomElement(using: &numbers) ?? all[0]
        let oldNode = await world.node(leaving)
        newest += 1
        let node = "\(newest)"
        let through = all.map { endpoints[$0] }
        let isReplacement = Bool.random(using: &numbers)
        await count(.members, isReplacement ? "replace" : "add, promote, remove", [place, leaving])
        let address = "\(node)=\(endpoints[place])"
        let joined = newest
        guard try await insist("format of node \(node)", { try await world.join(place, as: joined, through: through) })
        else { return }
        func verb(_ arguments: String...) async throws -> Bool {
            try await insist(arguments.joined(separator: " ")) {
                try await world.run(["cluster"] + arguments + ["--timeout", "20"], at: through + [endpoints[place]])
            }
        }
        if isReplacement {
            guard try await verb("replace", "\(oldNode)", address) else { return }
        } else {
            guard try await verb("add-learner", address) else { return }
            if Bool.random(using: &numbers), let victim = all.randomElement(using: &numbers) {
                await count(.kill, "while a node joins", [victim])
                try await world.kill(victim)
                await wait(0.1...2)
                try await world.start(victim)
            }
            guard try await verb("promote", node), try await verb("remove", "\(oldNode)") else { return }
        }
        try await world.leave(leaving)
    }

    /// Tries until it succeeds: every change may be repeated. False after 90 s, which is a violation.
    private func insist(_ what: String, _ body: () async throws -> Void) async throws -> Bool {
        let end = ContinuousClock.now + .seconds(90)
        while true {
            do {
                try await body()
                return true
            } catch let error as CampaignError {
                guard ContinuousClock.now < end else {
                    violations.add("membership", "no success within 90 s: \(what): \(error)")
                    return false
                }
                // Refused at once as a rule: nothing is gained by asking faster.
                try await Task.sleep(for: .milliseconds(300))
            }
        }
    }

    // MARK: Parts

    /// Writes must go on once a fault is over.
    private mutating func progress(after kind: FaultKind) async throws {
        let before = recorder.acknowledged
        let end = ContinuousClock.now + .seconds(40)
        while true {
            ended += try await world.supervise()
            if recorder.acknowledged >= before + 3 { return }
            guard ContinuousClock.now < end else {
                violations.add(
                    "progress", "no write was acknowledged within 40 s after the end of a fault (\(kind.rawValue))")
                return
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// The place of the leader, as the nodes say; nil where none is known.
    private func leader() async -> Int? {
        guard let leader = try? await store.withTimeout(milliseconds: 1_000).status().leader else { return nil }
        for place in await world.members where await world.node(place) == leader { return place }
        return nil
    }

    private mutating func count(_ kind: FaultKind, _ form: String, _ places: [Int]) async {
        counts["\(kind.rawValue): \(form)", default: 0] += 1
        let nodes = places.map { "\($0 + 1)" }.joined(separator: ",")
        Console.say("\(kind.rawValue): \(form), at place \(nodes)")
    }

    private mutating func wait(_ seconds: ClosedRange<Double>) async {
        let time = Double.random(in: seconds, using: &numbers)
        // A cancelled campaign ends at its next turn.
        try? await Task.sleep(for: .milliseconds(Int(time * 1_000)))
    }
}
