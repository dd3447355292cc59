import Foundation
import ReplicaCore
import Testing

@testable import Holdfast
@testable import HoldfastCLI

@Suite struct SiteReportTests {
    private let cluster = ClusterStatus(
        cluster: "c", lineage: "l", term: 1, leader: 1, revision: 9,
        nodes: (1...3).map {
            ClusterStatus.Node(id: $0, endpoint: "h:\($0)", role: $0 == 1 ? .leader : .follower, complete: true)
        })

    private func standby(_ change: (inout SiteStatus) -> Void = { _ in }) -> SiteStatus {
        var status = SiteStatus(
            role: .standby, epoch: 1, lineage: "l", link: .unreachable, revision: 9, peer: ["p:1"], isFrozen: false)
        status.recoveryPointSeconds = 0.4
        status.peerRevision = 9
        status.lastDrill = SiteDrillResult(
            SiteDrill(begun: 0, milliseconds: 1_500, node: 2, revision: 8, failure: "", chunks: 3))
        change(&status)
        return status
    }

    private func codes(_ status: SiteStatus, _ cluster: ClusterStatus? = nil) -> [SiteObjection.Code] {
        SiteObjection.all(status, cluster ?? self.cluster).map(\.code)
    }

    @Test func `nothing stands against a whole standby whose primary is gone`() {
        #expect(codes(standby()) == [])
        #expect(
            ObjectionsDocument([], standby()).lines
                == ["nothing stands against promoting this site", "the most that can be lost: 0.400 s"])
    }

    @Test func `each thing that stands against a promotion is named`() {
        #expect(codes(standby { $0.role = .alone }) == [.role])
        #expect(codes(standby { $0.role = .primary }) == [.role])
        #expect(codes(standby { $0.role = .fenced }) == [.role])
        #expect(codes(standby { $0.link = .connected }) == [.primaryAnswers])
        #expect(codes(standby { $0.link = .paused }) == [.primaryAnswers, .paused])
        #expect(codes(standby { $0.link = .diverged }) == [.diverged])
        #expect(codes(standby { $0.link = .reseedRequired }) == [.reseedRequired])
        #expect(codes(standby { $0.recoveryPointSeconds = nil }) == [.lossUnknown])
        #expect(codes(standby { $0.missingEntries = 4 }) == [.missing])
        #expect(codes(standby { $0.peerRevision = 12 }) == [.missing], "what was heard last, of a primary that is gone")
        #expect(codes(standby { $0.lastDrill = nil }) == [.drill])
        #expect(codes(standby { $0.lastDrill?.failure = "no room" }) == [.drill])
        var cluster = cluster
        cluster.nodes[0].quarantined = true
        cluster.nodes[1].role = .unreachable
        cluster.nodes[2].full = true
        cluster.nodes[2].complete = false
        #expect(codes(standby(), cluster) == [.node, .node, .diskFull, .incomplete])
    }

    @Test func `what is missing is not called nothing where nobody counted it`() {
        var status = standby {
            $0.link = .connected
            $0.missingEntries = 2
            $0.missingBytes = 123
        }
        #expect(SiteDocument(status).lines.contains("missing 2 revisions, about 123 B besides chunks"))
        status.missingBytes = nil
        #expect(SiteDocument(status).lines.contains("missing 2 revisions, bytes not known"))
        status.role = .primary
        #expect(SiteDocument(status).lines.contains { $0.hasPrefix("headroom none") })
        status.retentionHeadroomBytes = 5
        #expect(SiteDocument(status).lines.contains("headroom 5 B"))
    }

    @Test func `every objection has a sentence for people and a name for programs`() throws {
        let objections = SiteObjection.all(
            standby {
                $0.link = .paused
                $0.recoveryPointSeconds = nil
                $0.lastDrill?.failure = "no room"
            }, cluster)
        let document = ObjectionsDocument(objections, standby { $0.recoveryPointSeconds = nil })
        #expect(document.lines.count == 4 && document.lines.allSatisfy { $0.hasPrefix("- ") })
        let parsed = try object(JSON.text(document))
        #expect(parsed["recoveryPointSeconds"] is NSNull)
        let listed = try #require(parsed["objections"] as? [[String: String]])
        #expect(listed.map { $0["code"] } == ["primaryAnswers", "paused", "lossUnknown", "drill"])
    }

    @Test func `what a verification found is said loudly, and only then`() {
        var found = SiteVerification(
            revision: 9, agreement: .equal, silence: "", firstRevision: 1, revisionsChecked: 9, wrongReason: "",
            chunks: 4, chunksChecked: 4, badChunks: [])
        #expect(found.isSound)
        #expect(
            SiteVerificationDocument.lines(found) == [
                "both sites have the same history through revision 9",
                "the rows of revisions 1 to 9 give the feed's hashes", "4 of 4 chunks were read and are whole",
            ])
        found.agreement = .unknown
        #expect(found.isSound, "nothing is known against it")
        found.agreement = .different
        #expect(!found.isSound && SiteVerificationDocument.lines(found)[0].contains("DIFFER"))
        found.agreement = .equal
        found.wrongRevision = 3
        #expect(!found.isSound && SiteVerificationDocument.lines(found)[1].contains("REVISION 3"))
        found.wrongRevision = nil
        found.badChunks = ["ab"]
        #expect(!found.isSound && SiteVerificationDocument.lines(found).last == "  ab")
    }

    @Test func `a drill says what came of it in one line`() throws {
        let passed = DrillDocument(try #require(standby().lastDrill))
        #expect(passed.line == "drill of node 2 at revision 8 passed: first write after 1.5 s, 3 chunks verified")
        let failed = DrillDocument(
            SiteDrillResult(SiteDrill(begun: 0, milliseconds: 20, node: 2, revision: 8, failure: "no room", chunks: 0)))
        #expect(failed.line == "drill of node 2 at revision 8 FAILED after 20 ms: no room")
    }
}
