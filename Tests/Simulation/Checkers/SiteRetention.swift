internal import ReplicaCore

/// What a primary keeps for its standby is under the caps after every entry, by the product's count and by that of what the feed really holds; and the feed goes
/// back to what is kept, and no further.
enum SiteRetention {
    /// `kept` is what the feed holds above the revision that is kept; nil where some of it is not known.
    static func check(_ progress: SiteProgress, _ state: AppliedState, _ record: SiteRecord, kept: UInt64?) -> String? {
        if state.feedFloor > state.compactRevision {
            return "the feed begins at \(state.feedFloor), and history at \(state.compactRevision)"
        }
        guard let hold = progress.hold else {
            if record.role == .primary, state.feedFloor < state.compactRevision {
                return
                    "the feed begins at \(state.feedFloor), nothing is kept, and history begins at \(state.compactRevision)"
            }
            return nil
        }
        guard hold < state.revision else { return nil }
        if progress.heldBytes > progress.caps.bytes {
            return "\(progress.heldBytes) bytes are kept for the standby, with a cap of \(progress.caps.bytes)"
        }
        if let kept, kept > progress.heldBytes {
            return "\(kept) bytes are kept for the standby, and \(progress.heldBytes) are counted"
        }
        if state.feedFloor > hold { return "the feed begins at \(state.feedFloor), above \(hold), which is kept" }
        return nil
    }
}
