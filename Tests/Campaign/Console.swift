internal import Foundation

/// Lines for people, on standard output, at once.
enum Console {
    /// Prints a line with the time of day.
    static func say(_ text: String) {
        let time = Date.now.formatted(.iso8601.time(includingFractionalSeconds: false))
        line("\(time)  \(text)")
    }

    /// Prints a line.
    static func line(_ text: String) {
        // A closed output is no reason to end a campaign.
        try? FileHandle.standardOutput.write(contentsOf: Data((text + "\n").utf8))
    }
}
