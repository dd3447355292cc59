/// A change of the membership: what to change, and how to pass through a joint configuration (thesis §4.3).
package struct ConfigurationChange: Sendable, Equatable {
    /// Which record carries the change in an entry.
    package enum Form: UInt8, Sendable {
        /// Exactly one change, never joint (`Entry.Kind.configurationChange`).
        case single
        /// Any number of changes and a transition (`Entry.Kind.configurationChangeV2`).
        case general
    }

    /// How the change is carried out.
    package enum Transition: UInt8, Sendable {
        /// One change is made directly, several through a joint configuration that is left automatically.
        case auto = 0
        /// Always joint, left automatically.
        case jointImplicit = 1
        /// Always joint, left when an empty change is proposed.
        case jointExplicit = 2
    }

    /// One step of a change.
    package struct Step: Sendable, Equatable {
        /// What happens to the node.
        package enum Kind: UInt8, Sendable {
            case addVoter = 0
            case remove = 1
            /// Nothing for consensus; the layer above may use the context.
            case update = 2
            case addLearner = 3
        }

        package var kind: Kind
        /// The node; 0 makes the step do nothing.
        package var node: NodeID

        package init(_ kind: Kind, _ node: NodeID) {
            self.kind = kind
            self.node = node
        }
    }

    package var form: Form
    package var transition: Transition
    package var steps: [Step]
    /// Bytes for the layer above; opaque here.
    package var context: [UInt8]

    package init(
        _ steps: [Step], transition: Transition = .auto, form: Form = .general, context: [UInt8] = []
    ) {
        self.form = form
        self.transition = transition
        self.steps = steps
        self.context = context
    }

    /// The change that leaves a joint configuration.
    package static var leaveJoint: ConfigurationChange { ConfigurationChange([]) }

    /// Whether this leaves a joint configuration.
    package var leavesJoint: Bool { transition == .auto && steps.isEmpty }

    /// Whether this passes through a joint configuration.
    package var entersJoint: Bool { transition != .auto || steps.count > 1 }

    /// Whether a joint configuration that this enters is left automatically.
    package var autoLeaves: Bool { transition != .jointExplicit }

    /// The kind of entry that carries this change.
    package var entryKind: Entry.Kind { form == .single ? .configurationChange : .configurationChangeV2 }
}

// The record is a protocol-buffer message with etcd/raft's field numbers, so that byte limits count as it counts:
// single:  2 varint kind, 3 varint node, 4 bytes context
// general: 1 varint transition, 2 message {1 varint kind, 2 varint node} per step, 3 bytes context
extension ConfigurationChange {
    /// The payload of an entry of kind `entryKind`.
    package func encoded() -> [UInt8] {
        var out: [UInt8] = []
        switch form {
        case .single:
            precondition(steps.count == 1 && transition == .auto, "the single form holds one step")
            out += [0x10, steps[0].kind.rawValue, 0x18]
            appendVarint(steps[0].node, to: &out)
            appendContext(tag: 0x22, to: &out)
        case .general:
            out += [0x08, transition.rawValue]
            for step in steps {
                out += [0x12, UInt8(3 + varintSize(step.node)), 0x08, step.kind.rawValue, 0x10]
                appendVarint(step.node, to: &out)
            }
            appendContext(tag: 0x1A, to: &out)
        }
        return out
    }

    /// Reads the payload of an entry; nil if the entry carries no change or the bytes are not one.
    package init?(_ entry: Entry) {
        var reader = RecordReader(bytes: entry.data[...])
        var steps: [Step] = []
        var transition = Transition.auto
        var context: [UInt8] = []
        switch entry.kind {
        case .normal, .voided:
            return nil
        case .configurationChange:
            var step = Step(.addVoter, noNode)
            while let field = reader.next() {
                switch field {
                case .number(2, let value):
                    guard let kind = Step.Kind(number: value) else { return nil }
                    step.kind = kind
                case .number(3, let value): step.node = value
                case .bytes(4, let value): context = Array(value)
                default: break
                }
            }
            steps = [step]
        case .configurationChangeV2:
            while let field = reader.next() {
                switch field {
                case .number(1, let value):
                    guard let known = Transition(number: value) else { return nil }
                    transition = known
                case .bytes(2, let value):
                    guard let step = Step(record: value) else { return nil }
                    steps.append(step)
                case .bytes(3, let value): context = Array(value)
                default: break
                }
            }
        }
        guard !reader.failed else { return nil }
        let form: Form = entry.kind == .configurationChange ? .single : .general
        self.init(steps, transition: transition, form: form, context: context)
    }

    private func appendContext(tag: UInt8, to out: inout [UInt8]) {
        guard !context.isEmpty else { return }
        out.append(tag)
        appendVarint(UInt64(context.count), to: &out)
        out += context
    }
}

extension ConfigurationChange.Transition {
    fileprivate init?(number: UInt64) {
        guard number <= 2 else { return nil }
        self.init(rawValue: UInt8(number))
    }
}

extension ConfigurationChange.Step.Kind {
    fileprivate init?(number: UInt64) {
        guard number <= 3 else { return nil }
        self.init(rawValue: UInt8(number))
    }
}

extension ConfigurationChange.Step {
    fileprivate init?(record: ArraySlice<UInt8>) {
        var reader = RecordReader(bytes: record)
        self.init(.addVoter, noNode)
        while let field = reader.next() {
            switch field {
            case .number(1, let value):
                guard let kind = Kind(number: value) else { return nil }
                self.kind = kind
            case .number(2, let value): node = value
            default: break
            }
        }
        if reader.failed { return nil }
    }
}

/// Appends `value` in base 128, low bits first.
private func appendVarint(_ value: UInt64, to out: inout [UInt8]) {
    var rest = value
    while rest >= 0x80 {
        out.append(UInt8(truncatingIfNeeded: rest) | 0x80)
        rest >>= 7
    }
    out.append(UInt8(rest))
}

/// Reads the tagged fields of a record, of the two wire types in use.
private struct RecordReader {
    enum Field {
        case number(UInt64, UInt64)
        case bytes(UInt64, ArraySlice<UInt8>)
    }

    var bytes: ArraySlice<UInt8>
    /// Whether the bytes were not a record.
    private(set) var failed = false

    init(bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
    }

    mutating func next() -> Field? {
        guard !bytes.isEmpty, !failed else { return nil }
        guard let tag = varint(), let value = varint() else { return fail() }
        switch tag & 7 {
        case 0:
            return .number(tag >> 3, value)
        case 2:
            guard value <= UInt64(bytes.count) else { return fail() }
            let field = bytes.prefix(Int(value))
            bytes = bytes.dropFirst(Int(value))
            return .bytes(tag >> 3, field)
        default:
            return fail()
        }
    }

    private mutating func fail() -> Field? {
        failed = true
        return nil
    }

    private mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while let byte = bytes.popFirst() {
            guard shift < 63 || (shift == 63 && byte <= 1) else { return nil }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }
}

/// Why a configuration change cannot be applied to a configuration.
package enum ConfigurationError: Error, Equatable, Sendable {
    case alreadyJoint
    case noVoters
    case notJoint
    case simpleInJoint
    case removedAllVoters
    case severalVotersChanged
    /// The configuration itself breaks a rule.
    case inconsistent(String)
}

extension ConfigurationError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .alreadyJoint: "config is already joint"
        case .noVoters: "can't make a zero-voter config joint"
        case .notJoint: "can't leave a non-joint config"
        case .simpleInJoint: "can't apply simple config change in joint config"
        case .removedAllVoters: "removed all voters"
        case .severalVotersChanged: "more than one voter changed without entering joint config"
        case .inconsistent(let rule): rule
        }
    }
}
