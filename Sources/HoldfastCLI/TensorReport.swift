internal import CHoldfast
internal import Holdfast

/// What `tensor read --summary` says of a tensor.
struct TensorReport: Encodable {
    var model: String
    var version: String
    var name: String
    var dtype: String
    var shape: [UInt64]
    var bytes: UInt64
    var file: String
    /// Of the tensor's bytes, in hex.
    var sha256: String
    /// Elements; nil, as all that follow, for element types that have no order.
    var elements: UInt64?
    /// The smallest finite element; nil if there is none.
    var minimum: Double?
    /// The largest finite element; nil if there is none.
    var maximum: Double?
    /// The mean of the finite elements; nil if there is none.
    var mean: Double?
    /// Elements that are infinite or not a number.
    var notFinite: UInt64?

    /// Reads all of the tensor.
    init(_ tensor: Tensor, model: ModelVersion) {
        let info = tensor.info
        self.model = model.name
        version = model.version
        name = info.name
        dtype = info.dtype
        shape = info.shape
        bytes = info.bytes
        file = info.file
        sha256 = tensor.withBytes { Self.hash($0) }
        let summary = tensor.summary()
        elements = summary?.elements
        minimum = summary?.minimum
        maximum = summary?.maximum
        mean = summary?.mean
        notFinite = summary.map { $0.notANumber + $0.infinite }
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
        if let minimum, let maximum, let mean {
            let texts = [minimum, maximum, mean].map { Units.decimal($0, 6) }
            lines.append("values  lowest \(texts[0])  highest \(texts[1])  mean \(texts[2])")
        }
        if let notFinite, notFinite > 0 { lines.append("        \(notFinite) are infinite or not a number") }
        return lines
    }

    private static func hash(_ bytes: UnsafeRawBufferPointer) -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        chf_sha256(bytes.baseAddress, bytes.count, &digest)
        return Hex.text(digest)
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
