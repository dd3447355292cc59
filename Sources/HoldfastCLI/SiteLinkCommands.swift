internal import ArgumentParser
internal import Holdfast

// The link between two sites: stopped, slowed down, and what is kept for a standby that lags.
extension SiteCommand {
    /// `site pause`.
    struct Pause: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Stop the link: nothing crosses until 'site resume'.",
            discussion: """
                Ask the standby, which pulls. The two go on hearing of each other, and what may be lost grows with every
                write at the primary. Ends by itself when the standby becomes the primary.

                Example:
                  holdfast site pause
                """)

        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            try await global.withStore { store in try await store.pauseSite(true) }
            try await global.showSite("the link is paused; 'site resume' goes on")
        }
    }

    /// `site resume`.
    struct Resume: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a paused link go on.",
            discussion: "Example:\n  holdfast site resume")

        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func run() async throws {
            try await global.withStore { store in try await store.pauseSite(false) }
            try await global.showSite("the link goes on")
        }
    }

    /// `site limit`.
    struct Limit: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Bound how fast chunks cross, or what is kept for a standby that does not keep up.",
            discussion: """
                --rate and --at belong to the standby, which pulls: they replace each other's last values. The first
                window that a moment lies in counts, times are in UTC, and one may go over midnight. Rows are not
                slowed down.

                --keep-bytes and --keep-hours belong to the primary: past either a standby that is too far behind must
                be seeded anew.

                Example:
                  holdfast site limit --rate 25000000 --at 22:00-06:00=unlimited --endpoint STANDBY:PORT
                  holdfast site limit --keep-bytes 16000000000 --keep-hours 168 --endpoint PRIMARY:PORT
                """)

        @Option(help: ArgumentHelp("Bytes a second, or 'unlimited'.", valueName: "rate"))
        var rate: String?
        @Option(help: ArgumentHelp("A part of every day with another rate; repeat it.", valueName: "hh:mm-hh:mm=rate"))
        var at: [String] = []
        @Option(help: ArgumentHelp("Bytes of the feed.", valueName: "bytes"))
        var keepBytes: UInt64?
        @Option(help: ArgumentHelp("Age of the oldest write that is kept for it.", valueName: "hours"))
        var keepHours: UInt64?
        @OptionGroup(title: "Global options")
        var global: GlobalOptions

        func validate() throws {
            guard (keepBytes == nil) == (keepHours == nil) else {
                throw ValidationError("--keep-bytes and --keep-hours are set together")
            }
            guard keepBytes != nil || rate != nil || !at.isEmpty else {
                throw ValidationError("say what to limit: --rate or --at, or --keep-bytes with --keep-hours")
            }
            _ = try pace()
        }

        func pace() throws -> LinkPace? {
            guard rate != nil || !at.isEmpty else { return nil }
            guard let rate = LinkPaceText.rate(rate ?? LinkPaceText.unlimited) else {
                throw ValidationError(
                    "--rate takes bytes a second, at least 1, or 'unlimited'; to stop the link, pause it")
            }
            let windows = try at.map { text in
                guard let window = LinkPaceText.window(text) else {
                    throw ValidationError("'\(text)' is no window; write HH:MM-HH:MM=RATE, as 22:00-06:00=unlimited")
                }
                return window
            }
            return LinkPace(bytesPerSecond: rate, windows: windows)
        }

        func run() async throws {
            let pace = try pace()
            try await global.withStore { store in
                if let pace { try await store.paceSite(pace) }
                if let keepBytes, let keepHours {
                    try await store.limitSite(bytes: keepBytes, seconds: keepHours * 3_600)
                }
            }
            var words: [String] = []
            if let pace {
                let status = try await global.withStore { store in try await store.siteStatus() }
                words.append("chunks cross at \(LinkPaceText.line(pace, now: status.rateBytesPerSecond))")
            }
            if let keepBytes, let keepHours {
                words.append("kept for the standby: at most \(Units.bytes(keepBytes)), and \(keepHours) hours")
            }
            try await global.showSite(words.joined(separator: "\n"))
        }
    }
}
