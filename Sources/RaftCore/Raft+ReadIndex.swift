// Linearizable reads without a log entry (thesis §6.4).
extension Raft {
    /// A read of this node.
    mutating func readIndex(_ context: UInt64) -> Refusal? {
        receive(Message(.readIndex, to: noNode, from: id, context: context))
    }

    /// Whether an entry of this leader's term is committed: before that its commit index may be behind (thesis §6.4). That goes for a
    /// sole voter as well, whose log after a restart holds more than it knows to be committed.
    var hasCommittedInTerm: Bool { log.term(at: log.commit) == term }

    /// Takes a read as leader.
    mutating func acceptRead(_ request: ReadRounds.Request) -> Refusal? {
        var request = request
        request.index = log.commit
        guard reads.count < configuration.pendingReadsMax else { return .readQuota }
        if hasCommittedInTerm {
            startRound(for: request)
        } else {
            reads.addEarly(request)
        }
        return nil
    }

    /// Answers at once where there is nobody else to ask, or under a lease, else asks the members whether this replica still leads.
    private mutating func startRound(for request: ReadRounds.Request) {
        if members.isSingleton || holdsLease {
            answer(request)
            return
        }
        reads.add(request)
        reads.acknowledge(from: id, position: reads.position)
        broadcastHeartbeat()
    }

    /// Starts the reads that waited for the first commit of the term.
    mutating func releaseEarlyReads() {
        guard !reads.early.isEmpty, hasCommittedInTerm else { return }
        for var request in reads.takeEarly() {
            request.index = log.commit
            startRound(for: request)
        }
    }

    /// Counts a heartbeat's answer towards the round it was sent in.
    mutating func confirmReads(_ message: Message) {
        guard message.context != 0 else { return }
        reads.acknowledge(from: message.from, position: message.context)
        for request in reads.takeConfirmed(voters: members.voters, outgoing: members.votersOutgoing) {
            answer(request)
        }
    }

    private mutating func answer(_ request: ReadRounds.Request) {
        if request.from == id {
            readyReads.append((index: request.index, context: request.context))
        } else {
            send(Message(.readIndexResponse, to: request.from, index: request.index, context: request.context))
        }
    }
}
