import Foundation
import NIOCore

@testable import Holdfast
@testable import RaftCore
@testable import ReplicaCore
@testable import Storage
@testable import Transport

/// Writes a few valid inputs for every target: what a fuzzer would need long to find. `Tests/fuzz --seeds` calls it.
enum Seeds {
    static func write(to folder: String) {
        for (target, inputs) in all {
            let path = "\(folder)/\(target)"
            do {
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
                for (place, bytes) in inputs.enumerated() {
                    try Data(bytes).write(to: URL(fileURLWithPath: "\(path)/seed-\(place)"))
                }
            } catch {
                print("'\(path)' cannot be written: \(error)")
                exit(1)
            }
        }
    }

    private static var all: [String: [[UInt8]]] {
        [
            "frames": frames, "handshake": handshake, "message": message, "commands": commands, "apply": apply,
            "requests": requests, "log": log, "state": state, "rows": rows, "manifest": manifest, "snapshot": snapshot,
            "container": container, "safetensors": safetensors,
        ]
    }

    private static var frames: [[UInt8]] {
        var buffer = ByteBuffer()
        buffer.writeFrame(kind: 40, id: 7) { $0.writeString("payload") }
        buffer.writeFrame(kind: 41, id: 8, flags: .more) { $0.writeString("") }
        let bytes = Array(buffer.readableBytesView)
        return [[0, 1, 9, 30, 3] + bytes, [1, 250, 250, 250, 250] + bytes]
    }

    private static var handshake: [[UInt8]] {
        let identity = PeerIdentity(role: .member, cluster: "demo", nodeID: 3, endpoint: "127.0.0.1:7001")
        var hello = ByteBuffer()
        Hello(purpose: .request, target: 1, identity: identity).encode(into: &hello)
        var welcome = ByteBuffer()
        Welcome(identity: identity).encode(into: &welcome)
        var refusal = ByteBuffer()
        Refusal(.otherNode, "another").encode(into: &refusal)
        return [hello, welcome, refusal].enumerated().map { [UInt8($0)] + Array($1.readableBytesView) }
    }

    private static var message: [[UInt8]] {
        let entries = [
            Entry(kind: .normal, term: 2, index: 5, data: [1, 2, 3]), Entry(kind: .normal, term: 3, index: 6, data: []),
        ]
        var append = Message(.appendEntries, to: 1, from: 2, term: 3, logTerm: 2, index: 4, commit: 3)
        append.entries = entries
        var install = Message(.installSnapshot, to: 1, from: 2, term: 3)
        install.snapshot = Snapshot(
            index: 9, term: 3, configuration: ConfState(voters: [1, 2, 3], learners: [4]), data: [7, 7])
        return [append, install].map { message in
            var buffer = ByteBuffer()
            ConsensusCodec.encode(message, into: &buffer)
            return Array(buffer.readableBytesView)
        }
    }

    private static let someCommands: [Command] = [
        .put(key: [97], value: [1, 2], lease: 0), .delete(.prefix([97])), .delete(.range(from: [97], below: [99])),
        .transaction(
            Transaction(
                compares: [Compare(key: [97], .equal, .version(1))], then: [.put(key: [98], value: [], lease: 0)],
                otherwise: [.delete(.key([97])), .range(RangeQuery(.from([97])))])),
        .compact(revision: 2), .openSession, .closeSession, .lineage(Lineage(1, 2)),
        .uploadBegin(UploadID(1, 2), name: "m", version: nil), .uploadAdd(UploadID(1, 2), first: 0, ids: [.zero]),
        .uploadAbort(UploadID(1, 2)), .uploadExpire(before: 9),
        .publish(
            Publication(
                upload: UploadID(1, 2), name: "m", version: "1", root: .zero, bytes: 3, chunks: 1, files: 1,
                durableOn: [
                    .init(node: 1, incarnation: Incarnation(1, 1)), .init(node: 2, incarnation: Incarnation(2, 2)),
                ])),
        .retire(name: "m", version: "1"), .complete(node: 1, incarnation: Incarnation(1, 1), through: 0),
        .raiseFeatures(to: 2),
    ]

    private static var commands: [[UInt8]] {
        var payload: [UInt8] = []
        var seeds = someCommands.map { command in
            let envelope = Envelope(session: 3, sequence: 1, lowestUnanswered: 1, time: 5, command: command)
            EntryPayload.append(envelope, to: &payload)
            return [0] + envelope.encoded()
        }
        seeds.append([11] + payload)
        seeds.append([3] + RangeQuery(.key([97]), limit: 3).encoded())
        seeds.append([2] + Outcome.done(revision: 4).encoded())
        return seeds
    }

    private static var apply: [[UInt8]] {
        var all: [UInt8] = []
        for command in someCommands {
            var writer = ByteWriter()
            command.encode(into: &writer)
            all += [0, 0, 1, 1, 5, UInt8(writer.bytes.count)] + writer.bytes + [0]
        }
        return [all, [0, 4, 1, 1, 5, 1, 5, 0, 0, 4, 2, 1, 5, 1, 5, 0]]
    }

    private static var requests: [[UInt8]] {
        let watch = ByteBuffer.written {
            WatchRequest(keys: .prefix([97]), space: .user, from: 9).encode(into: &$0)
        }
        var node = ClusterStatus.Node(id: 1, endpoint: "h:1", role: .leader)
        node.featureVersion = 2
        let report = ByteBuffer.written { NodeReport(node: node, publishedRevision: 3).encode(into: &$0) }
        let status = ByteBuffer.written {
            ClusterStatus(cluster: "c", lineage: "l", term: 1, leader: 1, revision: 2, nodes: [node]).encode(into: &$0)
        }
        var error = ByteBuffer()
        ErrorCodec.encode(HoldfastError(.notLeader, "no", details: ["leader": "2"]), into: &error)
        let bodies = [(0, watch), (6, report), (7, status), (8, error)]
        return bodies.map { [UInt8($0)] + Array($1.readableBytesView) }
    }

    private static var log: [[UInt8]] {
        // A segment, six frames, one that replaces two, another segment, a frame, a header in the ring.
        let frames = (0..<6).flatMap { _ in [1, 1, 0, 3, 9, 9, 9, 0, 1, 1] as [UInt8] }
        return [
            [0, 0, 1, 0, 1] + frames + [1, 1, 2, 0, 1, 1, 1, 0, 1, 1, 1, 0, 2, 8, 8, 0, 0, 1, 5, 2, 1, 1, 3, 4, 5]
        ]
    }

    private static var state: [[UInt8]] {
        func block(_ record: some CopiedRecord, _ count: Int) -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: 4096)
            bytes.withUnsafeMutableBytes { record.encode(into: $0) }
            return Array(bytes[..<count])
        }
        let text = SealedText(kind: "peers", version: 1, fields: [("2", Incarnation(3, 4).hex)])
        return [
            [0]
                + block(
                    HardStateRecord(sequence: 3, identity: 7, hardState: HardState(term: 2, vote: 1, commit: 9)), 60),
            [1]
                + block(
                    StartRecord(
                        sequence: 1, identity: 7, segmentBytes: 8192, headerSlots: 8, firstGeneration: 1,
                        previousIndex: 0,
                        previousTerm: 0, chain: 5), 80),
            [2] + text.bytes,
            [3, 1, 50, 32] + Array(Incarnation(1, 2).hex.utf8) + [1, 99, 64] + Array(Digest.zero.hex.utf8) + [7]
                + Array("2=h:700".utf8) + [2, 49, 49],
        ]
    }

    private static var rows: [[UInt8]] {
        [
            AppliedState().encoded(), Members(voters: [1, 2, 3], learners: [4]).encoded(),
            Completeness(node: 1, incarnation: Incarnation(1, 2), through: 3).encoded(),
            [1, 90] + AppliedState().encoded(),
        ]
    }

    private static var manifest: [[UInt8]] {
        let root = ManifestRoot(manifestBytes: 40, parts: [.zero])
        return [[1] + root.encoded(), [0] + Manifest(files: [], tensors: [], chunks: []).encoded()]
    }

    private static var snapshot: [[UInt8]] {
        var state = AppliedState()
        state.index = 9
        let head = SnapshotHead(
            state: state, members: Members(voters: [1, 2, 3]), lineage: Lineage(1, 2), featureVersion: 2)
        let files = [
            SnapshotManifest.File(name: "000012.sst", bytes: 99, digest: .zero),
            SnapshotManifest.File(name: "CURRENT", bytes: 16, digest: .zero),
        ]
        return [SnapshotManifest(cluster: "demo", head: head, files: files).encoded()]
    }

    /// Programs of two files and two chunks: with the chunks' bytes, without, with a lie in one field, and damaged.
    private static var container: [[UInt8]] {
        let files: [UInt8] = [3, 97, 98, 99, 0, 0, 0, 2, 100, 101, 0, 0, 0]
        let chunks: [UInt8] = [2, 5, 1, 2, 3, 4, 5, 1, 6, 0]
        let whole = [1, 9, 1] + files + [0, 0] + chunks + [1, 0, 0, 0, 0]
        let named = [1, 9, 1] + files + [0, 0] + chunks + [0, 0, 0]
        let lie = [1, 9, 1] + files + [0xEE, 255, 127, 0, 0, 0, 0, 0, 0, 0, 0] + chunks + [1, 0, 0, 0, 0]
        return [whole, named, lie, whole + [0, 40, 0, 1], whole + [0, 90, 1], whole + [0, 0, 2, 7], [0]]
    }

    private static var safetensors: [[UInt8]] {
        let json = """
            {"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"b":{"dtype":"I32","shape":[],\
            "data_offsets":[12,16]}}
            """
        return [[16] + Array(json.utf8), [0, 123, 125]]
    }
}
