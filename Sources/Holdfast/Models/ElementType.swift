/// The element types of the safetensors format; the raw value is what a header says.
package enum ElementType: String, Sendable, Hashable, CaseIterable {
    case bool = "BOOL"
    case f4 = "F4"
    case f6E2M3 = "F6_E2M3"
    case f6E3M2 = "F6_E3M2"
    case u8 = "U8"
    case i8 = "I8"
    case f8E5M2 = "F8_E5M2"
    case f8E4M3 = "F8_E4M3"
    case f8E8M0 = "F8_E8M0"
    case f8E4M3FNUZ = "F8_E4M3FNUZ"
    case f8E5M2FNUZ = "F8_E5M2FNUZ"
    case i16 = "I16"
    case u16 = "U16"
    case f16 = "F16"
    case bf16 = "BF16"
    case i32 = "I32"
    case u32 = "U32"
    case f32 = "F32"
    case c64 = "C64"
    case f64 = "F64"
    case i64 = "I64"
    case u64 = "U64"

    /// Bits of one element; elements narrower than a byte are packed.
    package var bits: UInt64 {
        switch self {
        case .f4: 4
        case .f6E2M3, .f6E3M2: 6
        case .bool, .u8, .i8, .f8E5M2, .f8E4M3, .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ: 8
        case .i16, .u16, .f16, .bf16: 16
        case .i32, .u32, .f32: 32
        case .c64, .f64, .i64, .u64: 64
        }
    }

    /// The byte that stands for the type in a manifest; never reused.
    package var code: UInt8 {
        switch self {
        case .bool: 1
        case .f4: 2
        case .f6E2M3: 3
        case .f6E3M2: 4
        case .u8: 5
        case .i8: 6
        case .f8E5M2: 7
        case .f8E4M3: 8
        case .f8E8M0: 9
        case .f8E4M3FNUZ: 10
        case .f8E5M2FNUZ: 11
        case .i16: 12
        case .u16: 13
        case .f16: 14
        case .bf16: 15
        case .i32: 16
        case .u32: 17
        case .f32: 18
        case .c64: 19
        case .f64: 20
        case .i64: 21
        case .u64: 22
        }
    }

    /// The type of a manifest's byte, or nil for one that is not assigned.
    package init?(code: UInt8) {
        guard let type = ElementType.allCases.first(where: { $0.code == code }) else { return nil }
        self = type
    }

    /// How large a tensor of this type is.
    package enum Size: Equatable {
        /// So many bytes.
        case bytes(UInt64)
        /// The number of elements or bytes does not fit 64 bits.
        case overflow
        /// The elements do not fill whole bytes.
        case partialByte
    }

    /// The size of a tensor of `shape`; an empty shape is a scalar.
    package func size(of shape: [UInt64]) -> Size {
        // A zero dimension makes the product zero whatever the others are, so it is looked for before anything overflows.
        if shape.contains(0) { return .bytes(0) }
        var elements: UInt64 = 1
        for length in shape {
            let (product, overflow) = elements.multipliedReportingOverflow(by: length)
            if overflow { return .overflow }
            elements = product
        }
        let (total, overflow) = elements.multipliedReportingOverflow(by: bits)
        if overflow { return .overflow }
        return total % 8 == 0 ? .bytes(total / 8) : .partialByte
    }
}
