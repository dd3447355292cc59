// The way of a message: first its term, then its kind, then the role it meets.
extension Raft {
    /// Takes a message from a peer or from itself; answers why a request in it was refused, if so.
    mutating func receive(_ message: Message) -> Refusal? {
        if message.kind.isResponse, members.place(of: message.from) == nil { return .unknownPeer(message.from) }
        // Requests without a term come from this very node or were forwarded to the leader.
        if message.term != 0 {
            if message.term > term {
                guard meetsHigherTerm(message) else { return nil }
            } else if message.term < term {
                answerLowerTerm(message)
                return nil
            }
        }
        switch message.kind {
        case .requestVote, .requestPreVote:
            answerVote(message)
            return nil
        default:
            switch role {
            case .leader: return receiveAsLeader(message)
            case .follower: return receiveAsFollower(message)
            case .candidate, .preCandidate: return receiveAsCandidate(message)
            }
        }
    }

    /// Enters a higher term where the message asks for it (paper §5.1); false if the message is to be ignored.
    private mutating func meetsHigherTerm(_ message: Message) -> Bool {
        switch message.kind {
        case .requestVote, .requestPreVote:
            if ignores(candidate: message) { return false }
            if message.kind == .requestVote { becomeFollower(term: message.term, leader: noNode) }
        case .requestPreVoteResponse where !message.reject:
            // Granted at the term this replica would campaign at; it is entered only when a quorum granted it.
            break
        case .appendEntries, .heartbeat, .installSnapshot:
            becomeFollower(term: message.term, leader: message.from)
        default:
            becomeFollower(term: message.term, leader: noNode)
        }
        return true
    }

    /// Answers an outdated message only where silence could lock the sender out.
    private mutating func answerLowerTerm(_ message: Message) {
        switch message.kind {
        case .heartbeat, .appendEntries:
            // With leases or pre-votes a candidate that is ignored cannot depose the sender, so tell it the term.
            guard configuration.checkQuorum || configuration.preVote else { return }
            send(Message(.appendEntriesResponse, to: message.from))
        case .requestPreVote:
            // A candidate of an older term with a longer log must learn the term, else nobody might ever win.
            send(Message(.requestPreVoteResponse, to: message.from, term: term, reject: true))
        default:
            break
        }
    }

    private mutating func receiveAsLeader(_ message: Message) -> Refusal? {
        switch message.kind {
        case .propose:
            return acceptProposal(message.entries).refusal
        case .readIndex:
            return acceptRead(ReadRounds.Request(from: message.from, context: message.context, index: 0))
        case .appendEntriesResponse:
            if let place = members.place(of: message.from) { appendAnswered(message, at: place) }
        case .heartbeatResponse:
            if let place = members.place(of: message.from) { heartbeatAnswered(message, at: place) }
        case .transferLeadership:
            transferLeadership(to: message.from)
        default:
            break
        }
        return nil
    }

    private mutating func receiveAsCandidate(_ message: Message) -> Refusal? {
        switch message.kind {
        case .propose:
            return .noLeader
        case .readIndex:
            return .noLeader
        case .appendEntries, .heartbeat, .installSnapshot:
            // Somebody else won this term.
            becomeFollower(term: message.term, leader: message.from)
            return receiveAsFollower(message)
        case .requestVoteResponse where role == .candidate, .requestPreVoteResponse where role == .preCandidate:
            countVote(message)
        default:
            break
        }
        return nil
    }

    private mutating func receiveAsFollower(_ message: Message) -> Refusal? {
        switch message.kind {
        case .propose:
            guard leader != noNode else { return .noLeader }
            guard configuration.forwardsProposals else { return .notLeader(leader) }
            forward(message)
        case .readIndex:
            guard leader != noNode else { return .noLeader }
            forward(message)
        case .transferLeadership:
            transferLeadership(to: message.from)
        case .appendEntries:
            hear(message.from)
            merge(message)
        case .heartbeat:
            hear(message.from)
            if believes(commit: message.commit) { log.advanceCommit(to: message.commit) }
            send(
                Message(.heartbeatResponse, to: message.from, context: message.context, session: message.session))
        case .installSnapshot:
            hear(message.from)
            install(message)
        case .timeoutNow:
            // A transfer skips the pre-vote: the leader itself asks for it.
            campaignIfAllowed(.transfer)
        case .readIndexResponse:
            readyReads.append((index: message.index, context: message.context))
        default:
            break
        }
        return nil
    }

    private mutating func hear(_ node: NodeID) {
        electionElapsed = 0
        leader = node
    }

    /// Passes a request on to the leader under the name of the node it came from.
    private mutating func forward(_ message: Message) {
        var forwarded = message
        forwarded.to = leader
        send(forwarded)
    }

    /// Queues a message with its sender and term, and holds it back if it promises durability.
    mutating func send(_ message: Message) {
        var message = message
        if message.from == noNode { message.from = id }
        switch message.kind {
        case .requestVote, .requestPreVote:
            outbox.append(message)
        case .requestVoteResponse, .requestPreVoteResponse:
            // Keeps (4), for refusals too: they may rest on a vote or on entries that are not yet durable.
            promises.append(message)
        case .appendEntriesResponse:
            message.term = term
            promises.append(message)
        case .propose, .readIndex:
            precondition(message.to != id, "a request to itself")
            outbox.append(message)
        default:
            precondition(message.to != id, "a message to itself")
            message.term = term
            outbox.append(message)
        }
    }
}
