internal import Foundation
internal import Holdfast

/// The JSON file of `key transaction`: `{"compare":[…],"then":[…],"else":[…]}`, described in `Docs/Reference/CLI.md`.
///
/// A name that the format does not know is refused, so that a misspelt condition is never simply left out.
struct TransactionFile {
    /// The transaction that the file describes.
    let transaction: Transaction

    /// Reads the text of a file.
    init(parsing bytes: [UInt8]) throws(Failure) {
        do {
            let body = try JSONDecoder().decode(Body.self, from: Data(bytes))
            transaction = Transaction(
                compare: body.compare.map(\.value), then: body.then.map(\.value), otherwise: body.otherwise.map(\.value)
            )
        } catch let error as DecodingError {
            throw .usage("the transaction cannot be read: \(Self.sentence(error))")
        } catch {
            throw .usage("the transaction cannot be read: \(error)")
        }
    }

    private static func sentence(_ error: DecodingError) -> String {
        let context: DecodingError.Context
        switch error {
        case .typeMismatch(_, let found), .valueNotFound(_, let found), .keyNotFound(_, let found),
            .dataCorrupted(let found):
            context = found
        @unknown default: return "\(error)"
        }
        let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined()
        return path.isEmpty ? context.debugDescription : "at \(path): \(context.debugDescription)"
    }
}

/// Any name of a JSON object.
private struct Name: CodingKey {
    let stringValue: String
    let intValue: Int? = nil

    init(stringValue: String) { self.stringValue = stringValue }
    init(_ name: String) { stringValue = name }
    init?(intValue: Int) { nil }
}

private typealias Object = KeyedDecodingContainer<Name>

extension KeyedDecodingContainer where K == Name {
    fileprivate init(_ decoder: any Decoder, allowing names: Set<String>) throws {
        self = try decoder.container(keyedBy: Name.self)
        for key in allKeys.sorted(by: { $0.stringValue < $1.stringValue }) where !names.contains(key.stringValue) {
            let known = names.sorted().joined(separator: ", ")
            throw DecodingError.dataCorruptedError(
                forKey: key, in: self, debugDescription: "'\(key.stringValue)' is not known here; use \(known)")
        }
    }

    fileprivate func has(_ name: String) -> Bool { contains(Name(name)) }

    fileprivate func string(_ name: String) throws -> String { try decode(String.self, forKey: Name(name)) }

    fileprivate func bytes(_ name: String) throws -> [UInt8] {
        let text = try string(name)
        switch try decodeIfPresent(String.self, forKey: Name("encoding")) ?? "utf8" {
        case "utf8": return Array(text.utf8)
        case "base64":
            guard let data = Data(base64Encoded: text) else {
                throw DecodingError.dataCorruptedError(
                    forKey: Name(name), in: self, debugDescription: "the text is not base64")
            }
            return Array(data)
        case let other:
            throw DecodingError.dataCorruptedError(
                forKey: Name("encoding"), in: self, debugDescription: "'\(other)' is neither utf8 nor base64")
        }
    }

    fileprivate func wrong(_ sentence: String) -> DecodingError {
        DecodingError.dataCorrupted(.init(codingPath: codingPath, debugDescription: sentence))
    }
}

private struct Body: Decodable {
    var compare: [CompareItem]
    var then: [OperationItem]
    var otherwise: [OperationItem]

    init(from decoder: any Decoder) throws {
        let object = try Object(decoder, allowing: ["compare", "then", "else"])
        compare = try object.decodeIfPresent([CompareItem].self, forKey: Name("compare")) ?? []
        then = try object.decodeIfPresent([OperationItem].self, forKey: Name("then")) ?? []
        otherwise = try object.decodeIfPresent([OperationItem].self, forKey: Name("else")) ?? []
    }
}

private struct CompareItem: Decodable {
    var value: Transaction.Compare

    init(from decoder: any Decoder) throws {
        let targets = ["revision", "createRevision", "version", "value"]
        let object = try Object(decoder, allowing: Set(targets + ["key", "is", "encoding"]))
        let present = targets.filter { object.has($0) }
        guard let name = present.first, present.count == 1 else {
            throw object.wrong("a compare names exactly one of \(targets.joined(separator: ", "))")
        }
        let target: Transaction.Compare.Target =
            switch name {
            case "revision": .revision(try object.decode(UInt64.self, forKey: Name(name)))
            case "createRevision": .createRevision(try object.decode(UInt64.self, forKey: Name(name)))
            case "version": .version(try object.decode(UInt64.self, forKey: Name(name)))
            default: .value(try object.bytes("value"))
            }
        let word = object.has("is") ? try object.string("is") : Transaction.Compare.Relation.equal.rawValue
        guard let relation = Transaction.Compare.Relation(rawValue: word) else {
            throw object.wrong("'\(word)' is no relation; use equal, notEqual, less or greater")
        }
        value = Transaction.Compare(Key(try object.string("key")), relation, target)
    }
}

private struct OperationItem: Decodable {
    var value: Transaction.Operation

    init(from decoder: any Decoder) throws {
        let scopeNames = ["key", "prefix", "from", "below"]
        let kind = try decoder.container(keyedBy: Name.self).string("op")
        switch kind {
        case "put":
            let object = try Object(decoder, allowing: ["op", "key", "value", "encoding"])
            value = .put(Key(try object.string("key")), try object.bytes("value"))
        case "delete":
            value = .delete(try Self.scope(try Object(decoder, allowing: Set(scopeNames + ["op"]))))
        case "get":
            let object = try Object(decoder, allowing: Set(scopeNames + ["op", "limit"]))
            let limit = try object.decodeIfPresent(Int.self, forKey: Name("limit")) ?? 0
            guard limit >= 0 else { throw object.wrong("a limit is 0 (no limit) or more") }
            value = .get(try Self.scope(object), limit: limit)
        default:
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: decoder.codingPath,
                    debugDescription: "'\(kind)' is no operation; use put, delete or get"))
        }
    }

    private static func scope(_ object: Object) throws -> KeyScope {
        switch (object.has("key"), object.has("prefix"), object.has("from"), object.has("below")) {
        case (true, false, false, false): return .key(Key(try object.string("key")))
        case (false, true, false, false): return .prefix(Key(try object.string("prefix")))
        case (false, false, true, true):
            return .range(from: Key(try object.string("from")), below: Key(try object.string("below")))
        default: throw object.wrong("name key, or prefix, or from and below")
        }
    }
}
