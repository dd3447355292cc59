internal import RaftCore
internal import ReplicaCore
internal import Storage

// The storm: which fault strikes next, and how long it lasts.
extension World {
    /// Strikes once and plans the next strike. The first strikes are of every kind that the climate has.
    func strike() {
        guard !isCalm else { return }
        schedule(.fault, after: faultDice.between(climate.faultGap / 4, 2 * climate.faultGap))
        let kind = faults < climate.kinds.count ? climate.kinds[faults] : faultDice.pick(climate.kinds)
        var own = faultDice.split()
        faults += 1
        guard sites?.countsFault() ?? (faults <= faultsMax) else { return }
        note { "FAULT \(self.faults): \(kind)" }
        if strike(kind, &own) { kindsSeen |= kind.bit }
    }

    /// Does what the kind says; false if there was nothing to do it to.
    private func strike(_ kind: FaultKind, _ own: inout Dice) -> Bool {
        switch kind {
        case .loss: weather(kind, for: own.between(500_000, 8_000_000)) { $0.lossPerMille = 10 + own.below(300) }
        case .duplication:
            weather(kind, for: own.between(500_000, 8_000_000)) { $0.duplicationPerMille = 10 + own.below(300) }
        case .delay:
            weather(kind, for: own.between(500_000, 5_000_000)) { $0.extraDelay = own.between(20_000, 800_000) }
        case .partition: partition(&own)
        case .oneWayPartition:
            weather(kind, for: own.between(300_000, 6_000_000)) { network in
                for from in nodes { for to in nodes where own.chance(perMille: 300) { network.cut(from.id, to.id) } }
            }
        case .outage:
            for node in nodes where node.isRunning { crash(node, restartAfter: own.between(1_000, 1_500_000)) }
        case .transfer: return handOver(&own)
        case .membership: return operate()
        default:
            guard let victim = victim(&own) else { return false }
            return strike(kind, victim, &own)
        }
        return true
    }

    /// The kinds that hit one node.
    private func strike(_ kind: FaultKind, _ victim: SimulatedNode, _ own: inout Dice) -> Bool {
        switch kind {
        case .crash: crash(victim, restartAfter: own.between(1_000, 4_000_000))
        case .pause: victim.pausedUntil = now + own.between(100_000, 4_000_000)
        case .stall: victim.stalledUntil = now + own.between(100_000, 4_000_000)
        case .fullDisk:
            victim.disk.isFull = true
            schedule(.weatherEnds(kind, victim.id), after: own.between(500_000, 5_000_000))
        case .failedWrite: victim.disk.callsUntilFailure = own.below(4)
        case .bitFlip: return damage(victim, &own)
        case .lostDisk:
            guard canLose(victim) else { return false }
            lose(victim)
        case .clock:
            victim.clockOffset = Int64(own.between(0, 200_000_000)) - 100_000_000
            victim.tickScale = own.pick([500, 900, 1000, 1000, 1100, 2000])
        default: return false
        }
        return true
    }

    private func victim(_ own: inout Dice) -> SimulatedNode? {
        let running = nodes.filter { $0.isRunning }
        return running.isEmpty ? nil : own.pick(running)
    }

    /// Changes the weather of the network until it ends.
    private func weather(_ kind: FaultKind, for time: UInt64, _ change: (inout Network) -> Void) {
        change(&network)
        weathers += 1
        schedule(.weatherEnds(kind, weathers), after: time)
    }

    func endWeather(_ kind: FaultKind, _ number: UInt64) {
        switch kind {
        case .loss: network.lossPerMille = 0
        case .duplication: network.duplicationPerMille = 0
        case .delay: network.extraDelay = 0
        case .partition, .oneWayPartition: network.mend()
        case .fullDisk: node(number).disk.isFull = false
        default: break
        }
    }

    private func partition(_ own: inout Dice) {
        var sides: [Bool] = []
        for _ in nodes { sides.append(own.chance(perMille: 500)) }
        weather(.partition, for: own.between(300_000, 8_000_000)) { network in
            for from in nodes.indices {
                for to in nodes.indices where sides[from] != sides[to] { network.cut(nodes[from].id, nodes[to].id) }
            }
        }
    }

    private func handOver(_ own: inout Dice) -> Bool {
        guard let leader = nodes.first(where: { $0.process?.raft.role == .leader })?.process else { return false }
        leader.step(.transferLeadership(to: own.pick(leader.raft.confState.members)))
        leader.turn()
        return true
    }

    // MARK: damage

    /// Flips one bit of what the disk holds for certain, and starts the node again. It may find its other copy, or refuse.
    private func damage(_ node: SimulatedNode, _ own: inout Dice) -> Bool {
        guard canLose(node) else { return false }
        crash(node, restartAfter: own.between(1_000, 500_000))
        let paths = node.disk.paths.filter { !$0.hasSuffix(".new") }
        let path = own.pick(paths)
        let bytes = confirmedBytes(path, node)
        guard bytes > 0 else { return false }
        node.disk.flip(path, byte: own.below(bytes), bit: own.below(8))
        node.mayBeDamaged = true
        return true
    }

    /// Bytes at the start of a file whose loss must be noticed: all of a small record, and of a segment what the header ring vouches for.
    func confirmedBytes(_ path: String, _ node: SimulatedNode) -> Int {
        guard path.contains("segment-") else { return path.contains("headers") ? 0 : 56 }
        let seed = LogFormat.seed(identity: node.id)
        let generation = node.disk.durableBytes(path).withUnsafeBytes { SegmentHeader($0, seed: seed)?.generation }
        guard let generation else { return 0 }
        var confirmed = 0
        node.disk.durableBytes("/headers").withUnsafeBytes { ring in
            for slot in 0..<ring.count / RingHeader.bytes {
                let bytes = UnsafeRawBufferPointer(rebasing: ring[(slot * RingHeader.bytes)...])
                guard let header = RingHeader(bytes, seed: seed) else { continue }
                if header.position.generation > generation { confirmed = Int.max }
                if header.position.generation == generation { confirmed = max(confirmed, Int(header.position.offset)) }
            }
        }
        return min(confirmed, climate.segmentBytes)
    }

    /// Whether the cluster survives without a node: a quorum of both halves is left, and holds every published chunk.
    ///
    /// A node decides in the configuration that it knows, which may be older, and after a crash older still: nobody may need the lost one there either.
    func canLose(_ node: SimulatedNode) -> Bool {
        guard lastChange + 5_000_000 < now else { return false }
        let members = newestMembers
        let left = nodes.filter { $0.id != node.id && $0.isSound }.map(\.id)
        guard members.isQuorum(left) else { return false }
        // Nor where a change leads to that is in a log and not decided on.
        unsettledChanges.removeAll { change in nodes.contains { ($0.process?.appliedIndex ?? 0) >= change.index } }
        guard unsettledChanges.allSatisfy({ Members(voters: $0.voters).isQuorum(left) }) else { return false }
        for other in nodes where left.contains(other.id) && members.contains(other.id) {
            if let process = other.process, !Members(process.raft.confState).isQuorum(left) { return false }
            do throws(RowError) {
                if try !Applier(loading: other.durableRows).members.isQuorum(left) { return false }
            } catch {
                fail("node \(other.id) cannot read its rows: \(error.message)")
            }
        }
        return checks.published.survives(without: node.id, members) { self.node($0).chunks.holds($1) }
    }

    /// The configuration of the highest applied index.
    var newestMembers: Members {
        checks.configurations.newest ?? Members(voters: (1...UInt64(climate.voters)).map { $0 })
    }
}
