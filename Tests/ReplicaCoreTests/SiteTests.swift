import Testing

@testable import ReplicaCore

@Suite struct SiteTests {
    private let id = Identifier(9, 9)

    private func following(_ writes: Int = 3) throws -> SitePair {
        var pair = try SitePair()
        for number in 0..<writes { _ = try pair.sites[0].put("key-\(number)", "value") }
        try pair.settle()
        return pair
    }

    @Test func `an enrolment admits one site, once, and before it expires`() throws {
        var site = try TestSite(1)
        let peer = SitePeer(site: SiteID(2, 2), endpoints: ["b:1"])
        let other = SitePeer(site: SiteID(3, 3), endpoints: ["c:1"])
        let token = Digest(1, 2, 3, 4)
        #expect(try site.run(.admit(token: token, peer)).refusal != nil)
        try site.run(.enroll(token: token, expires: 2_000))
        #expect(site.record.role == .primary && site.record.epoch == 1 && site.record.lineage == site.id)
        #expect(try site.run(.admit(token: Digest(1, 2, 3, 5), peer)).refusal?.code == .permissionDenied)
        site.replica.time = 2_001
        #expect(try site.run(.admit(token: token, peer)).refusal?.code == .permissionDenied)
        site.replica.time = 2_000
        #expect(try site.run(.admit(token: token, peer)).refusal == nil)
        #expect(try site.run(.admit(token: token, peer)).refusal == nil, "its answer may have been lost")
        #expect(try site.run(.admit(token: token, other)).refusal?.code == .permissionDenied)
        #expect(site.record.peer == peer)
        try site.checkGroupings(seed: 1)
    }

    @Test func `a cluster with a history of its own follows nobody`() throws {
        var site = try TestSite(2)
        _ = try site.put("a", "1")
        let primary = SitePeer(site: SiteID(1, 1), endpoints: ["a:1"])
        let follow = SiteFollow(primary: primary, lineage: SiteID(1, 1), epoch: 1, position: site.position)
        #expect(try site.run(.follow(follow)).refusal?.code == .preconditionFailed)
        #expect(site.record.role == .alone)
    }

    @Test func `rows of aborted uploads keep a cluster from following until they are swept`() throws {
        var site = try TestSite(2)
        try site.run(.uploadBegin(id, name: "m", version: nil))
        try site.run(.uploadAdd(id, first: 0, ids: [Digest(1, 1, 1, 1)]))
        try site.run(.uploadAbort(id))
        let primary = SitePeer(site: SiteID(1, 1), endpoints: ["a:1"])
        let follow = SiteFollow(primary: primary, lineage: SiteID(1, 1), epoch: 1, position: .start)
        #expect(try site.run(.follow(follow)).refusal?.code == .unavailable)
        try site.replica.sweep()
        #expect(try site.run(.follow(follow)).refusal == nil)
    }

    @Test func `a standby has the primary's rows, says where the primary is, and takes no writes`() throws {
        var pair = try following()
        try pair.sites[0].run(.delete(.prefix("key-".asBytes)))
        _ = try pair.sites[0].put("key-1", "again")
        try pair.settle()
        #expect(pair.sites[1].position == pair.sites[0].position)
        #expect(pair.sites[1].shared == pair.sites[0].shared)
        #expect(try pair.sites[1].get("key-1") == "again" && pair.sites[1].get("key-0") == nil)
        let refusal = try #require(try pair.sites[1].put("x", "y").refusal)
        #expect(refusal.code == .fenced && refusal.message.contains("host-1:1"))
        for command in [
            Command.delete(.key("key-1".asBytes)), .transaction(Transaction(compares: [], then: [])),
            .compact(revision: 1), .uploadBegin(id, name: "m", version: nil),
            .uploadAdd(id, first: 0, ids: [Digest(1, 1, 1, 1)]), .uploadAbort(id), .retire(name: "m", version: "1"),
        ] {
            #expect(try pair.sites[1].run(command).refusal?.code == .fenced, "\(command)")
        }
        #expect(pair.sites[1].position == pair.sites[0].position)
        try pair.sites[1].checkGroupings(seed: 2)
    }

    @Test func `a standby applies every revision once, in order, and only of its primary's epoch`() throws {
        var pair = try following(1)
        for number in 0..<4 { _ = try pair.sites[0].put("more", "\(number)") }
        let poll = try pair.sites[1].report
        let (_, late) = try pair.deliver(poll, to: 0, entriesMax: 2)
        let (_, all) = try pair.deliver(poll, to: 0)
        #expect(try pair.deliver(all, to: 1).isEmpty)
        #expect(pair.sites[1].position == pair.sites[0].position)
        #expect(try pair.deliver(late, to: 1).isEmpty, "nothing is proposed for a position that is over")
        let (primary, standby) = (pair.sites[0], pair.sites[1])
        func shipment(epoch: UInt64 = 1, after: SitePosition, _ entries: [FeedEntry], hash: Digest) -> SiteCommand {
            .apply(SiteShipment(epoch: epoch, after: after, entries: entries, hash: hash))
        }
        for command in [
            shipment(after: poll.position, all.entries, hash: all.hash),
            shipment(epoch: 2, after: standby.position, [], hash: standby.position.hash),
            shipment(
                after: standby.position,
                [FeedEntry(revision: 99, effects: [.put(.user, key: [1], value: [], lease: 0)])], hash: all.hash),
            shipment(after: standby.position, all.entries, hash: all.hash),
        ] {
            #expect(try pair.sites[1].run(command).refusal != nil)
            #expect(pair.sites[1].position == primary.position)
        }
    }

    @Test func `a primary applies nothing that is shipped to it`() throws {
        var pair = try following(1)
        let before = pair.sites[0].position
        let entry = FeedEntry(revision: before.revision + 1, effects: [.put(.user, key: [1], value: [], lease: 0)])
        let hash = entry.hash(after: before.hash) { bytes in
            var hash = QuickHash()
            hash.update(bytes)
            return hash.finish()
        }
        let shipment = SiteShipment(epoch: 1, after: before, entries: [entry], hash: hash)
        #expect(try pair.sites[0].run(.apply(shipment)).refusal?.code == .preconditionFailed)
        #expect(pair.sites[0].position == before)
        #expect(try pair.sites[1].run(.apply(shipment)).refusal == nil, "the shipment itself is sound")
    }

    @Test func `a shipment is cut so that what publishes a version goes alone`() throws {
        var pair = try following(1)
        let chunk = Digest(1, 0, 0, 0)
        for number in 0..<3 { _ = try pair.sites[0].put("before", "\(number)") }
        let model = try #require(try pair.sites[0].publish("m", upload: id, chunks: [chunk]).model)
        for number in 0..<3 { _ = try pair.sites[0].put("after", "\(number)") }
        try pair.sites[0].run(.retire(name: "m", version: "1"))
        let (_, answer) = try pair.deliver(try pair.sites[1].report, to: 0)
        let whole = SiteShipment(epoch: 1, after: answer.asked, entries: answer.entries, hash: answer.hash)
        let pieces = try whole.pieces(hash: QuickHash.self)
        #expect(pieces.map(\.shipment.entries.count) == [3, 1, 4])
        #expect(
            pieces.map(\.publishes) == [
                [], [SiteShipment.Publish(name: "m", version: "1", record: model.record)], [],
            ])
        #expect(pieces.last?.shipment.hash == answer.hash)
        #expect(try whole.pieces(hash: QuickHash.self, bytesMax: 1).count == 8)
        try pair.stage(model, chunks: [chunk])
        for var piece in pieces {
            piece.shipment.durableOn = [1, 2].map { Publication.Receipt(node: $0, incarnation: Incarnation($0, 0)) }
            #expect(try pair.sites[1].run(.apply(piece.shipment)).refusal == nil)
        }
        #expect(pair.sites[1].shared == pair.sites[0].shared)
    }

    @Test func `what was changed on the way is refused whole`() throws {
        var pair = try following(1)
        for number in 0..<3 { _ = try pair.sites[0].put("more", "\(number)") }
        let (_, answer) = try pair.deliver(try pair.sites[1].report, to: 0)
        for place in answer.entries.indices {
            for byte in 0..<answer.entries[place].bytes.count {
                var damaged = answer
                var bytes = Array(answer.entries[place].bytes)
                bytes[byte] ^= 1
                damaged.entries[place] = FeedEntry(bytes: bytes[...])
                let before = pair.sites[1].position
                #expect(try pair.deliver(damaged, to: 1).first?.code == .corrupted)
                #expect(pair.sites[1].position == before)
            }
        }
        #expect(try pair.deliver(answer, to: 1).isEmpty)
        try pair.sites[1].checkGroupings(seed: 3)
    }

    @Test func `a standby hears of uploads that are open at the primary, and which of them are over`() throws {
        var pair = try following(1)
        let before = try SiteUploads(loading: pair.sites[0].replica.rows)
        #expect(before.open.isEmpty && before.epoch == 1)
        try pair.sites[0].run(.uploadBegin(id, name: "m", version: nil))
        #expect(try SiteUploads(loading: pair.sites[0].replica.rows).open.isEmpty, "it names nothing yet")
        try pair.sites[0].run(.uploadAdd(id, first: 0, ids: [Digest(1, 1, 1, 1), Digest(2, 1, 1, 1)]))
        try pair.sites[0].run(.uploadAdd(id, first: 3, ids: [Digest(3, 1, 1, 1)]))
        let during = try SiteUploads(loading: pair.sites[0].replica.rows)
        let upload = try #require(during.open.first)
        #expect(upload.id == id && upload.chunks == 2, "what lies behind a gap has no place in order yet")
        let (number, revision) = (upload.number, during.revision)
        #expect(!during.isOver(id, number: number, at: revision))
        #expect(!before.isOver(id, number: number, at: revision), "a node that is behind does not know of it yet")
        try pair.sites[0].run(.uploadAbort(id))
        _ = try pair.sites[0].put("behind", "1")
        let after = try SiteUploads(loading: pair.sites[0].replica.rows)
        #expect(after.open.isEmpty && after.isOver(id, number: number, at: after.revision))
        #expect(!after.isOver(id, number: number, at: revision), "it may be published at a revision that is not here")
        #expect(try SiteUploads(loading: pair.sites[1].replica.rows).open.isEmpty, "a standby ships nothing")
    }

    @Test func `a version is visible at the standby only when a quorum there has every chunk`() throws {
        var pair = try following(1)
        let chunks = (1...3).map { Digest($0, 0, 0, 0) }
        let model = try #require(try pair.sites[0].publish("m", upload: id, chunks: chunks).model)
        #expect(try pair.poll(1).first?.code == .preconditionFailed, "nothing is staged")
        try pair.stage(model, chunks: Array(chunks[..<2]))
        #expect(try pair.poll(1).first?.code == .preconditionFailed, "one chunk is not staged")
        try pair.stage(model, chunks: chunks)
        pair.receipts = [2]
        #expect(try pair.poll(1).first?.code == .unavailable, "one of three nodes has the chunks")
        #expect(try ModelReader.list(at: pair.sites[1].replica.point, rows: pair.sites[1].replica.rows).isEmpty)
        #expect(try pair.sites[1].run(.uploadExpire(before: .max)) == .uploadsClosed(count: 0), "it waits")
        pair.receipts = [2, 3]
        #expect(try pair.poll(1).isEmpty)
        #expect(pair.sites[1].shared == pair.sites[0].shared)
        #expect(pair.sites[1].replica.output.models == [.published(model)])
        for chunk in chunks {
            #expect(try Pins.isPinned(chunk, at: pair.sites[1].replica.point, rows: pair.sites[1].replica.rows))
        }
        try pair.sites[0].run(.retire(name: "m", version: "1"))
        #expect(try pair.poll(1).isEmpty)
        #expect(pair.sites[1].shared == pair.sites[0].shared)
        try pair.sites[1].checkGroupings(seed: 4)
    }

    @Test func `a switchover loses nothing, copies nothing, and is over when the roles are changed`() throws {
        var pair = try following(2)
        _ = try pair.sites[0].put("last", "1")
        try pair.sites[0].run(.freeze(id))
        #expect(try pair.sites[0].put("late", "1").refusal?.code == .unavailable)
        try pair.poll(1)
        #expect(pair.sites[0].record.role == .primary, "the standby did not have the last write")
        try pair.poll(1)
        #expect(pair.sites[0].record.role == .fenced && pair.sites[1].record.role == .primary)
        #expect(pair.sites[1].record.epoch == 2)
        #expect(try pair.sites[1].put("first", "2") == .done(revision: 4))
        try pair.settle()
        #expect(pair.sites[0].record.role == .standby && pair.sites[0].record.epoch == 2)
        #expect(pair.sites[0].shared == pair.sites[1].shared)
        // And back.
        try pair.sites[1].run(.freeze(Identifier(8, 8)))
        try pair.settle()
        #expect(pair.sites[0].record.role == .primary && pair.sites[0].record.epoch == 3)
        #expect(pair.sites[1].record.role == .standby)
        for site in pair.sites { try site.checkGroupings(seed: 5) }
    }

    @Test func `a switchover can be given up before the grant, and not after`() throws {
        var pair = try following(2)
        _ = try pair.sites[0].put("last", "1")
        try pair.sites[0].run(.freeze(id))
        try pair.sites[0].run(.unfreeze(Identifier(1, 2)))
        #expect(!pair.sites[0].record.isWritable, "another switchover's")
        try pair.sites[0].run(.unfreeze(id))
        #expect(try pair.sites[0].put("late", "1").refusal == nil)
        try pair.sites[0].run(.freeze(id))
        try pair.poll(1)
        _ = try pair.deliver(try pair.sites[1].report, to: 0)
        #expect(pair.sites[0].record.switchover?.grant != nil)
        #expect(try pair.sites[0].run(.unfreeze(id)).refusal?.code == .preconditionFailed)
        #expect(try pair.sites[0].put("late", "1").refusal?.code == .fenced)
        // The grant is told again until it is heard.
        try pair.poll(1)
        #expect(pair.sites[1].record.role == .primary)
    }

    @Test func `a forced promotion fences the old primary before its next acknowledgement`() throws {
        var pair = try following(2)
        try pair.sites[1].run(.force(seen: 0))
        #expect(pair.sites[1].record.role == .standby, "an epoch was heard of meanwhile")
        try pair.sites[1].run(.force(seen: 1))
        #expect(pair.sites[1].record.role == .primary && pair.sites[1].record.epoch == 2)
        #expect(try pair.sites[0].put("isolated", "1").refusal == nil, "nobody can have told it")
        try pair.poll(1)
        #expect(try pair.sites[0].put("told", "1").refusal?.code == .fenced)
        #expect(pair.sites[0].record.role == .fenced)
    }

    @Test func `a write that was done before the fence is unknown when it is repeated, and a new one is not done`()
        throws
    {
        var pair = try following(1)
        func envelope(_ sequence: UInt64) -> Envelope {
            Envelope(
                session: 5, sequence: sequence, lowestUnanswered: 1, time: 1,
                command: .put(key: "s".asBytes, value: [UInt8(sequence)][...], lease: 0))
        }
        try pair.sites[0].apply([Envelope(session: 5, time: 1, command: .openSession)])
        let done = try pair.sites[0].apply([envelope(1)])
        try pair.sites[0].run(.freeze(id))
        #expect(try pair.sites[0].apply([envelope(1)]) == done, "still the only primary there is")
        #expect(try pair.sites[0].apply([envelope(2)]).first?.refusal?.code == .unavailable)
        try pair.sites[0].run(.fence(epoch: 2, by: pair.sites[1].id))
        #expect(try pair.sites[0].apply([envelope(1)]).first?.refusal?.code == .outcomeUnknown)
        #expect(try pair.sites[0].apply([envelope(2)]).first?.refusal?.code == .fenced)
    }

    @Test func `epochs that the two sites begin by themselves are never the same`() throws {
        var pair = try following(1)
        // Each is promoted without hearing of the other's promotion.
        try pair.sites[0].run(.fence(epoch: 2, by: SiteID(5, 5)))
        try pair.sites[1].run(.fence(epoch: 2, by: SiteID(5, 5)))
        try pair.sites[0].run(.force(seen: 2))
        try pair.sites[1].run(.force(seen: 2))
        #expect(pair.sites[0].record.role == .primary && pair.sites[1].record.role == .primary)
        #expect(pair.sites[0].record.epoch == 3 && pair.sites[1].record.epoch == 4)
    }

    @Test func `two primaries of one epoch both stop: one is a clone`() throws {
        let pair = try following(1)
        var clone = pair.sites[0]
        let stranger = SiteReport(
            site: SiteID(5, 5), role: .primary, epoch: 1, seen: 1, lineage: clone.record.lineage,
            position: clone.position)
        for command in SiteLink.commands(on: stranger, at: clone.record, own: try clone.report, relation: .prefix) {
            try clone.run(command)
        }
        #expect(clone.record.role == .fenced)
        let own = try pair.sites[0].report
        #expect(SiteLink.commands(on: own, at: pair.sites[0].record, own: own, relation: .prefix).isEmpty)
    }

    @Test func `a primary that was set back ships nothing to a standby that is ahead`() throws {
        var pair = try following(2)
        let backup = pair.sites[0]
        _ = try pair.sites[0].put("lost", "1")
        try pair.settle()
        pair.sites[0] = backup
        _ = try pair.sites[0].put("other", "1")
        _ = try pair.sites[0].put("other", "2")
        let before = pair.sites[1].position
        try pair.settle()
        #expect(pair.sites[1].position == before)
        #expect(try pair.sites[0].relation(of: before) == .diverged)
    }

    @Test func `client sessions and open uploads do not cross a promotion`() throws {
        var pair = try following(1)
        try pair.sites[0].apply([Envelope(session: 5, time: 1, command: .openSession)])
        #expect(pair.sites[0].replica.applier.sessionCount == 1)
        let open = try pair.sites[1].apply([Envelope(session: 5, time: 1, command: .openSession)])
        #expect(open.first?.refusal?.code == .fenced)
        try pair.sites[1].run(
            .stage(
                SiteStage(upload: id, number: 3, name: "m", version: "1", first: 0, ids: [Digest(1, 1, 1, 1)])))
        try pair.sites[1].run(.force(seen: 1))
        #expect(try ModelReader.uploads(rows: pair.sites[1].replica.rows).isEmpty)
        #expect(pair.sites[1].replica.applier.state.commands >= 2 << 48, "numbers of uploads begin anew")
        try pair.settle()
        #expect(pair.sites[0].record.role == .standby && pair.sites[0].replica.applier.sessionCount == 0)
        try pair.sites[1].checkGroupings(seed: 6)
    }
}
