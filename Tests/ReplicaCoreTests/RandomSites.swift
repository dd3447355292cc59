@testable import ReplicaCore

/// Random values of everything about sites that has a binary form.
extension SeededRandom {
    mutating func position() -> SitePosition { SitePosition(revision: number(), hash: digest()) }

    mutating func peer() -> SitePeer { SitePeer(site: identifier(), endpoints: some { $0.text() }) }

    mutating func grant() -> SiteGrant {
        SiteGrant(switchover: identifier(), site: identifier(), epoch: number(), position: position())
    }

    mutating func effect() -> FeedEntry.Effect {
        let space: Keyspace = chance(1, in: 2) ? .user : .system
        return chance(1, in: 2)
            ? .put(space, key: bytes(below(9)), value: bytes(below(20)), lease: number()) : .delete(space, selector())
    }

    mutating func entry() -> FeedEntry {
        FeedEntry(revision: number(), effects: (0...below(3)).map { _ in effect() })
    }

    mutating func siteCommand() -> SiteCommand {
        switch below(24) {
        case 0: .enroll(token: digest(), expires: number())
        case 1: .admit(token: digest(), peer())
        case 2:
            .follow(
                SiteFollow(
                    primary: peer(), lineage: identifier(), epoch: number(), position: position(),
                    branches: some { $0.branch() }))
        case 3:
            .stage(
                SiteStage(
                    upload: identifier(), number: number(), name: text(), version: text(), first: number(),
                    ids: some { $0.digest() }))
        case 4:
            .apply(
                SiteShipment(
                    epoch: number(), after: position(), entries: some { $0.entry() }, hash: digest(),
                    durableOn: some { Publication.Receipt(node: $0.number(), incarnation: $0.identifier()) },
                    compactRevision: number(), feedFloor: number()))
        case 5: .acknowledge(SiteAcknowledgement(site: identifier(), epoch: number(), position: position()))
        case 6: .freeze(identifier())
        case 7: .unfreeze(identifier())
        case 8: .grant(switchover: identifier(), to: position())
        case 9: .promote(grant())
        case 10: .force(seen: number())
        case 11: .fence(epoch: number(), by: identifier())
        case 12: .rewind(SiteRewind(from: position(), revision: number()))
        case 13: .meet(peer())
        case 14: .limit(SiteCaps(bytes: number(), milliseconds: number()))
        case 15: .tick
        case 16: .pace(pace())
        case 17: .drilled(drill())
        case 18: .holdForSeed(site: identifier(), epoch: number())
        case 19:
            .seed(SeedHead(epoch: number(), from: position(), target: position(), feedRow: bytes(below(20))))
        case 20: .seedStep(seedStep())
        case 21: .seedEnd(revision: number())
        case 22: .seedClear(from: bytes(below(9)), below: bytes(below(9)))
        default: .dropOrphans(rewind: number())
        }
    }

    mutating func siteRecord() -> SiteRecord {
        var record = SiteRecord()
        record.role = [.alone, .primary, .standby, .fenced][below(4)]
        record.epoch = number() >> 1
        record.seen = record.epoch + UInt64(below(3))
        record.beginsOddEpochs = chance(1, in: 2)
        record.lineage = identifier()
        if chance(1, in: 2) { record.peer = peer() }
        if chance(1, in: 2) {
            record.switchover = SiteRecord.Switchover(
                id: identifier(), begun: number(), grant: chance(1, in: 2) ? grant() : nil)
        }
        if chance(1, in: 2) { record.enrolment = SiteRecord.Enrolment(token: digest(), expires: number()) }
        record.rewoundIndex = number()
        record.branches = some { $0.branch() }
        record.pace = pace()
        if chance(1, in: 2) { record.lastDrill = drill() }
        return record
    }

    mutating func pace() -> SitePace {
        SitePace(
            isPaused: chance(1, in: 2), bytesPerSecond: chance(1, in: 2) ? number() | 1 : nil,
            windows: some {
                SitePace.Window(
                    from: $0.number(), below: $0.number(), bytesPerSecond: $0.chance(1, in: 2) ? $0.number() | 1 : nil)
            })
    }

    mutating func drill() -> SiteDrill {
        SiteDrill(
            begun: number(), milliseconds: number(), node: number(), revision: number(), failure: text(),
            chunks: number())
    }

    mutating func branch() -> SiteRecord.Branch { SiteRecord.Branch(epoch: number(), position: position()) }

    mutating func seedRows() -> [SeedRow] {
        some { SeedRow(key: $0.bytes($0.below(20)), value: $0.bytes($0.below(20))) }
    }

    mutating func seedLeaf() -> SeedLeaf { SeedLeaf(below: bytes(below(9)), hash: digest()) }

    mutating func seedOffer() -> SeedOffer {
        SeedOffer(leaf: seedLeaf(), rows: chance(1, in: 3) ? nil : seedRows())
    }

    mutating func seedStep() -> SeedStep {
        SeedStep(
            revision: number(), from: bytes(below(9)),
            spans: some { SeedSpan(leaf: $0.seedLeaf(), rows: $0.seedRows(), removed: $0.some { $0.bytes(4) }) },
            durableOn: some { Publication.Receipt(node: $0.number(), incarnation: $0.identifier()) })
    }

    mutating func seedRecord() -> SeedRecord {
        var seed = SeedRecord(epoch: number(), target: position(), feedRow: bytes(below(20)))
        seed.next = bytes(below(20))
        seed.cleared = bytes(below(20))
        (seed.rows, seed.bytes, seed.versions) = (number(), number(), number())
        (seed.sameRanges, seed.changedRanges) = (number(), number())
        return seed
    }

    mutating func siteProgress() -> SiteProgress {
        var progress = SiteProgress()
        progress.caps = SiteCaps(bytes: number(), milliseconds: number())
        progress.acknowledged = position()
        if chance(1, in: 2) { progress.hold = number() }
        progress.bytes = number()
        let bytes = progress.bytes
        progress.marks = some { SiteProgress.Mark(revision: $0.number(), bytes: bytes / 2, time: $0.number()) }
        return progress
    }

    mutating func siteReport() -> SiteReport {
        SiteReport(
            site: identifier(), role: [.alone, .primary, .standby, .fenced][below(4)], epoch: number(), seen: number(),
            lineage: identifier(), position: position())
    }

    mutating func siteUploads() -> SiteUploads {
        SiteUploads(
            epoch: number(), revision: number(), commands: number(),
            open: (0..<below(4)).map { _ in
                SiteUploads.Upload(id: identifier(), number: number(), chunks: number())
            })
    }

    mutating func siteAnswer() -> SiteAnswer {
        SiteAnswer(
            report: siteReport(), asked: position(), relation: [.prefix, .diverged, .belowFloor][below(3)],
            entries: some { $0.entry() }, hash: digest(), compactRevision: number(), feedFloor: number(),
            grant: chance(1, in: 2) ? grant() : nil, branches: some { $0.branch() })
    }

    mutating func orphan() -> Orphan {
        Orphan(epoch: number(), revision: number(), time: number(), entry: entry())
    }
}
