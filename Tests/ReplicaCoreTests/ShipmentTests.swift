import Testing

@testable import ReplicaCore

/// Each of the looks that a standby takes at a shipment says no by itself.
@Suite struct ShipmentTests {
    private func following() throws -> SitePair {
        var pair = try SitePair()
        for number in 0..<3 { _ = try pair.sites[0].put("key-\(number)", "value") }
        try pair.settle()
        return pair
    }

    /// Revisions that follow a position as the chain hash has it, whatever they call themselves.
    private func shipment(_ revisions: [UInt64], after: SitePosition, compactRevision: UInt64 = 0) -> SiteShipment {
        let digest = { (bytes: UnsafeRawBufferPointer) in
            var hash = QuickHash()
            hash.update(bytes)
            return hash.finish()
        }
        let entries = revisions.map { FeedEntry(revision: $0, effects: [.put(.user, key: [1], value: [2], lease: 0)]) }
        let hash = entries.reduce(after.hash) { $1.hash(after: $0, digest) }
        return SiteShipment(epoch: 1, after: after, entries: entries, hash: hash, compactRevision: compactRevision)
    }

    @Test func `a shipment that comes again, or is for another position, is late and no damage`() throws {
        var pair = try following()
        let before = pair.sites[1].position
        let sound = shipment([before.revision + 1], after: before, compactRevision: before.revision)
        #expect(try pair.sites[1].run(.apply(sound)).refusal == nil)
        let now = pair.sites[1].position
        #expect(now.revision == before.revision + 1)
        var other = now
        other.hash.word0 ^= 1
        for late in [sound, shipment([now.revision + 1], after: other), shipment([], after: before)] {
            #expect(try pair.sites[1].run(.apply(late)).refusal?.code == .preconditionFailed)
            #expect(pair.sites[1].position == now)
        }
        try pair.sites[1].checkGroupings(seed: 1)
    }

    @Test func `nothing of an epoch is applied once a higher one was heard of`() throws {
        var pair = try following()
        let now = pair.sites[1].position
        let sound = shipment([now.revision + 1], after: now)
        var told = pair
        #expect(try told.sites[1].run(.fence(epoch: 2, by: SiteID(5, 5))).refusal == nil)
        #expect(try told.sites[1].run(.apply(sound)).refusal?.code == .fenced)
        #expect(told.sites[1].position == now)
        #expect(try pair.sites[1].run(.apply(sound)).refusal == nil)
    }

    @Test func `revisions that are left out, repeated or turned round are refused, also where the chain hash has them`()
        throws
    {
        var pair = try following()
        let now = pair.sites[1].position
        let next = now.revision + 1
        for revisions in [[next + 1], [now.revision], [next, next], [next + 1, next], [next, next + 2]] {
            let refusal = try pair.sites[1].run(.apply(shipment(revisions, after: now))).refusal
            #expect(refusal?.code == .corrupted, "\(revisions)")
            #expect(pair.sites[1].position == now)
        }
        #expect(try pair.sites[1].run(.apply(shipment([next, next + 1], after: now))).refusal == nil)
    }
}
