internal import NIOCore
internal import RaftCore
internal import ReplicaCore

extension Replica {
    /// Bytes of envelopes packed in one log entry.
    static let entryBytesMax = 256 << 10
    /// Commands that wait while writes are under way, and their bytes: half of what may be uncommitted (64 MiB). Beyond it a disk
    /// that stalls would let them gather without end.
    static let gatheredMax = 65_536
    static let gatheredBytesMax = 32 << 20

    /// Takes a command into this turn; the reply is answered when it is applied, or at once where this node does not lead.
    func propose(_ envelope: [UInt8], reply: Reply) {
        guard !isStopped, !isDraining else { return reply.fail(HoldfastError(.unavailable, "the node is stopping")) }
        guard raft.role == .leader else { return reply.fail(notLeader()) }
        if let quarantine { return reply.fail(quarantine) }
        if let disability { return reply.fail(HoldfastError(.unavailable, disability.message)) }
        guard gathered.count < Self.gatheredMax, gatheredBytes + envelope.count <= Self.gatheredBytesMax else {
            return reply.fail(HoldfastError(.overloaded, "too many commands wait for the log; try again later"))
        }
        gathered.append((envelope, reply))
        gatheredBytes += envelope.count
        turn()
    }

    /// Packs the turn's commands into entries and proposes them. Keeps (2).
    func proposeGathered() {
        guard !gathered.isEmpty, mayPropose else { return }
        let commands = gathered
        gathered.removeAll(keepingCapacity: true)
        gatheredBytes = 0
        var payloads: [[UInt8]] = []
        var replies: [[Reply]] = []
        for (envelope, reply) in commands {
            if let last = payloads.last, last.count + envelope.count + 4 <= Self.entryBytesMax {
                EntryPayload.append(encoded: envelope[...], to: &payloads[payloads.count - 1])
                replies[replies.count - 1].append(reply)
            } else {
                var payload: [UInt8] = []
                EntryPayload.append(encoded: envelope[...], to: &payload)
                payloads.append(payload)
                replies.append([reply])
            }
        }
        figures.proposals.increment(by: commands.count)
        step(.propose(payloads)) { effect in
            switch effect {
            case .proposed(let first, _, let count):
                for place in 0..<count { proposals[first + UInt64(place)] = replies[place] }
            case .dropped(let refusal):
                let error = self.error(refusal)
                for reply in replies.joined() { reply.fail(error) }
            default:
                break
            }
        }
    }

    /// Answers the proposals of this node among `outcomes`.
    func answer(_ outcomes: [CommandOutcome]) {
        guard !proposals.isEmpty else { return }
        var index: LogIndex = 0
        var replies: [Reply]?
        for outcome in outcomes {
            if outcome.index != index {
                index = outcome.index
                replies = proposals.removeValue(forKey: index)
            }
            guard let replies, Int(outcome.ordinal) < replies.count else { continue }
            let reply = replies[Int(outcome.ordinal)]
            if case .refused(let refusal) = outcome.outcome {
                reply.fail(
                    refusal.code == .fenced
                        ? HoldfastError(refusal, details: fenceDetails()) : HoldfastError(refusal))
            } else {
                reply.succeed { $0.writeBytes(outcome.outcome.encoded()) }
            }
        }
    }

    /// Proposes a configuration change; `completion` hears what became of it, once.
    func propose(
        _ change: ConfigurationChange,
        completion: @escaping @Sendable (Result<ConfigurationOutcome, HoldfastError>) -> Void
    ) {
        guard !isStopped else { return completion(.failure(HoldfastError(.unavailable, "the node is stopping"))) }
        guard raft.role == .leader else { return completion(.failure(notLeader())) }
        do throws(HoldfastError) {
            try require(.membership)
        } catch {
            return completion(.failure(error))
        }
        step(.proposeConfiguration(change)) { effect in
            switch effect {
            case .proposed(let first, _, _): changes[first] = completion
            case .dropped(let refusal): completion(.failure(error(refusal)))
            default: break
            }
        }
        turn()
    }

    /// What some member's build does not know must not enter the log: it would have other rows than its peers.
    func require(_ feature: Feature) throws(HoldfastError) {
        guard !isActive(feature) else { return }
        throw HoldfastError(
            .preconditionFailed,
            "this needs feature version \(feature.since), and some member of the cluster is not known to have it; "
                + "upgrade every member ('cluster status' shows their versions), then ask again")
    }

    func failProposals(_ error: HoldfastError) {
        for (_, completion) in changes { completion(.failure(error)) }
        changes.removeAll()
        for (_, replies) in proposals { for reply in replies { reply.fail(error) } }
        proposals.removeAll()
        let refused = notLeader()
        for (_, reply) in gathered { reply.fail(refused) }
        gathered.removeAll()
        gatheredBytes = 0
    }

    /// The refusal that names the leader where it is known.
    func notLeader() -> HoldfastError {
        var details: [String: String] = [:]
        if raft.leader != noNode, raft.leader != raft.id {
            details["leader"] = String(raft.leader)
            if let endpoint = peers.endpoint(of: raft.leader) { details["endpoint"] = endpoint }
        }
        let hint = details["leader"].map { "node \($0) does" } ?? "no leader is known yet"
        return HoldfastError(.notLeader, "node \(raft.id) does not lead; \(hint)", details: details)
    }

    /// A refusal of consensus in the words of the public interface; nothing of the request has happened.
    func error(_ refusal: RaftCore.Refusal) -> HoldfastError {
        switch refusal {
        case .noLeader, .notLeader, .notMember:
            notLeader()
        case .transferring(let node):
            HoldfastError(
                .notLeader, "leadership is being handed to node \(node)",
                details: ["leader": String(node)].merging(
                    peers.endpoint(of: node).map { ["endpoint": $0] } ?? [:], uniquingKeysWith: { first, _ in first }))
        case .uncommittedQuota:
            HoldfastError(.overloaded, "too many bytes wait to be committed; try again later")
        case .readQuota:
            HoldfastError(.overloaded, "too many reads wait; try again later")
        case .configurationPending(let index):
            HoldfastError(.unavailable, "a configuration change at index \(index) is still under way")
        case .mustLeaveJoint:
            HoldfastError(.unavailable, "a configuration change is still under way")
        case .notJoint, .invalidConfiguration:
            HoldfastError(.invalidArgument, "the change does not fit the configuration: \(refusal)")
        case .unknownPeer(let node):
            HoldfastError(.invalidArgument, "node \(node) is no member")
        }
    }
}
