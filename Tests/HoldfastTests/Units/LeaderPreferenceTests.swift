import NIOCore
import Testing

@testable import Holdfast

/// When a new leader that lacks chunks hands over.
@Suite struct LeaderPreferenceTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private func candidate(
        _ node: UInt64, answers: Bool = true, isCaughtUp: Bool = true, isComplete: Bool = true
    ) -> LeaderPreference.Candidate {
        LeaderPreference.Candidate(node: node, answers: answers, isCaughtUp: isCaughtUp, isComplete: isComplete)
    }

    @Test func `a new leader that lacks chunks hands over to the first voter that answers, is near and is complete`() {
        var preference = LeaderPreference()
        #expect(
            preference.successor(term: nil, lacks: true, now: start) { [candidate(2)] } == nil, "nothing is committed")
        let all = [
            candidate(2, answers: false), candidate(3, isCaughtUp: false), candidate(4, isComplete: false),
            candidate(5),
        ]
        #expect(preference.successor(term: 7, lacks: true, now: start) { all } == 5)
        #expect(preference.successor(term: 7, lacks: true, now: start) { all } == nil, "once a term")
        #expect(preference.successor(term: 9, lacks: true, now: start) { all } == 5)
    }

    @Test func `a complete leader stays, also when something is published later`() {
        var preference = LeaderPreference()
        #expect(preference.successor(term: 7, lacks: false, now: start) { [candidate(2)] } == nil)
        #expect(preference.successor(term: 7, lacks: true, now: start) { [candidate(2)] } == nil)
    }

    @Test func `a leader waits a while for its own disk and for the others, then stays`() {
        var preference = LeaderPreference()
        #expect(preference.successor(term: 7, lacks: nil, now: start) { [candidate(2)] } == nil)
        #expect(preference.successor(term: 7, lacks: true, now: start) { [] } == nil)
        let later = start + .seconds(4)
        #expect(preference.successor(term: 7, lacks: true, now: later) { [candidate(2)] } == 2)
        var slow = LeaderPreference()
        #expect(slow.successor(term: 7, lacks: nil, now: start) { [candidate(2)] } == nil)
        let late = start + LeaderPreference.patience + .milliseconds(1)
        #expect(slow.successor(term: 7, lacks: true, now: late) { [candidate(2)] } == nil)
    }
}
