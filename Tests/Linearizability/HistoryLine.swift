internal import Foundation

/// The line of an event in a history file: `{"process","type","operation","key","value","time"}`, drawn in Docs/Reference/Histories.md.
package enum HistoryLine {
    /// The line of an event, without its end.
    package static func encode(_ event: HistoryEvent) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(Form(event)), as: UTF8.self)
    }

    /// Reads the events of a file; every line must be one, and times may not go back.
    package static func decode(_ text: String) throws -> [HistoryEvent] {
        let decoder = JSONDecoder()
        var events: [HistoryEvent] = []
        var line = 0
        for part in text.split(separator: "\n", omittingEmptySubsequences: false) where !part.isEmpty {
            line += 1
            let event: HistoryEvent
            do {
                event = try decoder.decode(Form.self, from: Data(part.utf8)).event
            } catch {
                throw HistoryError(line: line, "is no event: \(error)")
            }
            if let last = events.last, event.time < last.time {
                throw HistoryError(line: line, "is earlier than the line before it")
            }
            events.append(event)
        }
        return events
    }

    /// The refusal that says something about the state.
    package static let refusal = "preconditionFailed"

    private struct Form: Codable {
        enum CodingKeys: String, CodingKey { case process, type, operation, key, value, time, error }

        var event: HistoryEvent

        init(_ event: HistoryEvent) { self.event = event }

        init(from decoder: any Decoder) throws {
            let fields = try decoder.container(keyedBy: CodingKeys.self)
            let type = try fields.decode(String.self, forKey: .type)
            guard let kind = HistoryEvent.Kind(rawValue: type) else {
                throw DecodingError.dataCorruptedError(
                    forKey: .type, in: fields, debugDescription: "'\(type)' is no type of an event")
            }
            let error = try fields.decodeIfPresent(String.self, forKey: .error)
            event = HistoryEvent(
                process: try fields.decode(Int.self, forKey: .process), kind: kind,
                action: try Self.action(fields), isRefusal: kind == .fail && error == HistoryLine.refusal,
                time: try fields.decode(UInt64.self, forKey: .time), error: error)
        }

        private static func action(_ fields: KeyedDecodingContainer<CodingKeys>) throws -> Action {
            let name = try fields.decode(String.self, forKey: .operation)
            func key() throws -> String { try fields.decode(String.self, forKey: .key) }
            func value() throws -> String? { try fields.decodeIfPresent(String.self, forKey: .value) }
            func bad(_ what: String) -> DecodingError {
                DecodingError.dataCorruptedError(forKey: .value, in: fields, debugDescription: what)
            }
            switch name {
            case "read": return .read(key: try key(), value: try value())
            case "write": return .write(key: try key(), value: try value())
            case "append":
                guard let text = try value() else { throw bad("nothing is appended") }
                return .append(key: try key(), text: text)
            case "cas":
                let pair = try fields.decode([String?].self, forKey: .value)
                guard pair.count == 2 else { throw bad("a cas has [expected, new]") }
                return .compareAndSet(key: try key(), expected: pair[0], new: pair[1])
            case "transaction":
                return .transaction(
                    try fields.decode([[String?]].self, forKey: .value).map { step in
                        guard step.count == 3, let verb = step[0], let key = step[1] else {
                            throw bad("a step has [verb, key, value]")
                        }
                        switch verb {
                        case "compare": return .compare(key: key, value: step[2])
                        case "read": return .read(key: key, value: step[2])
                        case "write": return .write(key: key, value: step[2])
                        default: throw bad("'\(verb)' is no step")
                        }
                    })
            default:
                throw DecodingError.dataCorruptedError(
                    forKey: .operation, in: fields, debugDescription: "'\(name)' is no operation")
            }
        }

        func encode(to encoder: any Encoder) throws {
            var fields = encoder.container(keyedBy: CodingKeys.self)
            try fields.encode(event.process, forKey: .process)
            try fields.encode(event.kind.rawValue, forKey: .type)
            try fields.encode(event.time, forKey: .time)
            try fields.encodeIfPresent(event.error, forKey: .error)
            func name(_ name: String, _ key: String?) throws {
                try fields.encode(name, forKey: .operation)
                try fields.encode(key, forKey: .key)
            }
            switch event.action {
            case .read(let key, let value):
                try name("read", key)
                try fields.encode(value, forKey: .value)
            case .write(let key, let value):
                try name("write", key)
                try fields.encode(value, forKey: .value)
            case .append(let key, let text):
                try name("append", key)
                try fields.encode(text, forKey: .value)
            case .compareAndSet(let key, let expected, let new):
                try name("cas", key)
                try fields.encode([expected, new], forKey: .value)
            case .transaction(let steps):
                try name("transaction", nil)
                try fields.encode(
                    steps.map { step -> [String?] in
                        switch step {
                        case .compare(let key, let value): ["compare", key, value]
                        case .read(let key, let value): ["read", key, value]
                        case .write(let key, let value): ["write", key, value]
                        }
                    }, forKey: .value)
            case nil:
                throw EncodingError.invalidValue(
                    event.process, .init(codingPath: [], debugDescription: "an event without an operation"))
            }
        }
    }
}
