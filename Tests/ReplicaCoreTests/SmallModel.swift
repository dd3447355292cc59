@testable import ReplicaCore

/// Every interleaving of two small sites and what is on its way between them: breadth first, each state once. A message may be lost,
/// come late, and come again and again: it leaves the network only by being lost. What a site has proposed is such a message too.
///
/// Sites and messages are kept in tables and named by their places there; what a site does with a message is worked out once.
struct SmallModel {
    /// Places of the sites, and of the messages on their way, ascending.
    struct World: Hashable {
        var sites: (Int32, Int32)
        var messages: SIMD4<Int32>

        static func == (left: World, right: World) -> Bool {
            left.sites == right.sites && left.messages == right.messages
        }

        func hash(into hasher: inout Hasher) {
            hasher.combine(sites.0)
            hasher.combine(sites.1)
            hasher.combine(messages)
        }
    }

    /// What a run of the model came to.
    struct Report {
        var states = 0
        /// Distinct pairs of sites, whatever is on its way.
        var pairs = 0
        /// The first rule found broken, and the shortest way there.
        var fault: String?
    }

    /// A site after a message, and what it has sent.
    private typealias Step = (site: Int32, sent: [Int32])

    private static let none: Int32 = .max

    let bounds: SmallSite.Bounds
    let messagesMax: Int
    /// Why two sites together break a rule; nil if they do not.
    let fault: (SmallSite, SmallSite) -> String?

    private var sites: [SmallSite] = []
    private var places: [SmallSite: Int32] = [:]
    private var messages: [SmallMessage] = []
    private var messagePlaces: [SmallMessage: Int32] = [:]
    private var aloneSteps: [Int32: [Int32]] = [:]
    private var deliveries: [Int64: [Step]] = [:]

    init(
        bounds: SmallSite.Bounds, messagesMax: Int, fault: @escaping (SmallSite, SmallSite) -> String?
    ) {
        self.bounds = bounds
        self.messagesMax = min(messagesMax, 4)
        self.fault = fault
    }

    /// Looks at everything that can come of two sites.
    mutating func run(_ first: SmallSite, _ second: SmallSite) -> Report {
        var report = Report()
        let start = World(sites: (intern(first), intern(second)), messages: SIMD4(repeating: SmallModel.none))
        var parents: [World: World] = [start: start]
        var order = [start]
        var pairs: Set<Int64> = []
        var next = 0
        while next < order.count {
            let world = order[next]
            next += 1
            if pairs.insert(Int64(world.sites.0) << 32 | Int64(world.sites.1)).inserted,
                let fault = fault(of: world)
            {
                report.fault = fault + "\n" + trace(to: world, parents)
                break
            }
            for successor in successors(of: world) where parents[successor] == nil {
                parents[successor] = world
                order.append(successor)
            }
        }
        report.states = next
        report.pairs = pairs.count
        return report
    }

    private func fault(of world: World) -> String? {
        let (left, right) = (sites[Int(world.sites.0)], sites[Int(world.sites.1)])
        return left.fault ?? right.fault ?? fault(left, right)
    }

    private mutating func successors(of world: World) -> [World] {
        var all: [World] = []
        for place in 0..<2 {
            let site = place == 0 ? world.sites.0 : world.sites.1
            let other = place == 0 ? world.sites.1 : world.sites.0
            func with(_ next: Int32, _ messages: SIMD4<Int32>) -> World {
                World(sites: place == 0 ? (next, other) : (other, next), messages: messages)
            }
            for next in alone(site) { all.append(with(next, world.messages)) }
            if sites[Int(other)].record.role == .primary {
                let epoch = sites[Int(other)].record.epoch
                let told = intern(sites[Int(site)].told(of: epoch, by: sites[Int(other)].id))
                if told != site { all.append(with(told, world.messages)) }
            }
            let poll = intern(SmallMessage(to: 1 - place, content: .poll(sites[Int(site)].report)))
            if let more = inserting(poll, into: world.messages) { all.append(with(site, more)) }
            for lane in 0..<messagesMax where world.messages[lane] != SmallModel.none {
                let message = world.messages[lane]
                guard messages[Int(message)].to == place else { continue }
                for (next, sent) in deliver(message, to: site) {
                    if next != site { all.append(with(next, world.messages)) }
                    for one in sent {
                        if let more = inserting(one, into: world.messages) { all.append(with(next, more)) }
                    }
                }
            }
        }
        for lane in 0..<messagesMax where world.messages[lane] != SmallModel.none {
            var fewer = world
            fewer.messages[lane] = SmallModel.none
            fewer.messages = SmallModel.sorted(fewer.messages)
            all.append(fewer)
        }
        return all
    }

    private func inserting(_ message: Int32, into set: SIMD4<Int32>) -> SIMD4<Int32>? {
        var set = set
        for lane in 0..<4 where set[lane] == message { return nil }
        guard set[messagesMax - 1] == SmallModel.none else { return nil }
        set[messagesMax - 1] = message
        return SmallModel.sorted(set)
    }

    private static func sorted(_ set: SIMD4<Int32>) -> SIMD4<Int32> {
        var set = set
        for end in 1..<4 {
            var lane = end
            while lane > 0, set[lane] < set[lane - 1] {
                let larger = set[lane - 1]
                set[lane - 1] = set[lane]
                set[lane] = larger
                lane -= 1
            }
        }
        return set
    }

    // MARK: Tables

    private mutating func intern(_ site: SmallSite) -> Int32 {
        if let place = places[site] { return place }
        sites.append(site)
        places[site] = Int32(sites.count - 1)
        return Int32(sites.count - 1)
    }

    private mutating func intern(_ message: SmallMessage) -> Int32 {
        if let place = messagePlaces[message] { return place }
        messages.append(message)
        messagePlaces[message] = Int32(messages.count - 1)
        return Int32(messages.count - 1)
    }

    private mutating func alone(_ site: Int32) -> [Int32] {
        if let known = aloneSteps[site] { return known }
        let steps = sites[Int(site)].alone(bounds).map { intern($0) }
        aloneSteps[site] = steps
        return steps
    }

    private mutating func deliver(_ message: Int32, to site: Int32) -> [Step] {
        let key = Int64(message) << 32 | Int64(site)
        if let known = deliveries[key] { return known }
        var steps: [Step] = []
        func add(_ step: (SmallSite, [SmallMessage])) {
            let place = intern(step.0)
            steps.append((place, step.1.map { intern($0) }))
        }
        let now = sites[Int(site)]
        for waits in [false, true] {
            switch messages[Int(message)].content {
            case .poll(let poll): add(now.polled(poll, waits: waits))
            case .answer(let answer, let feed):
                for rejoins in [false, true] {
                    add(now.answered(answer, feed: feed, rejoins: rejoins, waits: waits))
                }
            case .proposal(let command):
                var next = now
                next.apply(command)
                add((next, []))
            }
        }
        deliveries[key] = steps
        return steps
    }

    // MARK: What happened

    private func trace(to world: World, _ parents: [World: World]) -> String {
        var lines: [String] = []
        var world = world
        while true {
            let sites = [world.sites.0, world.sites.1].map { place in
                let site = self.sites[Int(place)]
                let record = site.record
                return "\(record.role) \(record.epoch)/\(record.seen) \(site.feed) orphans \(site.orphans)"
                    + (record.switchover.map { $0.grant == nil ? " frozen" : " granted" } ?? "")
            }
            let count = (0..<4).count { world.messages[$0] != SmallModel.none }
            lines.append(sites.joined(separator: "  |  ") + "  |  \(count) on the way")
            guard let parent = parents[world], parent != world else { break }
            world = parent
        }
        return lines.reversed().joined(separator: "\n")
    }
}
