// Roles, timeouts and elections (paper §5.1, §5.2; pre-vote: thesis §9.6).
extension Raft {
    /// How a campaign came about.
    enum Campaign {
        case preVote
        case vote
        /// A leader asked for it: no pre-vote, and leases do not count.
        case transfer
    }

    /// Starts afresh in `newTerm`: everything that belonged to the old role is forgotten.
    private mutating func reset(term newTerm: Term) {
        precondition(newTerm >= term, "the term would fall from \(term) to \(newTerm)")  // Keeps (1).
        if newTerm != term {
            term = newTerm
            vote = noNode
            leaseIsVoid = false
        }
        leader = noNode
        electionElapsed = 0
        heartbeatElapsed = 0
        randomizedElectionTicks = configuration.electionTicks + random.next(below: configuration.electionTicks)
        transferee = noNode
        members.resetVotes()
        members.resetProgress(lastIndex: log.lastIndex, selfID: id)
        pendingConfigurationIndex = 0
        uncommittedBytes = 0
        reads = ReadRounds()
    }

    mutating func becomeFollower(term newTerm: Term, leader newLeader: NodeID) {
        reset(term: newTerm)
        leader = newLeader
        role = .follower
    }

    private mutating func becomeCandidate() {
        precondition(role != .leader, "a leader does not campaign")
        reset(term: term + 1)
        vote = id
        role = .candidate
    }

    /// A pre-candidate keeps its term, its vote and its timers.
    private mutating func becomePreCandidate() {
        precondition(role != .leader, "a leader does not campaign")
        members.resetVotes()
        leader = noNode
        role = .preCandidate
    }

    private mutating func becomeLeader() {
        precondition(role != .follower, "a follower cannot lead without a campaign")
        reset(term: term)
        leader = id
        role = .leader
        if let place = members.place(of: id) {
            members.progress[place].becomeReplicate(stream: members.newSession())
            members.progress[place].recentActive = true
        }
        // There may be an unapplied change anywhere in the tail; waiting for all of it is cheaper than a search.
        pendingConfigurationIndex = log.lastIndex
        // Commits everything of earlier terms once it commits (paper §5.4.2, §8).
        let accepted = append([Entry()])
        precondition(accepted, "an empty entry is never over a quota")
    }

    /// One tick of the clock.
    mutating func tick() {
        ticks += 1
        if role == .leader { tickLeader() } else { tickOther() }
    }

    private mutating func tickOther() {
        electionElapsed += 1
        guard isPromotable, electionElapsed >= randomizedElectionTicks else { return }
        electionElapsed = 0
        campaignIfAllowed(configuration.preVote ? .preVote : .vote)
    }

    private mutating func tickLeader() {
        heartbeatElapsed += 1
        electionElapsed += 1
        if electionElapsed >= configuration.electionTicks {
            electionElapsed = 0
            if configuration.checkQuorum { checkQuorum() }
            // A transfer that takes longer than an election is given up (thesis §3.10).
            if role == .leader { transferee = noNode }
        }
        guard role == .leader, heartbeatElapsed >= configuration.heartbeatTicks else { return }
        heartbeatElapsed = 0
        broadcastHeartbeat()
    }

    /// Steps down unless a quorum answered since the last check (thesis §6.2).
    private mutating func checkQuorum() {
        if !members.quorumIsActive { becomeFollower(term: term, leader: noNode) }
        for place in members.progress.indices where members.progress[place].id != id {
            members.progress[place].recentActive = false
        }
    }

    /// Whether this replica may become leader: it votes, does not withhold its vote, and no snapshot is being installed.
    var isPromotable: Bool {
        guard !withholdsVotes, let place = members.place(of: id) else { return false }
        return !members.progress[place].isLearner && log.incoming == nil
    }

    /// Campaigns unless this replica leads, must not, or has committed configuration changes to apply first.
    mutating func campaignIfAllowed(_ campaign: Campaign) {
        guard role != .leader, isPromotable, !log.hasUnappliedConfigurationChange else { return }
        self.campaign(campaign)
    }

    private mutating func campaign(_ campaign: Campaign) {
        let isPreVote = campaign == .preVote
        // A pre-vote asks for the next term without entering it.
        if isPreVote { becomePreCandidate() } else { becomeCandidate() }
        let asked = isPreVote ? term + 1 : term
        let last = log.lastID
        for node in members.allVoters {
            if node == id {
                // The vote for itself counts, like any other, when it is durable.
                send(Message(isPreVote ? .requestPreVoteResponse : .requestVoteResponse, to: id, term: asked))
            } else {
                send(
                    Message(
                        isPreVote ? .requestPreVote : .requestVote, to: node, term: asked, logTerm: last.term,
                        index: last.index, context: campaign == .transfer ? Message.transferContext : 0))
            }
        }
    }

    /// Whether a live leader was heard so recently that no other candidate is welcome (thesis §4.2.3).
    var hearsLeader: Bool {
        configuration.checkQuorum && electionElapsed < configuration.electionTicks && leader != noNode
    }

    /// Whether this replica may have promised a leader, before it restarted, to refuse votes (thesis §6.4.1).
    private var mayHavePromised: Bool {
        configuration.guardsLeases && configuration.readMode.isLease && ticks <= UInt64(configuration.electionTicks)
            && role == .follower
    }

    /// Whether a lease that others may hold forbids a vote or a campaign now.
    var defersToLease: Bool {
        mayHavePromised || (configuration.guardsLeases && configuration.readMode.isLease && hearsLeader)
    }

    /// Whether a candidate at a higher term is ignored.
    func ignores(candidate message: Message) -> Bool {
        message.context != Message.transferContext && (hearsLeader || mayHavePromised)
    }

    /// Answers a request for a vote or a pre-vote at this term, or a pre-vote beyond it (paper §5.4.1).
    mutating func answerVote(_ message: Message) {
        let isPreVote = message.kind == .requestPreVote
        let response: Message.Kind = isPreVote ? .requestPreVoteResponse : .requestVoteResponse
        let isFree =
            vote == message.from || (vote == noNode && leader == noNode) || (isPreVote && message.term > term)
        // A learner votes too: it may have been promoted without knowing it yet, and its vote may be needed.
        // Keeps (10).
        guard isFree, !withholdsVotes, log.isCovered(by: EntryID(term: message.logTerm, index: message.index)) else {
            send(Message(response, to: message.from, term: term, reject: true))
            return
        }
        // The candidate's term, which for a pre-vote is not this replica's: it ignores answers at an older one.
        send(Message(response, to: message.from, term: message.term))
        if !isPreVote {
            electionElapsed = 0
            vote = message.from
        }
    }

    /// Counts an answer to this replica's campaign.
    mutating func countVote(_ message: Message) {
        switch members.record(vote: !message.reject, from: message.from) {
        case .pending:
            break
        case .won:
            if role == .preCandidate {
                campaign(.vote)
            } else {
                becomeLeader()
                broadcastAppend()
            }
        case .lost:
            becomeFollower(term: term, leader: noNode)
        }
    }

    // MARK: leadership transfer (thesis §3.10)

    /// Starts to hand leadership over, or passes the wish to the leader.
    mutating func transferLeadership(to target: NodeID) {
        switch role {
        case .leader: startTransfer(to: target)
        case .follower:
            if leader != noNode { send(Message(.transferLeadership, to: leader, from: target)) }
        case .candidate, .preCandidate: break
        }
    }

    private mutating func startTransfer(to target: NodeID) {
        guard let place = members.place(of: target), !members.progress[place].isLearner, transferee != target
        else { return }
        transferee = noNode
        guard target != id else { return }
        // It should end within one election timeout.
        electionElapsed = 0
        transferee = target
        if members.progress[place].match == log.lastIndex {
            sendTimeoutNow(to: target)
        } else {
            sendAppend(to: place)
        }
    }

    mutating func sendTimeoutNow(to target: NodeID) {
        leaseIsVoid = true
        send(Message(.timeoutNow, to: target))
    }

    /// A follower stops deferring to its leader; with leases it must not.
    mutating func forgetLeader() {
        guard role == .follower, !configuration.readMode.isLease else { return }
        leader = noNode
    }
}
