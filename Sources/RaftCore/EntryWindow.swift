/// A contiguous run of entries with payloads, appended at its end and forgotten from its start.
///
/// Invariant: entry i is at index `first + i`.
struct EntryWindow {
    private var entries: [Entry] = []
    /// Entries before this place are forgotten; the space is reused once half of it is so.
    private var head = 0
    /// The index of the first entry, or of the next one to come.
    private(set) var first: LogIndex

    init(first: LogIndex) {
        self.first = first
    }

    var count: Int { entries.count - head }
    var isEmpty: Bool { count == 0 }
    /// The index after the last entry.
    var end: LogIndex { first + UInt64(count) }

    /// The entry at an index within the window.
    subscript(index: LogIndex) -> Entry {
        precondition(index >= first && index < end, "entry \(index) is not in the window")
        return entries[head + Int(index - first)]
    }

    /// Appends entries that start at `end`.
    mutating func append(_ new: [Entry], from start: Int) {
        entries.append(contentsOf: new[start...])
    }

    /// Forgets entries at and above `index`.
    mutating func truncate(from index: LogIndex) {
        guard index < end else { return }
        if index <= first {
            reset(first: index)
        } else {
            entries.removeLast(Int(end - index))
        }
    }

    /// Forgets the first entry.
    mutating func dropFirst() {
        entries[head].data = []
        head += 1
        first += 1
        if head >= 64 && head * 2 >= entries.count {
            entries.removeFirst(head)
            head = 0
        }
    }

    /// Forgets everything; the next entry is at `first`.
    mutating func reset(first: LogIndex) {
        entries.removeAll()
        head = 0
        self.first = first
    }

    /// A copy of entries from `low` through `high`, cut before `bytesMax` is passed, one at least.
    func slice(from low: LogIndex, through high: LogIndex, bytesMax: Int) -> [Entry] {
        precondition(low >= first && high < end, "entries \(low) to \(high) are not in the window")
        let start = head + Int(low - first)
        var stop = head + Int(high - first) + 1
        if bytesMax != .max {
            var bytes = entries[start].encodedSize
            var place = start + 1
            while place < stop {
                bytes += entries[place].encodedSize
                if bytes > bytesMax { break }
                place += 1
            }
            stop = place
        }
        return Array(entries[start..<stop])
    }
}
