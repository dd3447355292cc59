/// Names and versions of models, and their keys in the system keyspace.
///
/// The key of a version is `model/NAME/VERSION`; a version that is a whole number is written with `~` and a letter for its number of
/// digits before it, so that whole numbers sort after all other versions and by value.
package enum ModelName {
    /// `[A-Za-z0-9][A-Za-z0-9._-]*`, optionally two of them with a slash between, at most 96 bytes.
    package static func isValid(_ name: String) -> Bool {
        guard name.utf8.count <= Limits.nameBytesMax else { return false }
        let parts = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return parts.count <= 2 && parts.allSatisfy(isWord)
    }

    /// `[A-Za-z0-9][A-Za-z0-9._-]*`, at most 64 bytes.
    package static func isValidVersion(_ version: String) -> Bool {
        version.utf8.count <= Limits.versionBytesMax && isWord(version.utf8[...])
    }

    /// The value of a version that is a whole number of at most 18 digits without leading zeros; nil for others.
    package static func wholeNumber(_ version: String) -> UInt64? {
        guard version.utf8.count <= 18, version.utf8.allSatisfy(isDigit), let number = UInt64(version),
            String(number) == version
        else { return nil }
        return number
    }

    /// Left comes before right: other versions first, in natural order (runs of digits compare by value), then whole numbers in theirs.
    package static func precedes(_ left: String, _ right: String) -> Bool {
        switch (wholeNumber(left), wholeNumber(right)) {
        case (let left?, let right?): left < right
        case (nil, _?): true
        case (_?, nil): false
        case (nil, nil): naturallyPrecedes(Array(left.utf8), Array(right.utf8))
        }
    }

    /// The highest number a version can have.
    static let wholeNumberMax: UInt64 = 999_999_999_999_999_999

    static let allKeys: Bytes = Array("model/".utf8)[...]

    /// All versions of a name, and those of `NAME/…` if there are such names.
    static func keys(of name: String) -> Bytes { Array("model/\(name)/".utf8)[...] }

    /// The versions of a name that are whole numbers.
    static func wholeNumberKeys(of name: String) -> Bytes { Array("model/\(name)/~".utf8)[...] }

    /// The key of a version.
    static func key(_ name: String, _ version: String) -> Bytes {
        var key = Array("model/\(name)/".utf8)
        if wholeNumber(version) != nil {
            key.append(UInt8(ascii: "~"))
            key.append(UInt8(ascii: "a") + UInt8(truncatingIfNeeded: version.utf8.count))
        }
        key.append(contentsOf: version.utf8)
        return key[...]
    }

    /// The name and version of a key; nil if it is not one of a version.
    package static func decode(_ key: Bytes) -> (name: String, version: String)? {
        guard key.starts(with: allKeys) else { return nil }
        let rest = key.dropFirst(allKeys.count)
        guard let slash = rest.lastIndex(of: UInt8(ascii: "/")) else { return nil }
        var version = rest[(slash + 1)...]
        if version.first == UInt8(ascii: "~") { version = version.dropFirst(2) }
        let name = String(decoding: rest[..<slash], as: UTF8.self)
        let text = String(decoding: version, as: UTF8.self)
        return isValid(name) && isValidVersion(text) ? (name, text) : nil
    }

    private static func isWord(_ word: Substring.UTF8View.SubSequence) -> Bool {
        guard let first = word.first, isDigit(first) || isLetter(first) else { return false }
        return word.allSatisfy { byte in
            isDigit(byte) || isLetter(byte) || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_")
                || byte == UInt8(ascii: "-")
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
    }

    private static func naturallyPrecedes(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        var a = left[...]
        var b = right[...]
        while let first = a.first, let second = b.first {
            if isDigit(first), isDigit(second) {
                let digitsA = a.prefix(while: isDigit).drop { $0 == UInt8(ascii: "0") }
                let digitsB = b.prefix(while: isDigit).drop { $0 == UInt8(ascii: "0") }
                if digitsA.count != digitsB.count { return digitsA.count < digitsB.count }
                if digitsA != digitsB { return digitsA.lexicographicallyPrecedes(digitsB) }
                a = a.drop(while: isDigit)
                b = b.drop(while: isDigit)
            } else {
                if first != second { return first < second }
                a = a.dropFirst()
                b = b.dropFirst()
            }
        }
        if a.isEmpty != b.isEmpty { return a.isEmpty }
        return left.lexicographicallyPrecedes(right)
    }
}
