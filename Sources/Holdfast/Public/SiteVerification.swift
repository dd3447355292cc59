internal import NIOCore
internal import ReplicaCore

/// What holding a site against the other one came to.
public struct SiteVerification: Sendable, Equatable {
    /// How the two stand to each other at `revision`.
    public enum Agreement: String, Sendable {
        /// Both have the same chain hash, and so the same history through it.
        case equal
        /// The chain hashes differ.
        case different
        /// The other site does not have that revision, or gave it up, or does not answer.
        case unknown
    }

    /// The revision at which the two were compared: the latest one here.
    public var revision: Revision
    /// How they stand to each other.
    public var agreement: Agreement
    /// Why that is not known; empty where it is.
    public var silence: String
    /// The first revision whose rows were read and hashed again; what is older is vouched for by nothing but the chain.
    public var firstRevision: Revision
    /// How many revisions' rows were.
    public var revisionsChecked: UInt64
    /// The first one whose rows do not give its chain hash; nil if all do.
    public var wrongRevision: Revision?
    /// Why; empty if all do.
    public var wrongReason: String
    /// Chunks of published versions, repeated ones counted again.
    public var chunks: UInt64
    /// How many of them were read on the leader's disk and compared with their names.
    public var chunksChecked: UInt64
    /// Those that are missing there or have other bytes, 64 hex digits each.
    public var badChunks: [String]

    /// Nothing speaks against the site.
    public var isSound: Bool { agreement != .different && wrongRevision == nil && badChunks.isEmpty }
}

extension Store {
    /// Holds this site against the other one: the chain hash at the latest revision here with that of the other site, all rows with the chain
    /// hash, and chunks with their names. It reads at the leader of the cluster that is asked; a chunk that
    /// is not whole is put aside and fetched anew from the other nodes.
    ///
    /// - Parameters:
    ///   - chunks: about how many to read, spread evenly; nil for all of them.
    ///   - progress: told how much of the work is done, from 0 to 1.
    /// - Throws: `preconditionFailed` where this cluster belongs to no pair of sites.
    public func verifySite(
        chunks sample: UInt64? = 128, progress: (@Sendable (Double) -> Void)? = nil
    ) async throws(HoldfastError) -> SiteVerification {
        let stand = try await step(.compare) { reader throws(DecodeError) in
            try SiteVerifier.Comparison.decode(from: &reader)
        }
        let first = FeedProof.first(floor: stand.feedFloor)
        var result = SiteVerification(
            revision: stand.revision,
            agreement: stand.otherHash == .zero && stand.revision > 0
                ? .unknown : stand.otherHash == stand.hash ? .equal : .different,
            silence: stand.silence, firstRevision: first, revisionsChecked: 0, wrongReason: "", chunks: stand.chunks,
            chunksChecked: 0, badChunks: [])
        let wanted = min(sample ?? stand.chunks, stand.chunks)
        let work = Double(stand.revision + 1 > first ? stand.revision + 1 - first : 0) / 100 + Double(wanted)
        func tell() {
            progress?(
                work > 0 ? min((Double(result.revisionsChecked) / 100 + Double(result.chunksChecked)) / work, 1) : 1)
        }
        var next = first
        while next <= stand.revision, result.wrongRevision == nil {
            let page = try await step(.rows(first: next, through: stand.revision)) { reader throws(DecodeError) in
                try FeedProof.Page.decode(from: &reader)
            }
            result.revisionsChecked += page.next - next
            result.wrongRevision = page.wrong
            result.wrongReason = page.reason
            next = page.next
            tell()
        }
        guard wanted > 0 else { return result }
        let stride = max(stand.chunks / wanted, 1)
        // Another part of the chunks each time.
        var place: SiteVerifier.ChunkPlace? = SiteVerifier.ChunkPlace(ordinal: UInt64.random(in: 0..<stride))
        while let from = place {
            let page = try await step(.chunks(from, stride: stride)) { reader throws(DecodeError) in
                try SiteVerifier.ChunkPage.decode(from: &reader)
            }
            result.chunksChecked += page.checked
            result.badChunks += page.bad.map(\.hex)
            place = page.next
            tell()
        }
        return result
    }

    private func step<Answer>(
        _ step: SiteVerifier.Step, _ take: (inout ByteReader) throws(DecodeError) -> Answer
    ) async throws(HoldfastError) -> Answer {
        let answer = try await router.send(
            .siteVerify, .written { step.encode(into: &$0) }, to: .leader, deadline: deadline, attempt: .seconds(30))
        return try Self.decode(answer, take)
    }
}
