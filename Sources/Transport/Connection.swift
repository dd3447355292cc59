// One connection after its handshake.
//
// 1. Frames sent on the loop leave in the order of `send` calls, frames submitted from other threads in the order of
//    `submit` calls; between the two there is no order.
// 2. Outbound memory is bounded: a send is refused once `TransportLimits.outboundBytesMax` wait in its queue, so at
//    most twice that, the socket's high mark and one frame each.
// 3. An accepted request or bulk connection whose peer does not take its answers is not read: it can ask no more.
// 4. `closeReason` is set once; from then on nothing is queued and the handler gets no frame.

internal import Glibc
package import Logging
package import NIOCore
internal import Synchronization

/// One connection after its handshake. Frames are sent from its loop (`send`, then `flush` unless a read burst is being
/// handled, whose end flushes) or from any thread (`submit`, which flushes by itself).
package final class Connection: @unchecked Sendable {
    // Proof of Sendable: everything immutable is Sendable; `mailbox` is a Mutex; all other variables are touched only
    // on `eventLoop`, and each function that touches them checks that first.

    private struct Mailbox {
        var batch = OutboundBatch()
        var isWakeUpDue = false
        var isClosed = false
    }

    /// What the connection is for.
    package let purpose: Purpose
    /// Who is at the other end, by its hello or welcome.
    package let peer: PeerIdentity
    /// Protocol version that both ends use.
    package let protocolVersion: UInt8
    /// Whether this end dialled.
    package let isDialled: Bool
    /// Address of the other end, for messages.
    package let remoteAddress: String
    /// The loop on which the handler is called.
    package let eventLoop: any EventLoop
    /// Logger with the connection's metadata.
    package let logger: Logger

    let meter: TransportMeter
    private let payloadBytesMax: Int
    private let outboundBytesMax: Int
    private let mailbox = Mutex(Mailbox())

    private var context: ChannelHandlerContext?
    private var outbound = OutboundBatch()
    private var spare = OutboundBatch()
    private var reason: CloseReason?
    private var isFlushDue = true
    private var isPaused = false
    private var isReadHeld = false

    init(
        purpose: Purpose, peer: PeerIdentity, protocolVersion: UInt8, isDialled: Bool, context: ChannelHandlerContext,
        meter: TransportMeter, logger: Logger
    ) {
        self.purpose = purpose
        self.peer = peer
        self.protocolVersion = protocolVersion
        self.isDialled = isDialled
        self.remoteAddress = context.remoteAddress.map { String(describing: $0) } ?? "unknown"
        self.eventLoop = context.eventLoop
        self.meter = meter
        self.payloadBytesMax = TransportLimits.payloadBytesMax(purpose)
        self.outboundBytesMax = TransportLimits.outboundBytesMax(purpose)
        self.context = context
        var logger = logger
        logger[metadataKey: "purpose"] = "\(purpose)"
        logger[metadataKey: "peer"] = "\(remoteAddress)"
        if peer.nodeID != 0 { logger[metadataKey: "peer-node"] = "\(peer.nodeID)" }
        self.logger = logger
    }

    // MARK: On the loop

    /// Whether frames may still be queued (on the loop).
    package var isOpen: Bool {
        eventLoop.preconditionInEventLoop()
        return reason == nil
    }

    /// Why the connection ended, or is about to (on the loop).
    package var closeReason: CloseReason? {
        eventLoop.preconditionInEventLoop()
        return reason
    }

    /// False while the socket has more than its high mark to write: a good moment to stop producing (on the loop).
    package var isWritable: Bool {
        eventLoop.preconditionInEventLoop()
        return reason == nil && context?.channel.isWritable ?? false
    }

    /// Bytes queued on the loop and not yet taken by the kernel (on the loop).
    package var pendingBytes: Int {
        eventLoop.preconditionInEventLoop()
        return outbound.bytes + socketBytes
    }

    /// Queues a frame whose payload `body` appends; false if the queue is full, the payload over the limit or the
    /// connection closed, and then nothing of it is sent (on the loop). A consensus connection whose queue is full closes.
    @discardableResult
    package func send(
        _ kind: UInt8, id: UInt64, flags: FrameFlags = [], _ body: (inout ByteBuffer) -> Void
    ) -> Bool {
        guard admits() else { return false }
        return isAccepted(kind, outbound.append(kind, id, flags, limit: payloadBytesMax, body))
    }

    /// Queues a frame with a payload that exists; as `send` with a closure (on the loop). With `summed` the checksum
    /// covers only so many bytes: for a chunk behind them, which its SHA-256 name covers.
    @discardableResult
    package func send(
        _ kind: UInt8, id: UInt64, flags: FrameFlags = [], payload: ByteBuffer, summed: UInt16? = nil
    ) -> Bool {
        guard admits() else { return false }
        return isAccepted(
            kind, outbound.append(kind, id, flags, limit: payloadBytesMax, payload: payload, summed: summed))
    }

    /// Queues a frame whose payload is `opening` and then `count` bytes of a file from `offset`, which the kernel sends
    /// without a copy; the checksum covers header and `opening` only (at most 65,535 bytes). The descriptor is closed
    /// when the bytes are sent or the connection ended, also when this answers false. The file must hold the bytes
    /// and never shrink; reading cold ones blocks the loop (on the loop).
    @discardableResult
    package func sendFile(
        _ kind: UInt8, id: UInt64, flags: FrameFlags = [], opening: ByteBuffer = ByteBuffer(),
        descriptor: CInt, offset: Int, count: Int
    ) -> Bool {
        var status = stat()
        let holdsBytes =
            fstat(descriptor, &status) == 0 && offset >= 0 && count >= 0
            && count <= Int(status.st_size) - offset
        let file = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: descriptor)
        let payloadBytes = opening.readableBytes + count
        // A file that is too short would leave the frame unfinished for ever.
        guard holdsBytes, admits(), opening.readableBytes <= Int(UInt16.max),
            isAccepted(kind, payloadBytes <= payloadBytesMax ? nil : payloadBytes), let context
        else {
            Self.close(file, logger)
            return false
        }
        outbound.appendOpening(
            FrameHeader(
                kind: kind, id: id, flags: flags.union(.partlySummed), summedBytes: UInt16(opening.readableBytes),
                payloadBytes: UInt32(payloadBytes)),
            opening)
        writeOut(context)
        outbound.recycle()
        meter.addSent(purpose, frames: 0, bytes: count)
        isFlushDue = true
        let done = eventLoop.makePromise(of: Void.self)
        done.futureResult.assumeIsolated().whenComplete { [logger] _ in Self.close(file, logger) }
        let region = FileRegion(fileHandle: file, readerIndex: offset, endIndex: offset + count)
        context.write(NIOAny(IOData.fileRegion(region)), promise: done)
        return true
    }

    /// Gives everything queued on the loop to the socket: one writev as a rule (on the loop).
    package func flush() {
        eventLoop.preconditionInEventLoop()
        guard let context else { return }
        writeOut(context)
        guard isFlushDue else { return }
        isFlushDue = false
        context.flush()
        outbound.recycle()
    }

    /// Stops reading from the socket after the burst at hand, so that the other end feels it (on the loop).
    package func pauseReading() {
        eventLoop.preconditionInEventLoop()
        isPaused = true
    }

    /// Reads from the socket again (on the loop).
    package func resumeReading() {
        eventLoop.preconditionInEventLoop()
        isPaused = false
        readAgain()
    }

    // MARK: From any thread

    /// Queues a frame whose payload `body` appends, from any thread, and wakes the loop if it is not already on its way;
    /// false if the queue is full, the payload over the limit or the connection closed. `body` runs under a lock: it
    /// only writes bytes.
    @discardableResult
    package func submit(
        _ kind: UInt8, id: UInt64, flags: FrameFlags = [], _ body: (inout ByteBuffer) -> Void
    ) -> Bool {
        post { batch in batch.append(kind, id, flags, limit: self.payloadBytesMax, body) }
    }

    /// Queues a frame with a payload that exists, from any thread; as `submit` with a closure, `summed` as in `send`.
    @discardableResult
    package func submit(
        _ kind: UInt8, id: UInt64, flags: FrameFlags = [], payload: ByteBuffer, summed: UInt16? = nil
    ) -> Bool {
        post { batch in batch.append(kind, id, flags, limit: self.payloadBytesMax, payload: payload, summed: summed) }
    }

    /// Ends the connection after trying to write what is queued; the handler hears of it later, once. From any thread.
    package func close(_ reason: CloseReason = .local("closed")) {
        guard eventLoop.inEventLoop else {
            eventLoop.execute { self.close(reason) }
            return
        }
        guard self.reason == nil else { return }
        if reason != .peerNotReading {
            drainMailbox()
            flush()
        }
        ended(reason)
        // In a later task: the caller may be in the middle of a turn of this connection.
        eventLoop.execute { self.context?.close(promise: nil) }
    }

    // MARK: For the channel handler

    /// Marks the connection as ended; the first reason stays. Keeps (4).
    func ended(_ reason: CloseReason) {
        eventLoop.preconditionInEventLoop()
        if self.reason == nil { self.reason = reason }
        mailbox.withLock { $0.isClosed = true }
    }

    /// Forgets the channel, which is gone.
    func detach() {
        eventLoop.preconditionInEventLoop()
        context = nil
        outbound = OutboundBatch()
        mailbox.withLock { $0.batch = OutboundBatch() }
    }

    /// Whether the channel may read on; if not, `readAgain` makes up for it. Keeps (3).
    func mayRead() -> Bool {
        let isFull = !isDialled && purpose != .consensus && !(context?.channel.isWritable ?? true)
        isReadHeld = isPaused || isFull
        return !isReadHeld
    }

    /// Makes up for a read that was held back, if nothing holds it back any more.
    func readAgain() {
        eventLoop.preconditionInEventLoop()
        if isReadHeld, mayRead() { context?.read() }
    }

    /// Queues the frames of a batch that was filled elsewhere, behind those of the loop, and flushes.
    func sendBatch(_ batch: inout OutboundBatch) {
        eventLoop.preconditionInEventLoop()
        guard let context, reason == nil, !batch.isEmpty else { return }
        writeOut(context)
        isFlushDue = true
        meter.addSent(purpose, frames: batch.frames, bytes: batch.bytes)
        batch.drain { context.write(NIOAny(IOData.byteBuffer($0)), promise: nil) }
        flush()
        batch.recycle()
    }

    /// Takes what other threads have submitted, unless the socket has enough to do.
    func drainMailbox() {
        eventLoop.preconditionInEventLoop()
        guard let context, reason == nil, context.channel.isWritable else { return }
        // The emptied batch goes back in, with its memory.
        mailbox.withLock { box in
            swap(&spare, &box.batch)
            box.isWakeUpDue = false
        }
        sendBatch(&spare)
    }

    // MARK: Within

    private var socketBytes: Int {
        // The option is asked only where the cheap flag says that there is something.
        guard let context, !context.channel.isWritable, let options = context.channel.syncOptions else { return 0 }
        do {
            return try options.getOption(.bufferedWritableBytes)
        } catch {
            return 0  // A closed channel has nothing left to write.
        }
    }

    private func admits() -> Bool {
        eventLoop.preconditionInEventLoop()
        guard reason == nil, context != nil else { return false }
        guard pendingBytes >= outboundBytesMax else { return true }
        meter.addOverloaded()
        // A member that does not read is as good as gone, and its queue only ages: Raft sends anew on a fresh connection.
        if purpose == .consensus { close(.peerNotReading) }
        return false
    }

    private func isAccepted(_ kind: UInt8, _ oversize: Int?) -> Bool {
        guard let oversize else { return true }
        logger.error("frame over the limit was not sent", metadata: ["kind": "\(kind)", "bytes": "\(oversize)"])
        return false
    }

    private func post(_ append: (inout OutboundBatch) -> Int?) -> Bool {
        enum Outcome { case queued, wakeUp, full, oversized(Int), closed }
        let outcome = mailbox.withLock { box -> Outcome in
            guard !box.isClosed else { return .closed }
            guard box.batch.bytes < outboundBytesMax else { return .full }
            if let oversize = append(&box.batch) { return .oversized(oversize) }
            guard !box.isWakeUpDue else { return .queued }
            box.isWakeUpDue = true
            return .wakeUp
        }
        switch outcome {
        case .queued: return true
        case .wakeUp:
            eventLoop.execute { self.drainMailbox() }
            return true
        case .full:
            meter.addOverloaded()
            if purpose == .consensus { close(.peerNotReading) }
            return false
        case .oversized(let bytes): return isAccepted(0, bytes)
        case .closed: return false
        }
    }

    private func writeOut(_ context: ChannelHandlerContext) {
        guard !outbound.isEmpty else { return }
        isFlushDue = true
        meter.addSent(purpose, frames: outbound.frames, bytes: outbound.bytes)
        outbound.drain { context.write(NIOAny(IOData.byteBuffer($0)), promise: nil) }
    }

    private static func close(_ file: NIOFileHandle, _ logger: Logger) {
        do {
            try file.close()
        } catch {
            logger.warning("closing a sent file failed", metadata: ["error": "\(error)"])
        }
    }
}
