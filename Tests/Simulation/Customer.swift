internal import RaftCore
internal import ReplicaCore

/// Somebody outside the cluster who asks its nodes for something, and goes on asking until it is answered.
protocol Customer: AnyObject {
    /// Time to begin something, or to ask again.
    func wake()
    /// An answer to one of its calls, perhaps a late one.
    func hears(_ answer: Answer, _ call: UInt64, from node: NodeID)
    /// Nothing of it is under way.
    var isIdle: Bool { get }
    /// What it waits for, in words.
    var wish: String { get }
}

extension World {
    /// A node to ask: the one that was named, or any that is a member as far as the world knows.
    func target(_ hint: NodeID) -> NodeID {
        if hint != noNode, hint <= NodeID(nodes.count), !node(hint).isGone { return hint }
        let candidates = nodes.filter { !$0.isGone }.map(\.id)
        return candidates.isEmpty ? 1 : dice.pick(candidates)
    }
}
