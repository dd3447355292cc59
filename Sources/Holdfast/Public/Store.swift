internal import Logging
internal import NIOCore
internal import ReplicaCore

/// Keys and models: the same verbs whether the node is a member, a client or local.
///
/// Reads see every write that was acknowledged before they began, unless `.stale` is asked for. Writes are applied once, however
/// often they had to be sent. Every call may be made from any task and at the same time as others.
public struct Store: Sendable {
    let router: Router
    let chunkSource: any ChunkSource
    private var timeout: TimeAmount

    init(router: Router, chunkSource: any ChunkSource, timeoutMilliseconds: Int) {
        self.router = router
        self.chunkSource = chunkSource
        timeout = .milliseconds(Int64(timeoutMilliseconds))
    }

    /// The same store with another deadline for each of its calls; at least 1 ms.
    public func withTimeout(milliseconds: Int) -> Store {
        var store = self
        store.timeout = .milliseconds(Int64(max(milliseconds, 1)))
        return store
    }

    /// When a call that begins now gives up.
    var deadline: NIODeadline { .now() + timeout }

    // MARK: Keys

    /// Reads a key; nil if it does not exist.
    ///
    /// - Parameter revision: reads the key as it was after this revision; throws `compacted` where that is no longer kept.
    public func get(
        _ key: Key, at revision: Revision? = nil, consistency: ReadConsistency = .linearizable
    ) async throws(HoldfastError) -> KeyValue? {
        let list = try await list(.key(key), limit: 1, at: revision, consistency: consistency)
        return list.keys.first
    }

    /// Writes a key and returns it as it is now (`createRevision` and `version` are 0 where only the write's own revision is known).
    ///
    /// - Parameter ifRevision: only if the key's revision is this one, 0 for "only if it does not exist"; else throws
    ///   `preconditionFailed`. Throws `outcomeUnknown` where no answer came in time.
    @discardableResult
    public func put(
        _ key: Key, _ value: [UInt8], ifRevision: Revision? = nil
    ) async throws(HoldfastError) -> KeyValue {
        guard let ifRevision else {
            let outcome = try await router.command(
                .put(key: key.bytes[...], value: value[...], lease: 0), deadline: deadline)
            guard case .done(let revision) = outcome else { throw Self.unexpected(outcome) }
            return KeyValue(key: key, value: value, revision: revision, createRevision: 0, version: 0)
        }
        let result = try await transaction(
            Transaction(compare: [.init(key, .equal, .revision(ifRevision))], then: [.put(key, value)]))
        guard result.succeeded else { throw Self.changed(key, ifRevision) }
        return KeyValue(key: key, value: value, revision: result.revision, createRevision: 0, version: 0)
    }

    /// Removes a key and returns the revision of the removal; nil if there was no such key.
    ///
    /// - Parameter ifRevision: only if the key's revision is this one; else throws `preconditionFailed`.
    @discardableResult
    public func delete(_ key: Key, ifRevision: Revision? = nil) async throws(HoldfastError) -> Revision? {
        guard let ifRevision else {
            let outcome = try await router.command(.delete(.key(key.bytes[...])), deadline: deadline)
            guard case .deleted(let revision, let count) = outcome else { throw Self.unexpected(outcome) }
            return count == 0 ? nil : revision
        }
        let result = try await transaction(
            Transaction(compare: [.init(key, .equal, .revision(ifRevision))], then: [.delete(.key(key))]))
        guard result.succeeded else { throw Self.changed(key, ifRevision) }
        guard case .deleted(let count)? = result.answers.first, count > 0 else { return nil }
        return result.revision
    }

    /// Reads the keys in scope, in order of their bytes.
    ///
    /// - Parameters:
    ///   - limit: keys at most; 0 for as many as fit an answer (4 MiB). `more` tells whether keys were left out.
    ///   - revision: as of this revision; throws `compacted` where that is no longer kept.
    ///   - consistency: how fresh the answer must be.
    public func list(
        _ scope: KeyScope, limit: Int = 0, order: KeyOrder = .ascending, at revision: Revision? = nil,
        consistency: ReadConsistency = .linearizable
    ) async throws(HoldfastError) -> KeyList {
        let query = RangeQuery(
            scope.selector, revision: revision ?? 0, limit: UInt64(max(limit, 0)),
            order: order == .ascending ? .ascending : .descending)
        let body = ByteBuffer.written {
            consistency.encode(into: &$0) { query.encode(into: &$0) }
        }
        let answer = try await router.send(.range, body, to: .any, deadline: deadline)
        return KeyList(try Self.decode(answer) { reader throws(DecodeError) in try RangeResult.decode(from: &reader) })
    }

    /// Compares, then one of two lists of operations, at one revision.
    ///
    /// Throws `outcomeUnknown` with the detail `revision` where it was applied, its answer was lost, and what it read was too large to be kept.
    public func transaction(_ transaction: Transaction) async throws(HoldfastError) -> TransactionResult {
        let deadline = self.deadline
        while true {
            let outcome = try await router.command(.transaction(transaction.command), deadline: deadline)
            guard case .transaction(let kept) = outcome else { throw Self.unexpected(outcome) }
            if let result = try transaction.result(kept) { return result }
        }
    }

    /// The changes of the keys in scope, in order, without a gap: from `revision` on (inclusive), or from now.
    ///
    /// "Now" is what the node asked has applied: where that is a moment behind, a change that was just acknowledged comes as well.
    /// The sequence goes on at another node when one is lost. It ends by throwing `compacted` where `revision` is no longer kept.
    public func watch(_ scope: KeyScope, from revision: Revision? = nil) -> ChangeSequence {
        ChangeSequence(
            router: router, request: WatchRequest(keys: scope.selector, space: .user, from: revision ?? 0),
            timeout: timeout)
    }

    /// Gives up history below `revision`; reads and watches of lower revisions then throw `compacted`.
    public func compact(through revision: Revision) async throws(HoldfastError) {
        _ = try await router.command(.compact(revision: revision), deadline: deadline)
    }

    // MARK: Cluster

    /// What the node asked knows of its cluster.
    public func status() async throws(HoldfastError) -> ClusterStatus {
        let answer = try await router.send(.clusterStatus, ByteBuffer(), to: .any, deadline: deadline)
        return try Self.decode(answer) { reader throws(DecodeError) in try ClusterStatus.decode(from: &reader) }
    }

    /// Hands leadership to a voter; returns once it leads.
    public func transferLeadership(to node: UInt64) async throws(HoldfastError) {
        var body = ByteBuffer()
        body.writeInteger(node, endianness: .little)
        _ = try await router.send(.transferLeadership, body, to: .leader, deadline: deadline)
    }

    /// The metrics of the node asked, in the Prometheus text format.
    public func metrics() async throws(HoldfastError) -> String {
        var answer = try await router.send(.metrics, ByteBuffer(), to: .any, deadline: deadline)
        return answer.readString(length: answer.readableBytes) ?? ""
    }

    // MARK: Within

    static func decode<Value>(
        _ payload: ByteBuffer, _ take: (inout ByteReader) throws(DecodeError) -> Value
    ) throws(HoldfastError) -> Value {
        var payload = payload
        var reader = payload.byteReader()
        do throws(DecodeError) {
            return try take(&reader)
        } catch {
            throw HoldfastError(.incompatible, "the node's answer cannot be read: \(error)")
        }
    }

    static func unexpected(_ outcome: Outcome) -> HoldfastError {
        HoldfastError(.incompatible, "the node gave an answer of another kind: \(outcome)")
    }

    private static func changed(_ key: Key, _ expected: Revision) -> HoldfastError {
        let what = expected == 0 ? "exists already" : "is not at revision \(expected)"
        return HoldfastError(.preconditionFailed, "key '\(key)' \(what); read it and decide anew")
    }
}
