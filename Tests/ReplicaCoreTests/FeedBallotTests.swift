import Testing

@testable import ReplicaCore

@Suite struct FeedBallotTests {
    private static let right = Digest(1, 2, 3, 4)
    private static let wrong = Digest(5, 6, 7, 8)
    private static let other = Digest(9, 9, 9, 9)

    private func verdict(
        _ words: [UInt64: Digest], voters: [UInt64] = [1, 2, 3], outgoing: [UInt64] = [], learners: [UInt64] = []
    ) -> FeedBallot.Verdict {
        var ballot = FeedBallot(members: Members(voters: voters, outgoingVoters: outgoing, learners: learners))
        for (node, hash) in words.sorted(by: { $0.key < $1.key }) { ballot.add(hash, of: node) }
        return ballot.verdict
    }

    @Test func `members that say the same agree, however few they are`() {
        #expect(verdict([:]) == .agreed)
        #expect(verdict([2: Self.right]) == .agreed)
        #expect(verdict([1: Self.right, 2: Self.right, 3: Self.right]) == .agreed)
    }

    @Test func `who differs from a quorum is odd, also the one who counts`() {
        #expect(verdict([1: Self.right, 2: Self.right, 3: Self.wrong]) == .odd([3], right: Self.right))
        #expect(verdict([1: Self.wrong, 2: Self.right, 3: Self.right]) == .odd([1], right: Self.right))
        #expect(
            verdict(
                [1: Self.right, 2: Self.wrong, 3: Self.right, 4: Self.other, 5: Self.right], voters: [1, 2, 3, 4, 5])
                == .odd([2, 4], right: Self.right))
    }

    @Test func `one against one is a tie, and so is anything without a quorum`() {
        #expect(verdict([1: Self.right, 2: Self.wrong]) == .tied)
        #expect(verdict([1: Self.right, 2: Self.wrong], voters: [1, 2]) == .tied)
        #expect(verdict([1: Self.right, 2: Self.wrong, 3: Self.other]) == .tied)
        #expect(
            verdict([1: Self.right, 2: Self.right, 3: Self.wrong, 4: Self.wrong], voters: [1, 2, 3, 4]) == .tied)
        // Two of four voters: their learners make it no quorum.
        #expect(
            verdict(
                [1: Self.right, 2: Self.right, 3: Self.wrong, 5: Self.right], voters: [1, 2, 3, 4], learners: [5])
                == .tied)
    }

    @Test func `a learner may be odd but is part of no quorum`() {
        #expect(
            verdict([1: Self.right, 2: Self.right, 4: Self.wrong], learners: [4]) == .odd([4], right: Self.right))
        #expect(
            verdict([1: Self.right, 4: Self.wrong, 5: Self.wrong], learners: [4, 5]) == .tied)
    }

    @Test func `a joint configuration needs a quorum of both halves`() {
        let joint: [UInt64: Digest] = [1: Self.right, 2: Self.right, 3: Self.wrong, 4: Self.wrong, 5: Self.wrong]
        #expect(verdict(joint, voters: [1, 2, 3], outgoing: [3, 4, 5]) == .tied)
        #expect(
            verdict([1: Self.right, 2: Self.right, 3: Self.wrong, 4: Self.right], outgoing: [1, 2, 4])
                == .odd([3], right: Self.right))
    }

    @Test func `that a revision is missing is never right, but it is odd`() {
        #expect(verdict([1: Self.right, 2: Self.right, 3: .zero]) == .odd([3], right: Self.right))
        #expect(verdict([1: Self.right, 2: .zero, 3: .zero]) == .tied)
    }

    @Test func `strangers and second words do not count`() {
        #expect(verdict([1: Self.right, 2: Self.right, 9: Self.wrong]) == .agreed)
        var ballot = FeedBallot(members: Members(voters: [1, 2, 3]))
        ballot.add(Self.right, of: 1)
        ballot.add(Self.wrong, of: 1)
        ballot.add(Self.right, of: 2)
        #expect(ballot.count == 2)
        #expect(ballot.verdict == .agreed)
    }
}
