internal import RaftCore
internal import ReplicaCore

/// Linearizable reads of a process: those gathered for the next round, the round that is out, and those whose index is known and not yet applied.
struct ReadQueue {
    var gathered: [ReadRequest] = []
    var asked: [ReadRequest] = []
    var isAsked = false
    /// Ticks since the round was asked for.
    var age = 0
    var context: UInt64 = 0
    var nextContext: UInt64 = 0
    var waiting: [(index: LogIndex, reads: [ReadRequest])] = []
}

/// A read of one key, and who waits for it.
struct ReadRequest {
    var ticket: Ticket
    var key: [UInt8]
    /// Not a customer's: this leader of a term has forgotten what a member acknowledged.
    var forgotten: (member: NodeID, term: Term)?
    /// Not a customer's: a poll of the other site waits for it.
    var sitePoll: UInt64?
}

extension Process {
    func read(_ request: ReadRequest) {
        reads.gathered.append(request)
        turn()
    }

    /// Keeps (3).
    func startReadRound() {
        guard !reads.isAsked, !reads.gathered.isEmpty else { return }
        // Before its term's first commit a leader's commit index may be behind (thesis §6.4).
        guard raft.role != .leader || raft.term(at: raft.commitIndex) == raft.term else { return }
        reads.asked = reads.gathered
        reads.gathered = []
        reads.nextContext += 1
        reads.context = id << 48 | UInt64(life) << 32 | reads.nextContext
        reads.isAsked = true
        reads.age = 0
        var isRefused = false
        step(.readIndex(context: reads.context)) { effect in
            if case .dropped(let refusal) = effect {
                switch refusal {
                case .noLeader, .notLeader: break
                default: isRefused = true
                }
            }
        }
        guard isRefused else { return }
        for read in reads.asked { world.answer(read.ticket, .overloaded, from: id) }
        reads.asked = []
        reads.isAsked = false
    }

    func readReady(index: LogIndex, context: UInt64) {
        guard reads.isAsked, context == reads.context else { return }
        let ready = reads.asked
        reads.asked = []
        reads.isAsked = false
        if index <= appliedIndex { serve(ready) } else { reads.waiting.append((index, ready)) }
        if !reads.gathered.isEmpty { turn() }
    }

    func releaseReads() {
        while let first = reads.waiting.first, first.index <= appliedIndex {
            serve(first.reads)
            reads.waiting.removeFirst()
        }
    }

    /// The leader or the term changed, or nobody answered: a round that is out may never be answered.
    func retryReads() {
        guard reads.isAsked else { return }
        reads.gathered.insert(contentsOf: reads.asked, at: 0)
        reads.asked = []
        reads.isAsked = false
    }

    private func serve(_ ready: [ReadRequest]) {
        for read in ready {
            if let (member, term) = read.forgotten {
                forgotten(member, in: term)
                continue
            }
            if let poll = read.sitePoll {
                site?.confirmed(poll)
                continue
            }
            if !applier.site.acknowledges, let fence = applier.site.refusalOfWrites {
                world.answer(read.ticket, .outcome(.refused(fence)), from: id)
                continue
            }
            do throws(QueryError) {
                let result = try History.range(
                    RangeQuery(.key(read.key[...])), at: applier.readPoint, rows: rows)
                world.answer(
                    read.ticket, .value(result.kvs.first.map { Array($0.value) }, revision: result.revision), from: id)
            } catch {
                world.fail("node \(id) cannot read: \(error)")
            }
        }
    }
}
