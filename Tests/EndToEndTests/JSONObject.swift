import Foundation
import Testing

/// A JSON object that a test looks into, field by field.
struct JSONObject {
    private let fields: [String: any Sendable]

    /// Parses one object; fails the test where the text is none.
    init(_ text: String) throws {
        let value = try JSONSerialization.jsonObject(with: Data(text.utf8))
        fields = try #require(value as? [String: any Sendable], "no JSON object: \(text)")
    }

    private init(fields: [String: any Sendable]) { self.fields = fields }

    /// The names of its fields, sorted.
    var names: [String] { fields.keys.sorted() }
    /// A field that is a text.
    func text(_ name: String) -> String? { fields[name] as? String }
    /// A field that is a whole number.
    func number(_ name: String) -> Int? { fields[name] as? Int }
    /// A field that is a truth.
    func truth(_ name: String) -> Bool? { fields[name] as? Bool }
    /// A field that is an object.
    func object(_ name: String) -> JSONObject? {
        (fields[name] as? [String: any Sendable]).map { JSONObject(fields: $0) }
    }
    /// A field that is a list of objects.
    func list(_ name: String) -> [JSONObject]? {
        (fields[name] as? [[String: any Sendable]])?.map { JSONObject(fields: $0) }
    }
    /// Whether a field is there and null.
    func isNull(_ name: String) -> Bool { fields[name] is NSNull }
}
