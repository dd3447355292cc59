internal import Logging
internal import NIOCore
internal import ReplicaCore
internal import Synchronization

/// Brings chunks of uploads that the primary has not published yet, beside the polls: what is pushed there crosses the link meanwhile, and rows
/// behind the publish wait only for the rest of it.
///
/// Nothing of it is replicated: the chunks lie on the leader's disk, named by no row, and are pinned until their version is staged or the
/// primary has given the upload up. After a change of the leader the next one asks the others before it asks the primary.
///
/// Invariant: nothing of it is under way while a version's own chunks are brought (`rest`), so a chunk crosses once.
final class SiteEarly: Sendable {
    /// What is held of one upload.
    private struct Held {
        var number: UInt64
        /// The ordinals below are here.
        var next: UInt64 = 0
        var pins: [ChunkPin] = []
        /// Those of which some are not here yet.
        var tried: ChunkPin?
    }

    private let stores: SiteStores
    private let plane: SitePlane
    private let pacer: LinkPacer
    private let logger: Logger
    private let held = Mutex<[UploadID: Held]>([:])
    private let work = Mutex<Task<Void, Never>?>(nil)

    private static let pauseNanoseconds: UInt64 = 500_000_000
    private static let patience = TimeAmount.seconds(3)
    /// Chunks that are asked for before the next look at what is wanted: a chunk that the primary does not have yet is one of them.
    private static let window = 32
    /// A disk without room is not filled with what may never be published.
    private static let fullPause = 60_000_000_000 as UInt64

    init(stores: SiteStores, plane: SitePlane, pacer: LinkPacer, logger: Logger) {
        self.stores = stores
        self.plane = plane
        self.pacer = pacer
        self.logger = logger
    }

    /// Works beside the caller from now on, unless it does already; whom it asks is looked up each time, since epochs and addresses change.
    func goOn() {
        work.withLock { work in
            guard work == nil else { return }
            work = Task { await self.run() }
        }
    }

    /// Returns when nothing of it is under way; what is here stays.
    func rest() async {
        let task = work.withLock { work in
            defer { work = nil }
            return work
        }
        task?.cancel()
        await task?.value
    }

    /// Ends it, and lets go of what is held.
    func end() async {
        await rest()
        held.withLock { $0.removeAll() }
    }

    private func run() async {
        while !Task.isCancelled {
            var pause = Self.pauseNanoseconds
            do throws(HoldfastError) {
                try await pass()
            } catch {
                logger.debug("chunks of open uploads", metadata: ["error": "\(error.message)"])
                if error.code == .resourceExhausted {
                    held.withLock { $0.removeAll() }
                    pause = Self.fullPause
                }
            }
            do {
                try await Task.sleep(nanoseconds: pause)
            } catch {
                return
            }
        }
    }

    /// Everything that can be had now.
    private func pass() async throws(HoldfastError) {
        let site = stores.state.now.site
        guard let peer = site.peer else { return }
        let epoch = site.epoch
        try requireUse(epoch)
        let router = try plane.router(to: peer.endpoints)
        let body = try await router.send(.siteUploads, ByteBuffer(), to: .any, deadline: .now() + Self.patience)
        let uploads = try Store.decode(body) { reader throws(DecodeError) in try SiteUploads.decode(from: &reader) }
        guard uploads.epoch == epoch, stores.state.now.site.epoch == epoch else { return }
        let revision = try await stores.view().state.revision
        held.withLock { held in
            held = held.filter { !uploads.isOver($0.key, number: $0.value.number, at: revision) }
        }
        for upload in uploads.open {
            try requireUse(epoch)
            do throws(HoldfastError) {
                try await bring(upload, epoch: epoch, over: router)
            } catch {
                if error.code == .resourceExhausted { throw error }
                // One that is named before it is there: the next look finds it.
                logger.debug("an open upload", metadata: ["upload": "\(upload.id)", "error": "\(error.message)"])
            }
        }
    }

    private func requireUse(_ epoch: UInt64) throws(HoldfastError) {
        let site = stores.state.now.site
        guard !Task.isCancelled, stores.leads, site.role == .standby, site.epoch == epoch else {
            throw HoldfastError(
                .unavailable, "this site follows in that epoch no longer, or has something better to do")
        }
    }

    private func bring(_ upload: SiteUploads.Upload, epoch: UInt64, over router: Router) async throws(HoldfastError) {
        var next = held.withLock { held in
            if held[upload.id]?.number != upload.number { held[upload.id] = Held(number: upload.number) }
            return held[upload.id]?.next ?? 0
        }
        while next < upload.chunks {
            let request = SiteChunksRequest(upload: upload.id, number: upload.number, first: next)
            let body = try await router.send(
                .siteChunks, .written { request.encode(into: &$0) }, to: .any, deadline: .now() + Self.patience)
            let ids = try Store.decode(body) { reader throws(DecodeError) in try SiteChunksRequest.decodeAnswer(&reader)
            }
            .prefix(Int(min(upload.chunks - next, UInt64(Int32.max))))
            guard !ids.isEmpty else { return }
            for first in stride(from: ids.startIndex, to: ids.endIndex, by: Self.window) {
                try requireUse(epoch)
                let some = Array(ids[first..<min(first + Self.window, ids.endIndex)])
                // Before they are here: a sweep looks at the pins last.
                let pin = stores.chunks.pin(some)
                held.withLock { $0[upload.id]?.tried = pin }
                try await stores.chunks.gather(some, isEarly: true, pacer: pacer) { id throws(HoldfastError) in
                    try await router.send(
                        .siteChunk, ByteBuffer(bytes: id.bytes), to: .any, deadline: .now() + ChunkLimits.fetchWait)
                }
                next += UInt64(some.count)
                held.withLock { held in
                    guard held[upload.id]?.number == upload.number else { return }
                    held[upload.id]?.next = next
                    held[upload.id]?.pins.append(pin)
                    held[upload.id]?.tried = nil
                }
            }
        }
    }
}
