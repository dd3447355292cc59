internal import ArgumentParser
internal import Holdfast

/// `holdfast site …`: another cluster that follows this one and can take over.
struct SiteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "site",
        abstract: "A second site that follows and can take over.",
        discussion: """
            Example:
              holdfast site enroll --endpoint 10.0.1.1:7001
              holdfast site follow --primary 10.0.1.1:7001 --token TOKEN --endpoint 10.0.2.1:7001
              holdfast site status --endpoint 10.0.2.1:7001
            """,
        subcommands: [
            Enroll.self, Follow.self, Status.self, Switchover.self, Promote.self, Rejoin.self, OrphansCommand.self,
            Pause.self, Resume.self, Limit.self, Verify.self, Drill.self,
        ])

    /// `site enroll`.
    struct Enroll: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print a token with which one other cluster may follow this one, once, within an hour.",
            discussion: "Example:\n  holdfast site enroll")

        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            let token = try await global.withStore { store in
                let status = try await store.siteStatus()
                if !status.peer.isEmpty {
                    StandardError.line(
                        "note: the cluster that uses this token takes the place of the one at "
                            + "\(status.peer.joined(separator: ",")), which follows no more then")
                }
                return try await store.enrollSite()
            }
            if global.json { StandardOutput.json(["token": token]) } else { StandardOutput.line(token) }
        }
    }

    /// `site follow`.
    struct Follow: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make this cluster, which must be new, the standby of another.",
            discussion: "Example:\n  holdfast site follow --primary 10.0.1.1:7001,10.0.1.2:7001 --token TOKEN")

        @Option(help: ArgumentHelp("Nodes of the primary.", valueName: "host:port,…"))
        var primary: String
        @Option(help: "What 'site enroll' printed there.")
        var token: String
        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            let endpoints = primary.split(separator: ",").map(String.init)
            try await global.withStore { store in try await store.followSite(at: endpoints, token: token) }
            try await global.showSite("this cluster follows \(primary)")
        }
    }

    /// `site status`.
    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what this site is and how far the two are apart.",
            discussion: """
                --why-not-promote lists what stands against promoting this site now, one line each: exit status 0 where
                nothing does, 2 where something does.

                Example:
                  holdfast site status --json
                  holdfast site status --why-not-promote
                """)

        @Flag(help: "List what stands against promoting this site.")
        var whyNotPromote = false

        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            if whyNotPromote { return try await showObjections() }
            let status = try await global.withStore { store in try await store.siteStatus() }
            if global.json {
                StandardOutput.json(SiteDocument(status))
            } else {
                for line in SiteDocument(status).lines { StandardOutput.line(line) }
            }
        }

        private func showObjections() async throws {
            let (site, cluster) = try await global.withStore { store in
                (try await store.siteStatus(), try await store.status())
            }
            let objections = SiteObjection.all(site, cluster)
            let document = ObjectionsDocument(objections, site)
            if global.json {
                StandardOutput.json(document)
            } else {
                for line in document.lines { StandardOutput.line(line) }
            }
            if !objections.isEmpty { throw ExitCode(ExitStatus.conflict) }
        }
    }

    /// `site switchover`.
    struct Switchover: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Hand the role of the primary to the standby; nothing is lost.",
            discussion: "Ask the primary. Example:\n  holdfast site switchover")

        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            try await global.withStore { store in try await store.switchOverSite() }
            try await global.showSite("the other site is the primary, and this one follows it")
        }
    }

    /// `site promote`.
    struct Promote: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make this standby the primary without the other's leave.",
            discussion: """
                What this site does not have is lost to it; 'site rejoin' at the other site lists that later. An isolated
                primary goes on writing until it hears of this one.

                Example:
                  holdfast site promote --force --accept-loss 5
                """)

        @Flag(help: "Required: nothing else makes this safe.")
        var force = false
        @Option(help: ArgumentHelp("The loss that is accepted: seconds, or 'unknown'.", valueName: "seconds"))
        var acceptLoss: String
        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func validate() throws {
            guard force else { throw ValidationError("a promotion without the primary's leave needs --force") }
            guard acceptLoss == "unknown" || (Double(acceptLoss).map { $0 >= 0 } ?? false) else {
                throw ValidationError("--accept-loss takes seconds, or 'unknown'")
            }
        }

        func run() async throws {
            let seconds = Double(acceptLoss)
            try await global.withStore { store in
                let status = try await store.siteStatus()
                let bound = status.recoveryPointSeconds.map { "\($0) seconds" } ?? "not known"
                StandardError.line("the most that can be lost: \(bound)")
                try await store.promoteSite(acceptingLossOf: seconds)
            }
            try await global.showSite("this site is the primary")
        }
    }

    /// `site rejoin`.
    struct Rejoin: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let this old primary follow the new one; what only it has is kept as orphans.",
            discussion: "Example:\n  holdfast site rejoin --timeout 600")

        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            try await global.withStore { store in try await store.rejoinSite() }
            try await global.showSite("this site follows the other one")
        }
    }
}

extension GlobalOptions {
    /// Prints the site after a verb: the document, or one sentence.
    func showSite(_ sentence: String) async throws {
        guard json else { return StandardOutput.line(sentence) }
        StandardOutput.json(SiteDocument(try await withStore { store in try await store.siteStatus() }))
    }
}

/// The document of `site status --json`.
struct SiteDocument: Encodable {
    private var status: SiteStatus

    init(_ status: SiteStatus) { self.status = status }

    private struct Window: Encodable {
        var from: String
        var below: String
        var bytesPerSecond: UInt64?

        init(_ window: LinkPace.Window) {
            from = LinkPaceText.time(window.fromMinute)
            below = LinkPaceText.time(window.belowMinute)
            bytesPerSecond = window.bytesPerSecond
        }
    }

    private enum Name: String, CodingKey {
        case role, epoch, lineage, link, revision, peerRevision, missingEntries, missingBytes, recoveryPointSeconds
        case retentionHeadroomBytes, fencing, lastDrill, peer, frozen, paused, bytesPerSecond, windows, seeding
    }

    func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: Name.self)
        try object.encode(status.role.rawValue, forKey: .role)
        try object.encode(status.epoch, forKey: .epoch)
        try object.encode(status.lineage, forKey: .lineage)
        try object.encode(status.link.rawValue, forKey: .link)
        try object.encode(status.revision, forKey: .revision)
        // Encoded also where they are null: the fields are always there.
        try object.encode(status.peerRevision, forKey: .peerRevision)
        try object.encode(status.missingEntries, forKey: .missingEntries)
        try object.encode(status.missingBytes, forKey: .missingBytes)
        try object.encode(status.recoveryPointSeconds, forKey: .recoveryPointSeconds)
        try object.encode(status.retentionHeadroomBytes, forKey: .retentionHeadroomBytes)
        try object.encode(status.fencing, forKey: .fencing)
        try object.encode(status.lastDrill.map(DrillDocument.init), forKey: .lastDrill)
        try object.encode(status.peer, forKey: .peer)
        try object.encode(status.isFrozen, forKey: .frozen)
        try object.encode(status.pace.isPaused, forKey: .paused)
        try object.encode(status.rateBytesPerSecond, forKey: .bytesPerSecond)
        try object.encode(status.pace.windows.map(Window.init), forKey: .windows)
        try object.encode(status.seeding.map(Seeding.init), forKey: .seeding)
    }

    /// How far a seed is.
    private struct Seeding: Encodable {
        var revision, rows, bytes, sameRanges, changedRanges: UInt64

        init(_ seeding: SiteStatus.Seeding) {
            (revision, rows, bytes) = (seeding.revision, seeding.rows, seeding.bytes)
            (sameRanges, changedRanges) = (seeding.sameRanges, seeding.changedRanges)
        }
    }

    /// The same for people.
    var lines: [String] {
        let recovery = status.recoveryPointSeconds.map { "\($0) s" } ?? "not known"
        let peer = status.peerRevision.map { "\($0)" } ?? "not known"
        var lines = [
            "role \(status.role.rawValue)\(status.isFrozen ? ", handing over" : "")  epoch \(status.epoch)"
                + "  lineage \(status.lineage.isEmpty ? "none" : status.lineage)",
            "revision \(status.revision)  there \(peer)  link \(status.link.rawValue)",
        ]
        if !status.peer.isEmpty { lines.append("other site \(status.peer.joined(separator: ","))") }
        if let entries = status.missingEntries {
            let bytes = status.missingBytes.map {
                "about \(Units.bytes($0))\(entries > 0 ? " besides chunks" : "")"
            }
            lines.append("missing \(entries) revisions, \(bytes ?? "bytes not known")")
        }
        if let seeding = status.seeding {
            lines.append(
                "seeding to revision \(seeding.revision): \(seeding.rows) rows, \(Units.bytes(seeding.bytes)); "
                    + "\(seeding.changedRanges) ranges differed, \(seeding.sameRanges) did not")
        }
        if status.role == .standby { lines.append("recovery point \(recovery)") }
        if status.role == .standby || status.pace != LinkPace() {
            lines.append("chunks cross at \(LinkPaceText.line(status.pace, now: status.rateBytesPerSecond))")
        }
        if let headroom = status.retentionHeadroomBytes {
            lines.append("headroom \(Units.bytes(headroom))")
        } else if status.role == .primary, !status.peer.isEmpty {
            lines.append("headroom none: what the standby lacks is not kept for it any more")
        }
        if let drill = status.lastDrill {
            lines.append("last \(DrillDocument(drill).line), on \(Units.time(milliseconds: drill.begunMilliseconds))")
        }
        lines.append("fencing \(status.fencing)")
        return lines
    }
}
