@testable internal import RaftCore

// The text forms that the scripts expect.

extension Role {
    var text: String {
        switch self {
        case .follower: "StateFollower"
        case .candidate: "StateCandidate"
        case .leader: "StateLeader"
        case .preCandidate: "StatePreCandidate"
        }
    }
}

extension Message.Kind {
    var text: String {
        switch self {
        case .propose: "MsgProp"
        case .appendEntries: "MsgApp"
        case .appendEntriesResponse: "MsgAppResp"
        case .requestVote: "MsgVote"
        case .requestVoteResponse: "MsgVoteResp"
        case .requestPreVote: "MsgPreVote"
        case .requestPreVoteResponse: "MsgPreVoteResp"
        case .heartbeat: "MsgHeartbeat"
        case .heartbeatResponse: "MsgHeartbeatResp"
        case .installSnapshot: "MsgSnap"
        case .transferLeadership: "MsgTransferLeader"
        case .timeoutNow: "MsgTimeoutNow"
        case .readIndex: "MsgReadIndex"
        case .readIndexResponse: "MsgReadIndexResp"
        }
    }
}

extension Entry {
    var text: String {
        var name = "EntryNormal"
        var payload = quoted(data)
        if isConfigurationChange {
            name = kind == .configurationChange ? "EntryConfChange" : "EntryConfChangeV2"
            payload = ConfigurationChange(self).map(stepsText) ?? "unreadable"
        }
        return "\(term)/\(index) \(name)" + (payload.isEmpty ? "" : " \(payload)")
    }
}

private func stepsText(_ change: ConfigurationChange) -> String {
    change.steps.map { step in
        let letter =
            switch step.kind {
            case .addVoter: "v"
            case .addLearner: "l"
            case .remove: "r"
            case .update: "u"
            }
        return "\(letter)\(step.node)"
    }.joined(separator: " ")
}

/// Bytes as a quoted string.
func quoted(_ bytes: [UInt8]) -> String {
    var text = "\""
    for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
        switch scalar {
        case "\"": text += "\\\""
        case "\\": text += "\\\\"
        case "\n": text += "\\n"
        case "\t": text += "\\t"
        default: text.unicodeScalars.append(scalar)
        }
    }
    return text + "\""
}

extension ConfState {
    var text: String {
        func list(_ ids: [NodeID]) -> String { "[" + ids.map(String.init).joined(separator: " ") + "]" }
        return "Voters:\(list(voters)) VotersOutgoing:\(list(votersOutgoing)) Learners:\(list(learners)) "
            + "LearnersNext:\(list(learnersNext)) AutoLeave:\(autoLeave)"
    }
}

extension Snapshot {
    var text: String { "Index:\(index) Term:\(term) ConfState:\(configuration.text)" }
}

extension HardState {
    var text: String { "Term:\(term)" + (vote == 0 ? "" : " Vote:\(vote)") + " Commit:\(commit)" }
}

extension Progress {
    var text: String {
        let name =
            switch state {
            case .probe: "StateProbe"
            case .replicate: "StateReplicate"
            case .snapshot: "StateSnapshot"
            }
        var text = "\(name) match=\(match) next=\(next)"
        if isLearner { text += " learner" }
        if isPaused { text += " paused" }
        if pendingSnapshot > 0 { text += " pendingSnap=\(pendingSnapshot)" }
        if !recentActive { text += " inactive" }
        if inflights.count > 0 { text += " inflight=\(inflights.count)" + (inflights.isFull ? "[full]" : "") }
        return text
    }
}

extension Membership {
    /// `voters=(1 2)&&(3) learners=(4) learners_next=(5) autoleave`
    var text: String {
        func set(_ ids: [NodeID]) -> String { "(" + ids.map { String($0, radix: 16) }.joined(separator: " ") + ")" }
        var text = "voters=" + set(voters)
        if isJoint { text += "&&" + set(votersOutgoing) }
        if !learners.isEmpty { text += " learners=" + set(learners) }
        if !learnersNext.isEmpty { text += " learners_next=" + set(learnersNext) }
        if autoLeave { text += " autoleave" }
        return text
    }

    /// One line a member.
    var progressText: String { progress.map { "\($0.id): \($0.text)\n" }.joined() }
}

/// Something on its way: between nodes, or between a node and its two storage threads.
enum Envelope {
    case peer(Message)
    case appendRequest(NodeID, Persist)
    case appendResponse(NodeID, PersistReceipt)
    case applyRequest(NodeID, [Entry])
    case applyResponse(NodeID, [Entry])

    var to: NodeID? {
        switch self {
        case .peer(let message): message.to
        case .appendResponse(let node, _), .applyResponse(let node, _): node
        case .appendRequest, .applyRequest: nil
        }
    }

    /// Whether it stays within a node, so that it cannot get lost.
    var isLocal: Bool {
        if case .peer(let message) = self { return message.from == message.to }
        return true
    }

    var kindText: String {
        switch self {
        case .peer(let message): message.kind.text
        case .appendRequest: "MsgStorageAppend"
        case .appendResponse: "MsgStorageAppendResp"
        case .applyRequest: "MsgStorageApply"
        case .applyResponse: "MsgStorageApplyResp"
        }
    }

    /// What a storage thread answers once it is done.
    var responses: [Envelope] {
        switch self {
        case .appendRequest(let node, let persist):
            persist.responses.map { .peer($0) } + (persist.receipt.map { [.appendResponse(node, $0)] } ?? [])
        case .applyRequest(let node, let entries):
            [.applyResponse(node, entries)]
        default: []
        }
    }

    /// The printed form; `withResponses` tells whether to print what follows the work.
    func text(withResponses: Bool = true) -> String {
        var (from, target, term, logTerm, index) = ("", "", Term(0), Term(0), LogIndex(0))
        var tail = ""
        var entries: [Entry] = []
        var snapshot: Snapshot?
        switch self {
        case .peer(let message):
            (from, target) = (Self.name(message.from), Self.name(message.to))
            (term, logTerm, index) = (message.term, message.logTerm, message.index)
            if message.reject { tail += " Rejected (Hint: \(message.rejectHint))" }
            if message.commit != 0 { tail += " Commit:\(message.commit)" }
            (entries, snapshot) = (message.entries, message.snapshot)
        case .appendRequest(let node, let persist):
            (from, target) = (Self.name(node), "AppendThread")
            if let state = persist.hardState, !state.isEmpty {
                term = state.term
                if state.commit != 0 { tail += " Commit:\(state.commit)" }
                if state.vote != 0 { tail += " Vote:\(state.vote)" }
            }
            (entries, snapshot) = (persist.entries, persist.snapshot)
        case .appendResponse(let node, let receipt):
            (from, target, term) = ("AppendThread", Self.name(node), receipt.term)
            if let last = receipt.last { (logTerm, index) = (last.term, last.index) }
            snapshot = receipt.snapshot
        case .applyRequest(let node, let applied):
            (from, target, entries) = (Self.name(node), "ApplyThread", applied)
        case .applyResponse(let node, let applied):
            (from, target, entries) = ("ApplyThread", Self.name(node), applied)
        }
        var text = "\(from)->\(target) \(kindText) Term:\(term) Log:\(logTerm)/\(index)" + tail
        if entries.count == 1 { text += " Entries:[\(entries[0].text)]" }
        if entries.count > 1 { text += " Entries:[" + entries.map { "\n  " + $0.text }.joined() + "\n]" }
        if let snapshot { text += "\n  Snapshot: \(snapshot.text)" }
        let responses = withResponses ? responses : []
        if !responses.isEmpty { text += " Responses:[" + responses.map { "\n  " + $0.text() }.joined() + "\n]" }
        return text
    }

    private static func name(_ node: NodeID) -> String { node == 0 ? "None" : String(node, radix: 16) }
}
