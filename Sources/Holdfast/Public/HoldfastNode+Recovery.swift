public import Logging
internal import ReplicaCore
internal import Storage

/// What a survivor of a lost quorum has: the document of `holdfast cluster recover`.
public struct SurvivorReport: Sendable, Hashable {
    /// The node whose directory it is.
    public var node: UInt64
    /// The cluster's name.
    public var cluster: String
    /// The lineage that the recovery gives up, 32 hex digits.
    public var lineage: String
    /// The node's address, `HOST:PORT`.
    public var endpoint: String
    /// The other members of the configuration it knows: what only they have is lost.
    public var others: [UInt64]
    /// The end of its log. Of several survivors the one with the higher term, then the higher index, has most.
    public var lastIndex: UInt64
    /// The term of the last entry.
    public var lastTerm: UInt64
    /// Entries at the end of its log that it does not know to be committed; the recovery keeps them.
    public var unconfirmedEntries: UInt64
    /// The store's revision as applied before the recovery.
    public var revision: Revision
    /// Published versions of which it lacks chunks, `NAME@VERSION`: unless another copy turns up, they cannot be pulled.
    public var lackingModels: [String]
}

/// What a recovery made.
public struct RecoveredCluster: Sendable, Hashable {
    /// What there was before it.
    public var survivor: SurvivorReport
    /// The lineage of the new cluster, 32 hex digits.
    public var lineage: String
    /// Its bootstrap ID, 64 hex digits, which no old member has.
    public var bootstrapID: String
}

extension HoldfastNode {
    /// What a directory that no process has open holds of its cluster; changes nothing of it.
    ///
    /// Throws as `start` does.
    public static func survey(directory: String, logger: Logger) async throws(HoldfastError) -> SurvivorReport {
        try await blocking { () throws(HoldfastError) in
            let recovery = try Recovery(directory, NodeConfiguration(.member(directory: directory)), logger: logger)
            defer { recovery.close() }
            return try recovery.survey()
        }
    }

    /// Makes the survivor of a cluster whose quorum is lost for good the only member of a new one, with everything that it has.
    ///
    /// There is no way back, and writes that only the other members had are lost. The old members cannot join: format them anew with
    /// `format(directory:id:joining:listen:logger:)`. An interrupted recovery is finished by calling it again.
    ///
    /// - Parameter listen: where the node will be, `HOST:PORT`; nil keeps its address.
    public static func recover(
        directory: String, listen: String? = nil, logger: Logger
    ) async throws(HoldfastError) -> RecoveredCluster {
        try await blocking { () throws(HoldfastError) in
            let recovery = try Recovery(directory, NodeConfiguration(.member(directory: directory)), logger: logger)
            defer { recovery.close() }
            let survivor = try recovery.survey()
            let made = try recovery.run(endpoint: listen)
            return RecoveredCluster(survivor: survivor, lineage: made.lineage.hex, bootstrapID: made.bootstrap.hex)
        }
    }

    /// Runs what blocks on a thread of its own.
    private static func blocking<Value: Sendable>(
        _ body: @escaping @Sendable () throws(HoldfastError) -> Value
    ) async throws(HoldfastError) -> Value {
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Value, HoldfastError>, Never>) in
            LaneThread.start("hf-recover") {
                do throws(HoldfastError) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }
}
