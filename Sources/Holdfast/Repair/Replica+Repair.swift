internal import NIOCore
internal import RaftCore

extension Replica {
    /// Forgets what a member whose log was damaged had acknowledged, then confirms that this node leads, and returns an index through
    /// which that member must hold everything before it has its vote again (see `Raft+Amnesia`).
    ///
    /// - Throws: `notLeader`; `unavailable` where no quorum confirmed it in time.
    func forget(_ node: NodeID, deadline: NIODeadline) async throws(HoldfastError) -> LogIndex {
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<LogIndex, HoldfastError>, Never>) in
            loop.execute {
                guard self.raft.role == .leader else {
                    return continuation.resume(returning: .failure(self.notLeader()))
                }
                let term = self.raft.term
                self.step(.progressForgotten(of: node))
                let reply = Reply.local { result in
                    self.loop.execute {
                        continuation.resume(returning: self.confirmed(result, asLeaderOf: term))
                    }
                }
                self.read(
                    ReadJob(reply: reply, deadline: deadline) { view in
                        ByteBuffer(integer: view.state.index, endianness: .little)
                    }, consistency: .linearizable)
            }
        }
        return try result.get()
    }

    /// An index that was read counts only if this node led all the time: another leader has forgotten nothing.
    private func confirmed(
        _ result: Result<ByteBuffer, HoldfastError>, asLeaderOf term: Term
    ) -> Result<LogIndex, HoldfastError> {
        switch result {
        case .failure(let error): return .failure(error)
        case .success(let bytes):
            guard raft.role == .leader, raft.term == term,
                let index = bytes.getInteger(at: bytes.readerIndex, endianness: .little, as: UInt64.self)
            else { return .failure(notLeader()) }
            return .success(index)
        }
    }

    /// This node's log holds everything again that may have counted on the one that was damaged.
    func allowVotes() {
        step(.votesAllowed)
        turn()
    }
}
