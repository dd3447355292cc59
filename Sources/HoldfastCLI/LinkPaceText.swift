internal import ArgumentParser
internal import Holdfast

/// Rates and windows of the day as they are typed and shown: `25000000`, `unlimited`, `22:00-06:00=unlimited`.
enum LinkPaceText {
    /// The word for as fast as it goes.
    static let unlimited = "unlimited"

    /// Bytes a second; the outer nil for text that is no rate.
    static func rate(_ text: String) -> UInt64?? {
        if text == unlimited { return .some(nil) }
        guard let rate = UInt64(text), rate > 0 else { return nil }
        return .some(rate)
    }

    /// `HH:MM-HH:MM=RATE`, in UTC.
    static func window(_ text: String) -> LinkPace.Window? {
        let halves = text.split(separator: "=", omittingEmptySubsequences: false)
        guard halves.count == 2, let rate = rate(String(halves[1])) else { return nil }
        let times = halves[0].split(separator: "-", omittingEmptySubsequences: false)
        guard times.count == 2, let from = minute(times[0]), let below = minute(times[1]), from < 24 * 60 else {
            return nil
        }
        return LinkPace.Window(fromMinute: from, belowMinute: below, bytesPerSecond: rate)
    }

    private static func minute(_ text: Substring) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.count == 2 && $0.allSatisfy(\.isNumber) }),
            let hours = Int(parts[0]), let minutes = Int(parts[1]), minutes < 60, hours * 60 + minutes <= 24 * 60
        else { return nil }
        return hours * 60 + minutes
    }

    /// `22:00`.
    static func time(_ minute: Int) -> String {
        func padded(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(padded(minute / 60)):\(padded(minute % 60))"
    }

    /// `25.0 MB/s`, or `unlimited`.
    static func words(_ rate: UInt64?) -> String { rate.map { Units.bytes($0) + "/s" } ?? unlimited }

    /// One line for people: what is in force now, and the windows if there are any.
    static func line(_ pace: LinkPace, now: UInt64?) -> String {
        guard !pace.windows.isEmpty else { return words(pace.bytesPerSecond) }
        let windows = pace.windows.map { window in
            "\(time(window.fromMinute))-\(time(window.belowMinute)) \(words(window.bytesPerSecond))"
        }
        return "\(words(now)) now (UTC \(windows.joined(separator: ", ")), else \(words(pace.bytesPerSecond)))"
    }
}
