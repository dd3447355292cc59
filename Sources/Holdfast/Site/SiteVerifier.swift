internal import NIOCore
internal import ReplicaCore
internal import Storage

/// Holds a site against the other one and against itself, in steps that each end soon: whoever asks goes on from the answer.
struct SiteVerifier: Sendable {
    /// What is asked for, and how it is answered.
    enum Step: Sendable {
        /// Where this site stands and what the other one says of that revision.
        case compare
        /// Whether rows give the chain hashes from one revision through another.
        case rows(first: UInt64, through: UInt64)
        /// Reads chunks: of each version behind a place every `stride`-th from an ordinal on.
        case chunks(ChunkPlace, stride: UInt64)

        func encode(into writer: inout ByteWriter) {
            switch self {
            case .compare: writer.byte(1)
            case .rows(let first, let through):
                writer.byte(2)
                writer.varint(first)
                writer.varint(through)
            case .chunks(let place, let stride):
                writer.byte(3)
                place.encode(into: &writer)
                writer.varint(stride)
            }
        }

        static func decode(from reader: inout ByteReader) throws(DecodeError) -> Step {
            switch try reader.byte() {
            case 1: .compare
            case 2: .rows(first: try reader.varint(), through: try reader.varint())
            case 3: .chunks(try ChunkPlace.decode(from: &reader), stride: try reader.varint())
            case let tag: throw .unknownTag(what: "step of a verification", tag)
            }
        }
    }

    /// A chunk of a published version, in the order of names, versions and ordinals.
    struct ChunkPlace: Sendable, Hashable {
        var name = ""
        var version = ""
        var ordinal: UInt64 = 0

        func encode(into writer: inout ByteWriter) {
            writer.text(name)
            writer.text(version)
            writer.varint(ordinal)
        }

        static func decode(from reader: inout ByteReader) throws(DecodeError) -> ChunkPlace {
            ChunkPlace(name: try reader.text(), version: try reader.text(), ordinal: try reader.varint())
        }
    }

    /// Answer to `compare`.
    struct Comparison: Sendable {
        var revision: UInt64 = 0
        var hash = Digest.zero
        /// The other site's hash after that revision; zero where it does not say.
        var otherHash = Digest.zero
        /// Why it does not; empty where it does.
        var silence = ""
        var feedFloor: UInt64 = 0
        /// Chunks that published versions name, repeated ones counted again.
        var chunks: UInt64 = 0

        func encode(into writer: inout ByteWriter) {
            writer.varint(revision)
            writer.digest(hash)
            writer.digest(otherHash)
            writer.text(silence)
            writer.varint(feedFloor)
            writer.varint(chunks)
        }

        static func decode(from reader: inout ByteReader) throws(DecodeError) -> Comparison {
            Comparison(
                revision: try reader.varint(), hash: try reader.digest(), otherHash: try reader.digest(),
                silence: try reader.text(), feedFloor: try reader.varint(), chunks: try reader.varint())
        }
    }

    /// Answer to `chunks`.
    struct ChunkPage: Sendable {
        /// Nil at the end.
        var next: ChunkPlace?
        var checked: UInt64 = 0
        /// What is missing here, or other bytes than its name says.
        var bad: [ChunkID] = []

        func encode(into writer: inout ByteWriter) {
            writer.bool(next != nil)
            next?.encode(into: &writer)
            writer.varint(checked)
            writer.varint(bad.count)
            for id in bad { writer.digest(id) }
        }

        static func decode(from reader: inout ByteReader) throws(DecodeError) -> ChunkPage {
            var page = ChunkPage(next: try reader.bool() ? try ChunkPlace.decode(from: &reader) : nil)
            page.checked = try reader.varint()
            for _ in 0..<(try reader.count(itemBytes: Digest.byteCount)) { page.bad.append(try reader.digest()) }
            return page
        }
    }

    let chunks: NodeChunks

    /// Bytes of entries, and chunks, that one step looks at: a few tenths of a second of work.
    private static let stepBytes = 32 << 20
    private static let stepChunks = 32

    private func read<Value: Sendable>(
        _ body: @escaping @Sendable (borrowing any RowReader) throws -> Value
    ) async throws(HoldfastError) -> Value {
        try await chunks.keeper.readers.run { [chunks] () throws(HoldfastError) in try chunks.keeper.rows(body) }
    }

    /// Where this node stands.
    func standing() async throws(HoldfastError) -> Comparison {
        try await read { rows in
            let state = try AppliedState(loading: rows)
            let models = try ModelReader.list(at: ReadPoint(state), rows: rows).filter { !$0.record.isRetired }
            return Comparison(
                revision: state.revision, hash: state.feedHash, feedFloor: state.feedFloor,
                chunks: models.reduce(0) { $0 + $1.record.chunks })
        }
    }

    /// The chain hash after a revision here; zero if the feed does not have it.
    func hash(after revision: UInt64) async throws(HoldfastError) -> Digest {
        try await read { rows in try FeedReader.hash(after: revision, rows: rows) ?? .zero }
    }

    /// Recomputes revisions from the rows here.
    func rows(_ first: UInt64, through: UInt64) async throws(HoldfastError) -> FeedProof.Page {
        guard first > 0, first <= through else { return FeedProof.Page(next: max(first, 1)) }
        return try await read { rows in
            let state = try AppliedState(loading: rows)
            // Compaction may have gone on since the last step.
            let first = max(first, FeedProof.first(floor: state.feedFloor))
            let last = min(through, state.revision)
            guard first <= last else { return FeedProof.Page(next: through + 1) }
            return try FeedProof.check(first...last, bytesMax: Self.stepBytes, hash: SHA256.self, rows: rows)
        }
    }

    /// Reads chunks on this node's disk and compares them with their names.
    func chunks(from place: ChunkPlace, stride: UInt64) async throws(HoldfastError) -> ChunkPage {
        let (found, next) = try await read { rows in try Self.places(from: place, stride: max(stride, 1), rows: rows) }
        var page = ChunkPage(next: next, checked: UInt64(found.count))
        for id in found where try await !chunks.inspect(id) { page.bad.append(id) }
        return page
    }

    /// The next chunks from a place on, and where to go on.
    private static func places(
        from place: ChunkPlace, stride: UInt64, rows: borrowing any RowReader
    ) throws -> (found: [ChunkID], next: ChunkPlace?) {
        let point = ReadPoint(try AppliedState(loading: rows))
        var found: [ChunkID] = []
        // The rest of a stride goes over into the next version, so that small ones have their turn, too.
        var skip = place.ordinal
        let models = try ModelReader.list(at: point, rows: rows).filter { !$0.record.isRetired }
        let begin = models.firstIndex { $0.name == place.name && $0.version == place.version }
        // A version that was retired meanwhile: on from the next name.
        let rest = begin.map { models[$0...] } ?? models.drop { $0.name < place.name }
        for model in rest {
            while skip < model.record.chunks {
                if found.count == stepChunks {
                    return (found, ChunkPlace(name: model.name, version: model.version, ordinal: skip))
                }
                let chunk = try ModelReader.chunks(
                    of: model.record.upload, number: model.record.uploadNumber, from: skip, limit: 1, rows: rows
                ).first
                if let chunk { found.append(chunk.id) }
                skip += stride
            }
            skip -= model.record.chunks
        }
        return (found, nil)
    }
}

extension FeedProof.Page {
    func encode(into writer: inout ByteWriter) {
        writer.varint(next)
        writer.varint(wrong ?? 0)
        writer.text(reason)
    }

    static func decode(from reader: inout ByteReader) throws(DecodeError) -> FeedProof.Page {
        var page = FeedProof.Page(next: try reader.varint())
        let wrong: UInt64 = try reader.varint()
        page.wrong = wrong == 0 ? nil : wrong
        page.reason = try reader.text()
        return page
    }
}
