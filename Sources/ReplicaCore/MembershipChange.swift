/// What a configuration entry of the log asks for: consensus' change in the words of the state machine.
///
/// `Members.changed(by:)` says what it does, step for step as consensus does it; the driver holds one against the other.
package struct MembershipChange: Sendable, Hashable {
    /// One node's part.
    package struct Step: Sendable, Hashable {
        package enum Kind: UInt8, Sendable, Hashable {
            case addVoter
            case remove
            /// Nothing for the configuration: the node's address may change.
            case update
            case addLearner
        }

        package var kind: Kind
        package var node: UInt64

        package init(_ kind: Kind, _ node: UInt64) {
            self.kind = kind
            self.node = node
        }
    }

    package var steps: [Step]
    /// The change passes through a joint configuration.
    package var entersJoint: Bool
    /// The joint configuration is left without being asked.
    package var leavesAutomatically: Bool
    /// Where the nodes that join are; nil if the entry's context could not be read.
    package var addresses: [MemberAddress]?

    /// The change leaves a joint configuration.
    package var leavesJoint: Bool { steps.isEmpty && !entersJoint }

    package init(
        _ steps: [Step], entersJoint: Bool = false, leavesAutomatically: Bool = false, addresses: [MemberAddress]? = []
    ) {
        self.steps = steps
        self.entersJoint = entersJoint
        self.leavesAutomatically = leavesAutomatically
        self.addresses = addresses
    }

    /// The change that leaves a joint configuration.
    package static var leaveJoint: MembershipChange { MembershipChange([]) }
}

/// Where a node is, and which disk it has.
package struct MemberAddress: Sendable, Hashable {
    package var node: UInt64
    /// `HOST:PORT`.
    package var endpoint: String
    /// Zero while unknown.
    package var incarnation: Incarnation

    package init(node: UInt64, endpoint: String, incarnation: Incarnation = .zero) {
        self.node = node
        self.endpoint = endpoint
        self.incarnation = incarnation
    }

    /// The context of a configuration entry.
    package static func encode(_ addresses: [MemberAddress]) -> [UInt8] {
        guard !addresses.isEmpty else { return [] }
        var writer = ByteWriter()
        writer.byte(1)
        writer.varint(addresses.count)
        for address in addresses {
            writer.varint(address.node)
            writer.text(address.endpoint)
            writer.identifier(address.incarnation)
        }
        return writer.bytes
    }

    /// Reads the context of a configuration entry; an empty one names nobody. Nil for bytes that are no context.
    package static func decode(_ context: [UInt8]) -> [MemberAddress]? {
        guard !context.isEmpty else { return [] }
        var reader = ByteReader(context)
        do throws(DecodeError) {
            try reader.version(1, of: "addresses of members")
            var addresses: [MemberAddress] = []
            for _ in 0..<(try reader.count(itemBytes: 2 + Identifier.byteCount)) {
                addresses.append(
                    MemberAddress(
                        node: try reader.varint(), endpoint: try reader.text(), incarnation: try reader.identifier()))
            }
            try reader.finish()
            return addresses
        } catch {
            return nil
        }
    }
}

extension Members {
    /// The configuration after a change, or why it does not fit this one (thesis §4.1, §4.3).
    package func changed(by change: MembershipChange) throws(Refusal) -> Members {
        var changed = self
        if change.leavesJoint {
            guard isJoint else { throw Self.misfit("there is no joint configuration to leave") }
            changed.learners = (learners + nextLearners).sorted()
            changed.nextLearners = []
            changed.outgoingVoters = []
            changed.leavesAutomatically = false
            return changed
        }
        guard !isJoint else { throw Self.misfit("another change of the configuration is under way") }
        guard !voters.isEmpty else { throw Self.misfit("there is no configuration yet") }
        if change.entersJoint {
            changed.outgoingVoters = voters
            changed.leavesAutomatically = change.leavesAutomatically
        }
        for step in change.steps where step.node != 0 { changed.take(step) }
        guard !changed.voters.isEmpty else { throw Self.misfit("no voter would be left") }
        let differing =
            voters.count { !changed.voters.contains($0) } + changed.voters.count { !voters.contains($0) }
        guard change.entersJoint || differing <= 1 else {
            throw Self.misfit("more than one voter would change at once")
        }
        return changed
    }

    /// Two configurations decide together.
    package var isJoint: Bool { !outgoingVoters.isEmpty }

    /// Every member once, ascending.
    package var everyone: [UInt64] {
        var all = voters
        for node in outgoingVoters + learners + nextLearners where !all.contains(node) { all.append(node) }
        return all.sorted()
    }

    private mutating func take(_ step: MembershipChange.Step) {
        let node = step.node
        switch step.kind {
        case .addVoter:
            drop(node)
            voters = (voters + [node]).sorted()
        case .remove:
            drop(node)
        case .addLearner:
            guard !learners.contains(node) else { return }
            drop(node)
            // An outgoing voter becomes a learner only when the joint configuration is left.
            if outgoingVoters.contains(node) {
                nextLearners = (nextLearners + [node]).sorted()
            } else {
                learners = (learners + [node]).sorted()
            }
        case .update:
            break
        }
    }

    /// Out of everything but the old half.
    private mutating func drop(_ node: UInt64) {
        voters.removeAll { $0 == node }
        learners.removeAll { $0 == node }
        nextLearners.removeAll { $0 == node }
    }

    private static func misfit(_ sentence: String) -> Refusal {
        Refusal(.preconditionFailed, "the change does not fit the configuration: \(sentence)")
    }
}
