internal import CHoldfast
internal import NIOCore
internal import ReplicaCore
internal import Storage

/// Pushes a directory or file as a new version of a model.
///
/// Four stages run at once, each a task, joined by queues whose elements hold their bytes from one pool:
///
///     read ──► hash ──► announce (add, have) ──► send ──► publish
///
/// Invariants: (1) a chunk's ID is added to the upload before its bytes are sent; (2) an ID is sent once, unless the node
/// that takes the bytes lost it; (3) publish is called only after every file was found unchanged and the node has said
/// that it holds every chunk; (4) no more than `ModelLimits.pushBytesMax` of chunks are held.
package struct Pusher<Plane: UploadPlane>: Sendable {
    let plan: PushPlan
    let plane: Plane
    let name: String
    let version: String?
    let upload: UploadID
    let buffers: ChunkBuffers
    let ledger: PushLedger
    let rate: SendRate?

    /// Pushes `path`. `began` is told the upload's ID before anything is sent; `progress` is told of bytes known at the node.
    ///
    /// Throws `invalidArgument` for a malformed file or name, `preconditionFailed` for a file that changed, and whatever the
    /// plane throws; details then hold the `upload` that resumes the push. Cancelling the task ends it with `unavailable`.
    package static func push(
        _ path: String, as name: String, version: String? = nil, upload: String? = nil,
        rateLimitBytesPerSecond: UInt64? = nil, plane: Plane, buffers: ChunkBuffers? = nil,
        progress: (@Sendable (TransferProgress) -> Void)? = nil, began: (@Sendable (_ upload: String) -> Void)? = nil
    ) async throws(HoldfastError) -> PushResult {
        try ModelName.check(name)
        if let version { try ModelName.check(version: version) }
        if rateLimitBytesPerSecond == 0 {
            throw HoldfastError(.invalidArgument, "the rate limit is 0 bytes per second; give at least 1, or none")
        }
        let upload = try uploadID(upload)
        let plan = try await ModelThreads.run { () throws(HoldfastError) in try PushPlan(path: path) }
        // Not before: a path that cannot be pushed leaves no upload that could be resumed.
        began?(upload.hex)
        let pusher = Pusher(
            plan: plan, plane: plane, name: name, version: version, upload: upload,
            buffers: buffers ?? ChunkBuffers(bytes: ModelLimits.pushBytesMax),
            ledger: PushLedger(totalBytes: plan.totalBytes, progress: progress),
            rate: rateLimitBytesPerSecond.map(SendRate.init))
        do throws(HoldfastError) {
            return try await pusher.run()
        } catch {
            var failure = error
            failure.details["upload"] = upload.hex
            throw failure
        }
    }

    private static func uploadID(_ text: String?) throws(HoldfastError) -> UploadID {
        if let text {
            guard text.utf8.count == 32, let id = UploadID(hex: text) else {
                throw HoldfastError(.invalidArgument, "'\(text)' is not an upload ID; it has 32 hex digits")
            }
            return id
        }
        var high: UInt64 = 0
        var low: UInt64 = 0
        guard chf_random(&high, 8) == 0, chf_random(&low, 8) == 0 else {
            throw HoldfastError(.unavailable, "the system gives no random bytes for an upload ID")
        }
        return UploadID(high, low)
    }

    private func run() async throws(HoldfastError) -> PushResult {
        try await plane.begin(upload, name: name, version: version)
        let manifest = try await transferFiles()
        let encoded = manifest.encoded()
        guard encoded.count <= ModelLimits.manifestBytesMax else {
            throw HoldfastError(.invalidArgument, "the model has too many chunks or tensors for one manifest")
        }
        let tail = ManifestChunks(encoded)
        try await place(tail)
        return try await publish(tail)
    }

    /// Publishes once the node has every chunk; looks again when the node that had them was lost meanwhile.
    private func publish(_ tail: ManifestChunks) async throws(HoldfastError) -> PushResult {
        let totals = UploadTotals(bytes: plan.totalBytes, files: plan.files.count, chunks: ledger.count)
        var refusal: HoldfastError?
        for _ in 0..<ModelLimits.sweepsMax {
            let lost = try await resendLost(tail)
            // Refused although the node lacks nothing: to ask again would change nothing.
            if let refusal, lost == 0 { throw refusal }
            do throws(HoldfastError) {
                let model = try await plane.publish(
                    upload, name: name, version: version, root: tail.root.id, totals: totals)
                return PushResult(model: model, newBytes: ledger.newBytes, upload: upload.hex)
            } catch {
                guard error.code == .notFound || error.code == .unavailable else { throw error }
                refusal = error
            }
        }
        throw refusal ?? HoldfastError(.unavailable, "the push of '\(name)' could not be published")
    }
}

/// The chunks of the manifest itself, kept in memory until the push ends.
struct ManifestChunks: Sendable {
    let parts: [(id: ChunkID, bytes: ByteBuffer)]
    let root: (id: ChunkID, bytes: ByteBuffer)

    init(_ encoded: [UInt8]) {
        let whole = ByteBuffer(bytes: encoded)
        var parts: [(id: ChunkID, bytes: ByteBuffer)] = []
        var rest = whole
        while let part = rest.readSlice(length: min(rest.readableBytes, ModelLimits.chunkBytesMax)),
            part.readableBytes > 0
        {
            parts.append((SHA256.digest(of: part), part))
        }
        self.parts = parts
        let description = ManifestRoot(manifestBytes: UInt64(encoded.count), parts: parts.map(\.id))
        let bytes = ByteBuffer(bytes: description.encoded())
        root = (SHA256.digest(of: bytes), bytes)
    }
}
