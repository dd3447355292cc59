internal import NIOCore
internal import ReplicaCore

/// The leader's part of a publish: no version becomes visible before a quorum holds every byte of it, fsynced.
///
/// ```
/// receipts of a quorum ── no change of the members unapplied ── publish{durableOn} ── applied: visible
///        ▲                        │
///        └── quorum re-check failed, or no answer came
/// ```
/// Proposing again is harmless: the first publish that is applied closes the upload, and every later one gets its answer.
struct Publisher: Sendable {
    let collector: ReceiptCollector
    let commands: any CommandPlane
    let keeper: ChunkKeeper

    /// Returns the version once it is visible.
    ///
    /// - Throws: `notLeader`; `unavailable` (naming the members that lack something), `notFound` (no such upload),
    ///   `preconditionFailed` (the upload names other chunks than stated), `alreadyExists`, `outcomeUnknown`.
    func publish(
        _ upload: UploadID, name: String, version: String?, root: ChunkID, totals: UploadTotals, deadline: NIODeadline
    ) async throws(HoldfastError) -> ReplicaCore.ModelVersion {
        var pause = RetryPause()
        while true {
            try collector.requireLeader()
            let receipts = try await receipts(upload, totals, deadline: deadline)
            // A quorum of members that are about to change says little; applying would look again and refuse.
            try await commands.waitForMembers(deadline: deadline)
            let publication = Publication(
                upload: upload, name: name, version: version, root: root, bytes: totals.bytes,
                chunks: UInt64(totals.chunks), files: UInt64(totals.files), durableOn: receipts)
            do throws(HoldfastError) {
                switch try await commands.propose(.publish(publication), deadline: deadline) {
                case .model(let model): return model
                case .refused(let refusal):
                    // The configuration changed while the receipts came in: gather them anew.
                    guard refusal.isTransient, NIODeadline.now() < deadline else { throw ChunkFault.refused(refusal) }
                default: throw HoldfastError(.incompatible, "a publish was answered with something else than a version")
                }
            } catch {
                guard error.code == .outcomeUnknown, NIODeadline.now() < deadline else { throw error }
            }
            await pause.wait(until: deadline)
            if Task.isCancelled {
                throw HoldfastError(.outcomeUnknown, "the publish of upload \(upload) was cancelled; publish again")
            }
        }
    }

    /// Receipts of a quorum for every chunk; none for an upload that is not open, since the proposal then tells what became of it.
    private func receipts(
        _ upload: UploadID, _ totals: UploadTotals, deadline: NIODeadline
    ) async throws(HoldfastError) -> [Publication.Receipt] {
        let info = try await keeper.readers.run { () throws(HoldfastError) in
            try self.keeper.rows { rows in try ModelReader.upload(upload, rows: rows) }
        }
        guard let info else { return [] }
        guard info.count == UInt64(totals.chunks), info.prefix == info.count else {
            throw HoldfastError(
                .preconditionFailed,
                "upload \(upload) names \(info.count) chunks (the first \(info.prefix) without a gap) where "
                    + "\(totals.chunks) are to be published; add the rest first",
                details: ["upload": upload.hex])
        }
        return try await collector.collect(upload, count: info.count, deadline: deadline)
    }
}
