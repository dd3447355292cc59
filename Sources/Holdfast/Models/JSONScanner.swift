/// What is wrong with a JSON text, and where.
package struct JSONFault: Error, Equatable {
    /// The fault as part of a sentence.
    package var reason: String
    /// The byte at which it was found, from the start of the text.
    package var offset: Int
}

/// Reads JSON (RFC 8259) in one pass, strictly: the caller sees every key, so no duplicate is hidden; nesting is bounded;
/// nothing is built that the caller did not ask for.
///
/// Invariants: (1) `position` never passes `bytes.count`; (2) nesting never passes `ModelLimits.headerDepthMax`.
package struct JSONScanner {
    private let bytes: [UInt8]
    /// The byte to be read next.
    package private(set) var position = 0
    private var depth = 0

    /// A scanner of a whole JSON text.
    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The byte at `position`, or nil at the end.
    package var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    /// A fault at `position`.
    package func fault(_ reason: String) -> JSONFault { JSONFault(reason: reason, offset: position) }

    /// Passes white space.
    package mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    /// Passes white space and then exactly `character`.
    package mutating func expect(_ character: Unicode.Scalar, _ what: String) throws(JSONFault) {
        skipSpace()
        guard let byte = next else { throw fault("ends where \(what) should stand") }
        guard byte == UInt8(ascii: character) else { throw fault("has no \(what)") }
        position += 1
    }

    /// Reads an object; `member` is called after each key and must read its value.
    package mutating func object(
        _ member: (_ key: String, _ scanner: inout JSONScanner) throws(JSONFault) -> Void
    ) throws(JSONFault) {
        try expect("{", "object")
        try enter()
        skipSpace()
        if next == UInt8(ascii: "}") {
            position += 1
            depth -= 1
            return
        }
        while true {
            let key = try string()
            try expect(":", "':' after a key")
            skipSpace()
            try member(key, &self)
            if try !continues(closing: "}") { break }
        }
        depth -= 1
    }

    /// Reads an array; `element` is called for each element and must read it.
    package mutating func array(_ element: (inout JSONScanner) throws(JSONFault) -> Void) throws(JSONFault) {
        try expect("[", "array")
        try enter()
        skipSpace()
        if next == UInt8(ascii: "]") {
            position += 1
            depth -= 1
            return
        }
        while true {
            skipSpace()
            try element(&self)
            if try !continues(closing: "]") { break }
        }
        depth -= 1
    }

    /// Reads a string: valid UTF-8, escapes resolved, lone surrogates refused.
    package mutating func string() throws(JSONFault) -> String {
        try expect("\"", "string")
        var content: [UInt8] = []
        while true {
            guard let byte = next else { throw fault("ends inside a string") }
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: content, as: UTF8.self) else {
                    throw fault("has a string that is not UTF-8")
                }
                return text
            case UInt8(ascii: "\\"): try escape(into: &content)
            case 0..<0x20: throw fault("has a control character in a string")
            default: content.append(byte)
            }
        }
    }

    /// Reads a number that is a whole one from 0 to 2^64 - 1, without sign, fraction or exponent.
    package mutating func unsigned() throws(JSONFault) -> UInt64 {
        skipSpace()
        let start = position
        var value: UInt64 = 0
        while let byte = next, byte >= 0x30, byte <= 0x39 {
            let (tenfold, over) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = tenfold.addingReportingOverflow(UInt64(byte - 0x30))
            guard !over, !carry else { throw fault("has a number above 2^64 - 1") }
            value = sum
            position += 1
        }
        guard position > start else { throw fault("has no whole number of 0 or more") }
        if position - start > 1, bytes[start] == 0x30 { throw fault("has a number with a leading zero") }
        if let byte = next, byte == UInt8(ascii: ".") || byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E") {
            throw fault("has no whole number of 0 or more")
        }
        return value
    }

    /// Passes `null` if it stands here.
    package mutating func takeNull() throws(JSONFault) -> Bool {
        skipSpace()
        guard next == UInt8(ascii: "n") else { return false }
        try literal("null")
        return true
    }

    /// Passes one value of any kind.
    package mutating func skipValue() throws(JSONFault) {
        skipSpace()
        switch next {
        case UInt8(ascii: "{"):
            try object { (_, scanner) throws(JSONFault) in try scanner.skipValue() }
        case UInt8(ascii: "["):
            try array { (scanner) throws(JSONFault) in try scanner.skipValue() }
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "t"): try literal("true")
        case UInt8(ascii: "f"): try literal("false")
        case UInt8(ascii: "n"): try literal("null")
        case nil: throw fault("ends where a value should stand")
        default: try skipNumber()
        }
    }

    private mutating func enter() throws(JSONFault) {
        guard depth < ModelLimits.headerDepthMax else {
            throw fault("is nested deeper than \(ModelLimits.headerDepthMax)")
        }
        depth += 1  // Keeps (2).
    }

    private mutating func continues(closing: Unicode.Scalar) throws(JSONFault) -> Bool {
        skipSpace()
        guard let byte = next else { throw fault("ends inside an object or array") }
        position += 1
        if byte == UInt8(ascii: ",") { return true }
        if byte == UInt8(ascii: closing) { return false }
        position -= 1
        throw fault("has neither ',' nor '\(closing)' after a value")
    }

    private mutating func literal(_ word: StaticString) throws(JSONFault) {
        for index in 0..<word.utf8CodeUnitCount {
            guard next == word.utf8Start[index] else { throw fault("has an unknown word") }
            position += 1
        }
    }

    private mutating func digits() throws(JSONFault) {
        let start = position
        while let byte = next, byte >= 0x30, byte <= 0x39 { position += 1 }
        if position == start { throw fault("has an unknown value") }
    }

    private mutating func skipNumber() throws(JSONFault) {
        if next == UInt8(ascii: "-") { position += 1 }
        if next == 0x30 { position += 1 } else { try digits() }
        if next == UInt8(ascii: ".") {
            position += 1
            try digits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
    }

    private mutating func escape(into content: inout [UInt8]) throws(JSONFault) {
        guard let byte = next else { throw fault("ends inside a string") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(byte)
        case UInt8(ascii: "b"): content.append(0x08)
        case UInt8(ascii: "f"): content.append(0x0C)
        case UInt8(ascii: "n"): content.append(0x0A)
        case UInt8(ascii: "r"): content.append(0x0D)
        case UInt8(ascii: "t"): content.append(0x09)
        case UInt8(ascii: "u"):
            var code = UInt32(try fourHexDigits())
            if code >= 0xD800, code < 0xDC00, next == UInt8(ascii: "\\") {
                position += 1
                guard next == UInt8(ascii: "u") else { throw fault("has half of a surrogate pair") }
                position += 1
                let low = UInt32(try fourHexDigits())
                guard low >= 0xDC00, low < 0xE000 else { throw fault("has half of a surrogate pair") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw fault("has half of a surrogate pair") }
            content.append(contentsOf: Array(String(Character(scalar)).utf8))
        default: throw fault("has an unknown escape in a string")
        }
    }

    private mutating func fourHexDigits() throws(JSONFault) -> UInt16 {
        var value: UInt16 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw fault("has an escape without four hex digits")
            }
            value = value << 4 | UInt16(digit)
            position += 1
        }
        return value
    }
}
