import Testing

@testable import HoldfastCLI

@Suite struct PlaceTests {
    private static let environment = ["HOLDFAST_ENDPOINT": "e:1, f:2", "HOLDFAST_LOCAL": "/env"]

    @Test func aFlagBeatsTheEnvironment() throws {
        #expect(try Place(endpoints: ["a:1"], local: nil, environment: Self.environment) == .endpoints(["a:1"]))
        #expect(try Place(endpoints: [], local: "/flag", environment: Self.environment) == .local("/flag"))
    }

    @Test func theEndpointOfTheEnvironmentBeatsItsDirectory() throws {
        #expect(try Place(endpoints: [], local: nil, environment: Self.environment) == .endpoints(["e:1", "f:2"]))
        #expect(try Place(endpoints: [], local: nil, environment: ["HOLDFAST_LOCAL": "/env"]) == .local("/env"))
    }

    @Test func anEmptyVariableSaysNothing() throws {
        let environment = ["HOLDFAST_ENDPOINT": "", "HOLDFAST_LOCAL": "/env"]
        #expect(try Place(endpoints: [], local: nil, environment: environment) == .local("/env"))
    }

    @Test func noPlaceIsAUsageErrorThatSaysWhatToGive() {
        let failure = #expect(throws: Failure.self) { try Place(endpoints: [], local: nil, environment: [:]) }
        #expect(failure?.status == 64)
        for hint in ["--endpoint", "--local", "HOLDFAST_ENDPOINT", "HOLDFAST_LOCAL"] {
            #expect(failure?.error.message.contains(hint) == true)
        }
    }

    @Test func twoPlacesAreAUsageError() {
        let failure = #expect(throws: Failure.self) { try Place(endpoints: ["a:1"], local: "/d", environment: [:]) }
        #expect(failure?.status == 64)
    }

    @Test(arguments: ["a", "a:", ":1", "a:0", "a:65536", "a:b", "::1:7", "a b:1", "[]:1"])
    func whatIsNoAddressIsRefused(_ text: String) {
        #expect(throws: Failure.self) { try Place(endpoints: [text], local: nil, environment: [:]) }
    }

    @Test func portZeroIsOnlyForListening() throws {
        try Endpoint.check("127.0.0.1:0", portZero: true)
        #expect(throws: Failure.self) { try Endpoint.check("127.0.0.1:0", portZero: false) }
        try Endpoint.check("[::1]:7001", portZero: false)
    }

    @Test func theTimeoutIsFlagThenEnvironmentThenThirtySeconds() throws {
        var options = try GlobalOptions.parse([])
        #expect(try options.timeoutMilliseconds([:]) == 30_000)
        #expect(try options.timeoutMilliseconds(["HOLDFAST_TIMEOUT": "2.5"]) == 2500)
        options.timeout = 1
        #expect(try options.timeoutMilliseconds(["HOLDFAST_TIMEOUT": "2.5"]) == 1000)
        options.timeout = 0
        #expect(throws: Failure.self) { try options.timeoutMilliseconds([:]) }
        options.timeout = nil
        #expect(throws: Failure.self) { try options.timeoutMilliseconds(["HOLDFAST_TIMEOUT": "soon"]) }
    }
}
