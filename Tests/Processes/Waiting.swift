/// What a test on processes expected and did not find; the sentence says which.
package struct Unexpected: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// Waits for a condition; throws at the deadline.
package func until(_ what: String, seconds: Int = 30, _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while try await !condition() {
        guard ContinuousClock.now < deadline else { throw Unexpected("waited \(seconds) s for \(what)") }
        try await Task.sleep(for: .milliseconds(10))
    }
}
