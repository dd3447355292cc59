internal import CHoldfast
internal import Holdfast

/// What `tensor read --summary` says of a tensor.
struct TensorSummary: Encodable {
    /// The range of a tensor's numbers; of floating-point numbers only the finite ones count.
    struct Values: Encodable, Equatable {
        /// Numbers that count.
        var count: UInt64 = 0
        /// The lowest.
        var minimum = 0.0
        /// The highest.
        var maximum = 0.0
        /// The mean.
        var mean = 0.0
        /// Numbers that are infinite or not a number.
        var notFinite: UInt64 = 0
    }

    var model: String
    var version: String
    var name: String
    var dtype: String
    var shape: [UInt64]
    var bytes: UInt64
    var file: String
    /// Of the tensor's bytes, in hex.
    var sha256: String
    /// Nil for element types that have no ordinary numbers.
    var values: Values?

    /// Reads all of `bytes`, the tensor's content.
    init(_ info: TensorInfo, model: ModelVersion, bytes: UnsafeRawBufferPointer) {
        self.model = model.name
        version = model.version
        name = info.name
        dtype = info.dtype
        shape = info.shape
        self.bytes = info.bytes
        file = info.file
        sha256 = Self.hash(bytes)
        values = Self.values(info.dtype, bytes)
    }

    /// The lines for people.
    var lines: [String] {
        var lines = [
            "tensor  \(name)",
            "model   \(model)@\(version), \(file)",
            "type    \(dtype) \(TensorShape.text(shape))",
            "size    \(Units.bytes(bytes))",
            "sha256  \(sha256)",
        ]
        if let values, values.count > 0 {
            let texts = [values.minimum, values.maximum, values.mean].map { Units.decimal($0, 6) }
            lines.append("values  lowest \(texts[0])  highest \(texts[1])  mean \(texts[2])")
        }
        if let values, values.notFinite > 0 { lines.append("        \(values.notFinite) are infinite or not a number") }
        return lines
    }

    private static func hash(_ bytes: UnsafeRawBufferPointer) -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        chf_sha256(bytes.baseAddress, bytes.count, &digest)
        return Hex.text(digest)
    }

    /// The range for an element type of safetensors; nil for one that is not a plain number.
    static func values(_ dtype: String, _ bytes: UnsafeRawBufferPointer) -> Values? {
        switch dtype {
        case "F64": fold(bytes, UInt64.self) { Double(bitPattern: $0) }
        case "F32": fold(bytes, UInt32.self) { Double(Float(bitPattern: $0)) }
        case "F16": fold(bytes, UInt16.self) { half($0) }
        case "BF16": fold(bytes, UInt16.self) { Double(Float(bitPattern: UInt32($0) << 16)) }
        case "I64": fold(bytes, Int64.self) { Double($0) }
        case "I32": fold(bytes, Int32.self) { Double($0) }
        case "I16": fold(bytes, Int16.self) { Double($0) }
        case "I8": fold(bytes, Int8.self) { Double($0) }
        case "U64": fold(bytes, UInt64.self) { Double($0) }
        case "U32": fold(bytes, UInt32.self) { Double($0) }
        case "U16": fold(bytes, UInt16.self) { Double($0) }
        case "U8", "BOOL": fold(bytes, UInt8.self) { Double($0) }
        default: nil
        }
    }

    private static func fold<Element: FixedWidthInteger>(
        _ bytes: UnsafeRawBufferPointer, _ type: Element.Type, _ number: (Element) -> Double
    ) -> Values {
        var values = Values()
        var sum = 0.0
        for offset in stride(from: 0, through: bytes.count - MemoryLayout<Element>.size, by: MemoryLayout<Element>.size)
        {
            let value = number(Element(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Element.self)))
            guard value.isFinite else {
                values.notFinite += 1
                continue
            }
            values.minimum = values.count == 0 ? value : min(values.minimum, value)
            values.maximum = values.count == 0 ? value : max(values.maximum, value)
            values.count += 1
            sum += value
        }
        if values.count > 0 { values.mean = sum / Double(values.count) }
        return values
    }

    /// IEEE 754 binary16, by hand: `Float16` is not there on every platform.
    private static func half(_ bits: UInt16) -> Double {
        let sign = bits >> 15 == 0 ? 1.0 : -1.0
        let exponent = Int(bits >> 10 & 31)
        let fraction = Double(bits & 1023)
        switch exponent {
        case 0: return sign * fraction / 16_777_216
        case 31: return fraction == 0 ? sign * .infinity : .nan
        default: return sign * (1 + fraction / 1024) * Double(sign: .plus, exponent: exponent - 15, significand: 1)
        }
    }
}

/// Bytes as hex digits.
enum Hex {
    /// Two lowercase digits for each byte.
    static func text(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}
