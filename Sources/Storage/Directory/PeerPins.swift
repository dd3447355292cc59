internal import Synchronization
package import ReplicaCore

/// What a node knows of another node's disk when it hears from it.
package enum PinVerdict: Sendable, Equatable {
    /// The first incarnation of that ID: it is pinned now, durably.
    case new
    /// The incarnation that was pinned before.
    case same
    /// Another incarnation than the pinned one: a wiped or copied disk under an old ID. Its votes must not count.
    case differs(known: Incarnation)
}

/// The first incarnation seen of every other node, durable.
///
/// Invariants:
/// 1. What `known` holds is in the file, and the file is durable: a pin is written before it is believed.
/// 2. A pin never changes: a node that lost its disk comes back under a new ID.
final class PeerPins: Sendable {
    static let kind = "peers"
    static let version = 1

    private let path: String
    private let known: Mutex<[UInt64: Incarnation]>

    /// Reads the file at `path`.
    init(path: String) throws(DirectoryError) {
        self.path = path
        let text = try SealedText.read(path, kind: PeerPins.kind, version: PeerPins.version)
        var pins: [UInt64: Incarnation] = [:]
        for field in text.fields {
            guard let node = UInt64(field.name), let incarnation = Incarnation(hex: field.value) else {
                throw DirectoryError(.corrupted, "\(path) is damaged; format this node anew under a new ID")
            }
            pins[node] = incarnation
        }
        self.known = Mutex(pins)
    }

    static func text(_ pins: [UInt64: Incarnation]) -> SealedText {
        let fields = pins.sorted { $0.key < $1.key }.map { (name: String($0.key), value: $0.value.hex) }
        return SealedText(kind: kind, version: version, fields: fields)
    }

    /// Compares with the pin of `node`, or pins it. Blocks on the disk when the pin is new.
    ///
    /// - Throws: when the pin could not be made durable; then nothing is pinned.
    func pin(node: UInt64, incarnation: Incarnation) throws(DirectoryError) -> PinVerdict {
        let outcome: Result<PinVerdict, DirectoryError> = known.withLock { known in
            if let pinned = known[node] {
                return .success(pinned == incarnation ? .same : .differs(known: pinned))
            }
            var wanted = known
            wanted[node] = incarnation
            do throws(FileError) {
                try FileTree.replace(path, with: PeerPins.text(wanted).bytes)
            } catch {
                return .failure(DirectoryError(error, doing: "pin node \(node)"))
            }
            known = wanted  // Keeps (1).
            return .success(.new)
        }
        return try outcome.get()
    }

    /// The pinned incarnation of a node.
    func pinned(_ node: UInt64) -> Incarnation? { known.withLock { $0[node] } }
}

extension SealedText {
    /// Reads a sealed file of a data directory, with a sentence for every way in which it can be wrong.
    static func read(_ path: String, kind: String, version: Int) throws(DirectoryError) -> SealedText {
        try read(path, kind: kind, versions: version...version)
    }

    /// Reads a sealed file of any of these versions.
    static func read(
        _ path: String, kind: String, versions: ClosedRange<Int>
    ) throws(DirectoryError) -> SealedText {
        let found: [UInt8]?
        do {
            found = try FileTree.read(path, bytesMax: SealedText.bytesMax)
        } catch {
            throw DirectoryError(error, doing: "read \(path)")
        }
        guard let found else {
            throw DirectoryError(
                .corrupted,
                "\(path) is missing from a formatted data directory; restore it, or format this node anew "
                    + "under a new ID")
        }
        do {
            return try SealedText(found, kind: kind, versions: versions)
        } catch {
            switch error {
            case .foreign:
                throw DirectoryError(
                    .foreign,
                    "\(path) is not a Holdfast \(kind) file; check the path of the data "
                        + "directory; nothing was changed")
            case .damaged:
                throw DirectoryError(
                    .corrupted,
                    "\(path) is damaged; restore it, or format this node anew under a new ID; nothing was "
                        + "changed")
            case .version(let other):
                let isNewer = other > versions.upperBound
                throw DirectoryError(
                    .version(found: other, reads: versions.upperBound),
                    "\(path) has format version \(other), and this build reads "
                        + (versions.count == 1
                            ? "version \(versions.lowerBound); "
                            : "versions \(versions.lowerBound) to \(versions.upperBound); ")
                        + (isNewer
                            ? "its cluster has gone on to features that this build does not know, so it may not go back: "
                                + "use the newer build of Holdfast; nothing was changed"
                            : "use an older build to upgrade it first; nothing was changed"))
            }
        }
    }
}
