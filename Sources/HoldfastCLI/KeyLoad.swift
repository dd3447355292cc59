internal import Holdfast
internal import Synchronization

/// Many clients that each send one request after the other, for a while.
struct KeyLoad {
    /// What the clients do.
    enum Verb: String {
        /// Linearizable writes of the client's own key.
        case put
        /// Linearizable reads of the client's own key.
        case get
    }

    /// What came out.
    struct Outcome: Sendable {
        /// Of every acknowledged request after the warm-up.
        var latencies: Latencies
        /// How long was measured, in seconds.
        var seconds: Double
        /// The longest time without any acknowledgement, in milliseconds.
        var longestGapMilliseconds: Double
        /// Requests that failed (only with `keepGoing`).
        var errors: Int
    }

    /// What one client counted.
    private struct Share: Sendable {
        var samples: [UInt64] = []
        var acknowledged: [UInt64] = []
        var errors = 0
    }

    /// What the clients do.
    var verb: Verb
    /// How many clients.
    var clients: Int
    /// The length of a value in bytes.
    var valueBytes: Int
    /// How long it is measured.
    var seconds: Double
    /// Requests a second of all clients together; nil for as many as they can.
    var rate: Double?
    /// Whether a failure that passes (a dead leader, a full queue) is counted instead of ending the run.
    var keepGoing: Bool
    /// Before every key: no other run's and no user's keys are touched.
    var prefix: String

    /// Before anything is counted: connections are made and caches are warm then.
    private static let warmUp = Duration.milliseconds(500)

    /// Runs the clients over the stores, spread evenly, and removes their keys.
    func run(_ stores: [Store]) async throws -> Outcome {
        let value = RandomBytes(seed: 3).array(valueBytes)
        if verb == .get { for client in 0..<clients { _ = try await stores[0].put(key(client), value) } }
        let begin = ContinuousClock.now + Self.warmUp
        let end = begin + .seconds(seconds)
        let shares = try await withThrowingTaskGroup(of: Share.self) { group in
            for client in 0..<clients {
                let store = stores[client % stores.count]
                group.addTask { try await share(of: client, store, value, from: begin, to: end) }
            }
            var shares: [Share] = []
            for try await share in group { shares.append(share) }
            return shares
        }
        _ = try await stores[0].transaction(Transaction(then: [.delete(.prefix(Key(prefix)))]))
        return Outcome(
            latencies: Latencies(shares.flatMap(\.samples)), seconds: seconds,
            longestGapMilliseconds: Self.longestGap(shares.flatMap(\.acknowledged)),
            errors: shares.reduce(0) { $0 + $1.errors })
    }

    private func share(
        of client: Int, _ store: Store, _ value: [UInt8], from begin: ContinuousClock.Instant,
        to end: ContinuousClock.Instant
    ) async throws -> Share {
        var share = Share()
        let key = key(client)
        var turn = begin - Self.warmUp + Self.offset(of: client, among: clients, rate: rate)
        while true {
            if let rate {
                // One that is late sends at once: what it could not send is made up for.
                if ContinuousClock.now < turn { try await Task.sleep(until: min(turn, end), clock: .continuous) }
                turn += .seconds(Double(clients) / rate)
            }
            let sent = ContinuousClock.now
            if sent >= end { return share }
            do throws(HoldfastError) {
                switch verb {
                case .put: _ = try await store.put(key, value)
                case .get: _ = try await store.get(key)
                }
            } catch {
                guard keepGoing, Self.passes(error) else { throw error }
                share.errors += 1
                continue
            }
            let acknowledged = ContinuousClock.now
            guard sent >= begin else { continue }
            share.samples.append(Self.nanoseconds(acknowledged - sent))
            share.acknowledged.append(Self.nanoseconds(acknowledged - begin))
        }
    }

    /// When a client's first turn is, so that the turns of all lie evenly.
    static func offset(of client: Int, among clients: Int, rate: Double?) -> Duration {
        rate.map { .seconds(Double(client) / $0) } ?? .zero
    }

    /// The longest time between two acknowledgements that follow each other, of any clients.
    static func longestGap(_ acknowledged: [UInt64]) -> Double {
        let sorted = acknowledged.sorted()
        let gaps = zip(sorted.dropFirst(), sorted).map { $0 - $1 }
        return Double(gaps.max() ?? 0) / 1e6
    }

    private func key(_ client: Int) -> Key { Key("\(prefix)\(client)") }

    private static func passes(_ error: HoldfastError) -> Bool {
        [ExitStatus.unavailable, ExitStatus.outcomeUnknown].contains(ExitStatus.of(error.code))
    }

    private static func nanoseconds(_ duration: Duration) -> UInt64 {
        UInt64(max(0, duration.inSeconds * 1e9))
    }
}
