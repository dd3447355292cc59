import RaftCore
import Storage

/// The files of a log in memory, and what recovery makes of them: the same pure code that `LogStore.open` runs.
struct LogImage {
    var files: [String: [UInt8]]

    enum Verdict: Equatable {
        case entries([Entry], HardState)
        case corrupted
        case hardStateLost
    }

    var verdict: Verdict {
        guard let start = better(StartRecord.self, "start") else { return .corrupted }
        guard let state = better(HardStateRecord.self, "hardstate") else { return .hardStateLost }
        let seed = LogFormat.seed(identity: start.identity)
        let names = files.keys.filter { $0.hasPrefix("segment-") && !$0.hasSuffix(".new") }.sorted()
        // The bytes are copied out once, so that recovery may hold a buffer as long as it likes.
        let segments = names.map { Bytes(files[$0] ?? []) }
        let ring = Bytes(files["headers"] ?? [])
        let headers = segments.indices.map { (slot: $0, header: SegmentHeader(segments[$0].view, seed: seed)) }
        do throws(LogError) {
            let recovery = try LogRecovery(
                start: start, commit: state.hardState.commit, ring: ring.view, headers: headers
            ) { slot, bytesMax in
                UnsafeRawBufferPointer(rebasing: segments[slot].view.prefix(bytesMax))
            }
            var found: [Entry] = []
            for segment in recovery.segments {
                for offset in segment.offsets {
                    let bytes = UnsafeRawBufferPointer(rebasing: segments[segment.slot].view[Int(offset)...])
                    guard let entry = Frame.entry(bytes, generation: segment.header.generation, seed: seed) else {
                        fatalError("recovery counts a bad frame")
                    }
                    found.append(entry)
                }
            }
            precondition(
                runs(found) == recovery.terms && found.last?.index ?? start.previousIndex == recovery.lastIndex)
            return .entries(
                found, HardState(term: state.hardState.term, vote: state.hardState.vote, commit: recovery.commit))
        } catch {
            guard case .corrupted = error else { fatalError("\(error)") }
            return .corrupted
        }
    }

    private func better<Record: CopiedRecord>(_ type: Record.Type, _ name: String) -> Record? {
        let copies = ["\(name)-1", "\(name)-2"].map { copy in (files[copy] ?? []).withUnsafeBytes { Record($0) } }
        return Record.better(of: copies)?.record
    }

    /// Bytes at an address that stays.
    private final class Bytes {
        let view: UnsafeRawBufferPointer

        init(_ bytes: [UInt8]) {
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
            copy.copyBytes(from: bytes)
            view = UnsafeRawBufferPointer(copy)
        }

        deinit { view.deallocate() }
    }

    /// The last position of every file that is not zero, and one more: behind it there is nothing to damage but zeros.
    func usedBytes(_ name: String) -> Int { ((files[name] ?? []).lastIndex { $0 != 0 } ?? -1) + 1 }
}

/// One thing that may happen to a byte.
enum Damage: CustomStringConvertible {
    case xor(UInt8)
    case zero
    case cut

    /// All that is tried at one place.
    static func all(at position: Int) -> [Damage] {
        [.xor(0xFF), .zero, .cut, .xor(1 << UInt8(position % 8)), .xor(1 << UInt8((position / 8 + 3) % 8))]
    }

    var description: String {
        switch self {
        case .xor(let mask): "xor \(mask)"
        case .zero: "zero"
        case .cut: "cut"
        }
    }

    func apply(to bytes: inout [UInt8], at position: Int) {
        switch self {
        case .xor(let mask): bytes[position] ^= mask
        case .zero: bytes[position] = 0
        case .cut: bytes.removeSubrange(position...)
        }
    }
}
