@testable import ReplicaCore

/// Commands about uploads and models over a few names.
struct ModelTraffic {
    var random: SeededRandom

    mutating func upload() -> UploadID { UploadID(0, UInt64(1 + random.below(4))) }
    mutating func chunk() -> ChunkID { ChunkID(0, 0, 0, UInt64(random.below(12))) }
    mutating func name() -> String { ["m", "org/m"][random.below(2)] }
    mutating func version() -> String? { [nil, nil, "1", "2", "v1"][random.below(5)] }

    mutating func command() -> Command {
        switch random.below(9) {
        case 0, 1: return .uploadBegin(upload(), name: name(), version: version())
        case 2, 3, 4:
            let first = UInt64(random.below(4))
            // Mostly the same chunk for the same ordinal, so that additions overlap without conflict.
            let ids = (0...UInt64(random.below(4))).map { offset in
                random.chance(1, in: 20) ? chunk() : ChunkID(0, 0, 0, first + offset)
            }
            return .uploadAdd(upload(), first: first, ids: ids)
        case 5:
            return random.chance(1, in: 3) ? .uploadAbort(upload()) : .uploadExpire(before: UInt64(random.below(500)))
        case 6: return .retire(name: name(), version: version() ?? "1")
        default:
            return .publish(
                Publication(
                    upload: upload(), name: name(), version: version(), root: ChunkID(0, 0, 0, UInt64(random.below(3))),
                    bytes: 1, chunks: UInt64(1 + random.below(6)), files: 1,
                    durableOn: [1, 2, 3].prefix(1 + random.below(3)).map { .init(node: $0, incarnation: .zero) }))
        }
    }
}
