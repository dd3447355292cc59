internal import RaftCore
internal import ReplicaCore

// The chunk plane: taking chunks, receipts, publishing, completing, sweeping. The rules are those of the product's keeper, collector and sweeper, in a few
// lines each; names in rows, pins and the publish itself are the product's own.
extension Process {
    // MARK: a client's requests

    /// Takes a chunk of an open upload: only one that this node's applied rows name at that ordinal.
    func store(_ upload: UploadID, ordinal: UInt64, _ chunk: ChunkID, _ ticket: Ticket) {
        guard let info = openUpload(upload), list(upload, info.number, from: ordinal, limit: 1).first?.id == chunk
        else { return world.answer(ticket, .notNamed, from: id) }
        write(chunk, for: ticket)
    }

    /// Which chunks of an open upload are here.
    func have(_ upload: UploadID, _ ticket: Ticket) {
        guard let info = openUpload(upload) else { return world.answer(ticket, .notNamed, from: id) }
        let here = list(upload, info.number, from: 0, limit: .max).map { node.chunks.holds($0.id) }
        world.answer(ticket, .have(here), from: id)
    }

    /// Publishes once a quorum has given receipts for every chunk.
    func publish(_ publication: Publication, _ ticket: Ticket) {
        guard raft.role == .leader else { return world.answer(ticket, .notLeader(raft.leader), from: id) }
        publishes.removeAll { $0.publication.upload == publication.upload }
        publishes.append(PublishRun(ticket: ticket, publication: publication))
        askForReceipts()
    }

    func write(_ chunk: ChunkID, for ticket: Ticket?) {
        fetching.insert(chunk)
        let stall = node.stalledUntil > world.now ? node.stalledUntil - world.now : 0
        world.schedule(.chunkWritten(id, life, chunk, ticket), after: max(stall, world.dice.between(200, 5_000)))
    }

    func chunkWritten(_ chunk: ChunkID, _ ticket: Ticket?) {
        fetching.remove(chunk)
        node.chunks.insert(chunk)
        if let ticket { world.answer(ticket, .stored, from: id) }
    }

    // MARK: between nodes

    func receive(_ message: PlaneMessage, from sender: NodeID) {
        switch message {
        case .receiptAsk(let upload, let index):
            guard appliedIndex >= index, let receipt = receipt(of: upload) else { return }
            world.send(
                .receiptAnswer(upload, node.incarnation, named: receipt.named, missing: receipt.missing), id, sender)
        case .receiptAnswer(let upload, let incarnation, let named, let missing):
            count(upload, Publication.Receipt(node: sender, incarnation: incarnation), named: named, missing: missing)
        case .chunkAsk(let chunk):
            if node.chunks.holds(chunk) { world.send(.chunk(chunk), id, sender) }
        case .chunk(let chunk):
            if !node.chunks.holds(chunk) { write(chunk, for: nil) }
        case .forget: forget(sender)
        case .forgotten(let index): repairs(through: index)
        }
    }

    /// This node's word on an open upload; what is missing is asked for.
    private func receipt(of upload: UploadID) -> (named: UInt64, missing: UInt64)? {
        guard let info = openUpload(upload) else { return nil }
        var missing: UInt64 = 0
        let chunks = list(upload, info.number, from: 0, limit: .max)
        for chunk in chunks where !node.chunks.holds(chunk.id) {
            missing += 1
            fetch(chunk.id)
        }
        return (UInt64(chunks.count), missing)
    }

    func askForReceipts() {
        for place in publishes.indices where !publishes[place].isProposed {
            let upload = publishes[place].publication.upload
            guard let own = receipt(of: upload) else {
                // Of a standby: it begins anew with what the primary says.
                if publishes[place].isStaged {
                    publishes[place].isProposed = true
                    continue
                }
                // Not open: the proposal then tells what became of it.
                propose(publication(at: place, []), place)
                continue
            }
            count(
                upload, Publication.Receipt(node: id, incarnation: node.incarnation), named: own.named,
                missing: own.missing)
            let members = applier.members
            for voter in Set(members.voters + members.outgoingVoters).sorted() where voter != id {
                world.send(.receiptAsk(upload, appliedAtLeast: appliedIndex), id, voter)
            }
        }
        publishes.removeAll { $0.isProposed }
    }

    private func count(_ upload: UploadID, _ receipt: Publication.Receipt, named: UInt64, missing: UInt64) {
        guard let place = publishes.firstIndex(where: { $0.publication.upload == upload && !$0.isProposed }),
            missing == 0, named == publishes[place].publication.chunks
        else { return }
        publishes[place].receipts.removeAll { $0.node == receipt.node }
        publishes[place].receipts.append(receipt)
        let receipts = publishes[place].receipts
        guard applier.members.isQuorum(receipts.map(\.node)) else { return }
        if publishes[place].isStaged {
            publishes.remove(at: place)
            site?.gathered(receipts, for: upload)
            return
        }
        propose(publication(at: place, receipts), place)
    }

    private func publication(at place: Int, _ receipts: [Publication.Receipt]) -> Publication {
        var publication = publishes[place].publication
        publication.durableOn = receipts.sorted { $0.node < $1.node }
        return publication
    }

    private func propose(_ publication: Publication, _ place: Int) {
        publishes[place].isProposed = true
        propose(Envelope(time: 0, command: .publish(publication)).encoded(), publishes[place].ticket)
    }

    // MARK: completing

    func fetch(_ chunk: ChunkID) {
        guard !fetching.contains(chunk) else { return }
        let others = raft.confState.members.filter { $0 != id }
        guard !others.isEmpty else { return }
        world.send(.chunkAsk(chunk), id, world.dice.pick(others))
    }

    /// Fetches what published versions name and this node lacks, tells the cluster how far it is, and sweeps.
    func careForChunks() {
        guard world.climate.hasModels, install == nil else { return }
        askForReceipts()
        var isComplete = true
        var newest: UInt64 = 0
        let floor = applier.state.feedFloor
        for model in models() where !model.record.isRetired || model.modRevision > floor {
            newest = max(newest, model.publishedRevision)
            for chunk in list(model.record.upload, model.record.uploadNumber, from: 0, limit: .max)
            where !node.chunks.holds(chunk.id) {
                isComplete = false
                fetch(chunk.id)
            }
        }
        // As the rows have it: what was proposed before may be lost.
        let told = applier.completeness.first { $0.node == id && $0.incarnation == node.incarnation }?.through ?? 0
        if isComplete, newest > told, applier.members.contains(id), let leader = world.leaderProcess(knownTo: self) {
            let command = Command.complete(
                node: id, incarnation: node.incarnation, through: applier.state.revision,
                rewound: applier.site.rewoundIndex)
            leader.propose(Envelope(time: 0, command: command).encoded(), .nobody)
        }
        sweepChunks()
    }

    /// Marks what nothing names; it is looked at again immediately before it goes.
    private func sweepChunks() {
        guard appliedIndex >= startIndex else { return }
        let unnamed = node.chunks.all.filter { !isNamed($0) }
        if !unnamed.isEmpty { world.schedule(.unlink(id, life, unnamed), after: world.dice.between(100, 50_000)) }
    }

    func unlink(_ chunks: [ChunkID]) {
        for chunk in chunks where !fetching.contains(chunk) && !isNamed(chunk) {
            node.chunks.remove(chunk)
            world.checkUnlinked(chunk, self)
        }
    }

    func noteChunks(_ output: ApplyOutput) {
        // The end of a seed undoes nothing.
        if let rewound = output.rewound, output.isSeeding == nil { world.checkRewound(through: rewound.revision, self) }
        if !output.models.isEmpty { world.checkPublished(output.models, self) }
    }

    // MARK: rows

    private func isNamed(_ chunk: ChunkID) -> Bool {
        read(false) { rows throws(RowError) in try Pins.isPinned(chunk, at: applier.readPoint, rows: rows) }
    }

    func openUpload(_ upload: UploadID) -> UploadInfo? {
        read(nil) { rows throws(RowError) in try ModelReader.upload(upload, rows: rows) }
    }

    func list(_ upload: UploadID, _ number: UInt64, from first: UInt64, limit: Int) -> [(ordinal: UInt64, id: ChunkID)]
    {
        read([]) { rows throws(RowError) in
            try ModelReader.chunks(of: upload, number: number, from: first, limit: min(limit, 1 << 20), rows: rows)
        }
    }

    func models() -> [ModelVersion] {
        read([]) { rows throws(RowError) in try ModelReader.list(at: applier.readPoint, rows: rows) }
    }

    private func read<Value>(_ otherwise: Value, _ body: (borrowing SimulatedRows) throws(RowError) -> Value) -> Value {
        do throws(RowError) {
            return try body(rows)
        } catch {
            world.fail("node \(id) cannot read its rows: \(error.message)")
            return otherwise
        }
    }
}
