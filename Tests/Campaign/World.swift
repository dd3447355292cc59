internal import Foundation
internal import Holdfast
internal import Processes

/// The nodes, where they are and what is wrong with them now.
///
/// Invariants:
/// 1. A place holds at most one process; `isMeantToRun` says whether it should have one that runs.
/// 2. A process that ends while it is meant to run and nothing excuses it is a violation.
actor World {
    /// A place for a node: an address, a directory, a disk and a clock that can be made to fail.
    private struct Place {
        var node: UInt64
        var process: NodeProcess?
        var isMeantToRun = false
        /// Whether its disk fails in a way that ends a node.
        var failsWrites = false
        /// Until when it may end of a disk that is whole again: what failed may still be on its way.
        var mayEndUntil = ContinuousClock.now
    }

    let network: Network
    /// The places that have a node.
    nonisolated let memberPlaces = MemberPlaces()
    /// Little log is kept, so that a node that was away needs a state snapshot.
    private static let shortLog = ["--log-entries-max", "300", "--absence-milliseconds", "2000"]

    private let program: String
    private let interposer: String?
    private let directory: String
    private let violations: Violations
    private var places: [Place]

    /// The places; the last one is spare, for nodes that join.
    init(network: Network, program: String, interposer: String?, directory: String, violations: Violations) throws {
        self.network = network
        self.program = program
        self.interposer = interposer
        self.directory = directory
        self.violations = violations
        places = network.endpoints.indices.map { Place(node: UInt64($0 + 1)) }
        for place in places.indices {
            let control = Self.control(directory, place)
            try FileManager.default.createDirectory(atPath: control, withIntermediateDirectories: true)
            try Data(count: 8).write(to: URL(fileURLWithPath: control + "/clock"))
            try Data().write(to: URL(fileURLWithPath: control + "/rules"))
        }
    }

    // MARK: Processes

    /// Formats and starts the first members.
    func begin(members count: Int) async throws {
        let members = (0..<count).map { "\($0 + 1)=\(network.endpoints[$0])" }.joined(separator: ",")
        for place in 0..<count {
            try await tool([
                program, "node", "format", "--data", data(place), "--id", "\(place + 1)", "--cluster", "campaign",
                "--members", members,
            ])
        }
        for place in 0..<count { try start(place) }
    }

    /// The places that have a node, in order.
    var members: [Int] { places.indices.filter { places[$0].isMeantToRun } }

    /// The node at a place.
    func node(_ place: Int) -> UInt64 { places[place].node }

    /// Starts a node; it may still be looking for a leader.
    func start(_ place: Int) throws {
        var environment: [String: String] = [:]
        if let interposer {
            environment = ["LD_PRELOAD": interposer, "HOLDFAST_INTERPOSER": control(place)]
        }
        // The preload is for the node alone, not for what starts it.
        let variables = environment.map { "\($0.key)=\($0.value)" }.sorted()
        places[place].process = try NodeProcess(
            network.prefix(place) + ["env"] + variables + [
                program, "serve", "--data", data(place), "--log-level", "info",
            ]
                + ["--listen", network.endpoints[place]] + Self.shortLog + network.arguments,
            environment: [:], log: "\(directory)/place\(place + 1).log")
        places[place].isMeantToRun = true
        memberPlaces.set(memberPlaces.all.filter { $0 != place } + [place])
    }

    /// Ends a node at once, as a power cut does, and waits for its end.
    func kill(_ place: Int) async throws {
        places[place].isMeantToRun = false
        guard let process = places[place].process else { return }
        process.signal(SIGKILL)
        guard try await process.hasEnded(within: 30) else { throw CampaignError("node at \(place) does not die") }
        places[place].process = nil
    }

    /// Ends a node in order; it must end with status 0 within 10 s.
    func stop(_ place: Int) async throws {
        places[place].isMeantToRun = false
        guard let process = places[place].process else { return }
        process.signal(SIGTERM)
        if try await process.hasEnded(within: 15) {
            if process.status != 0 {
                violations.add(
                    "graceful stop",
                    "node \(places[place].node) ended with \(process.status ?? -1): \(process.lastWords())")
            }
        } else {
            violations.add("graceful stop", "node \(places[place].node) did not end within 15 s of SIGTERM")
            process.signal(SIGKILL)
            _ = try await process.hasEnded(within: 30)
        }
        places[place].process = nil
    }

    /// Stops a process where it stands, or lets it go on.
    func pause(_ place: Int, _ isPaused: Bool) {
        places[place].process?.signal(isPaused ? SIGSTOP : SIGCONT)
    }

    /// Starts again what has ended by itself, and says so where nothing excuses it; answers how many ended of a disk that failed.
    /// Keeps (2).
    @discardableResult
    func supervise() throws -> Int {
        var excused = 0
        for place in places.indices where places[place].isMeantToRun && !places[place].failsWrites {
            guard let process = places[place].process, let status = process.status else { continue }
            if places[place].mayEndUntil > .now {
                excused += 1
            } else {
                violations.add(
                    "node ended", "node \(places[place].node) ended with \(status) by itself: \(process.lastWords())")
            }
            try start(place)
        }
        return excused
    }

    // MARK: Faults

    /// The disk of a node fails so from now on: lines `OPERATION PART ACTION` of the interposer, none for a whole disk.
    ///
    /// - Parameter mayEnd: whether the node may end of it: of a failed write or flush, never of a full or a slow disk.
    func breakDisk(_ place: Int, _ rules: [String], mayEnd: Bool) throws {
        let path = control(place) + "/rules"
        try Data(rules.map { $0 + "\n" }.joined().utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
        places[place].failsWrites = mayEnd
    }

    /// The disk is whole again; a node that it has ended is started by `supervise`.
    func mendDisk(_ place: Int) throws {
        if places[place].failsWrites { places[place].mayEndUntil = .now + .seconds(20) }
        try breakDisk(place, [], mayEnd: false)
    }

    /// The time of day at a node stands so many seconds from the machine's.
    func setClock(_ place: Int, ahead seconds: Int) throws {
        let offset = Int64(seconds) * 1_000_000_000
        // In place: the process has the file mapped.
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: control(place) + "/clock"))
        try handle.write(contentsOf: withUnsafeBytes(of: offset.littleEndian) { Data($0) })
        try handle.close()
    }

    /// Cuts links: each place drops what comes from the places beside it.
    func cut(_ drops: [(at: Int, from: [Int])]) async throws {
        for drop in drops { try await network.drop(at: drop.at, from: drop.from) }
    }

    /// Everything runs and nothing is wrong.
    func heal() async throws {
        for place in places.indices {
            if network.hasNamespaces { try await network.drop(at: place, from: []) }
            try mendDisk(place)
            try setClock(place, ahead: 0)
            pause(place, false)
        }
    }

    // MARK: Membership

    /// A place without a node.
    var spare: Int? { places.indices.first { !places[$0].isMeantToRun } }

    /// Formats a new node at a place without one, and starts it. It asks the cluster, so that it may fail and be tried again.
    func join(_ place: Int, as node: UInt64, through others: [String]) async throws {
        if FileManager.default.fileExists(atPath: data(place)) {
            try FileManager.default.removeItem(atPath: data(place))
        }
        try await tool([
            program, "node", "format", "--data", data(place), "--id", "\(node)", "--join",
            others.joined(separator: ","),
            "--listen", network.endpoints[place],
        ])
        places[place].node = node
        try start(place)
    }

    /// A node that was removed ends by itself or is ended; its place is free.
    func leave(_ place: Int) async throws {
        places[place].isMeantToRun = false
        memberPlaces.set(memberPlaces.all.filter { $0 != place })
        guard let process = places[place].process else { return }
        if try await process.hasEnded(within: 5) == false {
            process.signal(SIGTERM)
            if try await process.hasEnded(within: 15) == false {
                process.signal(SIGKILL)
                _ = try await process.hasEnded(within: 30)
            }
        }
        places[place].process = nil
    }

    /// Runs a verb of the program against these endpoints.
    @discardableResult
    func run(_ arguments: [String], at endpoints: [String], seconds: Int = 40) async throws -> String {
        try await tool(
            [program] + arguments, environment: ["HOLDFAST_ENDPOINT": endpoints.joined(separator: ",")],
            seconds: seconds)
    }

    private func data(_ place: Int) -> String { "\(directory)/place\(place + 1)" }
    private func control(_ place: Int) -> String { Self.control(directory, place) }
    private static func control(_ directory: String, _ place: Int) -> String { "\(directory)/control\(place + 1)" }
}
