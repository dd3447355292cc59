import NIOCore
import Testing

@testable import Holdfast

@Suite struct AttemptsTests {
    private func failure(_ code: HoldfastError.Code, _ message: String, isAnswer: Bool) -> CallFailure {
        CallFailure(error: HoldfastError(code, message), mayHaveHappened: false, isAnswer: isAnswer)
    }

    @Test func `what a node said stands before what others did not say, and those are named`() {
        var attempts = Attempts()
        #expect(attempts.summary.code == .deadlineExceeded)
        attempts.failed(failure(.unavailable, "nobody listens at a", isAnswer: false), at: "a")
        #expect(attempts.summary.message == "nobody listens at a")
        attempts.failed(failure(.notLeader, "node 2 knows no leader", isAnswer: true), at: "b")
        attempts.failed(failure(.deadlineExceeded, "no answer in time", isAnswer: false), at: "c")
        attempts.failed(failure(.unavailable, "nobody listens at a", isAnswer: false), at: "a")
        #expect(attempts.summary.code == .notLeader)
        #expect(attempts.summary.message == "node 2 knows no leader; no answer from a, c")
        attempts.failed(failure(.notLeader, "node 1 knows no leader", isAnswer: true), at: "a")
        #expect(attempts.summary.message == "node 1 knows no leader; no answer from c")
    }

    @Test func `pauses are short for as long as a change of the leader takes, and then grow to a bound`() {
        var attempts = Attempts()
        var longest = TimeAmount.zero
        for _ in 0..<Attempts.shortPauses { longest = max(longest, attempts.nextPause()) }
        #expect(longest <= .milliseconds(40))
        for _ in 0..<8 { _ = attempts.nextPause() }
        for _ in 0..<100 {
            let pause = attempts.nextPause()
            #expect(pause >= .milliseconds(160) && pause <= .milliseconds(500))
        }
    }

    @Test func `a refusal is said once a minute, and at once where it says something else`() {
        var refusals = Refusals()
        let now = NIODeadline.now()
        var news: [Bool] = []
        for (node, sentence, after) in [
            (1, "another cluster", 0), (1, "another cluster", 59), (2, "another cluster", 0), (1, "no member", 0),
            (1, "no member", 60),
        ] as [(UInt64, String, Int64)] {
            news.append(refusals.isNews(node, sentence, now: now + .seconds(after)))
        }
        #expect(news == [true, false, true, true, true])
    }
}
