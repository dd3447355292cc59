/// The primary's open uploads, for a standby that brings their chunks before they are published: what is pushed crosses the link while it is
/// being pushed, and what is written behind its publish waits for less.
///
/// Any node of the primary says so by its own rows, however late they are.
package struct SiteUploads: Sendable, Hashable {
    /// One of them.
    package struct Upload: Sendable, Hashable {
        package var id: UploadID
        /// Tells it from any other that ever bore the same ID there.
        package var number: UInt64
        /// The ordinals below are all named.
        package var chunks: UInt64

        package init(id: UploadID, number: UInt64, chunks: UInt64) {
            self.id = id
            self.number = number
            self.chunks = chunks
        }
    }

    package var epoch: UInt64
    /// What of its feed the node had, and how many of the commands that number uploads.
    package var revision: UInt64
    package var commands: UInt64
    /// Ascending by ID.
    package var open: [Upload]

    package init(epoch: UInt64, revision: UInt64, commands: UInt64, open: [Upload]) {
        self.epoch = epoch
        self.revision = revision
        self.commands = commands
        self.open = open
    }

    /// As the rows of one moment have them; none where this site is no primary, or lets nothing over.
    package init<Rows: RowReader & ~Copyable>(loading rows: borrowing Rows) throws(RowError) {
        let view = try SiteView(loading: rows)
        self.init(
            epoch: view.record.epoch, revision: view.state.revision, commands: view.state.commands, open: [])
        guard view.record.role == .primary, !view.record.pace.isPaused else { return }
        open = try ModelReader.uploads(rows: rows).filter { $0.prefix > 0 }.map {
            Upload(id: $0.id, number: $0.number, chunks: $0.prefix)
        }
    }

    /// Whether this upload was closed, and a standby of the same epoch that has all through `revision` needs nothing of it any more but what
    /// it has staged: it was given up, or published at a revision that is applied there.
    package func isOver(_ id: UploadID, number: UInt64, at revision: UInt64) -> Bool {
        // One with a higher number may have been begun behind what the node had.
        revision >= self.revision && number <= commands && !open.contains { $0.id == id && $0.number == number }
    }
}

extension SiteUploads: Coded {
    package static var codedName: String { "open uploads of a site" }

    package func encode(into writer: inout ByteWriter) {
        writer.varint(epoch)
        writer.varint(revision)
        writer.varint(commands)
        writer.varint(open.count)
        for upload in open {
            writer.identifier(upload.id)
            writer.varint(upload.number)
            writer.varint(upload.chunks)
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteUploads {
        var uploads = SiteUploads(
            epoch: try reader.varint(), revision: try reader.varint(), commands: try reader.varint(), open: [])
        for _ in 0..<(try reader.count(itemBytes: 18)) {
            uploads.open.append(
                Upload(id: try reader.identifier(), number: try reader.varint(), chunks: try reader.varint()))
        }
        return uploads
    }
}
