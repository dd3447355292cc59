internal import RaftCore
@testable internal import Simulation
internal import Testing

/// Who judges worlds must be judged: what is a violation, and what only looks like one.
struct CheckerTests {
    /// Entry 1 of term 1 was committed in term 1, entries 2 and 3 of term 4 in term 4.
    private static func committed() -> CommittedLog {
        var log = CommittedLog()
        _ = log.commits(1, from: 0, to: 1, leading: 1) { _ in 1 }
        _ = log.commits(1, from: 1, to: 3, leading: 4) { _ in 4 }
        return log
    }

    @Test("a leader of a later term without what was committed breaks leader completeness")
    func incompleteLeader() {
        let log = Self.committed()
        #expect(log.leads(2, 5, firstIndex: 1) { $0 <= 3 ? [1, 4, 4][Int($0) - 1] : nil } == nil)
        #expect(log.leads(2, 5, firstIndex: 1) { $0 <= 2 ? [1, 4][Int($0) - 1] : nil } != nil)
        #expect(log.leads(2, 3, firstIndex: 1) { _ in nil } != nil)
    }

    @Test("a leader of an earlier term, elected late, may lack what a later term has committed meanwhile")
    func lateLeaderOfAnEarlierTerm() {
        #expect(Self.committed().leads(2, 3, firstIndex: 1) { $0 == 1 ? 1 : nil } == nil)
    }

    @Test("a commit that no leader made first, another entry at a committed index, and a falling commit index are told")
    func commits() {
        var log = Self.committed()
        #expect(log.commits(2, from: 0, to: 3, leading: nil) { [1, 4, 4][Int($0) - 1] } == nil)
        #expect(log.commits(2, from: 0, to: 2, leading: nil) { _ in 3 } != nil)
        #expect(log.commits(2, from: 3, to: 4, leading: nil) { _ in 4 } != nil)
        #expect(log.commits(2, from: 3, to: 2, leading: nil) { _ in 4 } != nil)
    }
}
