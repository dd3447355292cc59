internal import Foundation

/// A JSON object that a test looks into, field by field.
package struct JSONObject {
    private let fields: [String: any Sendable]

    /// Parses one object; throws where the text is none.
    package init(_ text: String) throws {
        let value = try JSONSerialization.jsonObject(with: Data(text.utf8))
        guard let fields = value as? [String: any Sendable] else { throw Unexpected("no JSON object: \(text)") }
        self.fields = fields
    }

    private init(fields: [String: any Sendable]) { self.fields = fields }

    /// The names of its fields, sorted.
    package var names: [String] { fields.keys.sorted() }
    /// A field that is a text.
    package func text(_ name: String) -> String? { fields[name] as? String }
    /// A field that is a whole number.
    package func number(_ name: String) -> Int? { fields[name] as? Int }
    /// A field that is a truth.
    package func truth(_ name: String) -> Bool? { fields[name] as? Bool }
    /// A field that is an object.
    package func object(_ name: String) -> JSONObject? {
        (fields[name] as? [String: any Sendable]).map { JSONObject(fields: $0) }
    }
    /// A field that is a list of objects.
    package func list(_ name: String) -> [JSONObject]? {
        (fields[name] as? [[String: any Sendable]])?.map { JSONObject(fields: $0) }
    }
    /// Whether a field is there and null.
    package func isNull(_ name: String) -> Bool { fields[name] is NSNull }
}
