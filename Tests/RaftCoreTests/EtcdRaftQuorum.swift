@testable internal import RaftCore
internal import Testing

/// Replays etcd/raft's tables of committed indexes and votes.
@Suite("EtcdRaftQuorum", .serialized)
struct EtcdRaftQuorum {
    @Test("every quorum of the tables decides as etcd/raft decides")
    func tablesAgree() throws {
        try replayScripts(suite: "EtcdRaftQuorum", variable: "HOLDFAST_RAFT_QUORUM") { Self.run }
    }

    /// The knowledge about voters that a block gives, in the order in which it names them.
    private struct Table {
        var voters: [NodeID]
        var outgoing: [NodeID]
        var isJoint: Bool
        var known: [NodeID: UInt64] = [:]

        /// Both halves, once each, in the order of the block.
        var all: [NodeID] { voters + outgoing.filter { !voters.contains($0) } }
    }

    private static func run(_ block: ScriptBlock) -> String {
        let isVote = block.command == "vote"
        let outgoing = block.values("cfgj")
        var table = Table(
            voters: unique(block.values("cfg").compactMap { NodeID($0) }),
            outgoing: unique(outgoing.compactMap { NodeID($0) }), isJoint: !outgoing.isEmpty)
        let inputs = block.values(isVote ? "votes" : "idx").map { word -> UInt64 in
            switch word {
            case "y": 2
            case "n": 1
            case "_": 0
            default: UInt64(word) ?? 0
            }
        }
        guard inputs.count == table.all.count else {
            let voters = table.all.sorted().map { "\($0):{}" }.joined(separator: " ")
            let given = inputs.map(String.init).joined(separator: " ")
            return "error: mismatched input (explicit or _) for voters map[\(voters)]: [\(given)]"
        }
        for (voter, input) in zip(table.all, inputs) where input != 0 { table.known[voter] = input }
        return isVote ? vote(table) : committed(table)
    }

    private static func unique(_ ids: [NodeID]) -> [NodeID] {
        var seen: [NodeID] = []
        for id in ids where !seen.contains(id) { seen.append(id) }
        return seen
    }

    private static func vote(_ table: Table) -> String {
        func text(_ result: VoteResult) -> String {
            switch result {
            case .pending: "VotePending\n"
            case .lost: "VoteLost\n"
            case .won: "VoteWon\n"
            }
        }
        let granted: (NodeID) -> Bool? = { table.known[$0].map { $0 != 1 } }
        guard table.isJoint else { return text(Quorum.vote(table.voters, granted)) }
        let result = Quorum.vote(table.voters, table.outgoing, granted)
        let mirrored = Quorum.vote(table.outgoing, table.voters, granted)
        return (result == mirrored ? "" : "not symmetric\n") + text(result)
    }

    private static func committed(_ table: Table) -> String {
        func text(_ index: LogIndex) -> String { index == .max ? "∞" : String(index) }
        let known: (NodeID) -> LogIndex? = { table.known[$0] }
        if table.isJoint {
            let index = Quorum.committed(table.voters, table.outgoing, known)
            let mirrored = Quorum.committed(table.outgoing, table.voters, known)
            return describe(table.all.sorted(), known) + (index == mirrored ? "" : "not symmetric\n") + text(index)
                + "\n"
        }
        let index = Quorum.committed(table.voters, known)
        var output = describe(table.voters.sorted(), known)
        if byDefinition(table.voters, known) != index { output += "not what the definition says\n" }
        if Quorum.committed(table.voters, [], known) != index { output += "an empty half changes it\n" }
        if Quorum.committed(table.voters, table.voters, known) != index { output += "the same half twice changes it\n" }
        for voter in table.voters {
            guard let own = known(voter), own < index else { continue }
            for lower in [own - 1, 0] where Quorum.committed(table.voters, { $0 == voter ? lower : known($0) }) != index
            {
                output += "lowering a voter that was below changes it\n"
            }
        }
        return output + text(index) + "\n"
    }

    /// The highest of the known indexes that a majority reached, found by counting.
    private static func byDefinition(_ voters: [NodeID], _ known: (NodeID) -> LogIndex?) -> LogIndex {
        if voters.isEmpty { return .max }
        let reached = voters.compactMap(known)
        return reached.filter { index in reached.count { $0 >= index } > voters.count / 2 }.max() ?? 0
    }

    /// A bar for each voter, the longer the more others it is ahead of.
    private static func describe(_ voters: [NodeID], _ known: (NodeID) -> LogIndex?) -> String {
        guard !voters.isEmpty else { return "<empty majority quorum>" }
        let width = voters.count
        var text = String(repeating: " ", count: width) + "    idx\n"
        for voter in voters {
            let index = known(voter) ?? 0
            let bar = voters.count { (known($0) ?? 0) < index }
            let head =
                known(voter) == nil
                ? "?" + String(repeating: " ", count: width)
                : String(repeating: "x", count: bar) + ">" + String(repeating: " ", count: width - bar)
            let number = String(index)
            text += head + " " + String(repeating: " ", count: max(5 - number.count, 0)) + number
            text += "    (id=\(String(voter, radix: 16)))\n"
        }
        return text
    }
}
