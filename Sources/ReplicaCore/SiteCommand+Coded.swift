extension SiteCommand: Coded {
    package static var codedName: String { "site command" }

    /// Numbers of site commands.
    private enum Tag {
        static let enroll: UInt8 = 1
        static let admit: UInt8 = 2
        static let follow: UInt8 = 3
        static let stage: UInt8 = 4
        static let apply: UInt8 = 5
        static let acknowledge: UInt8 = 6
        static let freeze: UInt8 = 7
        static let unfreeze: UInt8 = 8
        static let grant: UInt8 = 9
        static let promote: UInt8 = 10
        static let force: UInt8 = 11
        static let fence: UInt8 = 12
        static let rewind: UInt8 = 13
        static let meet: UInt8 = 14
        static let limit: UInt8 = 15
        static let tick: UInt8 = 16
        static let dropOrphans: UInt8 = 17
        static let pace: UInt8 = 32
        static let drilled: UInt8 = 33
        static let holdForSeed: UInt8 = 48
        static let seed: UInt8 = 49
        static let seedStep: UInt8 = 50
        static let seedEnd: UInt8 = 51
        static let seedClear: UInt8 = 52
    }

    package func encode(into writer: inout ByteWriter) {
        switch self {
        case .enroll(let token, let expires):
            writer.byte(Tag.enroll)
            writer.digest(token)
            writer.varint(expires)
        case .admit(let token, let peer):
            writer.byte(Tag.admit)
            writer.digest(token)
            peer.encode(into: &writer)
        case .follow(let follow):
            writer.byte(Tag.follow)
            follow.encode(into: &writer)
        case .stage(let stage):
            writer.byte(Tag.stage)
            stage.encode(into: &writer)
        case .apply(let shipment):
            writer.byte(Tag.apply)
            shipment.encode(into: &writer)
        case .acknowledge(let word):
            writer.byte(Tag.acknowledge)
            writer.identifier(word.site)
            writer.varint(word.epoch)
            word.position.encode(into: &writer)
        case .freeze(let id):
            writer.byte(Tag.freeze)
            writer.identifier(id)
        case .unfreeze(let id):
            writer.byte(Tag.unfreeze)
            writer.identifier(id)
        case .grant(let switchover, let position):
            writer.byte(Tag.grant)
            writer.identifier(switchover)
            position.encode(into: &writer)
        case .promote(let grant):
            writer.byte(Tag.promote)
            grant.encode(into: &writer)
        case .force(let seen):
            writer.byte(Tag.force)
            writer.varint(seen)
        case .fence(let epoch, let site):
            writer.byte(Tag.fence)
            writer.varint(epoch)
            writer.identifier(site)
        case .rewind(let rewind):
            writer.byte(Tag.rewind)
            rewind.from.encode(into: &writer)
            writer.varint(rewind.revision)
        case .meet(let peer):
            writer.byte(Tag.meet)
            peer.encode(into: &writer)
        case .limit(let caps):
            writer.byte(Tag.limit)
            caps.encode(into: &writer)
        case .tick: writer.byte(Tag.tick)
        case .dropOrphans(let rewind):
            writer.byte(Tag.dropOrphans)
            writer.varint(rewind)
        case .pace(let pace):
            writer.byte(Tag.pace)
            pace.encode(into: &writer)
        case .drilled(let drill):
            writer.byte(Tag.drilled)
            drill.encode(into: &writer)
        case .holdForSeed(let site, let epoch):
            writer.byte(Tag.holdForSeed)
            writer.identifier(site)
            writer.varint(epoch)
        case .seed(let head):
            writer.byte(Tag.seed)
            head.encode(into: &writer)
        case .seedStep(let step):
            writer.byte(Tag.seedStep)
            step.encode(into: &writer)
        case .seedEnd(let revision):
            writer.byte(Tag.seedEnd)
            writer.varint(revision)
        case .seedClear(let from, let below):
            writer.byte(Tag.seedClear)
            writer.string(from)
            writer.string(below)
        }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteCommand {
        switch try reader.byte() {
        case Tag.enroll: return .enroll(token: try reader.digest(), expires: try reader.varint())
        case Tag.admit: return .admit(token: try reader.digest(), try SitePeer.decode(from: &reader))
        case Tag.follow: return .follow(try SiteFollow.decode(from: &reader))
        case Tag.stage: return .stage(try SiteStage.decode(from: &reader))
        case Tag.apply: return .apply(try SiteShipment.decode(from: &reader))
        case Tag.acknowledge:
            return .acknowledge(
                SiteAcknowledgement(
                    site: try reader.identifier(), epoch: try reader.varint(),
                    position: try SitePosition.decode(from: &reader)))
        case Tag.freeze: return .freeze(try reader.identifier())
        case Tag.unfreeze: return .unfreeze(try reader.identifier())
        case Tag.grant:
            return .grant(switchover: try reader.identifier(), to: try SitePosition.decode(from: &reader))
        case Tag.promote: return .promote(try SiteGrant.decode(from: &reader))
        case Tag.force: return .force(seen: try reader.varint())
        case Tag.fence: return .fence(epoch: try reader.varint(), by: try reader.identifier())
        case Tag.rewind:
            return .rewind(SiteRewind(from: try SitePosition.decode(from: &reader), revision: try reader.varint()))
        case Tag.meet: return .meet(try SitePeer.decode(from: &reader))
        case Tag.limit: return .limit(try SiteCaps.decode(from: &reader))
        case Tag.tick: return .tick
        case Tag.dropOrphans: return .dropOrphans(rewind: try reader.varint())
        case Tag.pace: return .pace(try SitePace.decode(from: &reader))
        case Tag.drilled: return .drilled(try SiteDrill.decode(from: &reader))
        case Tag.holdForSeed: return .holdForSeed(site: try reader.identifier(), epoch: try reader.varint())
        case Tag.seed: return .seed(try SeedHead.decode(from: &reader))
        case Tag.seedStep: return .seedStep(try SeedStep.decode(from: &reader))
        case Tag.seedEnd: return .seedEnd(revision: try reader.varint())
        case Tag.seedClear: return .seedClear(from: try reader.string(), below: try reader.string())
        case let tag: throw .unknownTag(what: codedName, tag)
        }
    }
}

extension SiteFollow: Coded {
    package static var codedName: String { "follow" }

    package func encode(into writer: inout ByteWriter) {
        primary.encode(into: &writer)
        writer.identifier(lineage)
        writer.varint(epoch)
        position.encode(into: &writer)
        writer.branches(branches)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteFollow {
        SiteFollow(
            primary: try SitePeer.decode(from: &reader), lineage: try reader.identifier(),
            epoch: try reader.varint(), position: try SitePosition.decode(from: &reader),
            branches: try reader.branches())
    }
}

extension SiteStage: Coded {
    package static var codedName: String { "stage" }

    package func encode(into writer: inout ByteWriter) {
        writer.identifier(upload)
        writer.varint(number)
        writer.text(name)
        writer.text(version)
        writer.varint(first)
        writer.varint(ids.count)
        for id in ids { writer.digest(id) }
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteStage {
        var stage = SiteStage(
            upload: try reader.identifier(), number: try reader.varint(), name: try reader.text(),
            version: try reader.text(), first: try reader.varint(), ids: [])
        let count = try reader.count(itemBytes: Digest.byteCount)
        stage.ids.reserveCapacity(count)
        for _ in 0..<count { stage.ids.append(try reader.digest()) }
        return stage
    }
}

extension SiteShipment: Coded {
    package static var codedName: String { "shipment" }

    package func encode(into writer: inout ByteWriter) {
        writer.varint(epoch)
        after.encode(into: &writer)
        writer.varint(entries.count)
        for entry in entries { writer.string(entry.bytes) }
        writer.digest(hash)
        writer.varint(durableOn.count)
        for receipt in durableOn {
            writer.varint(receipt.node)
            writer.identifier(receipt.incarnation)
        }
        writer.varint(compactRevision)
        writer.varint(feedFloor)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteShipment {
        let epoch = try reader.varint()
        let after = try SitePosition.decode(from: &reader)
        var entries: [FeedEntry] = []
        for _ in 0..<(try reader.count(itemBytes: 1)) { entries.append(FeedEntry(bytes: try reader.string())) }
        var shipment = SiteShipment(epoch: epoch, after: after, entries: entries, hash: try reader.digest())
        for _ in 0..<(try reader.count(itemBytes: 1 + Identifier.byteCount)) {
            shipment.durableOn.append(
                Publication.Receipt(node: try reader.varint(), incarnation: try reader.identifier()))
        }
        shipment.compactRevision = try reader.varint()
        shipment.feedFloor = try reader.varint()
        return shipment
    }
}

extension SiteCaps: Coded {
    package static var codedName: String { "caps" }

    package func encode(into writer: inout ByteWriter) {
        writer.varint(bytes)
        writer.varint(milliseconds)
    }

    package static func decode(from reader: inout ByteReader) throws(DecodeError) -> SiteCaps {
        SiteCaps(bytes: try reader.varint(), milliseconds: try reader.varint())
    }
}
