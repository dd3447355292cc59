import Testing

@testable import ReplicaCore

/// Commands that come late: what they were meant for is over.
@Suite struct SiteRecordTests {
    private let here = SitePosition(revision: 7, hash: Digest(7, 7, 7, 7))
    private let other = SitePosition(revision: 8, hash: Digest(8, 8, 8, 8))
    private let own = SiteID(1, 1)
    private let peer = SitePeer(site: SiteID(2, 2), endpoints: ["b:1"])
    private let id = Identifier(9, 9)

    private func record(
        _ role: SiteRecord.Role, epoch: UInt64, seen: UInt64? = nil, odd: Bool = true, frozen: Bool = false
    ) -> SiteRecord {
        var record = SiteRecord()
        record.role = role
        record.epoch = epoch
        record.seen = seen ?? epoch
        record.beginsOddEpochs = odd
        record.lineage = SiteID(1, 1)
        record.peer = peer
        if frozen { record.switchover = SiteRecord.Switchover(id: id, begun: 0, grant: nil) }
        return record
    }

    /// The record after a command at `here`; nil if it is refused, and then nothing has changed.
    private func take(_ command: SiteCommand, _ record: SiteRecord) -> SiteRecord? {
        var next = record
        do throws(Refusal) {
            _ = try next.take(command, at: here, own: own, time: 0)
            return next
        } catch {
            #expect(next == record)
            return nil
        }
    }

    @Test func `a site follows only from where it is, and only an epoch that is not over`() {
        func follow(_ epoch: UInt64, at position: SitePosition, lineage: Lineage = SiteID(1, 1)) -> SiteCommand {
            .follow(SiteFollow(primary: peer, lineage: lineage, epoch: epoch, position: position))
        }
        let fenced = record(.fenced, epoch: 1, seen: 2)
        #expect(take(follow(2, at: here), fenced)?.role == .standby)
        #expect(take(follow(2, at: other), fenced) == nil, "another position than the one that was asked about")
        #expect(take(follow(2, at: here), record(.fenced, epoch: 1, seen: 3)) == nil, "a later epoch was heard of")
        #expect(take(follow(2, at: here), record(.fenced, epoch: 2)) == nil, "its own epoch")
        #expect(take(follow(2, at: here, lineage: SiteID(5, 5)), fenced) == nil, "another history")
        #expect(take(follow(3, at: here), fenced) == nil, "an epoch that only this site begins")
        #expect(take(follow(2, at: here), record(.primary, epoch: 1)) == nil, "a primary")
    }

    @Test func `a grant is given for the position of both, in the switchover that it was asked for`() {
        let frozen = record(.primary, epoch: 1, frozen: true)
        #expect(take(.grant(switchover: id, to: here), frozen)?.role == .fenced)
        #expect(take(.grant(switchover: id, to: other), frozen) == nil)
        #expect(take(.grant(switchover: Identifier(1, 9), to: here), frozen) == nil)
        #expect(take(.grant(switchover: id, to: here), record(.primary, epoch: 1)) == nil, "given up meanwhile")
        #expect(take(.grant(switchover: id, to: here), record(.primary, epoch: 1, seen: 2, frozen: true)) == nil)
    }

    @Test func `a grant is used by the standby that it is for, where it is for, while its epoch is the latest`() {
        func grant(_ epoch: UInt64 = 3, site: SiteID = SiteID(1, 1), at position: SitePosition) -> SiteCommand {
            .promote(SiteGrant(switchover: id, site: site, epoch: epoch, position: position))
        }
        let standby = record(.standby, epoch: 2)
        #expect(take(grant(at: here), standby)?.role == .primary)
        #expect(take(grant(at: other), standby) == nil)
        #expect(take(grant(site: SiteID(2, 2), at: here), standby) == nil)
        #expect(take(grant(), record(.standby, epoch: 2, seen: 4)) == nil, "a later epoch was heard of")
        #expect(take(grant(), record(.standby, epoch: 4)) == nil, "it follows in a later one")
        #expect(take(grant(4, at: here), standby) == nil, "an epoch of the other site")
        #expect(take(grant(), record(.fenced, epoch: 1, seen: 2)) == nil, "it follows nobody")
        let primary = record(.primary, epoch: 3)
        #expect(take(grant(), primary) == primary, "repeated")

        func grant() -> SiteCommand { grant(at: here) }
    }

    @Test func `a forced promotion is above all epochs that were heard of, and of the site's own parity`() {
        #expect(take(.force(seen: 2), record(.standby, epoch: 2))?.epoch == 3)
        #expect(take(.force(seen: 5), record(.standby, epoch: 2, seen: 5))?.epoch == 7)
        #expect(take(.force(seen: 5), record(.fenced, epoch: 1, seen: 5, odd: false))?.epoch == 6)
        #expect(take(.force(seen: 2), record(.standby, epoch: 2, seen: 3)) == nil, "heard of meanwhile")
        #expect(take(.force(seen: 1), record(.primary, epoch: 1)) == nil)
        #expect(take(.force(seen: 0), SiteRecord()) == nil)
        #expect(take(.force(seen: 65_535), record(.standby, epoch: 2, seen: 65_535)) == nil, "epochs end")
    }

    @Test func `who has heard of a higher epoch acknowledges nothing`() {
        #expect(record(.primary, epoch: 3).mayAcknowledge(heard: 3))
        #expect(!record(.primary, epoch: 3).mayAcknowledge(heard: 4))
        #expect(!record(.fenced, epoch: 3).mayAcknowledge(heard: 0))
        #expect(!record(.standby, epoch: 3).mayAcknowledge(heard: 0))
        #expect(SiteRecord().mayAcknowledge(heard: 9))
        #expect(take(.fence(epoch: 4, by: peer.site), record(.primary, epoch: 3, frozen: true))?.isWritable == false)
        #expect(take(.fence(epoch: 2, by: peer.site), record(.primary, epoch: 3))?.isWritable == true)
        #expect(take(.fence(epoch: 3, by: own), record(.primary, epoch: 3))?.isWritable == true, "its own")
        #expect(take(.fence(epoch: 3, by: SiteID(5, 5)), record(.primary, epoch: 3))?.isWritable == false, "a clone's")
    }

    @Test func `the standby alone pauses the link, and a change of its role ends that`() throws {
        let paused = SitePace(isPaused: true, bytesPerSecond: 5)
        #expect(take(.pace(paused), SiteRecord()) == nil, "it belongs to no pair")
        #expect(take(.pace(paused), record(.primary, epoch: 1)) == nil, "the standby pulls")
        #expect(take(.pace(SitePace(bytesPerSecond: 5)), record(.primary, epoch: 1))?.pace.bytesPerSecond == 5)
        let standby = try #require(take(.pace(paused), record(.standby, epoch: 2)))
        #expect(standby.pace == paused)
        #expect(take(.force(seen: 2), standby)?.pace == SitePace(bytesPerSecond: 5))
        let follow = SiteFollow(primary: peer, lineage: SiteID(1, 1), epoch: 4, position: here)
        #expect(take(.follow(follow), standby)?.pace.isPaused == false)
        let drill = SiteDrill(begun: 1, milliseconds: 2, node: 3, revision: 4, failure: "", chunks: 5)
        #expect(take(.drilled(drill), standby)?.lastDrill == drill)
    }
}
