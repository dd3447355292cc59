internal import NIOCore
internal import RaftCore

/// The wire form of a consensus message; drawn in `Docs/Reference/WireProtocol.md`.
///
/// A fixed head of 88 bytes, then the entries, then the snapshot. Indexes of entries are consecutive and are not sent.
enum ConsensusCodec {
    private static let entryHeadBytes = 13

    /// Why bytes are no message.
    enum Fault: Error {
        case truncated
        case unknownKind(UInt8)
        case wrongCount
    }

    /// Appends `message`.
    static func encode(_ message: Message, into buffer: inout ByteBuffer) {
        let first = message.entries.first?.index ?? 0
        buffer.writeMultipleIntegers(
            message.kind.rawValue, message.reject ? 1 : 0 as UInt8, message.snapshot == nil ? 0 : 1 as UInt16,
            message.to, message.from, message.term, message.logTerm, message.index, endianness: .little)
        buffer.writeMultipleIntegers(
            message.commit, message.rejectHint, message.context, message.session, endianness: .little)
        buffer.writeInteger(message.entries.isEmpty ? 0 : first, endianness: .little)
        buffer.reserveCapacity(
            minimumWritableBytes: message.entries.reduce(4) { $0 + entryHeadBytes + $1.data.count })
        buffer.writeInteger(UInt32(message.entries.count), endianness: .little)
        for entry in message.entries {
            buffer.writeMultipleIntegers(entry.kind.rawValue, entry.term, UInt32(entry.data.count), endianness: .little)
            buffer.writeBytes(entry.data)
        }
        if let snapshot = message.snapshot { encode(snapshot, into: &buffer) }
    }

    /// Reads one message that fills `buffer`.
    static func decode(_ buffer: inout ByteBuffer) throws(Fault) -> Message {
        guard
            let (kindByte, reject, hasSnapshot, to, from, term, logTerm, index) = buffer.readMultipleIntegers(
                endianness: .little, as: (UInt8, UInt8, UInt16, UInt64, UInt64, UInt64, UInt64, UInt64).self),
            let (commit, rejectHint, context, session, first, count) = buffer.readMultipleIntegers(
                endianness: .little, as: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt32).self)
        else { throw .truncated }
        guard let kind = Message.Kind(rawValue: kindByte) else { throw .unknownKind(kindByte) }
        guard Int(count) <= buffer.readableBytes / entryHeadBytes else { throw .truncated }
        var message = Message(
            kind, to: to, from: from, term: term, logTerm: logTerm, index: index, commit: commit, reject: reject != 0,
            rejectHint: rejectHint, context: context, session: session)
        message.entries.reserveCapacity(Int(count))
        for place in 0..<UInt64(count) {
            guard
                let (kindByte, term, length) = buffer.readMultipleIntegers(
                    endianness: .little, as: (UInt8, UInt64, UInt32).self),
                let data = buffer.readBytes(length: Int(length))
            else { throw .truncated }
            guard let kind = Entry.Kind(rawValue: kindByte) else { throw .unknownKind(kindByte) }
            guard first > 0, first <= UInt64.max - place else { throw .wrongCount }
            message.entries.append(Entry(kind: kind, term: term, index: first + place, data: data))
        }
        if hasSnapshot != 0 { message.snapshot = try decodeSnapshot(&buffer) }
        guard buffer.readableBytes == 0 else { throw .wrongCount }
        return message
    }

    private static func encode(_ snapshot: Snapshot, into buffer: inout ByteBuffer) {
        let state = snapshot.configuration
        buffer.writeMultipleIntegers(snapshot.index, snapshot.term, endianness: .little)
        for list in [state.voters, state.votersOutgoing, state.learners, state.learnersNext] {
            buffer.writeInteger(UInt32(list.count), endianness: .little)
            for id in list { buffer.writeInteger(id, endianness: .little) }
        }
        buffer.writeInteger(state.autoLeave ? 1 : 0 as UInt8)
        buffer.writeInteger(UInt32(snapshot.data.count), endianness: .little)
        buffer.writeBytes(snapshot.data)
    }

    private static func decodeSnapshot(_ buffer: inout ByteBuffer) throws(Fault) -> Snapshot {
        guard
            let (index, term) = buffer.readMultipleIntegers(endianness: .little, as: (UInt64, UInt64).self)
        else { throw .truncated }
        var state = ConfState()
        state.voters = try decodeNodes(&buffer)
        state.votersOutgoing = try decodeNodes(&buffer)
        state.learners = try decodeNodes(&buffer)
        state.learnersNext = try decodeNodes(&buffer)
        guard
            let autoLeave = buffer.readInteger(as: UInt8.self),
            let length = buffer.readInteger(endianness: .little, as: UInt32.self),
            let data = buffer.readBytes(length: Int(length))
        else { throw .truncated }
        state.autoLeave = autoLeave != 0
        return Snapshot(index: index, term: term, configuration: state, data: data)
    }

    private static func decodeNodes(_ buffer: inout ByteBuffer) throws(Fault) -> [NodeID] {
        guard
            let count = buffer.readInteger(endianness: .little, as: UInt32.self),
            Int(count) <= buffer.readableBytes / 8
        else { throw .truncated }
        var nodes: [NodeID] = []
        for _ in 0..<count {
            guard let node = buffer.readInteger(endianness: .little, as: UInt64.self) else { throw .truncated }
            nodes.append(node)
        }
        return nodes
    }
}
