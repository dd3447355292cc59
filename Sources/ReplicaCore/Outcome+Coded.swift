extension Outcome: Coded {
    package static var codedName: String { "outcome" }

    package func encode(into writer: inout ByteWriter) {
        switch self {
        case .done(let revision):
            writer.byte(1)
            writer.varint(revision)
        case .deleted(let revision, let count):
            writer.byte(2)
            writer.varint(revision)
            writer.varint(count)
        case .transaction(let result):
            writer.byte(3)
            result.encode(into: &writer)
        case .upload(let info):
            writer.byte(4)
            info.encode(into: &writer)
        case .uploadsClosed(let count):
            writer.byte(5)
            writer.varint(count)
        case .model(let model):
            writer.byte(6)
            model.encode(into: &writer)
        case .refused(let refusal):
            writer.byte(7)
            refusal.encode(into: &writer)
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> Outcome {
        switch try reader.byte() {
        case 1: return .done(revision: try reader.varint())
        case 2: return .deleted(revision: try reader.varint(), count: try reader.varint())
        case 3: return .transaction(try TransactionResult.decode(from: &reader))
        case 4: return .upload(try UploadInfo.decode(from: &reader))
        case 5: return .uploadsClosed(count: try reader.varint())
        case 6: return .model(try ModelVersion.decode(from: &reader))
        case 7: return .refused(try Refusal.decode(from: &reader))
        case let tag: throw .unknownTag(what: codedName, tag)
        }
    }
}

extension TransactionResult: Coded {
    package static var codedName: String { "transaction result" }

    package func encode(into writer: inout ByteWriter) {
        writer.varint(revision)
        writer.bool(succeeded)
        writer.bool(resultsDropped)
        writer.varint(results.count)
        for result in results {
            switch result {
            case .put: writer.byte(1)
            case .deleted(let count):
                writer.byte(2)
                writer.varint(count)
            case .range(let range):
                writer.byte(3)
                range.encode(into: &writer)
            }
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> TransactionResult {
        let revision = try reader.varint()
        let succeeded = try reader.bool()
        let resultsDropped = try reader.bool()
        var results: [OperationResult] = []
        for _ in 0..<(try reader.count(itemBytes: 1)) {
            switch try reader.byte() {
            case 1: results.append(.put)
            case 2: results.append(.deleted(count: try reader.varint()))
            case 3: results.append(.range(try RangeResult.decode(from: &reader)))
            case let tag: throw .unknownTag(what: "operation result", tag)
            }
        }
        return TransactionResult(
            revision: revision, succeeded: succeeded, results: results, resultsDropped: resultsDropped)
    }
}

extension Refusal: Coded {
    package static var codedName: String { "refusal" }

    package func encode(into writer: inout ByteWriter) {
        writer.byte(code.tag)
        writer.varint(earliestRevision)
        writer.text(message)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> Refusal {
        let tag = try reader.byte()
        guard let code = ErrorCode(tag: tag) else { throw .unknownTag(what: "error code", tag) }
        let earliest = try reader.varint()
        return Refusal(code, try reader.text(), earliestRevision: earliest)
    }
}
