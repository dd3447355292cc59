package import RaftCore
package import ReplicaCore

/// What nodes and clients ask of a node's chunk plane. The bytes of chunks travel beside it, on bulk connections.
package enum ChunkRequest: Sendable, Hashable {
    /// Which chunks of an open upload from `first` on are here, fsynced? Answer: a bitmap.
    case have(UploadID, first: UInt64, count: Int, appliedAtLeast: LogIndex)
    /// Is every chunk that the open upload names here, fsynced? Answer: a receipt.
    case receipt(UploadID, appliedAtLeast: LogIndex)
    /// The holder has these chunks of the upload. No answer.
    case announce(UploadID, ranges: [Range<UInt64>], holder: NodeID)
    /// Fetch what you lack of the open upload, from the holders first. Answer: a receipt, when complete or when the wait is over.
    case ensure(UploadID, holders: [NodeID], waitMilliseconds: UInt64, appliedAtLeast: LogIndex)
    /// Which of these chunks could you send? Answer: a bitmap.
    case locate([ChunkID])
    /// You sent other bytes than the name says: look at your copy. No answer.
    case suspect(ChunkID)
}

/// What a node's chunk plane answers.
package enum ChunkAnswer: Sendable, Hashable {
    case bitmap(ChunkBitmap)
    case receipt(UploadReceipt)
    /// Heard; there is nothing to say.
    case done
    case refused(code: ErrorCode, message: String, details: [String: String])

    /// The refusal that an error means.
    package static func refused(_ error: HoldfastError) -> ChunkAnswer {
        .refused(
            code: ErrorCode(rawValue: error.code.rawValue) ?? .unavailable, message: error.message,
            details: error.details)
    }
}

/// A node's word that chunks of an upload are fsynced in this life of its disk.
package struct UploadReceipt: Sendable, Hashable {
    package var node: NodeID
    package var incarnation: Incarnation
    /// Chunks that the upload names, as applied at that node.
    package var named: UInt64
    /// How many of them it lacks.
    package var missing: UInt64

    package init(node: NodeID, incarnation: Incarnation, named: UInt64, missing: UInt64) {
        self.node = node
        self.incarnation = incarnation
        self.named = named
        self.missing = missing
    }

    /// It holds `count` chunks, and these are all that it knows the upload to name.
    package func covers(_ count: UInt64) -> Bool { missing == 0 && named == count && count > 0 }
}
