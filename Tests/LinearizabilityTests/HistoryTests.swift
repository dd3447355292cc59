internal import Foundation
internal import Linearizability
internal import Testing

/// Lines of history files, and how events are paired.
@Suite struct HistoryTests {
    private static let events: [HistoryEvent] = [
        HistoryEvent(process: 1, kind: .invoke, action: .read(key: "k", value: nil), time: 10),
        HistoryEvent(process: 2, kind: .invoke, action: .write(key: "k", value: "a \"b\""), time: 11),
        HistoryEvent(process: 1, kind: .ok, action: .read(key: "k", value: "a \"b\""), time: 12),
        HistoryEvent(process: 1, kind: .invoke, action: .compareAndSet(key: "k", expected: nil, new: "c"), time: 13),
        HistoryEvent(
            process: 1, kind: .fail, action: .compareAndSet(key: "k", expected: nil, new: "c"), isRefusal: true,
            time: 14,
            error: "preconditionFailed"),
        HistoryEvent(
            process: 2, kind: .info, action: .write(key: "k", value: "a \"b\""), time: 15, error: "outcomeUnknown"),
        HistoryEvent(process: 3, kind: .invoke, action: .append(key: "k", text: "x"), time: 16),
        HistoryEvent(
            process: 4, kind: .invoke,
            action: .transaction([
                .compare(key: "k", value: nil), .read(key: "l", value: nil), .write(key: "m", value: "v"),
            ]), time: 16),
        HistoryEvent(
            process: 4, kind: .ok,
            action: .transaction([
                .compare(key: "k", value: nil), .read(key: "l", value: "seen"), .write(key: "m", value: "v"),
            ]), time: 17),
    ]

    @Test("what is written is read back")
    func roundTrip() throws {
        let text = try Self.events.map { try HistoryLine.encode($0) }.joined(separator: "\n") + "\n"
        #expect(try HistoryLine.decode(text) == Self.events)
    }

    @Test("the lines have the documented form")
    func golden() throws {
        let lines = try Self.events.map { try HistoryLine.encode($0) }
        #expect(lines[0] == #"{"key":"k","operation":"read","process":1,"time":10,"type":"invoke","value":null}"#)
        #expect(
            lines[4]
                == #"{"error":"preconditionFailed","key":"k","operation":"cas","process":1,"time":14,"type":"fail","value":[null,"c"]}"#
        )
        #expect(
            lines[8]
                == #"{"key":null,"operation":"transaction","process":4,"time":17,"type":"ok","value":[["compare","k",null],["read","l","seen"],["write","m","v"]]}"#
        )
    }

    @Test("a line that is no event is refused with its number")
    func badLines() {
        let good = #"{"process":1,"type":"invoke","operation":"read","key":"k","value":null,"time":5}"#
        for bad in [
            "{", "[]", #"{"process":1}"#, good.replacingOccurrences(of: "read", with: "look"),
            good.replacingOccurrences(of: "invoke", with: "begin"), good.replacingOccurrences(of: ":5", with: ":4"),
            good.replacingOccurrences(of: #""read""#, with: #""cas""#),
        ] {
            #expect("\(bad)") {
                _ = try HistoryLine.decode(good + "\n" + bad)
            } throws: {
                ($0 as? HistoryError)?.line == 2
            }
        }
    }

    @Test("events are paired by process; what has no end is unknown and what did not happen is left out")
    func pairing() throws {
        let calls = try Call.pair(Self.events)
        #expect(calls.map(\.outcome) == [.done, .unknown, .refused, .unknown, .done])
        #expect(calls.map(\.begin) == [0, 1, 3, 6, 7])
        #expect(calls.map(\.end) == [2, .max, 4, .max, 8])
        let failed = [
            Self.events[1],
            HistoryEvent(process: 2, kind: .fail, action: nil, time: 12, error: "unavailable"),
        ]
        #expect(try Call.pair(failed).isEmpty)
    }

    @Test("events that cannot follow each other are refused")
    func badPairs() {
        let invoke = Self.events[0]
        let done = Self.events[2]
        let other = HistoryEvent(process: 1, kind: .ok, action: .read(key: "l", value: nil), time: 12)
        for events in [[done], [invoke, invoke], [invoke, done, done], [invoke, other]] {
            #expect(throws: HistoryError.self) { try Call.pair(events) }
        }
    }
}
