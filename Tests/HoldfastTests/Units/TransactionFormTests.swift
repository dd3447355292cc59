import ReplicaCore
import Testing

@testable import Holdfast

@Suite struct TransactionFormTests {
    private let get = Transaction.Operation.get(.key("k"), limit: 1)
    private let put = Transaction.Operation.put("k", [1])

    private func dropped(succeeded: Bool) -> ReplicaCore.TransactionResult {
        ReplicaCore.TransactionResult(revision: 7, succeeded: succeeded, results: [], resultsDropped: true)
    }

    @Test func whatWasNotKeptIsNeverTakenForWhatWasNotThere() throws {
        let mixed = Transaction(then: [get, put])
        let error = #expect(throws: HoldfastError.self) { try mixed.result(dropped(succeeded: true)) }
        #expect(error?.code == .outcomeUnknown)
        #expect(error?.details == ["revision": "7", "succeeded": "true"])
        #expect(throws: HoldfastError.self) {
            try Transaction(then: [.delete(.prefix("a"))]).result(dropped(succeeded: true))
        }
    }

    @Test func aTransactionThatOnlyReadIsAskedAgain() throws {
        #expect(try Transaction(then: [get, get]).result(dropped(succeeded: true)) == nil)
        #expect(try Transaction(then: [put], otherwise: [get]).result(dropped(succeeded: false)) == nil)
    }

    @Test func putsNeedNothingThatWasKept() throws {
        let result = try Transaction(then: [put, put], otherwise: [get]).result(dropped(succeeded: true))
        #expect(result == TransactionResult(succeeded: true, revision: 7, answers: [.put, .put]))
    }

    @Test func aWholeAnswerIsGivenAsItIs() throws {
        let whole = ReplicaCore.TransactionResult(
            revision: 3, succeeded: true, results: [.deleted(count: 2)], resultsDropped: false)
        let result = try Transaction(then: [.delete(.prefix("a"))]).result(whole)
        #expect(result == TransactionResult(succeeded: true, revision: 3, answers: [.deleted(2)]))
    }
}
