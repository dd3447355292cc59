@testable internal import RaftCore
internal import Testing

/// What goes beyond etcd/raft: the payload window, sessions and streams, snapshots that come late, quotas, refusals.
@Suite("Windows, sessions and quotas")
struct WindowTests {
    private func led(_ adjust: (inout RaftConfiguration) -> Void) -> Simulation {
        let simulation = Simulation(voters: [1, 2, 3], count: 3, adjust: adjust)
        simulation.step(1, .campaign)
        simulation.settle()
        return simulation
    }

    private func refusals(_ effects: [Effect]) -> [Refusal] {
        effects.compactMap { if case .dropped(let refusal) = $0 { refusal } else { nil } }
    }

    @Test("entries that left memory are read from the log store, once at a time, and bring a laggard up to date")
    func laggardIsServedFromTheStore() {
        let simulation = led {
            $0.windowBytesMax = 0
            $0.messageBytesMax = 40
        }
        for number in 0..<20 {
            simulation.propose(1, [UInt8(number), 0, 0, 0])
            for _ in 0..<4 { simulation.settleExcept(3) }
        }
        let leader = simulation[1]
        #expect(leader.raft.progress(of: 3)?.match == 1)
        _ = leader.step(.tick)
        _ = leader.step(.collect)
        _ = leader.step(.receive(Message(.heartbeatResponse, to: 1, from: 3, term: 1)))
        _ = leader.step(.receive(Message(.heartbeatResponse, to: 1, from: 3, term: 1)))
        let wishes = leader.step(.collect).compactMap { effect -> LogIndex? in
            if case .readLog(let node, let first, _) = effect, node == 3 { first } else { nil }
        }
        #expect(wishes.count <= 1)
        _ = leader.step(.logRead(to: 3, first: wishes.first ?? 0, entries: []))
        for _ in 0..<8 {
            simulation.step(1, .tick)
            simulation.settle()
        }
        #expect(simulation[3].raft.appliedIndex == leader.raft.appliedIndex)
        #expect(simulation[3].raft.lastIndex == 21)
        #expect(simulation.violations.isEmpty)
    }

    @Test("what the log store gives is not sent if it is not this leader's log")
    func foreignEntriesAreNotSent() {
        let simulation = led { $0.windowBytesMax = 0 }
        let effects = simulation[1].step(.logRead(to: 3, first: 1, entries: [Entry(term: 9, index: 1)]))
        #expect(effects.isEmpty)
        #expect(simulation[1].raft.progress(of: 3)?.match == 1)
    }

    @Test("an answer from an earlier membership of a node proves nothing")
    func oldSessionsAreIgnored() {
        let simulation = led { _ in }
        let leader = simulation[1]
        let oldSession = leader.raft.progress(of: 3)?.session ?? 0
        #expect(oldSession != 0)
        for kind in [ConfigurationChange.Step.Kind.remove, .addVoter] {
            simulation.step(1, .proposeConfiguration(ConfigurationChange([.init(kind, 3)])))
            for _ in 0..<6 { simulation.settleExcept(3) }
        }
        #expect(leader.raft.confState.voters == [1, 2, 3])
        let session = leader.raft.progress(of: 3)?.session ?? 0
        #expect(session != oldSession)
        #expect(leader.raft.progress(of: 3)?.match == 0)
        let index = leader.raft.lastIndex
        _ = leader.step(
            .receive(Message(.appendEntriesResponse, to: 1, from: 3, term: 1, index: index, session: oldSession)))
        #expect(leader.raft.progress(of: 3)?.match == 0)
        _ = leader.step(.receive(Message(.appendEntriesResponse, to: 1, from: 3, term: 1, index: index)))
        #expect(leader.raft.progress(of: 3)?.match == 0, "an answer without a session is one from nowhere")
        _ = leader.step(
            .receive(Message(.appendEntriesResponse, to: 1, from: 3, term: 1, index: index, session: session)))
        #expect(leader.raft.progress(of: 3)?.match == index)
    }

    @Test("a window of appends that arrive out of order is given up once, not once for each rejection")
    func rejectionsOfAnEarlierStreamAreIgnored() {
        let simulation = led { $0.messageBytesMax = 8 }
        let leader = simulation[1]
        func appends(_ event: Event) -> [Message] {
            (leader.step(event) + leader.step(.collect)).compactMap { effect in
                if case .send(let message) = effect, message.kind == .appendEntries, message.to == 3 {
                    message
                } else {
                    nil
                }
            }
        }
        func answer(_ append: Message, reject: Bool) -> Event {
            .receive(
                Message(
                    .appendEntriesResponse, to: 1, from: 3, term: 1, logTerm: reject ? 1 : 0,
                    index: append.index + (reject ? 0 : UInt64(append.entries.count)), reject: reject,
                    rejectHint: reject ? 1 : 0, session: append.session))
        }
        let window = (0..<40).flatMap { appends(.propose([[UInt8](repeating: $0, count: 8)])) }
        #expect(window.count == 40)
        // Of a window the first append arrives last: all others are rejected.
        let rejections = window.dropFirst().map { answer($0, reject: true) }
        let probes = rejections.flatMap { appends($0) }
        #expect(probes.count == 1 && probes.first?.index == 1)
        let stream = appends(answer(window[0], reject: false))
        #expect(stream.count == 39 && leader.raft.progress(of: 3)?.state == .replicate)
        // The network brings the rejections, the acknowledgement and the probe's answer once more.
        let again = rejections + [answer(window[0], reject: false)] + probes.map { answer($0, reject: false) }
        #expect(again.flatMap { appends($0) }.isEmpty)
        #expect(leader.raft.progress(of: 3)?.state == .replicate)
        // An acknowledgement is true whatever stream it is of.
        _ = leader.step(answer(window[20], reject: false))
        #expect(leader.raft.progress(of: 3)?.match == window[20].index + 1)
        // A rejection of the present stream counts.
        #expect(appends(answer(stream[30], reject: true)).count == 1)
        #expect(leader.raft.progress(of: 3)?.state == .probe)
    }

    @Test("a follower that installed its snapshot when the log behind it was gone is sent a newer one, not left alone")
    func logGoneBehindAnInstalledSnapshot() {
        let simulation = led { _ in }
        func advance() {
            for number in 0..<5 {
                simulation.propose(1, [UInt8(number)])
                for _ in 0..<4 { simulation.settleExcept(3) }
            }
            simulation.compact(1)
        }
        advance()
        let leader = simulation[1]
        // It is told of the snapshot, and takes long to fetch it.
        _ = leader.step(.unreachable(3))
        let heartbeat = Message(.heartbeatResponse, to: 1, from: 3, term: leader.raft.term)
        let offers = (leader.step(.receive(heartbeat)) + leader.step(.collect)).compactMap { effect in
            if case .send(let message) = effect, message.kind == .installSnapshot { message } else { nil }
        }
        #expect(offers.count == 1 && leader.raft.progress(of: 3)?.state == .snapshot)
        guard let offer = offers.first, let snapshot = offer.snapshot else { return }
        advance()
        #expect(leader.raft.firstIndex > snapshot.index + 1)
        let installed = Message(
            .appendEntriesResponse, to: 1, from: 3, term: leader.raft.term, index: snapshot.index,
            session: offer.session)
        let next = (leader.step(.receive(installed)) + leader.step(.collect)).compactMap { effect in
            if case .send(let message) = effect, message.to == 3 { message.snapshot } else { nil }
        }
        #expect(next.map(\.index) == [leader.raft.firstIndex - 1])
        // The same where the only snapshot to offer is the old one.
        _ = leader.step(.snapshotReported(3, succeeded: false))
        _ = leader.step(.snapshotAvailable(snapshot))
        let asked = leader.step(.receive(heartbeat)) + leader.step(.collect)
        #expect(asked.contains { if case .snapshotNeeded(for: 3, _) = $0 { true } else { false } })
        #expect(!asked.contains { if case .send(let message) = $0 { message.kind == .installSnapshot } else { false } })
    }

    @Test("proposals beyond the quota on uncommitted bytes are refused until some are applied")
    func uncommittedQuotaHolds() {
        let simulation = led { $0.uncommittedBytesMax = 100 }
        let payload = [UInt8](repeating: 7, count: 60)
        #expect(refusals(simulation[1].step(.propose([payload]))).isEmpty)
        #expect(refusals(simulation[1].step(.propose([payload]))) == [.uncommittedQuota])
        // Free of charge: an empty entry.
        #expect(refusals(simulation[1].step(.propose([[]]))).isEmpty)
        simulation.step(1, .collect)
        simulation.settle()
        #expect(refusals(simulation[1].step(.propose([payload]))).isEmpty)
    }

    @Test("a follower that applies too slowly takes no more entries, and catches up once it has applied")
    func slowFollowersAreBounded() {
        let simulation = led {
            $0.unappliedBytesMax = if $0.id == 3 { 100 } else { .max }
            $0.inflightMessagesMax = 4
        }
        for number in 0..<30 {
            simulation.propose(1, [UInt8](repeating: UInt8(number), count: 40))
            simulation.settle(applying: { $0 != 3 })
            simulation.step(1, .tick)
        }
        let unapplied = simulation[3].raft.lastIndex - simulation[3].raft.appliedIndex
        #expect(unapplied > 1 && unapplied < 6)
        #expect(simulation[1].raft.appliedIndex == 31)
        for _ in 0..<30 {
            simulation.step(1, .tick)
            simulation.settle()
        }
        #expect(simulation[3].raft.appliedIndex == 31)
        #expect(simulation.violations.isEmpty)
    }

    @Test("a commit index that is durable without its entries is forgotten at the start")
    func commitBeyondTheLogIsForgotten() {
        var disk = Disk()
        disk.configuration = ConfState(voters: [1, 2, 3])
        disk.entries = [Entry(term: 1, index: 1)]
        disk.hardState = HardState(term: 1, vote: 2, commit: 3)
        #expect(SimulatedNode(settings: RaftConfiguration(id: 1), disk: disk).raft.commitIndex == 1)
    }

    @Test("entries count as etcd/raft counts them")
    func entrySizes() {
        #expect(Entry(term: 1, index: 1).encodedSize == 4)
        #expect(Entry(kind: .voided, term: 1, index: 1).encodedSize == 6)
        #expect(Entry(term: 128, index: 1 << 14, data: [1, 2, 3]).encodedSize == 12)
        #expect(Entry(term: .max, index: .max).encodedSize == 22)
        #expect(ConfigurationChange.leaveJoint.encoded() == [0x08, 0x00])
    }

    @Test("reads beyond the quota are refused")
    func readQuotaHolds() {
        let simulation = led { $0.pendingReadsMax = 2 }
        for context in 1...UInt64(2) {
            #expect(refusals(simulation[1].step(.readIndex(context: context))).isEmpty)
        }
        #expect(refusals(simulation[1].step(.readIndex(context: 3))) == [.readQuota])
    }

    @Test("committed entries are handed out within the limit until they are reported applied")
    func applyingIsBounded() {
        let simulation = led { $0.applyingBytesMax = 64 }
        for number in 0..<10 { _ = simulation[1].step(.propose([[UInt8](repeating: UInt8(number), count: 30)])) }
        simulation.step(1, .collect)
        let leader = simulation[1]
        for persist in leader.writes {
            leader.disk.write(persist)
            for response in persist.responses where response.to == 1 { _ = leader.step(.receive(response)) }
            _ = leader.step(.persisted(through: persist.sequence))
        }
        leader.writes = []
        _ = leader.step(.receive(leader.acknowledgement(from: 2, of: leader.raft.lastIndex)))
        func batch() -> [Entry] {
            for effect in leader.step(.collect) { if case .apply(let entries) = effect { return entries } }
            return []
        }
        let first = batch()
        #expect(first.count == 1)
        #expect(batch().isEmpty)
        _ = leader.step(.applied(through: first[0].index))
        #expect(batch().first?.index == first[0].index + 1)
    }

    @Test("every refusal of a proposal names its reason")
    func refusalsNameTheirReason() {
        let simulation = led { _ in }
        #expect(refusals(simulation[2].step(.propose([[1]]))) == [.notLeader(1)])
        let alone = Simulation(voters: [1, 2, 3], count: 3)
        #expect(refusals(alone[1].step(.propose([[1]]))) == [.noLeader])
        #expect(refusals(alone[1].step(.readIndex(context: 1))) == [.noLeader])
        #expect(
            refusals(alone[1].step(.receive(Message(.appendEntriesResponse, to: 1, from: 9, term: 1)))) == [
                .unknownPeer(9)
            ])
        #expect(refusals(simulation[1].step(.proposeConfiguration(.leaveJoint))) == [.notJoint])
    }

    @Test("a proposal is told the index and the term it took")
    func proposalsAreNumbered() {
        let simulation = led { _ in }
        let effects = simulation[1].step(.propose([[1], [2], [3]]))
        guard case .proposed(let first, let term, let count)? = effects.first else {
            Issue.record("no answer")
            return
        }
        #expect(first == 2 && term == 1 && count == 3)
        simulation.step(1, .collect)
        simulation.settle()
        #expect(simulation.history.suffix(3).map(\.data) == [[1], [2], [3]])
    }

    @Test("malformed appends are not taken")
    func malformedAppendsAreIgnored() {
        let simulation = led { _ in }
        let follower = simulation[2]
        let last = follower.raft.lastIndex
        let bad: [[Entry]] = [
            [Entry(term: 1, index: last + 2)],
            [Entry(term: 1, index: last + 1), Entry(term: 1, index: last + 3)],
            [Entry(term: 2, index: last + 1)],
            [Entry(term: 0, index: last + 1)],
        ]
        for entries in bad {
            _ = follower.step(
                .receive(Message(.appendEntries, to: 2, from: 1, term: 1, logTerm: 1, index: last, entries: entries)))
            #expect(follower.raft.lastIndex == last)
        }
    }

    @Test("the record of a configuration change survives its codec, and bad bytes give none")
    func configurationCodec() {
        let changes = [
            ConfigurationChange(
                [.init(.addVoter, 300), .init(.remove, 1)], transition: .jointExplicit, context: [1, 2]),
            ConfigurationChange([.init(.addLearner, .max)], form: .single, context: [9]),
            .leaveJoint,
        ]
        for change in changes {
            let data = change.encoded()
            #expect(ConfigurationChange(Entry(kind: change.entryKind, data: data)) == change)
            for cut in 1..<max(data.count, 1) {
                let read = ConfigurationChange(Entry(kind: change.entryKind, data: Array(data.prefix(cut))))
                #expect(read != change)
            }
        }
        for bytes in [[0xFF], [0x08, 0x09], [0x12, 0x7F, 0x08], [0x0B, 0x00], [UInt8](repeating: 0x80, count: 12)]
            as [[UInt8]]
        {
            #expect(ConfigurationChange(Entry(kind: .configurationChangeV2, data: bytes)) == nil)
        }
    }
}
