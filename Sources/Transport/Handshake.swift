// What two ends say to each other before the first frame of the node: hello, then welcome or refusal.

package import NIOCore

/// What a connection is for; the dialler says so in its hello.
package enum Purpose: UInt8, Sendable, Hashable, CaseIterable {
    /// Raft messages between members, on the control loop.
    case consensus = 1
    /// Requests and answers of clients and members, on the control loop.
    case request = 2
    /// Chunks, on the bulk loop.
    case bulk = 3
}

/// What a process is in the cluster.
package enum PeerRole: UInt8, Sendable, Hashable {
    case member = 1
    case client = 2
}

/// Who one end of a connection is. Empty or zero means "not known" or "does not matter".
package struct PeerIdentity: Sendable, Hashable {
    /// Bytes of `bootstrap`.
    package static let bootstrapByteCount = 32
    /// Bytes of `lineage` and of `incarnation`.
    package static let markByteCount = 16

    package var role: PeerRole
    /// Name of the cluster, at most 512 UTF-8 bytes.
    package var cluster: String
    /// Bootstrap ID, 32 bytes; zero for a client.
    package var bootstrap: [UInt8]
    /// Lineage, 16 bytes; zero while unknown.
    package var lineage: [UInt8]
    /// Node ID; zero for a client.
    package var nodeID: UInt64
    /// Incarnation of the node's disk, 16 bytes; zero for a client.
    package var incarnation: [UInt8]
    /// `host:port` under which this end can be dialled; empty for a client.
    package var endpoint: String
    /// What the software can do, beyond the protocol version.
    package var featureVersion: UInt32
    /// The log index of the configuration that makes this node a member, as far as it has applied; zero for the first configuration
    /// and for a node that is no member yet.
    package var configurationIndex: UInt64

    package init(
        role: PeerRole, cluster: String = "", bootstrap: [UInt8] = [UInt8](repeating: 0, count: 32),
        lineage: [UInt8] = [UInt8](repeating: 0, count: 16), nodeID: UInt64 = 0,
        incarnation: [UInt8] = [UInt8](repeating: 0, count: 16), endpoint: String = "", featureVersion: UInt32 = 1,
        configurationIndex: UInt64 = 0
    ) {
        precondition(bootstrap.count == Self.bootstrapByteCount, "a bootstrap ID has 32 bytes")
        precondition(lineage.count == Self.markByteCount, "a lineage has 16 bytes")
        precondition(incarnation.count == Self.markByteCount, "an incarnation has 16 bytes")
        self.role = role
        self.cluster = cluster
        self.bootstrap = bootstrap
        self.lineage = lineage
        self.nodeID = nodeID
        self.incarnation = incarnation
        self.endpoint = endpoint
        self.featureVersion = featureVersion
        self.configurationIndex = configurationIndex
    }
}

/// The first frame of a connection, from the end that dialled.
package struct Hello: Sendable, Hashable {
    /// Oldest and newest protocol version that the dialler speaks.
    package var protocolVersionMin: UInt8
    package var protocolVersionMax: UInt8
    package var purpose: Purpose
    /// Node ID that the dialler expects at this address; zero for any.
    package var target: UInt64
    package var identity: PeerIdentity

    package init(purpose: Purpose, target: UInt64 = 0, identity: PeerIdentity) {
        self.protocolVersionMin = TransportLimits.protocolVersionMin
        self.protocolVersionMax = TransportLimits.protocolVersionMax
        self.purpose = purpose
        self.target = target
        self.identity = identity
    }
}

/// The answer to a hello that is let in. The listener fills in the protocol version.
package struct Welcome: Sendable, Hashable {
    /// Version that both ends use from here on.
    package var protocolVersion: UInt8
    package var identity: PeerIdentity

    package init(identity: PeerIdentity, protocolVersion: UInt8 = TransportLimits.protocolVersionMax) {
        self.identity = identity
        self.protocolVersion = protocolVersion
    }
}

/// Why a hello was not let in; the values are part of the wire protocol, and unknown ones are kept.
package struct RefusalCode: RawRepresentable, Sendable, Hashable {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The hello itself is malformed, or bytes followed it before the welcome.
    package static let badHello = RefusalCode(rawValue: 1)
    /// No common protocol version.
    package static let protocolVersion = RefusalCode(rawValue: 2)
    /// Another cluster name.
    package static let otherCluster = RefusalCode(rawValue: 3)
    /// Another bootstrap ID: formatted with other members.
    package static let otherBootstrap = RefusalCode(rawValue: 4)
    /// Another lineage: a cluster of the same name and members, but another history.
    package static let otherLineage = RefusalCode(rawValue: 5)
    /// Another node lives at this address than the dialler expects.
    package static let otherNode = RefusalCode(rawValue: 6)
    /// The node ID is known with another disk: a wiped voter.
    package static let otherIncarnation = RefusalCode(rawValue: 7)
    /// The node ID is not a member.
    package static let notMember = RefusalCode(rawValue: 8)
    /// The node ID was a member's and is not any more: it is never used again.
    package static let removed = RefusalCode(rawValue: 12)
    /// Too many connections; try again later.
    package static let overloaded = RefusalCode(rawValue: 9)
    /// The node is starting or stopping; try again later.
    package static let unavailable = RefusalCode(rawValue: 10)
    /// The cluster uses features that the node's build does not know.
    package static let featureVersion = RefusalCode(rawValue: 11)
}

/// The answer to a hello that is not let in.
package struct Refusal: Sendable, Hashable {
    package var code: RefusalCode
    /// What is wrong and what to do, in a sentence of at most 512 UTF-8 bytes.
    package var sentence: String

    package init(_ code: RefusalCode, _ sentence: String) {
        self.code = code
        self.sentence = sentence
    }
}

/// A handshake frame whose bytes are not what its kind says.
package struct HandshakeFault: Error, Sendable, Hashable {
    package var message: String
}

/// Kinds of the transport's own frames.
enum HandshakeKind {
    static let hello: UInt8 = 1
    static let welcome: UInt8 = 2
    static let refusal: UInt8 = 3
}

extension Hello {
    /// Appends the hello's payload.
    package func encode(into buffer: inout ByteBuffer) {
        buffer.writeInteger(protocolVersionMin)
        buffer.writeInteger(protocolVersionMax)
        buffer.writeInteger(purpose.rawValue)
        buffer.writeInteger(target, endianness: .little)
        identity.encode(into: &buffer)
    }

    /// Reads a hello that fills `payload`; more bytes behind it are allowed, for fields of later versions.
    package init(decoding payload: ByteBuffer) throws(HandshakeFault) {
        var rest = payload
        guard let oldest: UInt8 = rest.readInteger(), let newest: UInt8 = rest.readInteger(),
            let purposeValue: UInt8 = rest.readInteger(), let target: UInt64 = rest.readInteger(endianness: .little)
        else { throw HandshakeFault(message: "the hello is too short") }
        guard oldest <= newest else { throw HandshakeFault(message: "the hello's versions are out of order") }
        guard let purpose = Purpose(rawValue: purposeValue) else {
            throw HandshakeFault(message: "the hello's purpose \(purposeValue) is unknown")
        }
        self.init(purpose: purpose, target: target, identity: try PeerIdentity(decoding: &rest))
        protocolVersionMin = oldest
        protocolVersionMax = newest
    }

    /// The newest version that the dialler and this build both speak; nil if there is none.
    var commonVersion: UInt8? {
        let newest = min(protocolVersionMax, TransportLimits.protocolVersionMax)
        return newest >= max(protocolVersionMin, TransportLimits.protocolVersionMin) ? newest : nil
    }
}

extension Welcome {
    /// Appends the welcome's payload.
    package func encode(into buffer: inout ByteBuffer) {
        buffer.writeInteger(protocolVersion)
        identity.encode(into: &buffer)
    }

    /// Reads a welcome; more bytes behind it are allowed, for fields of later versions.
    package init(decoding payload: ByteBuffer) throws(HandshakeFault) {
        var rest = payload
        guard let version: UInt8 = rest.readInteger() else {
            throw HandshakeFault(message: "the welcome is too short")
        }
        self.init(identity: try PeerIdentity(decoding: &rest), protocolVersion: version)
    }
}

extension Refusal {
    /// Appends the refusal's payload.
    package func encode(into buffer: inout ByteBuffer) {
        buffer.writeInteger(code.rawValue, endianness: .little)
        buffer.writeShortText(sentence)
    }

    /// Reads a refusal.
    package init(decoding payload: ByteBuffer) throws(HandshakeFault) {
        var rest = payload
        guard let code: UInt16 = rest.readInteger(endianness: .little), let sentence = rest.readShortText() else {
            throw HandshakeFault(message: "the refusal is malformed")
        }
        self.init(RefusalCode(rawValue: code), sentence)
    }
}

extension PeerIdentity {
    func encode(into buffer: inout ByteBuffer) {
        buffer.writeInteger(role.rawValue)
        buffer.writeInteger(featureVersion, endianness: .little)
        buffer.writeBytes(bootstrap)
        buffer.writeBytes(lineage)
        buffer.writeInteger(nodeID, endianness: .little)
        buffer.writeBytes(incarnation)
        buffer.writeShortText(cluster)
        buffer.writeShortText(endpoint)
        if configurationIndex > 0 { buffer.writeInteger(configurationIndex, endianness: .little) }
    }

    init(decoding rest: inout ByteBuffer) throws(HandshakeFault) {
        guard let roleValue: UInt8 = rest.readInteger(),
            let featureVersion: UInt32 = rest.readInteger(endianness: .little),
            let bootstrap = rest.readBytes(length: Self.bootstrapByteCount),
            let lineage = rest.readBytes(length: Self.markByteCount),
            let nodeID: UInt64 = rest.readInteger(endianness: .little),
            let incarnation = rest.readBytes(length: Self.markByteCount)
        else { throw HandshakeFault(message: "the identity is too short") }
        guard let role = PeerRole(rawValue: roleValue) else {
            throw HandshakeFault(message: "the identity's role \(roleValue) is unknown")
        }
        guard let cluster = rest.readShortText(), let endpoint = rest.readShortText() else {
            throw HandshakeFault(message: "the identity's texts are cut off, too long or not UTF-8")
        }
        // Absent where it is zero, and so from a node of the first version, which knows only the first configuration.
        let configurationIndex: UInt64 = rest.readInteger(endianness: .little) ?? 0
        self.init(
            role: role, cluster: cluster, bootstrap: bootstrap, lineage: lineage, nodeID: nodeID,
            incarnation: incarnation, endpoint: endpoint, featureVersion: featureVersion,
            configurationIndex: configurationIndex)
    }
}

extension ByteBuffer {
    /// Appends a text with its length in front, cut at a character if it is over the limit.
    fileprivate mutating func writeShortText(_ text: String) {
        var kept = Substring(text)
        while kept.utf8.count > TransportLimits.handshakeTextBytesMax { kept.removeLast() }
        writeInteger(UInt16(kept.utf8.count), endianness: .little)
        writeSubstring(kept)
    }

    fileprivate mutating func readShortText() -> String? {
        guard let count: UInt16 = readInteger(endianness: .little), count <= TransportLimits.handshakeTextBytesMax,
            let bytes = readBytes(length: Int(count))
        else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}
