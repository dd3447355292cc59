/// A seeded generator (SplitMix64): the same seed rolls the same on every machine.
package struct Dice: Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    /// The next 64 bits.
    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A number in `0 ..< bound`.
    package mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    /// A number in `low ... high`.
    package mutating func between(_ low: UInt64, _ high: UInt64) -> UInt64 { low + next() % (high - low + 1) }

    /// True `parts` times out of a thousand.
    package mutating func chance(perMille parts: Int) -> Bool { parts > 0 && below(1000) < parts }

    /// Another generator, independent of what this one rolls next.
    package mutating func split() -> Dice { Dice(seed: next()) }

    /// One of the elements, of which there is at least one.
    package mutating func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }
}

/// One step of a hash for traces and states: multiply and fold.
@inline(__always)
func mix(_ hash: UInt64, _ word: UInt64) -> UInt64 {
    let product = ((hash ^ word) &+ 0x9E37_79B9_7F4A_7C15) &* 0xD6E8_FEB8_6659_FD93
    return product ^ (product >> 32)
}

/// The hash of bytes, eight at a time, continuing `seed`.
func mix(_ seed: UInt64, bytes: UnsafeRawBufferPointer) -> UInt64 {
    var hash = mix(seed, UInt64(bytes.count))
    var offset = 0
    while offset + 8 <= bytes.count {
        hash = mix(hash, bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        offset += 8
    }
    var rest: UInt64 = 0
    while offset < bytes.count {
        rest = rest << 8 | UInt64(bytes[offset])
        offset += 1
    }
    return mix(hash, rest)
}

/// The hash of an array of bytes.
func mix(_ seed: UInt64, bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { mix(seed, bytes: $0) } }
