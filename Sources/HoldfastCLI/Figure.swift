/// One measured number, with the limit that it was measured against in the same run.
struct Figure: Encodable, Equatable {
    /// What was measured, such as `put.p50`.
    var name: String
    /// The number.
    var value: Double
    /// `us`, `ms`, `s`, `1/s`, `MB/s` or `count`.
    var unit: String
    /// What this machine could do at best, in the same unit; nil for the limits themselves.
    var limit: Double?
    /// `value / limit`.
    var ratio: Double?

    /// A figure; the ratio follows from the limit.
    init(_ name: String, _ value: Double, _ unit: String, limit: Double? = nil) {
        self.name = name
        self.value = value
        self.unit = unit
        self.limit = limit
        ratio = limit.flatMap { $0 > 0 ? value / $0 : nil }
    }

    private enum Name: String, CodingKey {
        case name, value, unit, limit, ratio
    }

    func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: Name.self)
        try object.encode(name, forKey: .name)
        try object.encode(value, forKey: .value)
        try object.encode(unit, forKey: .unit)
        // Encoded also where they are null: every line has the same fields.
        try object.encode(limit, forKey: .limit)
        try object.encode(ratio, forKey: .ratio)
    }
}

/// Prints figures: JSON lines at once, or a table at the end.
struct FigureReport {
    private let json: Bool
    private var figures: [Figure] = []

    /// A report in the form that `--json` chooses.
    init(json: Bool) { self.json = json }

    /// Takes figures in; with `--json` they are printed now.
    mutating func add(_ new: [Figure]) {
        if json {
            for figure in new { StandardOutput.json(figure) }
        } else {
            figures += new
        }
    }

    /// Prints the table.
    func finish() {
        guard !json else { return }
        for line in Self.lines(figures) { StandardOutput.line(line) }
    }

    /// The table of `figures`.
    static func lines(_ figures: [Figure]) -> [String] {
        var table = Table([
            ("FIGURE", .left), ("VALUE", .right), ("UNIT", .left), ("LIMIT", .right), ("RATIO", .right),
        ])
        for figure in figures {
            table.add([
                figure.name, number(figure.value), figure.unit, figure.limit.map { number($0) } ?? "",
                figure.ratio.map { Units.decimal($0, 2) } ?? "",
            ])
        }
        return table.lines
    }

    private static func number(_ value: Double) -> String {
        Units.decimal(value, value < 10 ? 2 : value < 1000 ? 1 : 0)
    }
}

/// Latencies of many requests, in nanoseconds.
struct Latencies: Sendable {
    private var sorted: [UInt64]

    /// Takes the samples of all clients.
    init(_ samples: [UInt64]) { sorted = samples.sorted() }

    /// How many there are.
    var count: Int { sorted.count }

    /// The nearest-rank percentile in microseconds; 0 without samples.
    func microseconds(_ percent: Double) -> Double {
        guard !sorted.isEmpty else { return 0 }
        let rank = Int((percent / 100 * Double(sorted.count)).rounded(.up))
        return Double(sorted[min(max(rank, 1), sorted.count) - 1]) / 1000
    }
}
