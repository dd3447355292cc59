internal import ArgumentParser
internal import Holdfast

// Is the standby what it should be, and could it take over?
extension SiteCommand {
    /// `site verify`.
    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Hold this site against the other one, its rows against the feed, and chunks against their names.",
            discussion: """
                Compares the chain hash at one revision with the other site's, hashes all rows above the feed floor again,
                and reads a sample of the chunks, at the leader of the cluster that is asked; a chunk that is not whole is
                fetched anew from the other nodes. Exit status 0 where all agrees, 1 where something does not, 69 where the other site could not be asked.

                Example:
                  holdfast site verify --endpoint STANDBY:PORT
                  holdfast site verify --all --timeout 60
                """)

        @Option(help: ArgumentHelp("About how many chunks to read.", valueName: "n"))
        var chunks: UInt64 = 128
        @Flag(help: "Read every chunk.")
        var all = false
        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            let sample = all ? nil : chunks
            let found = try await global.withStore { store in try await store.verifySite(chunks: sample) }
            if global.json {
                StandardOutput.json(SiteVerificationDocument(found))
            } else {
                for line in SiteVerificationDocument.lines(found) { StandardOutput.line(line) }
            }
            if !found.isSound { throw ExitCode(ExitStatus.failed) }
            if found.agreement == .unknown { throw ExitCode(ExitStatus.unavailable) }
        }
    }

    /// `site drill`.
    struct Drill: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Try whether this standby could take over, on a fork that is thrown away.",
            discussion: """
                The leader of the standby forks itself in place, with a lineage of its own: the feed's hash is compared, a
                model loaded, a sample of chunks verified, and a write accepted. The link goes on all the while, nobody
                hears of the fork, and it is gone afterwards whatever came of it. 'site status' keeps the result. Exit
                status 0 where it passed, 1 where it failed.

                Example:
                  holdfast site drill --endpoint STANDBY:PORT --timeout 120
                """)

        @Option(help: ArgumentHelp("About how many chunks to verify.", valueName: "n"))
        var chunks: UInt64 = 64
        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            let result = try await global.withStore { store in try await store.drillSite(chunks: chunks) }
            if global.json {
                StandardOutput.json(DrillDocument(result))
            } else {
                StandardOutput.line(DrillDocument(result).line)
            }
            if !result.hasPassed { throw ExitCode(ExitStatus.failed) }
        }
    }
}

/// The document of `site verify --json`.
struct SiteVerificationDocument: Encodable {
    private var found: SiteVerification

    init(_ found: SiteVerification) { self.found = found }

    private enum Name: String, CodingKey {
        case agreement, badChunks, chunks, chunksChecked, firstRevision, revision, revisionsChecked, silence, sound
        case wrongReason, wrongRevision
    }

    func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: Name.self)
        try object.encode(found.agreement.rawValue, forKey: .agreement)
        try object.encode(found.badChunks, forKey: .badChunks)
        try object.encode(found.chunks, forKey: .chunks)
        try object.encode(found.chunksChecked, forKey: .chunksChecked)
        try object.encode(found.firstRevision, forKey: .firstRevision)
        try object.encode(found.revision, forKey: .revision)
        try object.encode(found.revisionsChecked, forKey: .revisionsChecked)
        try object.encode(found.silence, forKey: .silence)
        try object.encode(found.isSound, forKey: .sound)
        try object.encode(found.wrongReason, forKey: .wrongReason)
        try object.encode(found.wrongRevision, forKey: .wrongRevision)
    }

    /// The same for people.
    static func lines(_ found: SiteVerification) -> [String] {
        var lines: [String] = []
        switch found.agreement {
        case .equal: lines.append("both sites have the same history through revision \(found.revision)")
        case .different:
            lines.append("THE SITES DIFFER at revision \(found.revision): their chain hashes are not the same")
        case .unknown: lines.append("the sites could not be compared at revision \(found.revision): \(found.silence)")
        }
        if let wrong = found.wrongRevision {
            lines.append("THE ROWS OF REVISION \(wrong) DO NOT HOLD: \(found.wrongReason)")
        } else if found.revisionsChecked > 0 {
            lines.append("the rows of revisions \(found.firstRevision) to \(found.revision) give the feed's hashes")
        } else {
            lines.append("no revision's rows can be hashed again: the feed begins after \(found.revision)")
        }
        if found.badChunks.isEmpty {
            lines.append("\(found.chunksChecked) of \(found.chunks) chunks were read and are whole")
        } else {
            lines.append(
                "\(found.badChunks.count) OF \(found.chunksChecked) CHUNKS ARE NOT WHOLE; the leader fetches them anew:"
            )
            lines += found.badChunks.map { "  \($0)" }
        }
        return lines
    }
}

/// The document of `site drill --json`, and of `lastDrill` in a status.
struct DrillDocument: Encodable {
    var begun: UInt64
    var seconds: Double
    var node: UInt64
    var revision: UInt64
    var chunksChecked: UInt64
    var passed: Bool
    var failure: String

    init(_ result: SiteDrillResult) {
        begun = result.begunMilliseconds
        seconds = result.seconds
        node = result.node
        revision = result.revision
        chunksChecked = result.chunksChecked
        passed = result.hasPassed
        failure = result.failure
    }

    /// One line for people.
    var line: String {
        let what = "drill of node \(node) at revision \(revision)"
        guard passed else { return "\(what) FAILED after \(Units.seconds(seconds)): \(failure)" }
        return "\(what) passed: first write after \(Units.seconds(seconds)), \(chunksChecked) chunks verified"
    }
}

/// The document of `site status --why-not-promote --json`.
struct ObjectionsDocument: Encodable {
    struct Item: Encodable {
        var code: String
        var text: String
    }

    var objections: [Item]
    var recoveryPointSeconds: Double?

    init(_ objections: [SiteObjection], _ status: SiteStatus) {
        self.objections = objections.map { Item(code: $0.code.rawValue, text: $0.text) }
        recoveryPointSeconds = status.recoveryPointSeconds
    }

    private enum Name: String, CodingKey {
        case objections, recoveryPointSeconds
    }

    func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: Name.self)
        try object.encode(objections, forKey: .objections)
        try object.encode(recoveryPointSeconds, forKey: .recoveryPointSeconds)
    }

    /// The same for people.
    var lines: [String] {
        let bound = recoveryPointSeconds.map { "the most that can be lost: \(Units.decimal($0, 3)) s" }
        guard !objections.isEmpty else {
            return ["nothing stands against promoting this site"] + (bound.map { [$0] } ?? [])
        }
        return objections.map { "- \($0.text)" } + (bound.map { [$0] } ?? [])
    }
}
