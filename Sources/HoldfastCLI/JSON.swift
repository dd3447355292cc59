internal import Foundation

/// JSON as the command line writes it: one line, keys in alphabetical order.
enum JSON {
    /// The text of a value.
    static func text(_ value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        do {
            return String(decoding: try encoder.encode(value), as: UTF8.self)
        } catch {
            // Every type handed in is made of strings, numbers, arrays and objects, which always encode.
            preconditionFailure("a JSON document could not be written: \(error)")
        }
    }
}
