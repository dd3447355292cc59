internal import ReplicaCore
internal import Synchronization

/// A client session: numbers commands, so that a command sent twice is applied once.
///
/// Invariants:
/// 1. A sequence number is given out once.
/// 2. `base` is the lowest number without an answer; every number below it was answered or given up.
final class ClientSession: Sendable {
    /// A command's number, and the lowest one still without an answer at that moment.
    struct Ticket: Sendable {
        var session: UInt64
        var sequence: UInt64
        var lowestUnanswered: UInt64
    }

    private struct Window {
        var base: UInt64 = 1
        var answered: [Bool] = []
    }

    /// Chosen at random by this client; never 0.
    let id: UInt64
    private let window = Mutex(Window())

    init() { id = UInt64.random(in: 1...(.max)) }

    /// The next number; nil where too many commands are without an answer.
    func take() -> Ticket? {
        window.withLock { window in
            guard window.answered.count < Int(Limits.sessionWindow) - 1 else { return nil }
            window.answered.append(false)
            return Ticket(
                session: id, sequence: window.base + UInt64(window.answered.count) - 1, lowestUnanswered: window.base)
        }
    }

    /// The command was answered, or its caller gave up.
    func finish(_ ticket: Ticket) {
        window.withLock { window in
            guard ticket.sequence >= window.base else { return }
            window.answered[Int(ticket.sequence - window.base)] = true
            // Moving the base one by one would copy the array each time; a run of answers moves it at once.
            guard window.answered[0] else { return }
            let run = window.answered.prefix { $0 }.count
            window.answered.removeFirst(run)
            window.base += UInt64(run)
        }
    }
}
