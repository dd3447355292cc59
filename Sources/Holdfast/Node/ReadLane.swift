internal import ReplicaCore
internal import Storage

/// A consistent view of the rows with the point up to which they may be read.
struct ReadView: ~Copyable {
    var rows: RowSnapshot
    var state: AppliedState

    var point: ReadPoint { ReadPoint(state) }
}

/// The thread on which rows are read: everything that gathered reads one view.
final class ReadLane: Sendable {
    typealias Job = @Sendable (_ view: borrowing ReadView, _ fault: HoldfastError?) -> Void

    private enum Work: Sendable {
        case read(Job)
        case release(then: @Sendable () -> Void)
    }

    private let lane: Lane<Work>

    /// A read thread over `rows`; `number` tells several apart.
    init(rows: RowStore, number: Int = 0) {
        let reader = LaneReader(rows)
        lane = Lane("hf-read-\(number)") { work in
            var jobs: [Job] = []
            var released: [@Sendable () -> Void] = []
            for piece in work {
                switch piece {
                case .read(let job): jobs.append(job)
                case .release(let then): released.append(then)
                }
            }
            if !jobs.isEmpty { reader.run(jobs) }
            if !released.isEmpty { reader.release() }
            for then in released { then() }
        }
    }

    /// Queues a read from any thread. The view holds everything that was visible when this was called.
    func submit(_ job: @escaping Job) { lane.submit(.read(job)) }

    /// Lets go of what the view of the last reads keeps on disk, then calls `then` on the read thread.
    func release(then: @escaping @Sendable () -> Void) { lane.submit(.release(then: then)) }

    /// Runs what is queued and ends the thread.
    func stop() { lane.stop() }
}

/// The read thread's own view.
///
/// `@unchecked Sendable`: touched only by the lane's thread, after it was handed over once.
private final class LaneReader: @unchecked Sendable {
    private var view: ReadView

    init(_ rows: RowStore) {
        view = ReadView(rows: rows.reader(), state: AppliedState())
    }

    func release() { view.rows.release() }

    func run(_ jobs: [ReadLane.Job]) {
        view.rows.refresh()
        var fault: HoldfastError?
        do throws(RowError) {
            view.state = try AppliedState(loading: view.rows)
        } catch {
            fault = HoldfastError(error)
        }
        for job in jobs { job(view, fault) }
    }
}
