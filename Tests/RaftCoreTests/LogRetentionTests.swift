@testable internal import RaftCore
internal import Testing

/// How much log a leader keeps, and for whom.
@Suite("What a leader keeps of its log")
struct LogRetentionTests {
    private func follower(
        _ id: NodeID, match: LogIndex, active: Bool = true, snapshot: LogIndex = 0
    ) -> Progress {
        var progress = Progress(
            id: id, match: match, next: match + 1, inflights: Inflights(messagesMax: 8, bytesMax: 0), isLearner: false,
            recentActive: active, session: 1)
        if snapshot > 0 { progress.becomeSnapshot(at: snapshot, stream: 0) }
        return progress
    }

    @Test("the slowest member that is there holds the log back")
    func slowestHolds() {
        var retention = LogRetention(entriesMax: 1_000, absenceMax: 10)
        let members = [follower(1, match: 100), follower(2, match: 40), follower(3, match: 90)]
        #expect(retention.floor(followers: members, lastIndex: 100, bytesPoint: 0, now: 5) == 40)
        #expect(retention.absent.isEmpty)
    }

    @Test("a member that is silent for longer than the absence holds nothing back, until it is heard again")
    func absentHoldsNothing() {
        var retention = LogRetention(entriesMax: 1_000, absenceMax: 10)
        let silent = [follower(1, match: 100), follower(2, match: 40, active: false)]
        #expect(retention.floor(followers: silent, lastIndex: 100, bytesPoint: 0, now: 5) == 40)
        #expect(retention.floor(followers: silent, lastIndex: 100, bytesPoint: 0, now: 15) == 40)
        #expect(retention.floor(followers: silent, lastIndex: 100, bytesPoint: 0, now: 16) == 100)
        #expect(retention.absent == [2])
        let back = [follower(1, match: 100), follower(2, match: 40)]
        #expect(retention.floor(followers: back, lastIndex: 100, bytesPoint: 0, now: 17) == 40)
        #expect(retention.floor(followers: silent, lastIndex: 100, bytesPoint: 0, now: 27) == 40)
    }

    @Test("a new leader gives every member the whole time")
    func newLeaderWaits() {
        var retention = LogRetention(entriesMax: 1_000, absenceMax: 10)
        let silent = [follower(1, match: 100), follower(2, match: 0, active: false)]
        _ = retention.floor(followers: silent, lastIndex: 100, bytesPoint: 0, now: 5)
        retention.forget()
        #expect(retention.floor(followers: silent, lastIndex: 100, bytesPoint: 0, now: 40) == 0)
        #expect(retention.floor(followers: silent, lastIndex: 100, bytesPoint: 0, now: 51) == 100)
    }

    @Test("while a member fetches a snapshot the log behind that snapshot is kept for it")
    func snapshotHolds() {
        var retention = LogRetention(entriesMax: 1_000, absenceMax: 10)
        let members = [follower(1, match: 100), follower(2, match: 3, snapshot: 70)]
        #expect(retention.floor(followers: members, lastIndex: 100, bytesPoint: 0, now: 5) == 70)
    }

    @Test("no member holds back more than the bounds of entries and bytes")
    func boundsHold() {
        var retention = LogRetention(entriesMax: 30, absenceMax: 10)
        let members = [follower(1, match: 100), follower(2, match: 3), follower(3, match: 3, snapshot: 60)]
        #expect(retention.floor(followers: members, lastIndex: 100, bytesPoint: 0, now: 5) == 70)
        #expect(retention.floor(followers: members, lastIndex: 100, bytesPoint: 85, now: 6) == 85)
    }

    @Test("where a member cannot take a snapshot the log waits for everyone")
    func withoutSnapshotsEveryoneHolds() {
        var retention = LogRetention(entriesMax: 30, absenceMax: 10)
        let members = [follower(1, match: 100), follower(2, match: 3, active: false)]
        for now in [UInt64(5), 100] {
            let floor = retention.floor(
                followers: members, lastIndex: 100, bytesPoint: 85, now: now, sendsSnapshots: false)
            #expect(floor == 3)
        }
    }
}
