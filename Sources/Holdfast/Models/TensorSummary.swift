/// What a tensor's elements are like.
public struct TensorSummary: Sendable, Hashable {
    /// How many elements there are.
    public private(set) var elements: UInt64 = 0
    /// The smallest finite element; nil if there is none. Integers beyond 2^53 are rounded.
    public private(set) var minimum: Double?
    /// The largest finite element; nil if there is none. Integers beyond 2^53 are rounded.
    public private(set) var maximum: Double?
    /// The mean of the finite elements; nil if there is none.
    public private(set) var mean: Double?
    /// Elements that are not a number.
    public private(set) var notANumber: UInt64 = 0
    /// Elements that are infinite, of either sign.
    public private(set) var infinite: UInt64 = 0

    /// Reads the elements of `bytes`; nil for types that have no order or are packed below a byte.
    package init?(of bytes: UnsafeRawBufferPointer, type: ElementType) {
        switch type {
        case .f64: add(bytes, UInt64.self) { Double(bitPattern: UInt64(littleEndian: $0)) }
        case .f32: add(bytes, UInt32.self) { Double(Float(bitPattern: UInt32(littleEndian: $0))) }
        case .f16: add(bytes, UInt16.self) { Double(Self.half(UInt16(littleEndian: $0))) }
        case .bf16: add(bytes, UInt16.self) { Double(Float(bitPattern: UInt32(UInt16(littleEndian: $0)) << 16)) }
        case .i64: add(bytes, Int64.self) { Double(Int64(littleEndian: $0)) }
        case .u64: add(bytes, UInt64.self) { Double(UInt64(littleEndian: $0)) }
        case .i32: add(bytes, Int32.self) { Double(Int32(littleEndian: $0)) }
        case .u32: add(bytes, UInt32.self) { Double(UInt32(littleEndian: $0)) }
        case .i16: add(bytes, Int16.self) { Double(Int16(littleEndian: $0)) }
        case .u16: add(bytes, UInt16.self) { Double(UInt16(littleEndian: $0)) }
        case .i8: add(bytes, Int8.self) { Double($0) }
        case .u8, .bool: add(bytes, UInt8.self) { Double($0) }
        case .f8E5M2: add(bytes, UInt8.self) { Double(Self.half(UInt16($0) << 8)) }
        case .f8E4M3: add(bytes, UInt8.self) { Self.eightBits($0) }
        case .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ, .f6E2M3, .f6E3M2, .f4, .c64: return nil
        }
    }

    private mutating func add<Raw: FixedWidthInteger>(
        _ bytes: UnsafeRawBufferPointer, _: Raw.Type, _ value: (Raw) -> Double
    ) {
        let width = MemoryLayout<Raw>.size
        var (low, high, sum) = (Double.infinity, -Double.infinity, 0.0)
        for index in 0..<(bytes.count / width) {
            let element = value(bytes.loadUnaligned(fromByteOffset: index * width, as: Raw.self))
            if element.isFinite {
                low = min(low, element)
                high = max(high, element)
                sum += element
            } else if element.isNaN {
                notANumber += 1
            } else {
                infinite += 1
            }
        }
        elements = UInt64(bytes.count / width)
        let finite = elements - notANumber - infinite
        guard finite > 0 else { return }
        (minimum, maximum, mean) = (low, high, sum / Double(finite))
    }

    /// An IEEE 754 half: 1 sign, 5 exponent and 10 fraction bits.
    private static func half(_ bits: UInt16) -> Float {
        let sign = UInt32(bits & 0x8000) << 16
        let exponent = UInt32(bits >> 10) & 0x1F
        let fraction = UInt32(bits & 0x3FF)
        switch exponent {
        case 0:
            let magnitude = Float(fraction) * 0x1p-24
            return sign == 0 ? magnitude : -magnitude
        case 0x1F: return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
        default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
        }
    }

    /// The 8-bit float with 4 exponent bits: no infinity, all ones is not a number.
    private static func eightBits(_ bits: UInt8) -> Double {
        if bits & 0x7F == 0x7F { return .nan }
        let exponent = Int(bits >> 3) & 0xF
        let fraction = Double(bits & 7)
        let magnitude =
            exponent == 0
            ? fraction * 0x1p-9 : (1 + fraction / 8) * Double(sign: .plus, exponent: exponent - 7, significand: 1)
        return bits & 0x80 == 0 ? magnitude : -magnitude
    }
}
