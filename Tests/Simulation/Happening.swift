internal import RaftCore
internal import ReplicaCore

/// Everything that can be due in a world. What belongs to a process names its life, and is dropped if that is over.
enum Happening {
    case tick(NodeID, UInt32)
    case turn(NodeID, UInt32)
    case deliver(Message)
    case plane(NodeID, NodeID, PlaneMessage)
    case written(NodeID, UInt32)
    case logRetry(NodeID, UInt32)
    case headersDue(NodeID, UInt32)
    case applied(NodeID, UInt32)
    case care(NodeID, UInt32)
    case rowsFlushed(NodeID, UInt32)
    case logRead(NodeID, UInt32, for: NodeID, first: LogIndex, bytesMax: Int)
    case checkpointDue(NodeID, UInt32)
    case snapshotOverdue(NodeID, UInt32, to: NodeID, LogIndex)
    case snapshotFetched(NodeID, UInt32)
    case rowsSwapped(NodeID, UInt32)
    case chunkWritten(NodeID, UInt32, ChunkID, Ticket?)
    case unlink(NodeID, UInt32, [ChunkID])
    case peerGone(NodeID, UInt32, NodeID)
    /// Time for a leader to look after the other site.
    case siteDue(NodeID, UInt32)
    /// What a node's own proposal came to.
    case siteOutcome(NodeID, UInt32, UInt64, Answer)
    case request(NodeID, Request)
    case answer(Ticket, Answer, from: NodeID)
    case wake(Int)
    case start(NodeID, UInt32)
    case fault
    case weatherEnds(FaultKind, UInt64)
    case operate
    case calm
    case verdict

    /// The node and life that the event belongs to, if any.
    var process: (NodeID, UInt32)? {
        switch self {
        case .tick(let node, let life), .turn(let node, let life), .written(let node, let life),
            .logRetry(let node, let life), .headersDue(let node, let life), .applied(let node, let life),
            .care(let node, let life), .rowsFlushed(let node, let life), .checkpointDue(let node, let life),
            .snapshotFetched(let node, let life), .rowsSwapped(let node, let life), .siteDue(let node, let life):
            (node, life)
        case .logRead(let node, let life, _, _, _), .snapshotOverdue(let node, let life, _, _),
            .chunkWritten(let node, let life, _, _), .unlink(let node, let life, _), .peerGone(let node, let life, _),
            .siteOutcome(let node, let life, _, _):
            (node, life)
        default: nil
        }
    }

    /// A number for the trace's hash.
    var code: UInt64 {
        switch self {
        case .tick: 1
        case .turn: 2
        case .deliver(let message): 3 &+ UInt64(message.kind.rawValue) &* 64 &+ message.index &* 4096
        case .plane: 4
        case .written: 5
        case .logRetry: 6
        case .headersDue: 7
        case .applied: 8
        case .care: 9
        case .rowsFlushed: 10
        case .logRead: 11
        case .checkpointDue: 12
        case .snapshotOverdue: 13
        case .snapshotFetched: 14
        case .rowsSwapped: 15
        case .chunkWritten: 16
        case .unlink: 17
        case .peerGone: 18
        case .request: 19
        case .answer: 20
        case .wake: 21
        case .start: 22
        case .fault: 23
        case .weatherEnds: 24
        case .operate: 25
        case .calm: 26
        case .verdict: 27
        case .siteDue: 28
        case .siteOutcome: 29
        }
    }
}

/// Who waits for an answer: a customer's number and its call; `nobody` for a node's own commands.
struct Ticket: Equatable {
    var customer: Int
    var call: UInt64

    /// A write of a primary that another site may have taken over from when it is to be answered.
    var isGuarded = false

    static let nobody = Ticket(customer: -1, call: 0)

    /// Of a proposal that a node of the cluster waits for itself.
    static func of(_ node: NodeID, _ call: UInt64) -> Ticket { Ticket(customer: -1 - Int(node), call: call) }

    /// The node that waits, if none of the customers does.
    var node: NodeID? { customer < -1 ? NodeID(-1 - customer) : nil }
}

/// What a customer asks of a node.
enum Request {
    case command([UInt8], Ticket)
    case read(ReadRequest)
    case have(UploadID, Ticket)
    case store(UploadID, ordinal: UInt64, ChunkID, Ticket)
    case publish(Publication, Ticket)
    /// There is an epoch as high as this, seen elsewhere.
    case word(epoch: UInt64, by: SiteID)
}

/// What a node answers.
enum Answer {
    case outcome(Outcome)
    case value([UInt8]?, revision: UInt64)
    /// Whom to ask instead; 0 if unknown. Nothing happened.
    case notLeader(NodeID)
    case overloaded
    /// It may have happened.
    case unknown
    case stored
    case have([Bool])
    case notNamed
}
