/// Reads that wait until a quorum confirms that this replica still leads (thesis §6.4).
///
/// Reads queue up; a heartbeat carries the position of the newest one, counted from the start of the term, and an answer
/// to it confirms all up to there. Positions only rise, so an old answer can never confirm a newer read.
struct ReadRounds {
    /// One read: who asked, with which context, and the commit index at that time.
    struct Request {
        var from: NodeID
        var context: UInt64
        var index: LogIndex
    }

    private var unconfirmed: [Request] = []
    private var confirmed: UInt64 = 0
    private var acknowledged: [(node: NodeID, position: UInt64)] = []
    /// Reads that came before the first commit of this leader's term.
    private(set) var early: [Request] = []

    /// Reads that wait.
    var count: Int { unconfirmed.count + early.count }

    /// The position that a heartbeat carries to confirm all waiting reads; 0 if none waits.
    var position: UInt64 { unconfirmed.isEmpty ? 0 : confirmed + UInt64(unconfirmed.count) }

    /// Queues a read.
    mutating func add(_ request: Request) {
        unconfirmed.append(request)
    }

    /// Queues a read until the term's first commit.
    mutating func addEarly(_ request: Request) {
        early.append(request)
    }

    /// Takes the reads that waited for the term's first commit.
    mutating func takeEarly() -> [Request] {
        defer { early = [] }
        return early
    }

    /// Notes that `node` follows this leader as of `position`.
    mutating func acknowledge(from node: NodeID, position: UInt64) {
        guard position > 0 else { return }
        if let place = acknowledged.firstIndex(where: { $0.node == node }) {
            acknowledged[place].position = max(acknowledged[place].position, position)
        } else {
            acknowledged.append((node, position))
        }
    }

    /// Takes the reads that a quorum of both halves has confirmed, oldest first.
    mutating func takeConfirmed(voters: [NodeID], outgoing: [NodeID]) -> [Request] {
        let acknowledged = acknowledged
        let reached = Quorum.committed(voters, outgoing) { node in
            acknowledged.first { $0.node == node }?.position
        }
        guard reached > confirmed, !unconfirmed.isEmpty else { return [] }
        let count = Int(min(reached - confirmed, UInt64(unconfirmed.count)))
        let ready = Array(unconfirmed.prefix(count))
        unconfirmed.removeFirst(count)
        confirmed += UInt64(count)
        return ready
    }
}
