import Holdfast
import Testing

@testable import HoldfastCLI

@Suite struct LinkPaceTests {
    @Test func `windows and rates are read as they are written, and nothing else is taken for one`() {
        #expect(LinkPaceText.rate("25000000") == .some(25_000_000))
        #expect(LinkPaceText.rate("unlimited") == .some(nil))
        for wrong in ["0", "-1", "", "1.5", "25MB"] { #expect(LinkPaceText.rate(wrong) == nil, "\(wrong)") }
        let night = LinkPaceText.window("22:00-06:30=unlimited")
        #expect(night == LinkPace.Window(fromMinute: 1_320, belowMinute: 390, bytesPerSecond: nil))
        #expect(LinkPaceText.window("00:00-24:00=1")?.belowMinute == 1_440)
        for wrong in [
            "22:00-06:30", "22-06=1", "24:00-01:00=1", "22:60-23:00=1", "22:00-24:01=1", "22:00-23:00=0", "a=b=c",
        ] {
            #expect(LinkPaceText.window(wrong) == nil, "\(wrong)")
        }
    }

    @Test func `the line for people says what is in force and what else there is`() {
        #expect(LinkPaceText.line(LinkPace(), now: nil) == "unlimited")
        let pace = LinkPace(
            bytesPerSecond: 25_000_000,
            windows: [LinkPace.Window(fromMinute: 1_320, belowMinute: 360, bytesPerSecond: nil)])
        #expect(
            LinkPaceText.line(pace, now: 25_000_000)
                == "25.0 MB/s now (UTC 22:00-06:00 unlimited, else 25.0 MB/s)")
    }

    @Test func `site limit needs to be told something, and both caps or none`() {
        for wrong in [["site", "limit"], ["site", "limit", "--keep-bytes", "1"], ["site", "limit", "--rate", "0"]] {
            #expect(throws: (any Error).self) { try HoldfastCommand.parseAsRoot(wrong) }
        }
        #expect(throws: Never.self) { try HoldfastCommand.parseAsRoot(["site", "limit", "--rate", "5"]) }
    }
}
