internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage
internal import Synchronization

/// The leader's comparison of histories: about once a second it asks every member for the chain hash after a revision that it has
/// itself applied, and tells those that differ from a quorum.
///
/// Members look the hash up in their feed, so nobody keeps a ring of hashes, and all are asked about one revision. Nothing is chosen
/// without a quorum: one against one is an alarm.
final class FeedCheck: Sendable {
    /// How long one member may take. The next check comes a second after this one.
    private static let patience = TimeAmount.milliseconds(2_000)

    private let node: NodeID
    private let state: MemberState
    private let peers: IntegrityPeers
    private let quarantine: Quarantine
    private let figures: NodeFigures
    private let logger: Logger
    private let isUnderWay = Atomic<Bool>(false)

    init(
        node: NodeID, state: MemberState, peers: IntegrityPeers, quarantine: Quarantine, figures: NodeFigures,
        logger: Logger
    ) {
        self.node = node
        self.state = state
        self.peers = peers
        self.quarantine = quarantine
        self.figures = figures
        self.logger = logger
    }

    /// Begins a check if this node leads and none is under way. Called about once a second.
    func begin() {
        let now = state.now
        guard now.leadership.role == .leader, !now.isStopped else {
            state.update { $0.isFeedTied = false }
            return
        }
        guard now.quarantine == nil, now.applied.revision > 0,
            isUnderWay.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged
        else { return }
        Task {
            await check(now.applied, now.members)
            isUnderWay.store(false, ordering: .releasing)
        }
    }

    private func check(_ applied: AppliedState, _ members: Members) async {
        var ballot = FeedBallot(members: members)
        ballot.add(applied.feedHash, of: node)
        for (node, hash) in await words(on: applied, of: members.everyone.filter { $0 != node }) {
            ballot.add(hash, of: node)
        }
        let verdict = ballot.verdict
        let wasTied = state.now.isFeedTied
        state.update { $0.isFeedTied = verdict == .tied }
        figures.feedChecks.increment()
        switch verdict {
        case .agreed: break
        case .tied:
            guard !wasTied else { return }
            logger.critical(
                "the members' histories differ and no quorum says which is right: find the wrong node and replace it",
                metadata: ["revision": "\(applied.revision)"])
        case .odd(let nodes, let right):
            await tell(nodes, applied, right)
        }
    }

    /// The words of the members that give one in time.
    private func words(on applied: AppliedState, of nodes: [NodeID]) async -> [(NodeID, Digest)] {
        let request = IntegrityRequest.feedHash(revision: applied.revision, appliedAtLeast: applied.index)
        let deadline = NIODeadline.now() + Self.patience
        return await withTaskGroup(of: (NodeID, Digest)?.self) { group in
            for node in nodes {
                group.addTask { [peers, logger] in
                    do throws(HoldfastError) {
                        guard case .hash(let hash) = try await peers.ask(node, request, deadline: deadline) else {
                            return nil
                        }
                        return (node, hash)
                    } catch {
                        // Unreachable, behind, or of an older build: it has no word this time.
                        logger.debug("no feed hash", metadata: ["node": "\(node)", "reason": "\(error.message)"])
                        return nil
                    }
                }
            }
            var words: [(NodeID, Digest)] = []
            for await word in group { if let word { words.append(word) } }
            return words
        }
    }

    private func tell(_ nodes: [NodeID], _ applied: AppliedState, _ right: Digest) async {
        for odd in nodes {
            logger.critical(
                "a member's history differs from a quorum's",
                metadata: ["node": "\(odd)", "revision": "\(applied.revision)", "quorum": "\(right)"])
            if odd == node {
                await quarantine.enterDiffering(at: applied.revision, own: applied.feedHash, right: right)
                continue
            }
            do throws(HoldfastError) {
                _ = try await peers.ask(
                    odd, .differs(revision: applied.revision, appliedAtLeast: applied.index, right: right),
                    deadline: .now() + Self.patience)
            } catch {
                // The next check finds it again.
                logger.error(
                    "a member that differs could not be told", metadata: ["node": "\(odd)", "reason": "\(error)"])
            }
        }
    }
}

extension Quarantine {
    /// Quarantines this node for a history that is not a quorum's; off the caller's thread, since it blocks on the disk.
    func enterDiffering(at revision: Revision, own: Digest, right: Digest) async {
        let found =
            own == .zero
            ? "it lacks revision \(revision), which a quorum has with feed hash \(right)"
            : "at revision \(revision) its feed hash is \(own), a quorum's \(right)"
        let mark = RepairMark(.feed, found, milliseconds: WallClock.milliseconds)
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            LaneThread.start("hf-quarantine") {
                self.enter(mark)
                continuation.resume()
            }
        }
    }
}
