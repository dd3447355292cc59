/// The calls with known outcome that a search has put in order, as numbers from 0 in the order of their begins.
///
/// Invariants, by which equal sets are equal values:
/// 1. Every number below `64 * fullWords` is in the set, and word 0 of `words`, where there is one, lacks one.
/// 2. The last of `words` is not 0.
struct Linearized: Hashable {
    private(set) var fullWords = 0
    private(set) var words: [UInt64] = []

    /// The bytes that one takes, about.
    var bytes: Int { 48 + 8 * words.count }

    func contains(_ number: Int) -> Bool {
        let word = number / 64 - fullWords
        if word < 0 { return true }
        return word < words.count && words[word] & (1 << UInt64(number % 64)) != 0
    }

    mutating func insert(_ number: Int) {
        let word = number / 64 - fullWords
        precondition(word >= 0, "call \(number) is in the set already")
        while words.count <= word { words.append(0) }
        words[word] |= 1 << UInt64(number % 64)
        // Keeps (1).
        let full = words.prefix { $0 == .max }.count
        if full > 0 {
            words.removeFirst(full)
            fullWords += full
        }
    }

    /// The lowest number that is not in the set.
    var first: Int {
        fullWords * 64 + (words.first.map { (~$0).trailingZeroBitCount } ?? 0)
    }
}
