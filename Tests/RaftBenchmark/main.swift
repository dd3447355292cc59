// The bare core: three instances in one process, no I/O. Prints a JSON line a figure.
internal import RaftCore

/// One instance and what it is owed: writes are durable at once, entries applied at once.
final class Node {
    var raft: Raft
    var effects: [Effect] = []
    var outbox: [Message] = []
    var applied = 0

    init(_ id: NodeID) {
        var settings = RaftConfiguration(id: id)
        settings.seed = id
        settings.windowBytesMax = 1 << 20
        var start = RaftStart()
        start.configuration = ConfState(voters: [1, 2, 3])
        raft = Raft(configuration: settings, start: start)
    }

    func step(_ event: Event) {
        raft.step(event, into: &effects)
    }

    /// Ends the turn, and the writes and applications of it, until the instance is idle.
    func turn() {
        while true {
            raft.step(.collect, into: &effects)
            if effects.isEmpty { return }
            let due = effects
            effects.removeAll(keepingCapacity: true)
            for effect in due {
                switch effect {
                case .send(let message): outbox.append(message)
                case .persist(let persist):
                    for response in persist.responses {
                        if response.to == raft.id { step(.receive(response)) } else { outbox.append(response) }
                    }
                    step(.persisted(through: persist.sequence))
                case .apply(let entries):
                    applied += entries.count
                    if let last = entries.last { step(.applied(through: last.index)) }
                default: break
                }
            }
        }
    }
}

/// Delivers messages until none is left.
func settle(_ nodes: [Node]) {
    var isMoving = true
    while isMoving {
        isMoving = false
        for node in nodes {
            node.turn()
            if node.outbox.isEmpty { continue }
            isMoving = true
            let mail = node.outbox
            node.outbox.removeAll(keepingCapacity: true)
            for message in mail { nodes[Int(message.to) - 1].step(.receive(message)) }
        }
    }
}

/// Three instances, the first of which leads.
func ledCluster() -> [Node] {
    let nodes = [Node(1), Node(2), Node(3)]
    nodes[0].step(.campaign)
    settle(nodes)
    guard nodes[0].raft.role == .leader else { fatalError("no leader") }
    return nodes
}

func payloads(_ batch: Int) -> [[UInt8]] {
    [[UInt8]](repeating: [UInt8](repeating: 7, count: 128), count: batch)
}

func propose(_ payloads: [[UInt8]], rounds: Int, to nodes: [Node]) {
    for _ in 0..<rounds {
        nodes[0].step(.propose(payloads))
        settle(nodes)
    }
}

func run(batch: Int, total: Int) {
    let nodes = ledCluster()
    let payloads = payloads(batch)
    propose(payloads, rounds: max(1000 / batch, 10), to: nodes)
    let rounds = total / batch
    let before = nodes[0].applied
    let time = ContinuousClock().measure { propose(payloads, rounds: rounds, to: nodes) }
    guard nodes[0].applied - before == rounds * batch else { fatalError("proposals were lost") }
    let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
    let proposals = Double(rounds * batch)
    // Limit: 20,000 proposals/s at 5 µs each on one of the three instances; all three run here, one after the other.
    report("raft-proposals-batch-\(batch)", proposals / seconds, "1/s", limit: 66_667)
}

/// Counts after all times are taken, because counting costs time.
func countAllocations(batch: Int) {
    let nodes = ledCluster()
    let payloads = payloads(batch)
    propose(payloads, rounds: 2_000, to: nodes)
    let before = allocationCount
    let rounds = 2_000
    propose(payloads, rounds: rounds, to: nodes)
    let counted = Double(allocationCount - before) / Double(rounds * batch)
    report("raft-allocations-batch-\(batch)", counted, "1/proposal", limit: nil)
}

func report(_ name: String, _ value: Double, _ unit: String, limit: Double?) {
    func rounded(_ value: Double) -> String { "\(Double(Int(value * 100 + 0.5)) / 100)" }
    let limitText = limit.map(rounded) ?? "null"
    let ratio = limit.map { rounded(value / $0) } ?? "null"
    print(
        "{\"name\":\"\(name)\",\"value\":\(rounded(value)),\"unit\":\"\(unit)\",\"limit\":\(limitText),\"ratio\":\(ratio)}"
    )
}

let batches = [1, 16, 128]
for batch in batches { run(batch: batch, total: 100_000) }
if startCountingAllocations() {
    for batch in batches { countAllocations(batch: batch) }
}
