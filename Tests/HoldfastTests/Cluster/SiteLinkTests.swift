import Foundation
import NIOCore
import ReplicaCore
import Testing

@testable import Holdfast

extension TestCluster {
    /// A gauge, summed over the members.
    func sum(of metric: String) async throws -> UInt64 {
        var sum = 0.0
        for id in running {
            for line in try await store(id).metrics().split(separator: "\n") where line.hasPrefix(metric + " ") {
                sum += Double(line.split(separator: " ").last ?? "") ?? 0
            }
        }
        return UInt64(sum)
    }
}

extension ClusterTests.SiteTests {
    @Test func `a paused link lets nothing over, both sites say so, and it goes on where it was`() async throws {
        try await withSites { _, _, here, there in
            try await here.put("before", "1")
            try await caughtUp(here, there)
            let refused = await refusal { try await here.pauseSite(true) }
            #expect(refused?.code == .preconditionFailed, "the primary pulls nothing")
            try await there.pauseSite(true)
            try await eventually("both say so") {
                let (left, right) = (try await here.siteStatus(), try await there.siteStatus())
                return left.link == .paused && right.link == .paused && right.pace.isPaused
            }
            let stood = try await there.siteStatus().revision
            for number in 0..<20 { try await here.put(Key("meanwhile-\(number)"), "1") }
            try await eventually("the standby knows what it lacks") {
                try await there.siteStatus().missingEntries == 20
            }
            #expect(try await there.siteStatus().revision == stood)
            // Over more than one poll of the primary: a standby that lacks something is still a paused one.
            try await eventually("the primary knows what the standby lacks") {
                try await here.siteStatus().missingEntries == 20
            }
            for _ in 0..<15 {
                #expect(try await here.siteStatus().link == .paused)
                try await Task.sleep(for: .milliseconds(100))
            }
            let frozen = await refusal { try await here.switchOverSite() }
            #expect(frozen?.code == .preconditionFailed, "the standby would not get there")
            try await there.pauseSite(false)
            try await caughtUp(here, there)
            #expect(try await there.siteStatus().pace.isPaused == false)
        }
    }

    @Test func `a switchover to a standby that does not answer is not begun, and no write is refused`() async throws {
        try await withSites { _, standby, here, there in
            try await here.put("before", "1")
            try await caughtUp(here, there)
            await standby.stop()
            try await eventually("the primary misses it") { try await here.siteStatus().link == .unreachable }
            let late = here.withTimeout(milliseconds: 3_000)
            let asked = Task { await refusal { try await late.switchOverSite() } }
            for number in 0..<50 {
                try await here.put(Key("meanwhile-\(number)"), "1")
                #expect(try await here.siteStatus().isFrozen == false)
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(await asked.value?.code == .unavailable)
        }
    }

    @Test func `a switchover that is given up says so, and is not begun again`() async throws {
        try await withSites { _, _, here, there in
            let scratch = try Scratch()
            try await here.put("before", "1")
            try await caughtUp(here, there)
            // Chunks that do not come: the standby cannot get to the last revision.
            try await there.paceSite(LinkPace(bytesPerSecond: 1))
            let directory = scratch("model")
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            var bytes = [UInt8](repeating: 0, count: 12 << 20)
            for place in bytes.indices { bytes[place] = UInt8(truncatingIfNeeded: place &* place >> 7) }
            try Data(bytes).write(to: URL(fileURLWithPath: directory + "/weights.bin"))
            _ = try await here.push(directory, as: "m")
            let client = here.withTimeout(milliseconds: 60_000)
            let refused = await refusal { try await client.switchOverSite() }
            #expect(refused?.code == .preconditionFailed && refused?.message.contains("given up") == true)
            let status = try await here.siteStatus()
            #expect(status.role == .primary && !status.isFrozen)
            try await here.put("after", "1")
            // One that is under way is gone on with by who asks again.
            let brief = here.withTimeout(milliseconds: 1_500)
            let unknown = await refusal { try await brief.switchOverSite() }
            #expect(unknown?.code == .outcomeUnknown)
            try await there.paceSite(LinkPace())
            try await client.switchOverSite()
            #expect(try await here.siteStatus().role == .standby)
        }
    }

    @Test func `a standby whose place another cluster took is shipped nothing more, and does not look connected`()
        async throws
    {
        try await withSites { primary, _, here, there in
            try await here.put("before", "1")
            try await caughtUp(here, there)
            let other = try TestCluster(1, name: "other")
            do {
                try await other.start()
                let client = try await other.client()
                try await eventually("the feature version rises") {
                    try await other.store(1).status().featureVersion >= Feature.sites.since
                }
                let token = try await here.enrollSite()
                try await client.followSite(at: primary.members.values.sorted(), token: token)
                try await eventually("the one before hears of it") {
                    try await there.siteStatus().link == .unreachable
                }
                let stood = try await there.siteStatus()
                try await here.put("after", "1")
                try await caughtUp(here, client)
                let now = try await there.siteStatus()
                #expect(now.revision == stood.revision && now.link == .unreachable)
                let (loss, lossBefore) = (now.recoveryPointSeconds ?? .infinity, stood.recoveryPointSeconds ?? 0)
                #expect(loss > lossBefore, "what may be lost grows")
            } catch {
                await other.stop()
                throw error
            }
            await other.stop()
        }
    }

    @Test func `a promotion ends a pause, which was one of the link of before`() async throws {
        try await withSites { _, _, here, there in
            try await here.put("before", "1")
            try await caughtUp(here, there)
            try await there.pauseSite(true)
            try await there.paceSite(LinkPace(bytesPerSecond: 1_000_000))
            #expect(try await there.siteStatus().pace.isPaused, "a rate does not resume")
            try await there.promoteSite(acceptingLossOf: nil)
            let status = try await there.siteStatus()
            #expect(!status.pace.isPaused && status.pace.bytesPerSecond == 1_000_000)
        }
    }

    @Test func `each chunk crosses the link once, compressed where that saves anything, and not before its turn`()
        async throws
    {
        try await withSites(3) { primary, standby, here, there in
            let scratch = try Scratch()
            let directory = scratch("model")
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            // Of every two bytes one is always the same, as in weights of 16 bits.
            var numbers = SystemRandomNumberGenerator()
            var bytes = [UInt8](repeating: 0x3F, count: 12 << 20)
            for place in stride(from: 0, to: bytes.count, by: 2) {
                bytes[place] = UInt8.random(in: 0...255, using: &numbers)
            }
            try Data(bytes).write(to: URL(fileURLWithPath: directory + "/weights.bin"))
            try await there.paceSite(LinkPace(bytesPerSecond: 1))
            _ = try await here.push(directory, as: "m")
            try await here.put("behind", "1")
            // One piece at once; the next ones wait for hours.
            try await eventually("the first chunk has crossed") {
                try await standby.sum(of: "holdfast_site_chunks_fetched") == 1
            }
            let held = try await there.siteStatus().revision
            #expect(try await here.siteStatus().revision > held, "what follows a version waits for its chunks")
            try await there.paceSite(LinkPace())
            try await caughtUp(here, there)
            try await standby.agree()
            try await standby.waitComplete()
            let chunks = UInt64(try primary.chunkFiles(1))
            #expect(try await standby.sum(of: "holdfast_site_chunks_fetched") == chunks)
            let raw = try await standby.sum(of: "holdfast_site_chunks_fetched_bytes")
            let wire = try await standby.sum(of: "holdfast_site_chunks_fetched_wire_bytes")
            #expect(raw >= UInt64(bytes.count) && wire < raw * 3 / 4, "\(wire) of \(raw) bytes on the wire")
        }
    }

    @Test func `what is pushed crosses before it is published, and rows do not wait for it`() async throws {
        try await withSites(3) { primary, standby, here, there in
            let uploads = RoutedUploads(store: here)
            let material = Material(seed: 1, count: 40)
            try await uploads.begin(material.upload, name: "m", version: nil)
            try await uploads.add(material.upload, firstOrdinal: 0, ids: material.ids)
            for place in 0..<36 {
                try await uploads.send(
                    material.upload, ordinal: place, id: material.ids[place], bytes: material.chunks[place])
            }
            try await eventually("all that is there has crossed") {
                try await standby.sum(of: "holdfast_site_chunks_fetched_early") == 36
            }
            try await here.put("beside", "1")
            try await caughtUp(here, there)
            #expect(try await there.text("beside", consistency: .stale) == "1")
            // Nothing names them there: the sweep leaves them alone all the same.
            let leader = try #require(try standby.node(try await standby.leader()).chunks)
            _ = try await leader.sweeper.sweep()
            #expect(try standby.chunkFiles(try await standby.leader()) == 36)
            for place in 36..<40 {
                try await uploads.send(
                    material.upload, ordinal: place, id: material.ids[place], bytes: material.chunks[place])
            }
            _ = try await uploads.publish(
                material.upload, name: "m", version: nil, root: material.root, totals: material.totals)
            try await caughtUp(here, there)
            try await standby.agree()
            try await standby.waitComplete()
            for id in standby.ids { #expect(try standby.chunkFiles(id) == 40) }
            #expect(try await standby.sum(of: "holdfast_site_chunks_fetched") == 40, "each crosses once")
        }
    }

    @Test func `what was brought early of an upload that is given up goes again`() async throws {
        try await withSites { primary, standby, here, there in
            let uploads = RoutedUploads(store: here)
            let material = Material(seed: 2, count: 3)
            try await uploads.begin(material.upload, name: "m", version: nil)
            try await uploads.add(material.upload, firstOrdinal: 0, ids: material.ids)
            for place in 0..<3 {
                try await uploads.send(
                    material.upload, ordinal: place, id: material.ids[place], bytes: material.chunks[place])
            }
            try await eventually("all has crossed") {
                try await standby.sum(of: "holdfast_site_chunks_fetched_early") == 3
            }
            _ = try await here.router.command(.uploadAbort(material.upload), deadline: here.deadline)
            let sweeper = try #require(try standby.node(1).chunks).sweeper
            try await eventually("nothing holds them") {
                _ = try await sweeper.sweep()
                return try standby.chunkFiles(1) == 0
            }
        }
    }

    @Test func `a read at the standby waits for a revision, and says where it stands when it does not come`()
        async throws
    {
        try await withSites { _, _, here, there in
            let scratch = try Scratch()
            let directory = try scratch.model("model", seed: 3)
            try await here.put("a", "1")
            try await caughtUp(here, there)
            try await there.pauseSite(true)
            let written = try await here.put("a", "2").revision
            _ = try await here.push(directory, as: "m")
            let last = try await here.status().revision
            let late = await refusal {
                _ = try await there.withTimeout(milliseconds: 300).get("a", consistency: .atLeast(written))
            }
            #expect(late?.code == .unavailable)
            #expect(late?.message.contains("revision \(written - 1), and \(written) was asked for") == true)
            #expect(try await there.text("a", consistency: .atLeast(written - 1)) == "1")
            let read = Task { try await there.text("a", consistency: .atLeast(written)) }
            let pull = Task {
                try await there.pull(ModelReference(parsing: "m"), into: scratch("pulled"), consistency: .atLeast(last))
            }
            try await there.pauseSite(false)
            #expect(try await read.value == "2")
            #expect(try await pull.value.model.name == "m")
            #expect(try await there.list(.prefix("a"), consistency: .atLeast(last)).revision >= last)
            #expect(try await there.models(consistency: .atLeast(last)).map(\.name) == ["m"])
            try expectSameFiles(directory, scratch("pulled"))
        }
    }
}
