import Foundation
import Testing

@testable import Holdfast
@testable import HoldfastCLI

/// The object that a JSON text holds.
func object(_ text: String) throws -> [String: any Sendable] {
    let value = try JSONSerialization.jsonObject(with: Data(text.utf8))
    return try #require(value as? [String: any Sendable])
}

@Suite struct ReportingTests {
    @Test func everyCodeHasTheStatusOfTheContract() {
        let expected: [HoldfastError.Code: Int32] = [
            .invalidArgument: 64, .notFound: 3, .alreadyExists: 2, .preconditionFailed: 2, .unauthenticated: 77,
            .permissionDenied: 77, .notLeader: 69, .unavailable: 69, .overloaded: 69, .deadlineExceeded: 69,
            .outcomeUnknown: 75, .sessionExpired: 1, .compacted: 1, .resourceExhausted: 1, .fenced: 1,
            .reseedRequired: 1, .corrupted: 1, .incompatible: 1,
        ]
        #expect(expected.count == HoldfastError.Code.allCases.count)
        for code in HoldfastError.Code.allCases { #expect(ExitStatus.of(code) == expected[code], "\(code)") }
    }

    @Test func aJSONErrorIsOneObjectWithCodeMessageAndDetails() throws {
        let failure = Failure(HoldfastError(.notLeader, "node 1 does not lead", details: ["leader": "2"]))
        let document = try object(failure.json)
        #expect(document.keys.sorted() == ["error"])
        let error = try #require(document["error"] as? [String: any Sendable])
        #expect(error["code"] as? String == "notLeader")
        #expect(error["message"] as? String == "node 1 does not lead")
        #expect(error["details"] as? [String: String] == ["leader": "2"])
        #expect(!failure.json.contains("\n"))
    }

    @Test func anErrorForPeopleNamesTheCodeAndTheDetails() {
        let failure = Failure(HoldfastError(.fenced, "this site is a standby", details: ["primary": "a:1"]))
        #expect(failure.text == "holdfast: this site is a standby [fenced]\n  primary: a:1")
    }

    @Test func aTableIsAligned() {
        var table = Table([("NAME", .left), ("SIZE", .right), ("NOTE", .left)])
        table.add(["a", "1", ""])
        table.add(["long", "12345", "x"])
        #expect(table.lines == ["NAME   SIZE  NOTE", "a         1", "long  12345  x"])
    }

    @Test func sizesHaveDecimalUnits() {
        let expected: [(UInt64, String)] = [
            (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (12_345, "12.3 kB"), (999_949, "999.9 kB"),
            (999_951, "1.00 MB"), (90_900_000, "90.9 MB"), (700_000_000_000, "700.0 GB"), (.max, "18.4 EB"),
        ]
        for (bytes, text) in expected { #expect(Units.bytes(bytes) == text) }
    }

    @Test func timesAreReadable() {
        let expected: [(Double, String)] = [
            (0.85, "850 ms"), (4.25, "4.2 s"), (12.4, "12 s"), (185, "3 min 05 s"), (7620, "2 h 07 min"), (-1, "-"),
            (.infinity, "-"),
        ]
        for (seconds, text) in expected { #expect(Units.seconds(seconds) == text) }
        #expect(Units.time(milliseconds: 1_769_847_300_123) == "2026-01-31 08:15:00Z")
    }

    @Test func aPreviewIsOneLineWithoutControlCharacters() {
        #expect(Preview.text(Array("a\nb\tc".utf8), columns: 10) == "a b c")
        #expect(Preview.text([0xFF, 0xFE], columns: 10) == "(binary)")
        #expect(Preview.text(Array("0123456789x".utf8), columns: 10) == "012345678…")
        #expect(Preview.text(Array(String(repeating: "é", count: 500).utf8), columns: 5) == "éééé…")
        #expect(Preview.text(Array("\u{1B}[31mred".utf8), columns: 20) == " [31mred")
    }
}

@Suite struct ProgressTests {
    private func bar(_ done: UInt64, _ total: UInt64, seconds: Double = 2) -> ProgressBar {
        ProgressBar(
            title: "push m", progress: TransferProgress(doneBytes: done, totalBytes: total), seconds: seconds)
    }

    @Test func theBarShowsShareRateAndRemainingTime() {
        let text = bar(50_000_000, 200_000_000).text(columns: 100)
        #expect(text.contains(" 25%  50.0 MB of 200.0 MB  25.0 MB/s  6.0 s left"))
        #expect(text.hasPrefix("push m ["))
    }

    @Test func theBarNeverFillsTheLastColumn() {
        for columns in 1...200 { #expect(bar(1, 3).text(columns: columns).count < columns) }
    }

    @Test func nothingToDoIsDone() {
        #expect(ProgressBar.percent(TransferProgress(doneBytes: 0, totalBytes: 0)) == 100)
        #expect(bar(0, 0, seconds: 0).text(columns: 80).contains("100%"))
    }

    @Test func moreThanAllIsAllAndAlmostAllIsNot() {
        #expect(ProgressBar.percent(TransferProgress(doneBytes: 11, totalBytes: 10)) == 100)
        #expect(ProgressBar.percent(TransferProgress(doneBytes: 999, totalBytes: 1000)) == 99)
    }

    @Test func onlyAPushHasLinesAndNoOneHasABarWithJSON() {
        #expect(Progress.style(json: true, hasLines: true) == .lines)
        #expect(Progress.style(json: true) == .none)
    }
}
