extension SitePosition: Coded {
    package static var codedName: String { "position" }

    package func encode(into writer: inout ByteWriter) {
        writer.varint(revision)
        writer.digest(hash)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SitePosition {
        SitePosition(revision: try reader.varint(), hash: try reader.digest())
    }
}

extension SitePeer: Coded {
    package static var codedName: String { "peer" }

    package func encode(into writer: inout ByteWriter) {
        writer.identifier(site)
        writer.varint(endpoints.count)
        for endpoint in endpoints { writer.text(endpoint) }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SitePeer {
        var peer = SitePeer(site: try reader.identifier(), endpoints: [])
        for _ in 0..<(try reader.count(itemBytes: 1)) { peer.endpoints.append(try reader.text()) }
        return peer
    }
}

extension SiteGrant: Coded {
    package static var codedName: String { "grant" }

    package func encode(into writer: inout ByteWriter) {
        writer.identifier(switchover)
        writer.identifier(site)
        writer.varint(epoch)
        position.encode(into: &writer)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteGrant {
        SiteGrant(
            switchover: try reader.identifier(), site: try reader.identifier(), epoch: try reader.varint(),
            position: try SitePosition.decode(from: &reader))
    }
}

extension ByteWriter {
    /// Whether there is a value, and the value.
    mutating func optional(_ value: (some Coded)?) {
        bool(value != nil)
        value?.encode(into: &self)
    }

    mutating func branches(_ branches: [SiteRecord.Branch]) {
        varint(branches.count)
        for branch in branches {
            varint(branch.epoch)
            branch.position.encode(into: &self)
        }
    }
}

extension ByteReader {
    /// What `ByteWriter.optional` wrote.
    mutating func optional<Value: Coded>(_ type: Value.Type) throws(DecodeError) -> Value? {
        try bool() ? try Value.decode(from: &self) : nil
    }

    /// What `ByteWriter.branches` wrote.
    mutating func branches() throws(DecodeError) -> [SiteRecord.Branch] {
        var branches: [SiteRecord.Branch] = []
        for _ in 0..<(try count(itemBytes: 1 + Digest.byteCount)) {
            let epoch = try varint()
            branches.append(SiteRecord.Branch(epoch: epoch, position: try SitePosition.decode(from: &self)))
        }
        return branches
    }

    mutating func role() throws(DecodeError) -> SiteRecord.Role {
        let tag = try byte()
        guard let role = SiteRecord.Role(rawValue: tag) else { throw .unknownTag(what: "role of a site", tag) }
        return role
    }
}

extension SiteRecord: Coded {
    package static var codedName: String { "site" }

    package func encode(into writer: inout ByteWriter) {
        writer.byte(role.rawValue)
        writer.varint(epoch)
        writer.varint(seen)
        writer.bool(beginsOddEpochs)
        writer.identifier(lineage)
        writer.optional(peer)
        writer.bool(switchover != nil)
        if let switchover {
            writer.identifier(switchover.id)
            writer.varint(switchover.begun)
            writer.optional(switchover.grant)
        }
        writer.bool(enrolment != nil)
        if let enrolment {
            writer.digest(enrolment.token)
            writer.varint(enrolment.expires)
        }
        writer.varint(rewoundIndex)
        writer.branches(branches)
        pace.encode(into: &writer)
        writer.optional(lastDrill)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteRecord {
        var record = SiteRecord()
        record.role = try reader.role()
        record.epoch = try reader.varint()
        record.seen = try reader.varint()
        record.beginsOddEpochs = try reader.bool()
        record.lineage = try reader.identifier()
        record.peer = try reader.optional(SitePeer.self)
        if try reader.bool() {
            record.switchover = Switchover(
                id: try reader.identifier(), begun: try reader.varint(), grant: try reader.optional(SiteGrant.self))
        }
        if try reader.bool() {
            record.enrolment = Enrolment(token: try reader.digest(), expires: try reader.varint())
        }
        record.rewoundIndex = try reader.varint()
        record.branches = try reader.branches()
        record.pace = try SitePace.decode(from: &reader)
        record.lastDrill = try reader.optional(SiteDrill.self)
        guard record.seen >= record.epoch else { throw .invalid(what: codedName) }
        return record
    }
}

extension SiteProgress: Coded {
    package static var codedName: String { "progress of a link" }

    package func encode(into writer: inout ByteWriter) {
        caps.encode(into: &writer)
        acknowledged.encode(into: &writer)
        writer.bool(hold != nil)
        if let hold { writer.varint(hold) }
        writer.varint(bytes)
        writer.varint(marks.count)
        for mark in marks {
            writer.varint(mark.revision)
            writer.varint(mark.bytes)
            writer.varint(mark.time)
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteProgress {
        var progress = SiteProgress()
        progress.caps = try SiteCaps.decode(from: &reader)
        progress.acknowledged = try SitePosition.decode(from: &reader)
        progress.hold = try reader.bool() ? try reader.varint() : nil
        progress.bytes = try reader.varint()
        for _ in 0..<(try reader.count(itemBytes: 3)) {
            progress.marks.append(
                Mark(revision: try reader.varint(), bytes: try reader.varint(), time: try reader.varint()))
        }
        guard progress.marks.allSatisfy({ $0.bytes <= progress.bytes }) else { throw .invalid(what: codedName) }
        return progress
    }
}

extension SiteReport: Coded {
    package static var codedName: String { "report of a site" }

    package func encode(into writer: inout ByteWriter) {
        writer.identifier(site)
        writer.byte(role.rawValue)
        writer.varint(epoch)
        writer.varint(seen)
        writer.identifier(lineage)
        position.encode(into: &writer)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteReport {
        SiteReport(
            site: try reader.identifier(), role: try reader.role(), epoch: try reader.varint(),
            seen: try reader.varint(), lineage: try reader.identifier(),
            position: try SitePosition.decode(from: &reader))
    }
}

extension SiteAnswer: Coded {
    package static var codedName: String { "answer of a site" }

    package func encode(into writer: inout ByteWriter) {
        report.encode(into: &writer)
        asked.encode(into: &writer)
        writer.byte(relation.rawValue)
        writer.varint(entries.count)
        for entry in entries { writer.string(entry.bytes) }
        writer.digest(hash)
        writer.varint(compactRevision)
        writer.varint(feedFloor)
        writer.optional(grant)
        writer.branches(branches)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteAnswer {
        let report = try SiteReport.decode(from: &reader)
        let asked = try SitePosition.decode(from: &reader)
        let tag = try reader.byte()
        guard let relation = SiteFeed.Relation(rawValue: tag) else { throw .unknownTag(what: codedName, tag) }
        var entries: [FeedEntry] = []
        for _ in 0..<(try reader.count(itemBytes: 1)) { entries.append(FeedEntry(bytes: try reader.string())) }
        return SiteAnswer(
            report: report, asked: asked, relation: relation, entries: entries, hash: try reader.digest(),
            compactRevision: try reader.varint(), feedFloor: try reader.varint(),
            grant: try reader.optional(SiteGrant.self), branches: try reader.branches())
    }
}
