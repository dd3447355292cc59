/// What a process asks of the store: one atomic operation on one or more keys. An absent key has the value nil.
package enum Action: Hashable, Sendable {
    /// Reads a key; `value` is what was seen, known only once the operation is done.
    case read(key: String, value: String?)
    /// Writes a key; nil removes it.
    case write(key: String, value: String?)
    /// Puts a text behind the value of a key.
    case append(key: String, text: String)
    /// Writes `new` if the key has the value `expected`; refused otherwise.
    case compareAndSet(key: String, expected: String?, new: String?)
    /// Several steps at one moment: refused unless every compare holds; reads see the values from before the writes.
    case transaction([Step])

    /// One part of a transaction.
    package enum Step: Hashable, Sendable {
        /// The key must have this value.
        case compare(key: String, value: String?)
        /// The key's value is read; `value` is what was seen, known only once the operation is done.
        case read(key: String, value: String?)
        /// The key gets this value; nil removes it.
        case write(key: String, value: String?)
    }
}

/// One line of a history: an operation begins or ends.
package struct HistoryEvent: Hashable, Sendable {
    /// What happened.
    package enum Kind: String, Sendable, CaseIterable {
        /// The operation was asked for.
        case invoke
        /// It was done.
        case ok
        /// It was certainly not done.
        case fail
        /// Nobody knows, now or later.
        case info
    }

    /// Who asked; has one operation under way at most.
    package var process: Int
    /// Whether the operation begins or how it ended.
    package var kind: Kind
    /// The operation; with `ok` it holds what was read, with `fail` and `info` it may be left out.
    package var action: Action?
    /// With `fail`: it was not done because a compare did not hold, which says something about the state.
    package var isRefusal: Bool
    /// Monotonic nanoseconds; the order of the lines decides, not this.
    package var time: UInt64
    /// The name of the error that ended it.
    package var error: String?

    /// An event as a recorder or a parser makes it.
    package init(
        process: Int, kind: Kind, action: Action?, isRefusal: Bool = false, time: UInt64 = 0, error: String? = nil
    ) {
        self.process = process
        self.kind = kind
        self.action = action
        self.isRefusal = isRefusal
        self.time = time
        self.error = error
    }
}
