// Requests and their answers over one connection, matched by id.
//
// 1. A call that throws was not sent, and its completion is not called. Any other call's completion is called on the
//    loop: once for a request, for a stream once a frame and at most once with a failure, which is the last.
// 2. A call is in `submission` or in `outstanding`, never in both; what is in `submission` when the connection ends
//    was not sent.
// 3. `timer` is armed for no later than the earliest deadline of the calls that the loop has seen, and later calls
//    seldom have an earlier one: so the hot path schedules nothing.

package import NIOCore
internal import Synchronization

/// One frame of an answer.
package struct Answer: Sendable {
    package var header: FrameHeader
    package var payload: ByteBuffer

    /// Whether no further frame of this answer follows.
    package var isLast: Bool { !header.flags.contains(.more) }
}

/// Requests and their answers over one connection: pipelined, answered in any order, from any thread.
package final class RequestChannel: ConnectionHandler, @unchecked Sendable {
    // Proof of Sendable: `submission` is a Mutex and `unanswered` an Atomic; all other variables are touched only on
    // the connection's loop, and each function that touches them checks that first.

    package typealias Completion = @Sendable (Result<Answer, TransportError>) -> Void

    private struct Call {
        var id: UInt64
        /// By when the first frame of the answer has to be there.
        var deadline: NIODeadline
        var completion: Completion
    }

    private struct Submission {
        var batch = OutboundBatch()
        var calls: [Call] = []
        var cancelled: [UInt64] = []
        var lastID: UInt64 = 0
        var isWakeUpDue = false
        var closed: CloseReason?
    }

    /// The connection under the channel.
    package let connection: Connection
    private let onClose: @Sendable (CloseReason) -> Void
    private let submission = Mutex(Submission())
    private let unanswered = Atomic<Int>(0)
    private let bytesMax: Int
    private let payloadBytesMax: Int

    private var outstanding: [UInt64: Call] = [:]
    private var spare = OutboundBatch()
    private var spareCalls: [Call] = []
    private var timer: Scheduled<Void>?
    private var timerDeadline = NIODeadline.distantFuture

    /// A channel over `connection`; give it to the connection as its handler. `onClose` is called on the loop after all
    /// outstanding calls have failed.
    package init(_ connection: Connection, onClose: @escaping @Sendable (CloseReason) -> Void = { _ in }) {
        self.connection = connection
        self.onClose = onClose
        self.bytesMax = TransportLimits.outboundBytesMax(connection.purpose)
        self.payloadBytesMax = TransportLimits.payloadBytesMax(connection.purpose)
    }

    /// Dials `endpoint` and gives the channel once the handshake is over.
    package static func dial(
        _ endpoint: Endpoint, hello: Hello, on loop: any EventLoop, settings: TransportSettings,
        deadline: TimeAmount? = nil, onClose: @escaping @Sendable (CloseReason) -> Void = { _ in }
    ) async throws(TransportError) -> RequestChannel {
        let made = Mutex<RequestChannel?>(nil)
        let connection = try await Dialer.dial(
            endpoint, hello: hello, on: loop, settings: settings, deadline: deadline
        ) { connection in
            let channel = RequestChannel(connection, onClose: onClose)
            made.withLock { $0 = channel }
            return channel
        }
        guard let channel = made.withLock({ $0 }) else {
            throw .handshakeFailed("connection to \(connection.remoteAddress) without a channel")
        }
        return channel
    }

    // MARK: From any thread

    /// Sends a request whose payload `body` appends (under a lock: it only writes bytes). `completion` is called on the
    /// loop with each frame of the answer until the last, or with the failure. The deadline is for the first frame.
    /// Throws if nothing was sent: `overloaded`, `tooLarge` or `notSent`. Answers the id, for `cancel`.
    @discardableResult
    package func call(
        _ kind: UInt8, deadline: NIODeadline, _ body: (inout ByteBuffer) -> Void, completion: @escaping Completion
    ) throws(TransportError) -> UInt64 {
        try post(deadline, completion) { batch, id in
            batch.append(kind, id, [], limit: self.payloadBytesMax, body)
        }
    }

    /// Sends a request with a payload that exists; as `call` with a closure, `summed` as in `Connection.send`.
    @discardableResult
    package func call(
        _ kind: UInt8, deadline: NIODeadline, payload: ByteBuffer, summed: UInt16? = nil,
        completion: @escaping Completion
    ) throws(TransportError) -> UInt64 {
        try post(deadline, completion) { batch, id in
            batch.append(kind, id, [], limit: self.payloadBytesMax, payload: payload, summed: summed)
        }
    }

    /// Sends a request and waits for its (single) answer.
    package func call(
        _ kind: UInt8, deadline: NIODeadline, _ body: (inout ByteBuffer) -> Void
    ) async throws(TransportError) -> Answer {
        var payload = ByteBuffer()
        body(&payload)
        let request = payload
        let result = await withCheckedContinuation { (continuation: AnswerContinuation) in
            do throws(TransportError) {
                try call(kind, deadline: deadline, payload: request) { continuation.resume(returning: $0) }
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
        return try result.get()
    }

    private typealias AnswerContinuation = CheckedContinuation<Result<Answer, TransportError>, Never>

    /// Forgets a call: its completion is not called again once this took effect on the loop. The other end hears of it
    /// only by a request that says so.
    package func cancel(_ id: UInt64) {
        let wakes = submission.withLock { box in
            box.cancelled.append(id)
            defer { box.isWakeUpDue = true }
            return !box.isWakeUpDue
        }
        if wakes { connection.eventLoop.execute { self.drain() } }
    }

    /// Ends the connection; outstanding calls fail.
    package func close(_ reason: CloseReason = .local("closed")) { connection.close(reason) }

    /// Calls without their last answer.
    package var outstandingCount: Int { unanswered.load(ordering: .relaxed) }

    private func post(
        _ deadline: NIODeadline, _ completion: @escaping Completion,
        _ append: (inout OutboundBatch, UInt64) -> Int?
    ) throws(TransportError) -> UInt64 {
        let count = unanswered.add(1, ordering: .relaxed).newValue
        let posted = submission.withLock { box -> Result<(id: UInt64, wakes: Bool), TransportError> in
            if let reason = box.closed { return .failure(.notSent("\(reason)")) }
            guard count <= TransportLimits.requestsOutstandingMax, box.batch.bytes < bytesMax else {
                return .failure(.overloaded)
            }
            let id = box.lastID + 1
            if let oversize = append(&box.batch, id) {
                return .failure(.tooLarge(bytes: oversize, limit: payloadBytesMax))
            }
            box.lastID = id
            box.calls.append(Call(id: id, deadline: deadline, completion: completion))
            defer { box.isWakeUpDue = true }
            return .success((id, !box.isWakeUpDue))
        }
        switch posted {
        case .failure(let error):
            unanswered.subtract(1, ordering: .relaxed)
            if error == .overloaded { connection.meter.addOverloaded() }
            throw error
        case .success(let posted):
            if posted.wakes { connection.eventLoop.execute { self.drain() } }
            return posted.id
        }
    }

    // MARK: On the loop

    /// Takes what was submitted. Keeps (2) and (3).
    private func drain() {
        connection.eventLoop.preconditionInEventLoop()
        let mayWrite = connection.isWritable
        var cancelled: [UInt64] = []
        var earliest = timerDeadline
        submission.withLock { box in
            guard box.closed == nil else { return }
            box.isWakeUpDue = false
            if mayWrite {
                // The emptied ones go back in, with their memory.
                swap(&spareCalls, &box.calls)
                swap(&spare, &box.batch)
            }
            swap(&cancelled, &box.cancelled)
            if !cancelled.isEmpty, !box.calls.isEmpty {
                let before = box.calls.count
                box.calls.removeAll { cancelled.contains($0.id) }
                unanswered.subtract(before - box.calls.count, ordering: .relaxed)
            }
            for call in box.calls { earliest = min(earliest, call.deadline) }
        }
        for call in spareCalls {
            outstanding[call.id] = call
            earliest = min(earliest, call.deadline)
        }
        spareCalls.removeAll(keepingCapacity: spareCalls.capacity <= 4_096)
        for id in cancelled { forget(id) }
        connection.sendBatch(&spare)
        if earliest < timerDeadline { arm(earliest) }
    }

    private func forget(_ id: UInt64) {
        guard outstanding.removeValue(forKey: id) != nil else { return }
        unanswered.subtract(1, ordering: .relaxed)
    }

    private func arm(_ deadline: NIODeadline) {
        timer?.cancel()
        timerDeadline = deadline
        let soonest = NIODeadline.now() + .milliseconds(TransportLimits.deadlineGranularityMilliseconds)
        timer = connection.eventLoop.assumeIsolated().scheduleTask(deadline: max(deadline, soonest)) { self.expire() }
    }

    /// Fails what is past its deadline and arms the timer for the next.
    private func expire() {
        timer = nil
        timerDeadline = .distantFuture
        let now = NIODeadline.now()
        var expired: [Call] = []
        var earliest = NIODeadline.distantFuture
        for call in outstanding.values {
            if call.deadline <= now { expired.append(call) } else { earliest = min(earliest, call.deadline) }
        }
        for call in expired { outstanding[call.id] = nil }
        // A socket that takes nothing must not keep a call past its deadline either; its bytes may still be sent.
        submission.withLock { box in
            guard let next = box.calls.map(\.deadline).min() else { return }
            if next <= now {
                expired += box.calls.filter { $0.deadline <= now }
                box.calls.removeAll { $0.deadline <= now }
            }
            for call in box.calls { earliest = min(earliest, call.deadline) }
        }
        unanswered.subtract(expired.count, ordering: .relaxed)
        // In the order of the requests, not of the table.
        for call in expired.sorted(by: { $0.id < $1.id }) { call.completion(.failure(.deadlineExceeded)) }
        if earliest < timerDeadline { arm(earliest) }
    }

    package func received(_ connection: Connection, _ header: FrameHeader, _ payload: ByteBuffer) {
        let answer = Answer(header: header, payload: payload)
        if answer.isLast {
            guard let call = outstanding.removeValue(forKey: header.id) else {
                return connection.meter.addLateAnswer()
            }
            unanswered.subtract(1, ordering: .relaxed)
            call.completion(.success(answer))
        } else {
            guard let call = outstanding[header.id] else { return connection.meter.addLateAnswer() }
            outstanding[header.id]?.deadline = .distantFuture
            call.completion(.success(answer))
        }
    }

    package func writabilityChanged(_ connection: Connection) {
        if connection.isWritable { drain() }
    }

    package func closed(_ connection: Connection, _ reason: CloseReason) {
        timer?.cancel()
        timer = nil
        let unsent = submission.withLock { box -> [Call] in
            box.closed = reason
            defer {
                box.calls = []
                box.batch = OutboundBatch()
            }
            return box.calls
        }
        let lost = outstanding.values.sorted { $0.id < $1.id }
        outstanding = [:]
        unanswered.subtract(lost.count + unsent.count, ordering: .relaxed)
        for call in lost { call.completion(.failure(.connectionLost("\(reason)"))) }
        for call in unsent { call.completion(.failure(.notSent("\(reason)"))) }
        onClose(reason)
    }
}
