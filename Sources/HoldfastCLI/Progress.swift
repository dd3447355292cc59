internal import Foundation
internal import Holdfast
internal import Synchronization

/// Shows how far a transfer is: a bar on a terminal, lines with `--json`, nothing otherwise.
///
/// Called from any thread. The bar is redrawn at most ten times a second; a JSON line comes at least for each whole
/// per cent or every 200 ms, whichever is first, so that a script can act at a point of its choice.
final class Progress: Sendable {
    /// How progress is shown.
    enum Style: Sendable, Equatable {
        /// A bar on standard error.
        case bar(columns: Int)
        /// JSON lines on standard output.
        case lines
        /// Not at all.
        case none
    }

    private struct State {
        var shownAt: ContinuousClock.Instant?
        var shownPercent: UInt64 = 0
        var shownBytes: UInt64?
        var barWidth = 0
    }

    private let style: Style
    private let title: String
    private let begun = ContinuousClock.now
    private let state = Mutex(State())

    /// Progress of something called `title`.
    init(_ title: String, style: Style) {
        self.title = title
        self.style = style
    }

    /// The style for this run of a verb; only a push has lines.
    static func style(json: Bool, hasLines: Bool = false) -> Style {
        if json { return hasLines ? .lines : .none }
        return StandardError.isTerminal ? .bar(columns: StandardError.columns) : .none
    }

    /// What happened up to now.
    func update(_ progress: TransferProgress) {
        let now = ContinuousClock.now
        state.withLock { state in
            switch style {
            case .none: return
            case .lines:
                let percent = ProgressBar.percent(progress)
                let isDue = state.shownAt.map { now - $0 >= .milliseconds(200) } ?? true
                guard isDue || percent > state.shownPercent, state.shownBytes != progress.doneBytes else { return }
                state.shownPercent = percent
                state.shownBytes = progress.doneBytes
                StandardOutput.json(ProgressLine(sentBytes: progress.doneBytes, totalBytes: progress.totalBytes))
            case .bar(let columns):
                let isDue = state.shownAt.map { now - $0 >= .milliseconds(100) } ?? true
                guard isDue || progress.doneBytes == progress.totalBytes else { return }
                let bar = ProgressBar(title: title, progress: progress, seconds: (now - begun).inSeconds)
                let text = bar.text(columns: columns)
                let padding = String(repeating: " ", count: max(0, state.barWidth - text.count))
                StandardError.write("\r" + text + padding)
                state.barWidth = text.count
            }
            state.shownAt = now
        }
    }

    /// Ends the bar's line, so that what comes next begins on a clean one.
    func finish() {
        state.withLock { state in
            guard state.barWidth > 0 else { return }
            StandardError.write("\n")
            state.barWidth = 0
        }
    }
}

/// One drawing of the bar, without any terminal.
struct ProgressBar {
    /// What is moved.
    var title: String
    /// How far it is.
    var progress: TransferProgress
    /// Since when, in seconds.
    var seconds: Double

    /// Whole per cent, rounded down; nothing to do is done.
    static func percent(_ progress: TransferProgress) -> UInt64 {
        guard progress.totalBytes > 0 else { return 100 }
        let done = min(progress.doneBytes, progress.totalBytes)
        return UInt64(Double(done) / Double(progress.totalBytes) * 100)
    }

    /// The bar in at most `columns - 1` columns: the last one stays free, so that no terminal wraps the line.
    func text(columns: Int) -> String {
        let percent = Self.percent(progress)
        let rate = seconds > 0 ? Double(progress.doneBytes) / seconds : 0
        let left =
            rate > 0 ? Double(progress.totalBytes - min(progress.doneBytes, progress.totalBytes)) / rate : .infinity
        let percentText = String(repeating: " ", count: max(0, 3 - "\(percent)".count)) + "\(percent)%"
        var tail = " \(percentText)  \(Units.bytes(progress.doneBytes)) of \(Units.bytes(progress.totalBytes))"
        tail += "  \(Units.rate(rate))"
        tail += percent >= 100 ? "  \(Units.seconds(seconds))" : "  \(Units.seconds(left)) left"
        let width = max(0, columns - 1)
        let room = width - title.count - tail.count - 3
        guard room >= 8 else { return String((title + tail).prefix(width)) }
        let bar = min(room, 40)
        let filled = bar * Int(percent) / 100
        return title + " [" + String(repeating: "=", count: filled) + String(repeating: " ", count: bar - filled) + "]"
            + tail
    }
}

/// A line of a push with `--json` while it runs.
struct ProgressLine: Encodable {
    let event = "progress"
    var sentBytes: UInt64
    var totalBytes: UInt64
}
