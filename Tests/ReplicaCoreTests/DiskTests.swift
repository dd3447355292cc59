import ReplicaCore
import Testing

/// What is decided about a node's disk, without one.
@Suite struct DiskTests {
    @Test func `one wait beyond the longest election timeout is a stall, and stays one until it ends`() {
        var watch = DiskWatch(electionTicks: 6)
        let verdicts = (0..<15).map { _ in watch.tick(waitingSince: 7) }
        #expect(verdicts == Array(repeating: false, count: 13) + [true, true])
        let after = watch.tick(waitingSince: 0)
        #expect(!after)
    }

    @Test func `a slow disk that ends every wait is no stall`() {
        var watch = DiskWatch(electionTicks: 6)
        let verdicts = (1...200).map { tick in watch.tick(waitingSince: UInt64(tick / 10 + 1)) }
        #expect(!verdicts.contains(true))
    }

    private func expect(_ order: SpaceGate.Order, _ expected: SpaceGate.Order, line: Int = #line) {
        #expect(order == expected, "line \(line)")
    }

    private let mebibyte: UInt64 = 1 << 20

    private func look(_ free: UInt64, held: Bool = true, waits: Bool = false) -> SpaceGate.Look {
        SpaceGate.Look(freeBytes: free * mebibyte, isReserveHeld: held, isWaiting: waits)
    }

    @Test func `a disk below the low mark is full, and opens only above the high mark`() {
        var gate = SpaceGate(reserveBytes: 64 * mebibyte)
        expect(gate.observe(look(64)), .keep)
        #expect(!gate.isFull)
        expect(gate.observe(look(63)), .keep)
        #expect(gate.isFull)
        expect(gate.observe(look(95)), .keep)
        #expect(gate.isFull)
        expect(gate.observe(look(96)), .keep)
        #expect(!gate.isFull)
    }

    @Test func `the reserve goes when the room nears its end, and the gate opens only once it is back`() {
        var gate = SpaceGate(reserveBytes: 64 * mebibyte)
        expect(gate.observe(look(16)), .keep)
        expect(gate.observe(look(15)), .release)
        expect(gate.observe(look(79, held: false)), .keep)
        expect(gate.observe(look(159, held: false)), .keep)
        #expect(gate.isFull)
        expect(gate.observe(look(160, held: false)), .restore)
        #expect(gate.isFull)
        expect(gate.observe(look(96)), .keep)
        #expect(!gate.isFull)
    }

    @Test func `whoever waits for room closes the gate and gets the reserve, however much is free`() {
        var gate = SpaceGate(reserveBytes: 64 * mebibyte)
        expect(gate.observe(look(5_000, waits: true)), .release)
        #expect(gate.isFull)
        expect(gate.observe(look(5_000, held: false, waits: true)), .keep)
        expect(gate.observe(look(5_000, held: false)), .restore)
    }

    @Test func `what is taken leaves the low mark's room`() {
        let gate = SpaceGate(reserveBytes: 64 * mebibyte)
        #expect(gate.admits(4 * mebibyte, freeBytes: 68 * mebibyte))
        #expect(!gate.admits(4 * mebibyte, freeBytes: 68 * mebibyte - 1))
        #expect(!gate.admits(4 * mebibyte, freeBytes: 0))
    }

    @Test func `deletions and all that makes room are taken on a full disk`() {
        let put = Operation.put(key: [1], value: [2], lease: 0)
        let delete = Operation.delete(.key([1]))
        let upload = UploadID(1, 2)
        let refused: [Command] = [
            .put(key: [1], value: [2], lease: 0), .uploadBegin(upload, name: "m", version: nil),
            .uploadAdd(upload, first: 0, ids: []), .transaction(Transaction(compares: [], then: [delete, put])),
            .transaction(Transaction(compares: [], then: [delete], otherwise: [put])),
        ]
        let taken: [Command] = [
            .delete(.key([1])), .compact(revision: 3), .openSession, .uploadAbort(upload), .uploadExpire(before: 1),
            .retire(name: "m", version: "1"), .transaction(Transaction(compares: [], then: [delete])),
        ]
        for command in refused { #expect(command.needsRoom, "\(command)") }
        for command in taken { #expect(!command.needsRoom, "\(command)") }
    }
}
