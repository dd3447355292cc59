@testable internal import RaftCore

/// Replays an interaction script: a group of replicas, and the messages between them, driven command by command.
final class ScriptInteraction {
    private var replicas: [ScriptReplica] = []
    private var mail: [Envelope] = []
    private var output = ""
    private var level = 0
    private static let levels = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE"]

    private var isQuiet: Bool { level == Self.levels.count - 1 }

    private func write(_ text: String) {
        if !isQuiet { output += text }
    }

    private func line(_ text: String) {
        write(text + "\n")
    }

    /// Runs one command; answers what it prints.
    func run(_ block: ScriptBlock) -> String {
        output = ""
        do {
            try handle(block)
        } catch {
            if isQuiet { return error.text }
            output += error.text
        }
        return output.isEmpty ? "ok" : output
    }

    private func handle(_ block: ScriptBlock) throws(ScriptError) {
        switch block.command {
        case "_breakpoint": break
        case "add-nodes": try addNodes(block)
        case "campaign": try first(block).step(.campaign)
        case "compact":
            let replica = try first(block)
            try replica.compact(through: try number(block, 1))
            printLog(replica)
        case "deliver-msgs": try deliver(block)
        case "process-ready":
            try each(block, "handling Ready") { replica throws(ScriptError) in try processReady(replica) }
        case "process-append-thread":
            try each(block, "processing append thread") { replica throws(ScriptError) in try processAppend(replica) }
        case "process-apply-thread":
            try each(block, "processing apply thread") { replica throws(ScriptError) in try processApply(replica) }
        case "log-level": try setLevel(block.arguments.first?.key ?? "")
        case "raft-log": printLog(try first(block))
        case "raft-state": printState()
        case "set-randomized-election-timeout":
            try first(block).setElectionTicks(block.values("timeout").first.flatMap { Int($0) } ?? 0)
        case "stabilize": try stabilize(block)
        case "status":
            let replica = try first(block)
            for progress in replica.raft.followers { line("\(progress.id): \(progress.text)") }
        case "tick-election": try tick(try first(block), { $0.electionTicks })
        case "tick-heartbeat": try tick(try first(block), { $0.heartbeatTicks })
        case "transfer-leadership": try transfer(block)
        case "forget-leader": try first(block).step(.forgetLeader)
        case "send-snapshot": try sendSnapshot(block)
        case "propose":
            guard block.arguments.count == 2 else { throw ScriptError(text: "expected exactly one key with no vals") }
            try first(block).stepOrThrow(.propose([Array(block.arguments[1].key.utf8)]))
        case "propose-conf-change": try proposeChange(block)
        case "report-unreachable":
            guard block.numbers.count == 2 else {
                throw ScriptError(
                    text: "must specify exactly two node indexes: node on which to report, and reported node")
            }
            try first(block).step(.unreachable(NodeID(block.numbers[1])))
        default: throw ScriptError(text: "unknown command")
        }
    }

    // MARK: arguments

    private func number(_ block: ScriptBlock, _ place: Int) throws(ScriptError) -> UInt64 {
        guard place < block.arguments.count, let value = UInt64(block.arguments[place].key) else {
            throw ScriptError(text: "argument \(place) is not a number")
        }
        return value
    }

    private func replica(_ id: UInt64) throws(ScriptError) -> ScriptReplica {
        guard id > 0, id <= UInt64(replicas.count) else { throw ScriptError(text: "no node \(id)") }
        return replicas[Int(id) - 1]
    }

    private func first(_ block: ScriptBlock) throws(ScriptError) -> ScriptReplica {
        try replica(try number(block, 0))
    }

    private func each(
        _ block: ScriptBlock, _ title: String, _ body: (ScriptReplica) throws(ScriptError) -> Void
    ) throws(ScriptError) {
        for id in block.numbers {
            if block.numbers.count > 1 { line("> \(id) \(title)") }
            try body(try replica(UInt64(id)))
            endLine()
        }
    }

    private func endLine() {
        if !output.isEmpty && !output.hasSuffix("\n") { output += "\n" }
    }

    private func setLevel(_ name: String) throws(ScriptError) {
        guard let place = Self.levels.firstIndex(of: name.uppercased()) else {
            throw ScriptError(text: "log levels must be either of [\(Self.levels.joined(separator: " "))]")
        }
        level = place
    }

    // MARK: nodes

    private func addNodes(_ block: ScriptBlock) throws(ScriptError) {
        var settings = RaftConfiguration(id: 1)
        settings.electionTicks = 3
        settings.messageBytesMax = .max
        settings.applyingBytesMax = .max
        settings.uncommittedBytesMax = .max
        settings.unappliedBytesMax = .max
        settings.inflightMessagesMax = Int(Int32.max)
        settings.inflightBytesMax = 0
        settings.windowBytesMax = .max
        settings.forwardsProposals = true
        settings.usesSessions = false
        settings.guardsLeases = false
        func flag(_ key: String) throws(ScriptError) -> Bool {
            guard let value = block.values(key).last else { return false }
            switch value {
            case "1", "t", "T", "true", "TRUE", "True": return true
            case "0", "f", "F", "false", "FALSE", "False": return false
            default: throw ScriptError(text: "\(key): not a boolean: \(value)")
            }
        }
        settings.preVote = try flag("prevote")
        settings.checkQuorum = try flag("checkquorum")
        settings.skipsConfigurationChecks = try flag("disable-conf-change-validation")
        settings.stepsDownOnRemoval = try flag("step-down-on-removal")
        let isAsync = try flag("async-storage-writes")
        settings.appliesUnpersisted = !isAsync
        if let value = block.values("inflight").last.flatMap({ Int($0) }) { settings.inflightMessagesMax = value }
        if let value = block.values("max-committed-size-per-ready").last.flatMap({ Int($0) }), value > 0 {
            settings.applyingBytesMax = value
        }
        switch block.values("read-only").last {
        case nil, "safe": break
        case "lease-based": settings.readMode = .lease(driftTicks: 0)
        case .some(let other): throw ScriptError(text: "invalid read-only option \"\(other)\"")
        }
        let state = ConfState(
            voters: block.values("voters").compactMap { UInt64($0) },
            learners: block.values("learners").compactMap { UInt64($0) })
        let index = block.values("index").last.flatMap { UInt64($0) } ?? 0
        let content = Array((block.values("content").last ?? "").utf8)
        let isBootstrap = index > 0 || !content.isEmpty || state != ConfState()
        if isBootstrap && index <= 1 { throw ScriptError(text: "index must be specified as > 1 due to bootstrap") }
        let bootstrap = Snapshot(index: index, term: isBootstrap ? 1 : 0, configuration: state, data: content)
        for _ in 0..<(try number(block, 0)) {
            settings.id = NodeID(replicas.count + 1)
            settings.seed = settings.id
            replicas.append(try ScriptReplica(configuration: settings, isAsync: isAsync, bootstrap: bootstrap))
        }
    }

    private func tick(_ replica: ScriptReplica, _ count: (RaftConfiguration) -> Int) throws(ScriptError) {
        for _ in 0..<count(replica.raft.configuration) { replica.step(.tick) }
    }

    // MARK: work

    private func processReady(_ replica: ScriptReplica) throws(ScriptError) {
        let turn = replica.collect()
        var persistWork: [Envelope] = []
        var messages = turn.messages.map { Envelope.peer($0) }
        if replica.isAsync {
            if let persist = turn.persist { persistWork.append(.appendRequest(replica.id, persist)) }
            if !turn.committed.isEmpty { persistWork.append(.applyRequest(replica.id, turn.committed)) }
        } else {
            for promise in turn.persist?.responses ?? [] where promise.to != replica.id {
                messages.append(.peer(promise))
            }
        }
        printTurn(turn, messages + persistWork)
        mail += messages
        if replica.isAsync {
            if let persist = turn.persist { replica.appendWork.append(persist) }
            if !turn.committed.isEmpty { replica.applyWork.append(turn.committed) }
            return
        }
        if let persist = turn.persist { try replica.write(persist) }
        try replica.apply(turn.committed)
        for promise in turn.persist?.responses ?? [] where promise.to == replica.id { replica.step(.receive(promise)) }
        if let persist = turn.persist { replica.step(.persisted(through: persist.sequence)) }
        if let last = turn.committed.last { replica.step(.applied(through: last.index)) }
    }

    private func printTurn(_ turn: ScriptTurn, _ messages: [Envelope]) {
        var text = ""
        if let now = turn.leadership { text += "Lead:\(now.leader) State:\(now.role.text)\n" }
        if let state = turn.persist?.hardState, !state.isEmpty { text += "HardState \(state.text)\n" }
        if !turn.reads.isEmpty {
            text += "ReadStates [" + turn.reads.map { "{\($0.index) [\($0.context)]}" }.joined(separator: " ") + "]\n"
        }
        if let entries = turn.persist?.entries, !entries.isEmpty {
            text += "Entries:\n" + entries.map { $0.text + "\n" }.joined()
        }
        if let snapshot = turn.persist?.snapshot { text += "Snapshot \(snapshot.text)\n" }
        if !turn.committed.isEmpty { text += "CommittedEntries:\n" + turn.committed.map { $0.text + "\n" }.joined() }
        if !messages.isEmpty { text += "Messages:\n" + messages.map { $0.text() + "\n" }.joined() }
        write(text.isEmpty ? "<empty Ready>" : "Ready MustSync=\(turn.persist?.mustSync ?? false):\n" + text)
    }

    private func processAppend(_ replica: ScriptReplica) throws(ScriptError) {
        guard !replica.appendWork.isEmpty else {
            write("no append work to perform")
            return
        }
        let persist = replica.appendWork.removeFirst()
        let request = Envelope.appendRequest(replica.id, persist)
        line("Processing:\n" + request.text(withResponses: false))
        try replica.write(persist)
        respond(request)
    }

    private func processApply(_ replica: ScriptReplica) throws(ScriptError) {
        guard !replica.applyWork.isEmpty else {
            write("no apply work to perform")
            return
        }
        let entries = replica.applyWork.removeFirst()
        let request = Envelope.applyRequest(replica.id, entries)
        line("Processing:\n" + request.text(withResponses: false))
        try replica.apply(entries)
        respond(request)
    }

    private func respond(_ request: Envelope) {
        line("Responses:")
        for response in request.responses { line(response.text()) }
        mail += request.responses
    }

    // MARK: messages

    private func deliver(_ block: ScriptBlock) throws(ScriptError) {
        var recipients: [(id: NodeID, isDropped: Bool)] = []
        for argument in block.arguments {
            if argument.values.isEmpty, let id = NodeID(argument.key) { recipients.append((id, false)) }
            if argument.key == "drop" { recipients += argument.values.compactMap { NodeID($0) }.map { ($0, true) } }
        }
        var count = 0
        for recipient in recipients {
            count += try deliver(to: recipient.id, kind: block.values("type").last, isDropped: recipient.isDropped)
        }
        if count == 0 { line("no messages") }
    }

    private func isFor(_ id: NodeID, _ kind: String?, _ isDropped: Bool) -> (Envelope) -> Bool {
        { $0.to == id && !(isDropped && $0.isLocal) && (kind == nil || $0.kindText == kind) }
    }

    private func deliver(to id: NodeID, kind: String?, isDropped: Bool) throws(ScriptError) -> Int {
        let taken = mail.filter(isFor(id, kind, isDropped))
        mail.removeAll(where: isFor(id, kind, isDropped))
        for envelope in taken {
            line((isDropped ? "dropped: " : "") + envelope.text())
            if isDropped { continue }
            let replica = try replica(id)
            do {
                switch envelope {
                case .peer(let message): try replica.stepOrThrow(.receive(message))
                case .appendResponse(_, let receipt): replica.step(.persisted(through: receipt.sequence))
                case .applyResponse(_, let entries):
                    if let last = entries.last { replica.step(.applied(through: last.index)) }
                case .appendRequest, .applyRequest: break
                }
            } catch {
                line(error.text)
            }
        }
        return taken.count
    }

    private func stabilize(_ block: ScriptBlock) throws(ScriptError) {
        let oldLevel = level
        defer { level = oldLevel }
        if let name = block.values("log-level").last { try setLevel(name) }
        var chosen: [ScriptReplica] = []
        for id in block.numbers { chosen.append(try replica(UInt64(id))) }
        if chosen.isEmpty { chosen = replicas }
        var isDone = false
        while !isDone {
            isDone = true
            for replica in chosen where replica.hasWork {
                line("> \(replica.id) handling Ready")
                try processReady(replica)
                endLine()
                isDone = false
            }
            for replica in chosen where mail.contains(where: isFor(replica.id, nil, false)) {
                line("> \(replica.id) receiving messages")
                _ = try deliver(to: replica.id, kind: nil, isDropped: false)
                isDone = false
            }
            for replica in chosen where !replica.appendWork.isEmpty {
                line("> \(replica.id) processing append thread")
                while !replica.appendWork.isEmpty { try processAppend(replica) }
                isDone = false
            }
            for replica in chosen where !replica.applyWork.isEmpty {
                line("> \(replica.id) processing apply thread")
                while !replica.applyWork.isEmpty { try processApply(replica) }
                isDone = false
            }
        }
    }

    private func sendSnapshot(_ block: ScriptBlock) throws(ScriptError) {
        let source = try first(block)
        let target = try number(block, 1)
        let message = Message(
            .installSnapshot, to: target, from: source.id, term: source.raft.term,
            snapshot: source.history[source.history.count - 1])
        mail.append(.peer(message))
        write(Envelope.peer(message).text())
    }

    private func transfer(_ block: ScriptBlock) throws(ScriptError) {
        guard let from = block.values("from").last.flatMap({ UInt64($0) }),
            let target = block.values("to").last.flatMap({ UInt64($0) })
        else { throw ScriptError(text: "expected from= and to=") }
        _ = try replica(target)
        try replica(from).step(.transferLeadership(to: target))
    }

    private func proposeChange(_ block: ScriptBlock) throws(ScriptError) {
        var isSingle = false
        var transition = ConfigurationChange.Transition.auto
        for argument in block.arguments.dropFirst() {
            for value in argument.values {
                switch (argument.key, value) {
                case ("v1", "true"), ("v1", "1"), ("v1", "t"): isSingle = true
                case ("v1", "false"), ("v1", "0"), ("v1", "f"): isSingle = false
                case ("transition", "auto"): transition = .auto
                case ("transition", "implicit"): transition = .jointImplicit
                case ("transition", "explicit"): transition = .jointExplicit
                case ("transition", _): throw ScriptError(text: "unknown transition \(value)")
                default: throw ScriptError(text: "unknown command \(argument.key)")
                }
            }
        }
        let steps = try ConfigurationChange.Step.list(block.input.joined(separator: "\n"))
        if isSingle && (steps.count > 1 || transition != .auto) {
            throw ScriptError(text: "v1 conf change can only have one operation and no transition")
        }
        let change = ConfigurationChange(steps, transition: transition, form: isSingle ? .single : .general)
        try first(block).stepOrThrow(.proposeConfiguration(change))
    }

    // MARK: printing

    private func printLog(_ replica: ScriptReplica) {
        let storage = replica.storage
        if storage.entries.isEmpty {
            write("log is empty: first index=\(storage.firstIndex), last index=\(storage.lastIndex)")
            return
        }
        for entry in storage.entries { line(entry.text) }
    }

    private func printState() {
        for replica in replicas {
            let voter = replica.raft.members.isVoter(replica.id) ? "(Voter)" : "(Non-Voter)"
            line(
                "\(replica.id): \(replica.raft.role.text) \(voter) Term:\(replica.raft.term) Lead:\(replica.raft.leader)"
            )
        }
    }
}

extension ConfigurationChange.Step {
    /// Reads `v1 l2 r3 u4`.
    static func list(_ text: String) throws(ScriptError) -> [ConfigurationChange.Step] {
        var steps: [ConfigurationChange.Step] = []
        for word in text.split(whereSeparator: \.isWhitespace) {
            guard word.count >= 2 else { throw ScriptError(text: "unknown token \(word)") }
            let kind: Kind
            switch word.first {
            case "v": kind = .addVoter
            case "l": kind = .addLearner
            case "r": kind = .remove
            case "u": kind = .update
            default: throw ScriptError(text: "unknown input: \(word)")
            }
            guard let node = NodeID(word.dropFirst()) else { throw ScriptError(text: "invalid node in \(word)") }
            steps.append(ConfigurationChange.Step(kind, node))
        }
        return steps
    }
}
