internal import RaftCore
internal import ReplicaCore

/// A poll of the other site, or one step of a rejoin, with all that follows from the answer, in order.
struct SiteTask {
    enum Kind { case poll, rejoin, seed, clear }

    enum Step {
        case propose(SiteCommand)
        /// Names the chunks of a version from an ordinal on, as the primary has them.
        case list(SiteShipment.Publish, first: UInt64)
        /// Fetches what no member has.
        case gather(SiteShipment.Publish)
        case receipts(SiteShipment.Publish)
        case ship(SiteShipment)
        case compare(SiteAnswer, CommonRevision)
        /// Asks where the site is to be brought.
        case target
        /// Asks what differs from the next ranges.
        case fill(SeedRecord, SeedRowsRequest)
        case stage(SeedStep)
    }

    var kind: Kind
    var number: UInt64
    /// When a poll was sent; when a leader began to go on with a seed.
    var sent: Instant
    var deadline: Instant
    /// The site as it was when the poll was sent.
    var view: SiteView
    /// The link's request, or the proposal, that is waited for.
    var awaited: UInt64
    var steps: [Step] = []
    /// Nodes that hold every chunk of the next revision; nil before the first version of it.
    var receipts: [Publication.Receipt]?
    var hasMore = false
    /// A seed is what comes next.
    var seeds = false

    /// Waits for chunks, and is looked after again and again.
    var gathers: Bool {
        switch steps.first {
        case .gather, .receipts: true
        default: false
        }
    }
}

// Polling the other site, and applying what it ships.
extension SitePart {
    func begin(_ kind: SiteTask.Kind) {
        guard let view = view(), view.record.peer != nil, let own = view.report else { return }
        if kind == .rejoin, view.record.role == .primary { return }
        let term = process.raft.term
        if kind == .poll, known.term != term || known.epoch != view.record.epoch {
            known = Known(term: term, epoch: view.record.epoch, ticked: known.ticked)
        }
        let number = nextCall()
        tasks.append(
            SiteTask(
                kind: kind, number: number, sent: world.now, deadline: world.now + Self.patience, view: view,
                awaited: number))
        let bytesMax = kind == .poll && own.role == .standby ? UInt64(Limits.sitePollBytesMax) : 0
        ask(number, .poll(own, bytesMax: bytesMax))
    }

    private func ask(_ number: UInt64, _ content: LinkMessage.Content) {
        sites.send(LinkMessage(from: own, to: sites.anyNode(of: 1 - place), number: number, content: content))
    }

    private func ask(_ index: Int, _ content: LinkMessage.Content) {
        let number = nextCall()
        tasks[index].awaited = number
        tasks[index].deadline = world.now + Self.patience
        ask(number, content)
    }

    /// The other site answers a request of this one.
    func answered(_ message: LinkMessage) {
        if case .chunk(let chunk) = message.content {
            if !process.node.chunks.holds(chunk), !process.fetching.contains(chunk) { process.write(chunk, for: nil) }
            return
        }
        guard let index = tasks.firstIndex(where: { $0.awaited == message.number }) else { return }
        switch (message.content, tasks[index].steps.first) {
        case (.answer(let answer), nil):
            if tasks[index].kind == .poll { take(answer, index) } else { takeRejoining(answer, index) }
        case (.listed(let ids), .list(let publish, let first)?):
            let record = publish.record
            guard !ids.isEmpty else {
                tasks.remove(at: index)
                return
            }
            tasks[index].steps.removeFirst()
            let next = first + UInt64(ids.count)
            if next < record.chunks { tasks[index].steps.insert(.list(publish, first: next), at: 0) }
            tasks[index].steps.insert(
                .propose(
                    .stage(
                        SiteStage(
                            upload: record.upload, number: record.uploadNumber, name: publish.name,
                            version: publish.version, first: first, ids: ids))), at: 0)
        case (.hashed(let theirs), .compare(let answer, var search)?):
            search.compare(hashes(search.probes), theirs)
            tasks[index].steps[0] = .compare(answer, search)
        case (.target(let target), .target?): take(target, index)
        case (.ranges(let answer), .fill(let seed, _)?): take(answer, of: seed, index)
        default: return
        }
        if let index = tasks.firstIndex(where: { $0.awaited == message.number }) { advance(index) }
    }

    private func take(_ answer: SiteAnswer, _ index: Int) {
        let (view, other) = (tasks[index].view, answer.report)
        guard let own = view.report, let peer = view.record.peer, other.site == peer.site else {
            tasks.remove(at: index)
            return
        }
        hear(other, as: view.record)
        known.isDiverged = answer.relation == .diverged && other.role == .primary
        if SiteLink.bounds(answer, at: view.record) {
            known.recovery.answered(
                sent: tasks[index].sent * 1000, revision: other.position.revision, durable: view.state.revision)
            sites.checkRecovery(process)
        }
        tasks[index].hasMore = !answer.entries.isEmpty
        tasks[index].seeds = SiteLink.seeds(on: answer, at: view)
        for command in SiteLink.commands(on: answer, at: view.record, own: own, primaryEndpoints: peer.endpoints) {
            if case .apply(let shipment) = command {
                if view.seed == nil { tasks[index].steps += steps(of: shipment) }
            } else {
                tasks[index].steps.append(.propose(command))
            }
        }
    }

    private func steps(of shipment: SiteShipment) -> [SiteTask.Step] {
        do throws(DecodeError) {
            let pieces = try shipment.pieces(hash: QuickHash.self, bytesMax: 512)
            guard pieces.last?.shipment.hash == shipment.hash else {
                world.note { "what the primary shipped is not what its chain hash covers" }
                return []
            }
            return pieces.flatMap { piece, publishes in
                publishes.flatMap { [.list($0, first: 0), .gather($0), .receipts($0)] } + [.ship(piece)]
            }
        } catch {
            world.fail("what the primary shipped cannot be read: \(error)")
            return []
        }
    }

    private func takeRejoining(_ answer: SiteAnswer, _ index: Int) {
        let view = tasks[index].view
        // A poll does the rest where all of it is there.
        guard !answer.holds(all: view.record) else {
            tasks.remove(at: index)
            return
        }
        let low = max(view.state.feedFloor, answer.feedFloor)
        let high = min(view.state.revision, answer.report.position.revision)
        guard low <= high else { return rewind(on: answer, to: commonBelow(low, answer, view), index) }
        tasks[index].steps = [.compare(answer, CommonRevision(floor: low, end: high))]
    }

    /// What the two share by where their epochs began, below what both feeds still have.
    private func commonBelow(_ low: UInt64, _ answer: SiteAnswer, _ view: SiteView) -> UInt64? {
        guard let common = answer.common(with: view.record), common.revision < low else { return nil }
        if let theirs = common.hash, let ours = hashes([common.revision]).first, ours != .zero, ours != theirs {
            return nil
        }
        return common.revision
    }

    private func rewind(on answer: SiteAnswer, to common: UInt64?, _ index: Int) {
        let view = tasks[index].view
        guard let common, common >= view.state.feedFloor, let own = view.report,
            let command = SiteLink.rewind(on: answer, at: view.record, own: own, common: common)
        else {
            tasks.remove(at: index)
            return
        }
        tasks[index].steps = [.propose(command)]
    }

    /// Does the next step of a task, or ends it.
    func advance(_ index: Int) {
        guard let step = tasks[index].steps.first else {
            let task = tasks.remove(at: index)
            guard leads else { return }
            switch task.kind {
            case .poll where task.seeds: goOnSeeding(.seed, since: world.now)
            case .poll: if task.hasMore { begin(.poll) }
            case .seed, .clear: goOnSeeding(task.kind, since: task.sent)
            case .rejoin: return
            }
            return
        }
        tasks[index].deadline = world.now + Self.proposalPatience
        switch step {
        case .propose(let command): tasks[index].awaited = propose(command)
        case .list(let publish, let first):
            ask(index, .list(publish.record.upload, number: publish.record.uploadNumber, first: first))
        case .gather, .receipts:
            tasks[index].awaited = 0
            gather(tasks[index].number)
        case .ship(var piece):
            guard leads else {
                tasks.remove(at: index)
                return
            }
            piece.durableOn = tasks[index].receipts ?? []
            tasks[index].awaited = propose(.apply(piece))
        case .compare(let answer, let search): compare(answer, search, index)
        case .target: if let own = tasks[index].view.report { ask(index, .targetAsk(own)) }
        case .fill(_, let request): ask(index, .rangesAsk(request))
        case .stage(var step):
            guard leads else {
                tasks.remove(at: index)
                return
            }
            step.durableOn = tasks[index].receipts ?? []
            tasks[index].awaited = propose(.seedStep(step))
        }
    }

    private func compare(_ answer: SiteAnswer, _ search: CommonRevision, _ index: Int) {
        guard search.probes.isEmpty else { return ask(index, .hashes(search.probes)) }
        let (number, view) = (tasks[index].number, tasks[index].view)
        guard !search.isVoid else {
            tasks.remove(at: index)
            return
        }
        let low = max(view.state.feedFloor, answer.feedFloor)
        rewind(on: answer, to: search.found ?? commonBelow(low, answer, view), index)
        if let index = tasks.firstIndex(where: { $0.number == number }) { advance(index) }
    }

    /// A proposal of a task was decided, or may never be.
    func decided(_ index: Int, _ answer: Answer) {
        guard case .outcome(let outcome) = answer, let step = tasks[index].steps.first else {
            tasks.remove(at: index)
            return
        }
        if case .refused(let refusal) = outcome {
            world.note { "node \(self.process.id), of the other site: \(refusal.message)" }
            tasks.remove(at: index)
            return
        }
        if case .ship(let piece) = step {
            known.recovery.advanced(durable: piece.after.revision + UInt64(piece.entries.count))
            sites.checkRecovery(process)
            tasks[index].receipts = nil
        }
        if case .stage = step { tasks[index].receipts = nil }
        tasks[index].steps.removeFirst()
        advance(index)
    }

    // MARK: chunks

    /// Asks for chunks that this node lacks, of members first, and for receipts when it has all.
    func gather(_ number: UInt64) {
        guard let index = tasks.firstIndex(where: { $0.number == number }) else { return }
        switch tasks[index].steps.first {
        case .gather(let publish)?:
            let record = publish.record
            let lacking = process.list(record.upload, record.uploadNumber, from: 0, limit: .max).map(\.id)
                .filter { !process.node.chunks.holds($0) }
            guard !lacking.isEmpty else {
                tasks[index].steps.removeFirst()
                return advance(index)
            }
            for chunk in lacking {
                if world.dice.chance(perMille: 500) { process.fetch(chunk) } else { ask(nextCall(), .chunkAsk(chunk)) }
            }
        case .receipts(let publish)?:
            let record = publish.record
            if !process.publishes.contains(where: { $0.publication.upload == record.upload }) {
                let publication = Publication(
                    upload: record.upload, name: publish.name, version: publish.version, root: record.root,
                    bytes: record.bytes, chunks: record.chunks, files: record.files, durableOn: [])
                process.publishes.append(PublishRun(ticket: .nobody, publication: publication, isStaged: true))
            }
            process.askForReceipts()
        default: return
        }
    }

    /// A quorum holds every chunk of a version that the other site has published.
    func gathered(_ receipts: [Publication.Receipt], for upload: UploadID) {
        for index in tasks.indices {
            guard case .receipts(let publish)? = tasks[index].steps.first, publish.record.upload == upload else {
                continue
            }
            let before = tasks[index].receipts
            tasks[index].receipts = (before.map { $0.filter(receipts.contains) } ?? receipts).sorted {
                $0.node < $1.node
            }
            tasks[index].steps.removeFirst()
            return advance(index)
        }
    }
}
