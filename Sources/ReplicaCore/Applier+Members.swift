// The configuration: a change takes effect when it is applied, unless it would leave something published without a quorum.
extension Applier {
    /// Applies a configuration entry; a change that is refused does nothing, on every node alike.
    mutating func configure(_ change: MembershipChange?, _ group: inout ApplyGroup) throws(RowError) {
        var refusal: Refusal?
        var changed = members
        do throws(Refusal) {
            guard let change else { throw Refusal(.invalidArgument, "the configuration change cannot be read") }
            changed = try members.changed(by: change)
            try check(change, to: changed)
        } catch {
            refusal = error
        }
        // The half that is left alone later was looked at when the joint configuration was entered, and every publish since has a
        // quorum of it.
        if refusal == nil, changed.voters != members.voters { refusal = try lackOfQuorum(in: changed, &group) }
        if refusal == nil, let change { install(changed, change, &group) }
        group.output.configurations.append(
            ConfigurationOutcome(index: group.index, members: members, refusal: refusal))
    }

    /// Refuses IDs that were used before and members without an address. Two may share one: a new disk under a new ID where the old
    /// one was.
    private func check(_ change: MembershipChange, to changed: Members) throws(Refusal) {
        guard let addresses = change.addresses else {
            throw Refusal(.invalidArgument, "the addresses in the configuration change cannot be read")
        }
        guard changed.everyone.count <= Limits.membersMax else {
            throw Refusal(.resourceExhausted, "a cluster has at most \(Limits.membersMax) members")
        }
        for node in changed.everyone where !members.contains(node) {
            if roster[node] != nil { throw roster.refusal(ofUsed: node, beside: members) }
            guard let address = addresses.last(where: { $0.node == node }), !address.endpoint.isEmpty else {
                throw Refusal(.invalidArgument, "node \(node) would join without an address")
            }
        }
    }

    /// Why the voters of a configuration do not hold everything that is published, if so: a quorum of them must be complete.
    private func lackOfQuorum(in changed: Members, _ group: inout ApplyGroup) throws(RowError) -> Refusal? {
        // Its versions count once they are visible, and then they must be on a quorum of who votes then.
        if let seed, seed.versions > 0, !seed.isGivenUp(by: site) {
            return Refusal(
                .unavailable,
                "this site is being seeded, with versions that new voters may not hold; wait until 'holdfast site status' "
                    + "shows that it is over")
        }
        group.overlay.settle()
        let last = try ModelReader.lastPublish(at: state, rows: group.overlay)
        let complete = completeness.filter { $0.through >= last }.map(\.node)
        guard last > 0, !Members(voters: changed.voters).isQuorum(complete) else { return nil }
        return Refusal(
            .unavailable,
            "of the voters \(changed.voters) only \(changed.voters.filter(complete.contains)) hold every published chunk, "
                + "which is no quorum; wait until 'holdfast cluster status' shows more of them complete")
    }

    private mutating func install(_ changed: Members, _ change: MembershipChange, _ group: inout ApplyGroup) {
        let before = roster.records
        for node in members.everyone where roster[node] == nil { roster.set(MemberRecord(node: node)) }
        for node in changed.everyone where roster[node] == nil {
            roster.set(MemberRecord(node: node, joined: group.index))
        }
        for address in change.addresses ?? [] {
            guard changed.contains(address.node), var record = roster[address.node] else { continue }
            record.endpoint = address.endpoint
            if address.incarnation != .zero { record.incarnation = address.incarnation }
            roster.set(record)
        }
        for node in members.everyone where !changed.contains(node) {
            guard var record = roster[node] else { continue }
            record.removed = group.index
            roster.set(record)
            completeness.removeAll { $0.node == node }
            group.overlay.delete(RowKey.completeness(node))
        }
        roster.index = group.index
        members = changed
        for record in roster.records where !before.contains(record) {
            group.overlay.putUnread(RowKey.memberRecord(record.node), record.encoded())
        }
        group.overlay.putUnread(RowKey.configurationIndex, roster.indexRow)
        group.overlay.put(RowKey.members, members.encoded())
        group.output.members = members
        group.output.roster = roster
    }
}

extension Roster {
    var indexRow: [UInt8] {
        var writer = ByteWriter()
        writer.byte(1)
        writer.fixed64(index)
        return writer.bytes
    }

    /// The refusal of a node ID that was used before.
    package func refusal(ofUsed node: UInt64, beside members: Members) -> Refusal {
        Refusal(
            .alreadyExists,
            "node ID \(node) was used before, and IDs are never used again; format the node under a new one, such as "
                + "\(nextID(beside: members))")
    }
}
