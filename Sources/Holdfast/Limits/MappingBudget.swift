internal import Synchronization

/// Mappings of chunk files over the whole process: beyond the system's limit not only the next chunk could not be mapped, but no
/// thread could be made and no memory be had.
///
/// Invariant: what was taken is given back once, so `used` is what is mapped now, and never above `most`.
package final class MappingBudget: Sendable {
    /// The one of this process.
    package static let process = MappingBudget(most: ProcessLimits.mappings - ResourceBudget.ownMappings)

    /// Mappings that may be taken.
    package let most: Int
    private let taken = Mutex(0)

    package init(most: Int) { self.most = max(most, 0) }

    /// Mappings taken now.
    package var used: Int { taken.withLock { $0 } }

    /// Takes `count` mappings; false if that would be too many, and then none is taken.
    package func take(_ count: Int) -> Bool {
        taken.withLock { taken in
            guard count <= most - taken else { return false }
            taken += count
            return true
        }
    }

    /// Gives back what was taken.
    package func give(_ count: Int) {
        taken.withLock { taken in
            precondition(count <= taken, "more mappings given back than were taken")
            taken -= count
        }
    }
}
