/// An aligned table for people: a header and rows of the same width.
struct Table {
    /// On which side a column's cells stand.
    enum Alignment {
        /// Text.
        case left
        /// Numbers.
        case right
    }

    private let alignments: [Alignment]
    private var rows: [[String]]

    /// A table with this header.
    init(_ columns: [(String, Alignment)]) {
        alignments = columns.map(\.1)
        rows = [columns.map(\.0)]
    }

    /// Adds a row; it has as many cells as the header.
    mutating func add(_ cells: [String]) {
        precondition(cells.count == alignments.count, "a row of \(cells.count) cells in a table of \(alignments.count)")
        rows.append(cells)
    }

    /// The lines, columns two spaces apart, no spaces at a line's end.
    var lines: [String] {
        var widths = [Int](repeating: 0, count: alignments.count)
        for row in rows {
            for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) }
        }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                if column > 0 { line += "  " }
                line += alignments[column] == .left ? cell + padding : padding + cell
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }

    /// Writes the table to standard output.
    func print() {
        for line in lines { StandardOutput.line(line) }
    }
}
