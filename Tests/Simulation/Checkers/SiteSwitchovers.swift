internal import RaftCore
internal import ReplicaCore

/// A planned switchover loses no acknowledged write and never has two primaries; whoever else becomes one was forced.
struct SiteSwitchovers {
    /// Epochs that began with a grant.
    private(set) var planned: Set<UInt64> = []
    /// How often operators have asked for a takeover by force.
    var forces = 0

    /// A site's part has changed; `missing` is what the other one has acknowledged and this one does not have.
    mutating func changes(
        _ place: Int, from old: SiteRecord, to new: SiteRecord, other: SiteRecord,
        missing: [SiteAcknowledgements.Write], wasSetBack: Bool
    ) -> String? {
        let name = TwoSites.name(of: place)
        if new.role == .primary, other.role == .primary, new.epoch == other.epoch {
            return "both sites are primaries of epoch \(new.epoch)"
        }
        // A grant that was given, and taken back with the disk that held it, binds nobody.
        guard !wasSetBack else { return nil }
        if new.role == .primary, new.epoch != old.epoch, new.epoch > 1 {
            if other.switchover?.grant?.epoch == new.epoch {
                planned.insert(new.epoch)
                if let lost = missing.first(where: { $0.epoch == other.epoch }) {
                    return
                        "site \(name) takes over as planned without revision \(lost.position.revision), acknowledged at the other"
                }
            } else if forces == 0 {
                return "site \(name) begins epoch \(new.epoch) without a grant, and nobody was forced"
            }
        }
        if new.role == .primary, other.role == .primary, planned.contains(max(new.epoch, other.epoch)) {
            return "two primaries after a planned switchover, of epochs \(new.epoch) and \(other.epoch)"
        }
        return nil
    }
}
