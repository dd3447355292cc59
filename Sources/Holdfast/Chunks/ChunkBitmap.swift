/// One bit for each of a run of chunks, the first in the lowest bit of the first byte.
package struct ChunkBitmap: Sendable, Hashable {
    /// How many bits there are.
    package private(set) var count: Int
    /// The bits; those past `count` are 0.
    package private(set) var bytes: [UInt8]

    /// So many bits, all 0.
    package init(count: Int) {
        self.count = count
        bytes = [UInt8](repeating: 0, count: (count + 7) / 8)
    }

    /// The bits in `bytes`; nil where their number or the bits past `count` do not fit.
    package init?(count: Int, bytes: [UInt8]) {
        guard count >= 0, bytes.count == (count + 7) / 8 else { return nil }
        if count % 8 != 0, let last = bytes.last, last >> UInt8(count % 8) != 0 { return nil }
        self.count = count
        self.bytes = bytes
    }

    /// The bit at `place`, which is below `count`.
    package subscript(_ place: Int) -> Bool {
        get {
            precondition(place >= 0 && place < count, "bit \(place) of \(count)")
            return bytes[place / 8] & (1 << UInt8(place % 8)) != 0
        }
        set {
            precondition(place >= 0 && place < count, "bit \(place) of \(count)")
            if newValue {
                bytes[place / 8] |= 1 << UInt8(place % 8)
            } else {
                bytes[place / 8] &= ~(1 << UInt8(place % 8))
            }
        }
    }

    /// Adds bits of 0 so that there are at least `count`.
    package mutating func grow(to count: Int) {
        guard count > self.count else { return }
        self.count = count
        let missing = (count + 7) / 8 - bytes.count
        if missing > 0 { bytes.append(contentsOf: repeatElement(0, count: missing)) }
    }

    /// All bits in order.
    package var bools: [Bool] { (0..<count).map { self[$0] } }
}
