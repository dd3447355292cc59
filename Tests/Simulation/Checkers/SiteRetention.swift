internal import ReplicaCore

/// What a primary keeps for its standby is under the caps after every entry, and the feed goes back to what is kept.
enum SiteRetention {
    static func check(_ progress: SiteProgress, _ state: AppliedState) -> String? {
        if state.feedFloor > state.compactRevision {
            return "the feed begins at \(state.feedFloor), and history at \(state.compactRevision)"
        }
        guard let hold = progress.hold else { return nil }
        if progress.heldBytes > progress.caps.bytes, hold < state.revision {
            return "\(progress.heldBytes) bytes are kept for the standby, with a cap of \(progress.caps.bytes)"
        }
        if state.feedFloor > hold { return "the feed begins at \(state.feedFloor), above \(hold), which is kept" }
        return nil
    }
}
