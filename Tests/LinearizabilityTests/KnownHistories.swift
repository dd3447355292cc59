internal import Foundation
internal import Linearizability
internal import Testing

/// Judges histories of other systems whose verdicts are known.
@Suite("KnownHistories", .serialized)
struct KnownHistories {
    @Test("the checker gives the known verdict on every history of the folder")
    func verdictsAgree() throws {
        guard let directory = ProcessInfo.processInfo.environment["HOLDFAST_HISTORIES"], !directory.isEmpty else {
            Issue.record("HOLDFAST_HISTORIES is not set: name the directory of the histories")
            return
        }
        let root = URL(fileURLWithPath: directory, isDirectory: true)
        func text(_ name: String) throws -> String {
            try String(contentsOf: root.appendingPathComponent(name), encoding: .utf8)
        }
        var histories: [(name: String, isLinearizable: Bool, events: [HistoryEvent])] = []
        for line in try text("verdicts.txt").split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            try #require(words.count == 2 && ["linearizable", "not-linearizable"].contains(words[1]), "'\(line)'")
            histories.append((words[0], words[1] == "linearizable", try RegisterLog.parse(text(words[0]))))
        }
        for name in try FileManager.default.contentsOfDirectory(atPath: root.path).sorted() {
            guard name.hasSuffix("-ok.txt") || name.hasSuffix("-bad.txt") else {
                let isKnown = name == "verdicts.txt" || histories.contains { $0.name == name }
                #expect(isKnown, "\(name) has no known verdict")
                continue
            }
            histories.append((name, name.hasSuffix("-ok.txt"), try AppendLog.parse(text(name))))
        }
        var agreeing = 0
        for history in histories {
            let verdict = HistoryChecker().check(try Call.pair(history.events)).verdict
            let agrees =
                switch verdict {
                case .linearizable: history.isLinearizable
                case .violation: !history.isLinearizable
                case .undecided: false
                }
            #expect(agrees, "\(history.name): \(verdict)")
            if agrees { agreeing += 1 }
        }
        print("KnownHistories: \(agreeing) of \(histories.count) agree")
        #expect(!histories.isEmpty, "no histories in \(directory)")
    }
}

/// A log of one register: lines `INFO  jepsen.util - PROCESS :TYPE :OPERATION VALUE`, `cas` with `[EXPECTED NEW]`, absent as `nil`.
enum RegisterLog {
    static func parse(_ text: String) throws -> [HistoryEvent] {
        var events: [HistoryEvent] = []
        for line in text.split(separator: "\n") {
            guard let mark = line.range(of: "jepsen.util - ") else { continue }
            let words = line[mark.upperBound...].split { $0 == " " || $0 == "\t" || $0 == "[" || $0 == "]" }
            let process = try #require(words.first.flatMap { Int($0) }, "'\(line)'")
            let kind = try #require(HistoryEvent.Kind(rawValue: String(words[1].dropFirst())), "'\(line)'")
            let values = words.dropFirst(3).map { $0 == "nil" ? nil : String($0) }
            let isTimeOut = values == [":timed-out"]
            let action: Action?
            switch (words[2], values.count) {
            case _ where isTimeOut: action = nil
            case (":read", 1): action = .read(key: "register", value: values[0])
            case (":write", 1): action = .write(key: "register", value: values[0])
            case (":cas", 2): action = .compareAndSet(key: "register", expected: values[0], new: values[1])
            default: throw HistoryError(line: events.count + 1, "'\(line)' is no event")
            }
            events.append(
                HistoryEvent(
                    process: process, kind: kind, action: action,
                    isRefusal: kind == .fail && !isTimeOut && words[2] == ":cas"))
        }
        return events
    }
}

/// A log of texts by key: lines `{:process N, :type :T, :f :OPERATION, :key "K", :value "V"}`; absent is the empty text.
enum AppendLog {
    static func parse(_ text: String) throws -> [HistoryEvent] {
        try text.split(separator: "\n").map { line in
            let process = try #require(Int(field(line, ":process ", until: ",")), "'\(line)'")
            let kind = try #require(HistoryEvent.Kind(rawValue: field(line, ":type :", until: ",")), "'\(line)'")
            let key = field(line, ":key \"", until: "\"")
            let value = field(line, ":value \"", until: "\"")
            let action: Action
            switch field(line, ":f :", until: ",") {
            case "get": action = .read(key: key, value: value.isEmpty ? nil : value)
            case "put": action = .write(key: key, value: value.isEmpty ? nil : value)
            case "append": action = .append(key: key, text: value)
            default: throw HistoryError(line: 0, "'\(line)' is no event")
            }
            return HistoryEvent(process: process, kind: kind, action: action)
        }
    }

    private static func field(_ line: Substring, _ name: String, until end: Character) -> String {
        guard let found = line.range(of: name) else { return "" }
        return String(line[found.upperBound...].prefix { $0 != end })
    }
}
