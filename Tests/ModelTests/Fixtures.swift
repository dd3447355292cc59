import Foundation
import Glibc
import NIOCore
import ReplicaCore
import Synchronization
import Testing

@testable import Holdfast
import Storage

/// A directory that goes with the test.
final class Scratch {
    let path: String

    init() throws {
        var template = Array("/tmp/holdfast-models-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } }
        path = String(cString: try #require(made))
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let target = self(name)
        let parent = String(target[..<(try #require(target.lastIndex(of: "/")))])
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(fileURLWithPath: target))
        return target
    }

    func read(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: self(name)))) }
    func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: self(name)) }
}

/// SplitMix64: the same numbers for the same seed everywhere.
struct SeededRandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count {
            var word = next()
            withUnsafeBytes(of: &word) { bytes.append(contentsOf: $0) }
        }
        bytes.removeLast(bytes.count - count)
        return bytes
    }
}

/// The bytes of a safetensors file with F32 tensors of the given lengths in elements.
func safetensors(_ tensors: [(name: String, data: [UInt8])], notes: String? = nil) -> [UInt8] {
    var entries: [String] = notes.map { ["\"__metadata__\":\($0)"] } ?? []
    var offset = 0
    var data: [UInt8] = []
    for tensor in tensors {
        let end = offset + tensor.data.count
        entries.append(
            "\"\(tensor.name)\":{\"dtype\":\"U8\",\"shape\":[\(tensor.data.count)],\"data_offsets\":[\(offset),\(end)]}"
        )
        offset = end
        data += tensor.data
    }
    return safetensors(json: "{\(entries.joined(separator: ","))}", data: data)
}

/// The bytes of a safetensors file with this header, whatever it says.
func safetensors(json: String, data: [UInt8] = []) -> [UInt8] {
    littleEndian(UInt64(json.utf8.count)) + Array(json.utf8) + data
}

func littleEndian(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) } }

func digest(_ bytes: [UInt8]) -> Digest { bytes.withUnsafeBytes { SHA256.digest(of: $0) } }

/// The error that `body` throws; fails the test if it throws none.
func failure<R>(
    _ body: () async throws(HoldfastError) -> R, sourceLocation: SourceLocation = #_sourceLocation
) async -> HoldfastError? {
    do {
        _ = try await body()
        Issue.record("no error was thrown", sourceLocation: sourceLocation)
        return nil
    } catch {
        return error
    }
}

/// A cluster in memory: enough of an upload plane and chunk source to push, fail and pull.
final class MemoryPlane: UploadPlane, ChunkSource {
    struct State {
        var chunks: [ChunkID: [UInt8]] = [:]
        var uploads: [UploadID: [Int: ChunkID]] = [:]
        var begun: [UploadID] = []
        var sends: [ChunkID: Int] = [:]
        var sendsInFlight = 0
        var sendsInFlightPeak = 0
        var reads = 0
        var readsByID: [ChunkID: Int] = [:]
        var published: [Holdfast.ModelVersion] = []
        var faults: [String] = []
    }

    let state = Mutex(State())
    /// Called before each send with the number of sends so far; may throw or lose the node's chunks.
    let beforeSend: @Sendable (MemoryPlane, Int) async throws(HoldfastError) -> Void
    /// Called before each publish with the number of publishes so far.
    let beforePublish: @Sendable (MemoryPlane) async throws(HoldfastError) -> Void
    /// Changes what a read answers.
    let onRead: @Sendable (MemoryPlane, ChunkID, [UInt8]) async throws(HoldfastError) -> [UInt8]
    /// Where chunk files lie, for local planes.
    let directory: String?

    init(
        directory: String? = nil,
        beforeSend: @escaping @Sendable (MemoryPlane, Int) async throws(HoldfastError) -> Void = { (_, _) in },
        beforePublish: @escaping @Sendable (MemoryPlane) async throws(HoldfastError) -> Void = { (_) in },
        onRead: @escaping @Sendable (MemoryPlane, ChunkID, [UInt8]) async throws(HoldfastError) -> [UInt8] = {
            (_, _, bytes) in bytes
        }
    ) {
        self.directory = directory
        self.beforeSend = beforeSend
        self.beforePublish = beforePublish
        self.onRead = onRead
    }

    func begin(_ upload: UploadID, name: String, version: String?) async throws(HoldfastError) {
        state.withLock { state in
            state.begun.append(upload)
            if state.uploads[upload] == nil { state.uploads[upload] = [:] }
        }
    }

    func add(_ upload: UploadID, firstOrdinal: Int, ids: [ChunkID]) async throws(HoldfastError) {
        state.withLock { state in
            for (index, id) in ids.enumerated() {
                let old = state.uploads[upload]?.updateValue(id, forKey: firstOrdinal + index)
                if let old, old != id { state.faults.append("ordinal \(firstOrdinal + index) got another ID") }
            }
        }
    }

    func have(_ upload: UploadID, firstOrdinal: Int, count: Int) async throws(HoldfastError) -> [Bool] {
        state.withLock { state in
            (firstOrdinal..<(firstOrdinal + count)).map { ordinal in
                guard let id = state.uploads[upload]?[ordinal] else {
                    state.faults.append("have of ordinal \(ordinal) that was not added")
                    return false
                }
                return state.chunks[id] != nil
            }
        }
    }

    func send(_ upload: UploadID, ordinal: Int, id: ChunkID, bytes: ByteBuffer) async throws(HoldfastError) {
        let number = state.withLock { state in
            if state.uploads[upload]?[ordinal] != id { state.faults.append("sent before it was added: \(ordinal)") }
            state.sendsInFlight += 1
            state.sendsInFlightPeak = max(state.sendsInFlightPeak, state.sendsInFlight)
            state.sends[id, default: 0] += 1
            return state.sends.values.reduce(0, +)
        }
        defer { state.withLock { $0.sendsInFlight -= 1 } }
        try await beforeSend(self, number)
        let content = Array(bytes.readableBytesView)
        if let directory {
            guard FileManager.default.createFile(atPath: "\(directory)/\(id.hex)", contents: Data(content)) else {
                throw HoldfastError(.unavailable, "the test's chunk file cannot be written")
            }
        }
        state.withLock { state in
            if digest(content) != id { state.faults.append("bytes of \(ordinal) do not match the ID") }
            state.chunks[id] = content
        }
    }

    func publish(
        _ upload: UploadID, name: String, version: String?, root: ChunkID, totals: UploadTotals
    ) async throws(HoldfastError) -> Holdfast.ModelVersion {
        try await beforePublish(self)
        return try state.withLock { (state) throws(HoldfastError) in
            let ordinals = state.uploads[upload] ?? [:]
            guard ordinals.count == totals.chunks else {
                throw HoldfastError(.invalidArgument, "\(ordinals.count) chunks were named, not \(totals.chunks)")
            }
            guard ordinals.values.allSatisfy({ state.chunks[$0] != nil }) else {
                throw HoldfastError(.notFound, "chunks are missing")
            }
            let model = Holdfast.ModelVersion(
                name: name, version: version ?? "\(state.published.count + 1)", root: root.hex, revision: 1,
                bytes: totals.bytes, files: totals.files, chunks: totals.chunks, publishedMilliseconds: 0,
                retired: false)
            state.published.append(model)
            return model
        }
    }

    func readChunk(_ id: ChunkID) async throws(HoldfastError) -> ByteBuffer {
        let found = state.withLock { state in
            state.reads += 1
            state.readsByID[id, default: 0] += 1
            return state.chunks[id]
        }
        guard let found else { throw HoldfastError(.notFound, "no chunk \(id.hex)") }
        return ByteBuffer(bytes: try await onRead(self, id, found))
    }

    func localFile(of id: ChunkID) -> String? {
        directory.map { "\($0)/\(id.hex)" }
    }

    /// Fails the test for anything that a push did out of order.
    func checkRules(sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(state.withLock { $0.faults } == [], sourceLocation: sourceLocation)
    }
}
