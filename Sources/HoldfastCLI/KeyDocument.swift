internal import Foundation
internal import Holdfast

/// Bytes as JSON holds them: text where they are UTF-8, base64 otherwise.
struct EncodedBytes: Equatable {
    /// The text or the base64.
    var text: String
    /// `utf8` or `base64`.
    var encoding: String

    /// The form in which nothing is lost.
    init(_ bytes: [UInt8]) {
        if let text = String(validating: bytes, as: UTF8.self) {
            self.text = text
            encoding = "utf8"
        } else {
            text = Data(bytes).base64EncodedString()
            encoding = "base64"
        }
    }
}

/// A key with its value: the object of `key get --json`, of lists and of watch events.
struct KeyDocument: Encodable {
    private let keyValue: KeyValue
    private let change: Change.Kind?

    /// The object of a key.
    init(_ keyValue: KeyValue) {
        self.keyValue = keyValue
        change = nil
    }

    /// The object of a watch event, with its type.
    init(_ change: Change) {
        keyValue = change.keyValue
        self.change = change.kind
    }

    private enum Name: String, CodingKey {
        case key, keyEncoding, value, encoding, revision, createRevision, version, type
    }

    func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: Name.self)
        let key = EncodedBytes(keyValue.key.bytes)
        let value = EncodedBytes(keyValue.value)
        try object.encode(key.text, forKey: .key)
        // Keys are text as a rule; the rare one that is not says so.
        if key.encoding != "utf8" { try object.encode(key.encoding, forKey: .keyEncoding) }
        try object.encode(value.text, forKey: .value)
        try object.encode(value.encoding, forKey: .encoding)
        try object.encode(keyValue.revision, forKey: .revision)
        try object.encode(keyValue.createRevision, forKey: .createRevision)
        try object.encode(keyValue.version, forKey: .version)
        try object.encodeIfPresent(change?.rawValue, forKey: .type)
    }
}

/// The document of `key list --json`, and of a read inside a transaction.
struct KeyListDocument: Encodable {
    var keys: [KeyDocument]
    var more: Bool
    var revision: Revision

    init(_ list: KeyList) {
        keys = list.keys.map { KeyDocument($0) }
        more = list.more
        revision = list.revision
    }
}

/// The document of `key delete --json`.
struct DeletedDocument: Encodable {
    var key: String
    var keyEncoding: String?
    var deleted: Int
    var revision: Revision

    init(_ key: Key, revision: Revision) {
        let encoded = EncodedBytes(key.bytes)
        self.key = encoded.text
        keyEncoding = encoded.encoding == "utf8" ? nil : encoded.encoding
        deleted = 1
        self.revision = revision
    }
}

/// The document of `key transaction --json`.
struct TransactionDocument: Encodable {
    /// The answer of one operation.
    enum Answer: Encodable {
        case put
        case deleted(Int)
        case keys(KeyListDocument)

        private enum Name: String, CodingKey {
            case op, deleted, keys, more
        }

        func encode(to encoder: any Encoder) throws {
            var object = encoder.container(keyedBy: Name.self)
            switch self {
            case .put: try object.encode("put", forKey: .op)
            case .deleted(let count):
                try object.encode("delete", forKey: .op)
                try object.encode(count, forKey: .deleted)
            case .keys(let list):
                try object.encode("get", forKey: .op)
                try object.encode(list.keys, forKey: .keys)
                try object.encode(list.more, forKey: .more)
            }
        }
    }

    var succeeded: Bool
    var revision: Revision
    var answers: [Answer]

    init(_ result: TransactionResult) {
        succeeded = result.succeeded
        revision = result.revision
        answers = result.answers.map { answer in
            switch answer {
            case .put: .put
            case .deleted(let count): .deleted(count)
            case .keys(let list): .keys(KeyListDocument(list))
            }
        }
    }
}
