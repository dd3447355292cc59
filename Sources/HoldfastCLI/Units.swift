internal import Foundation

/// Numbers as people read them. Sizes are decimal: 1 MB is 1,000,000 bytes.
enum Units {
    /// A size: `512 B`, `4.2 MB`, `700 GB`.
    static func bytes(_ count: UInt64) -> String {
        guard count >= 1000 else { return "\(count) B" }
        var value = Double(count)
        var unit = ""
        for next in ["kB", "MB", "GB", "TB", "PB", "EB"] {
            value /= 1000
            unit = next
            // 999.95 would print as 1000.0: it belongs to the next unit.
            if value < 999.95 { break }
        }
        return "\(decimal(value, value < 10 ? 2 : 1)) \(unit)"
    }

    /// A rate: `41.2 MB/s`.
    static func rate(_ bytesPerSecond: Double) -> String {
        guard bytesPerSecond.isFinite, bytesPerSecond >= 0 else { return "- B/s" }
        return bytes(UInt64(min(bytesPerSecond, 1e18))) + "/s"
    }

    /// A span of time: `850 ms`, `12 s`, `3 min 05 s`, `2 h 07 min`.
    static func seconds(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e9 else { return "-" }
        if seconds < 1 { return "\(Int((seconds * 1000).rounded())) ms" }
        if seconds < 10 { return "\(decimal(seconds, 1)) s" }
        let whole = Int(seconds.rounded())
        if whole < 60 { return "\(whole) s" }
        if whole < 3600 { return "\(whole / 60) min \(padded(whole % 60)) s" }
        return "\(whole / 3600) h \(padded(whole % 3600 / 60)) min"
    }

    /// A number with so many digits after the point.
    static func decimal(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

    /// A time of the cluster's clock, in UTC: `2026-01-31 08:15:00Z`.
    static func time(milliseconds: UInt64) -> String {
        let date = Date(timeIntervalSince1970: Double(milliseconds / 1000))
        return date.formatted(.iso8601.dateTimeSeparator(.space))
    }

    private static func padded(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
}

extension Duration {
    /// The span in seconds.
    var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }
}
