internal import ReplicaCore
internal import Storage

/// Raises the format version of this node's directory when a leader asks: what makes its word on a feature version binding.
struct FeatureSeal: Sendable {
    let directory: DataDirectory
    /// The newest feature version that this node takes part in: what its build knows, or less where the configuration says so.
    let known: UInt32

    init(directory: DataDirectory, configuration: NodeConfiguration) {
        self.directory = directory
        known = configuration.featureVersionKnown
    }

    /// Seals the directory at `version`, durably.
    ///
    /// Throws `incompatible` for a version that this node does not know.
    func seal(_ version: UInt32) async throws(HoldfastError) {
        guard version <= known else {
            throw HoldfastError(
                .incompatible,
                "node \(directory.identity.node) knows feature version \(known), not \(version); upgrade it first")
        }
        let directory = self.directory
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Void, HoldfastError>, Never>) in
            LaneThread.start("hf-seal") {
                do throws(DirectoryError) {
                    try directory.seal(Int(version))
                    continuation.resume(returning: .success(()))
                } catch {
                    continuation.resume(returning: .failure(HoldfastError(.unavailable, error.message)))
                }
            }
        }
        try result.get()
    }
}

extension NodeConfiguration {
    /// The newest feature version that a node of this configuration takes part in.
    var featureVersionKnown: UInt32 {
        guard let most = featureVersionMax else { return FeatureVersion.known }
        return min(UInt32(clamping: most), FeatureVersion.known)
    }
}
