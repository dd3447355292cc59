internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage

/// A read of rows and where its answer goes.
struct ReadJob: Sendable {
    var reply: Reply
    /// When the caller stops waiting.
    var deadline: NIODeadline
    /// Reads and encodes, on the read thread.
    var execute: @Sendable (borrowing ReadView) throws(HoldfastError) -> ByteBuffer
}

/// Linearizable reads on their way (thesis §6.4): those gathered for the next round, the round that is out, and
/// those whose index is known and not yet applied.
struct ReadRound {
    var gathered: [ReadJob] = []
    var asked: [ReadJob] = []
    var askedAt: NIODeadline?
    var context: UInt64 = 0
    var waiting: [(index: LogIndex, jobs: [ReadJob])] = []
    /// The context of the next round: distinct for every node and life, so that none is ever used twice.
    var nextContext: UInt64 = UInt64.random(in: 1...(.max)) & ~0xFFFF_FFFF
}

extension Replica {
    /// How long a round may go unanswered before its reads are asked for anew.
    private static let roundPatience = TimeAmount.milliseconds(400)
    /// Reads that wait for the next round: as many as consensus lets wait for a quorum.
    private static let gatheredReadsMax = 65_536

    /// Takes a read; a stale one goes to the read thread at once.
    func read(_ job: ReadJob, consistency: ReadConsistency) {
        guard !isStopped, !isDraining else {
            return job.reply.fail(HoldfastError(.unavailable, "the node is stopping"))
        }
        if let quarantine { return job.reply.fail(quarantine) }
        switch consistency {
        // Whoever asks for a revision compares it in the job.
        case .stale, .atLeast: submit([job])
        case .linearizable:
            guard reads.gathered.count < Self.gatheredReadsMax else {
                return job.reply.fail(HoldfastError(.overloaded, "too many reads wait for a round; try again later"))
            }
            reads.gathered.append(job)
            turn()
        }
    }

    /// Keeps (4).
    func startReadRound() {
        guard reads.askedAt == nil, !reads.gathered.isEmpty else { return }
        // Before its term's first commit a leader's commit index may be behind (thesis §6.4), and a leader without peers would
        // answer at once: after a restart, without the last acknowledged writes.
        guard raft.role != .leader || raft.term(at: raft.commitIndex) == raft.term else { return }
        reads.asked = reads.gathered
        reads.gathered = []
        reads.nextContext &+= 1
        reads.context = reads.nextContext
        reads.askedAt = .now()
        var refusal: RaftCore.Refusal?
        step(.readIndex(context: reads.context)) { effect in
            if case .dropped(let reason) = effect { refusal = reason }
        }
        guard let refusal else { return }
        switch refusal {
        case .noLeader, .notLeader:
            // Wait for a leader until the callers' deadlines; the next round is asked when one is known.
            break
        default:
            let error = self.error(refusal)
            for job in reads.asked { job.reply.fail(error) }
            reads.asked = []
            reads.askedAt = nil
        }
    }

    func readReady(index: LogIndex, context: UInt64) {
        guard reads.askedAt != nil, context == reads.context else { return }
        let jobs = reads.asked
        reads.asked = []
        reads.askedAt = nil
        figures.readRounds.increment()
        if index <= appliedIndex { submit(jobs) } else { reads.waiting.append((index, jobs)) }
        // This is in the middle of a turn's effects: what a round asked for now would wait for the next turn.
        if !reads.gathered.isEmpty { turn() }
    }

    /// Lets reads go whose index is applied.
    func releaseReads() {
        guard !reads.waiting.isEmpty else { return }
        while let first = reads.waiting.first, first.index <= appliedIndex {
            submit(first.jobs)
            reads.waiting.removeFirst()
        }
    }

    /// The leader or the term changed: a round that is out may never be answered.
    func retryReads() {
        guard reads.askedAt != nil else { return }
        reads.gathered.insert(contentsOf: reads.asked, at: 0)
        reads.asked = []
        reads.askedAt = nil
    }

    func expireReads(now: NIODeadline) {
        if let askedAt = reads.askedAt, now - askedAt > Self.roundPatience { retryReads() }
        let isLate: (ReadJob) -> Bool = { $0.deadline <= now }
        for job in reads.gathered where isLate(job) { job.reply.fail(lateRead()) }
        for job in reads.asked where isLate(job) { job.reply.fail(lateRead()) }
        reads.gathered.removeAll(where: isLate)
        reads.asked.removeAll(where: isLate)
        for place in reads.waiting.indices {
            for job in reads.waiting[place].jobs where isLate(job) { job.reply.fail(lateRead()) }
            reads.waiting[place].jobs.removeAll(where: isLate)
        }
        reads.waiting.removeAll { $0.jobs.isEmpty }
    }

    func failReads(_ error: HoldfastError) {
        let waiting = reads.waiting.flatMap(\.jobs)
        for job in reads.gathered + reads.asked + waiting { job.reply.fail(error) }
        reads = ReadRound()
    }

    private func lateRead() -> HoldfastError {
        raft.leader == noNode
            ? HoldfastError(.unavailable, "no leader is known, so the read cannot be proved current; try --stale")
            : HoldfastError(.deadlineExceeded, "no quorum confirmed the leader in time, so the read was not served")
    }

    private func submit(_ jobs: [ReadJob]) {
        for job in jobs {
            readLane.submit { [replies, onDamage] view, fault in
                let result: Result<ByteBuffer, HoldfastError>
                do throws(HoldfastError) {
                    if let fault { throw fault }
                    result = .success(try job.execute(view))
                } catch {
                    if error.code == .corrupted { onDamage.body?(error) }
                    result = .failure(error)
                }
                replies.post(job.reply, result)
            }
        }
    }
}
