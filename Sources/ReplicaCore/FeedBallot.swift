/// Members' words on the feed at one revision, and what they come to (design: divergence).
///
/// The chain hash after a revision covers everything before it, so members that agree at one revision have the same history. What a
/// quorum says is right, since a quorum is what acknowledged it. One against one decides nothing.
package struct FeedBallot: Sendable {
    /// What the words come to.
    package enum Verdict: Sendable, Hashable {
        /// No two words differ.
        case agreed
        /// A quorum gave `right`; these members, ascending, gave something else.
        case odd([UInt64], right: Digest)
        /// Words differ and none has a quorum: an alarm, never a choice.
        case tied
    }

    /// The configuration as of the one who counts.
    package var members: Members
    private var words: [(node: UInt64, hash: Digest)] = []

    /// No words yet.
    package init(members: Members) { self.members = members }

    /// Takes a member's word, the first of each: the chain hash after the revision, or `.zero` where it has applied what made the
    /// revision and has no such revision. Those of strangers do not count.
    package mutating func add(_ hash: Digest, of node: UInt64) {
        guard members.contains(node), !words.contains(where: { $0.node == node }) else { return }
        words.append((node, hash))
    }

    /// How many words were given.
    package var count: Int { words.count }

    package var verdict: Verdict {
        guard let first = words.first else { return .agreed }
        if words.allSatisfy({ $0.hash == first.hash }) { return .agreed }
        for candidate in words where candidate.hash != .zero {
            let nodes = words.filter { $0.hash == candidate.hash }.map(\.node)
            guard members.isQuorum(nodes) else { continue }
            return .odd(words.filter { $0.hash != candidate.hash }.map(\.node).sorted(), right: candidate.hash)
        }
        return .tied
    }
}
