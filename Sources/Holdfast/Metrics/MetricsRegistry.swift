public import CoreMetrics
internal import Synchronization

/// A metrics factory that keeps every value in memory and prints them in the Prometheus text format (version 0.0.4).
///
/// Labels become dimensions; timers become summaries in seconds.
public final class MetricsRegistry: MetricsFactory, Sendable {
    private struct Identity: Hashable {
        var label: String
        var dimensions: [[String]]

        init(_ label: String, _ dimensions: [(String, String)]) {
            self.label = label
            self.dimensions = dimensions.map { [$0.0, $0.1] }
        }
    }

    private struct Contents {
        var counters: [Identity: RegisteredCounter] = [:]
        var gauges: [Identity: RegisteredGauge] = [:]
        var summaries: [Identity: RegisteredSummary] = [:]
    }

    private let contents = Mutex(Contents())

    /// An empty registry.
    public init() {}

    /// A counter of this registry; the same label and dimensions give the same counter.
    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        contents.withLock { contents in
            let identity = Identity(label, dimensions)
            let counter = contents.counters[identity] ?? RegisteredCounter()
            contents.counters[identity] = counter
            return counter
        }
    }

    /// A summary (`aggregate`) or gauge of this registry.
    public func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        contents.withLock { contents -> any RecorderHandler in
            let identity = Identity(label, dimensions)
            if aggregate {
                let summary = contents.summaries[identity] ?? RegisteredSummary()
                contents.summaries[identity] = summary
                return summary
            }
            let gauge = contents.gauges[identity] ?? RegisteredGauge()
            contents.gauges[identity] = gauge
            return gauge
        }
    }

    /// A summary in seconds of this registry.
    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        contents.withLock { contents in
            let identity = Identity(label, dimensions)
            let summary = contents.summaries[identity] ?? RegisteredSummary()
            contents.summaries[identity] = summary
            return summary
        }
    }

    /// Nothing to do: values live as long as the registry.
    public func destroyCounter(_ handler: any CounterHandler) {}
    /// Nothing to do: values live as long as the registry.
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    /// Nothing to do: values live as long as the registry.
    public func destroyTimer(_ handler: any TimerHandler) {}

    /// Everything registered, sorted by name, in the Prometheus text format.
    public func text() -> String {
        var lines: [(name: String, type: String, lines: [String])] = []
        contents.withLock { contents in
            for (identity, counter) in contents.counters {
                lines.append((identity.label, "counter", [line(identity, "", Double(counter.total))]))
            }
            for (identity, gauge) in contents.gauges {
                lines.append((identity.label, "gauge", [line(identity, "", gauge.value)]))
            }
            for (identity, summary) in contents.summaries {
                let (count, sum, longest) = summary.values
                lines.append(
                    (
                        identity.label, "summary",
                        [line(identity, "_count", Double(count)), line(identity, "_sum", sum)]
                    ))
                lines.append((identity.label + "_max", "gauge", [line(identity, "_max", longest)]))
            }
        }
        lines.sort { ($0.name, $0.lines[0]) < ($1.name, $1.lines[0]) }
        var text = ""
        var previous = ""
        for entry in lines {
            if entry.name != previous { text += "# TYPE \(entry.name) \(entry.type)\n" }
            previous = entry.name
            for line in entry.lines { text += line + "\n" }
        }
        return text
    }

    private func line(_ identity: Identity, _ suffix: String, _ value: Double) -> String {
        let labels = identity.dimensions.map { "\($0[0])=\"\(Self.escaped($0[1]))\"" }.joined(separator: ",")
        let number = value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
        return identity.label + suffix + (labels.isEmpty ? "" : "{\(labels)}") + " " + number
    }

    private static func escaped(_ value: String) -> String {
        value.reduce(into: "") { text, character in
            switch character {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.append(character)
            }
        }
    }
}

private final class RegisteredCounter: CounterHandler {
    private let value = Atomic<Int64>(0)

    var total: Int64 { value.load(ordering: .relaxed) }

    func increment(by amount: Int64) { value.wrappingAdd(amount, ordering: .relaxed) }
    func reset() { value.store(0, ordering: .relaxed) }
}

private final class RegisteredGauge: RecorderHandler {
    private let bits = Atomic<UInt64>(0)

    var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
}

private final class RegisteredSummary: TimerHandler, RecorderHandler {
    private struct Values {
        var count: UInt64 = 0
        var sum = 0.0
        var longest = 0.0
    }

    private let state = Mutex(Values())

    var values: (UInt64, Double, Double) { state.withLock { ($0.count, $0.sum, $0.longest) } }

    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) {
        state.withLock {
            $0.count += 1
            $0.sum += value
            $0.longest = max($0.longest, value)
        }
    }
    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
}
