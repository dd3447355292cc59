internal import RaftCore
internal import ReplicaCore

/// The chunks of one node: which of them its disk holds durably. Content is not simulated; names are.
struct ChunkShelf {
    private(set) var durable: Set<ChunkID> = []

    func holds(_ chunk: ChunkID) -> Bool { durable.contains(chunk) }
    /// The file is written, fsynced, renamed, and its directory fsynced.
    mutating func insert(_ chunk: ChunkID) { durable.insert(chunk) }
    /// The file is unlinked.
    mutating func remove(_ chunk: ChunkID) { durable.remove(chunk) }
    /// All names, ascending.
    var all: [ChunkID] { durable.sorted() }
}

/// What nodes say to each other about chunks, beside consensus.
enum PlaneMessage {
    /// Which chunks of the open upload have you, once you have applied through the index?
    case receiptAsk(UploadID, appliedAtLeast: LogIndex)
    case receiptAnswer(UploadID, Incarnation, named: UInt64, missing: UInt64)
    case chunkAsk(ChunkID)
    case chunk(ChunkID)
    /// My log was damaged: forget what it acknowledged.
    case forget
    /// Forgotten; hold everything through the index before you vote.
    case forgotten(through: LogIndex)
}

/// A publish that the leader gathers receipts for.
struct PublishRun {
    var ticket: Ticket
    var publication: Publication
    var receipts: [Publication.Receipt] = []
    var isProposed = false
    /// Of a version that the other site has published: the receipts go to whoever ships it.
    var isStaged = false
}
