internal import RaftCore
internal import ReplicaCore

/// A poll of the other site on its way to its answer: a read round first, so that the answer holds all that was acknowledged before the poll came.
struct SourcePoll {
    var number: UInt64
    var message: LinkMessage
    var report: SiteReport
    var bytesMax: UInt64
    var deadline: Instant
    /// The site as it was looked at; nil before the first read round.
    var view: SiteView?
    var relation = SiteFeed.Relation.diverged
    /// Still to be proposed, one at a time.
    var commands: [SiteCommand] = []
    var awaited: UInt64 = 0
    var hasChanged = false
}

// Answering the other site: any node does.
extension SitePart {
    func polled(_ message: LinkMessage, _ report: SiteReport, bytesMax: UInt64) {
        let number = nextCall()
        polls.append(
            SourcePoll(
                number: number, message: message, report: report, bytesMax: bytesMax,
                deadline: world.now + Self.patience))
        barrier(number)
    }

    /// Asks for a read round: what is read behind it holds all that was acknowledged before.
    func barrier(_ number: UInt64) {
        process.read(ReadRequest(ticket: .nobody, key: [], sitePoll: number))
    }

    /// The read round of a poll, or of a question after hashes, is over. A member that lags would have none where the two still agree.
    func confirmed(_ number: UInt64) {
        if let index = comparisons.firstIndex(where: { $0.number == number }) {
            return serve(comparisons.remove(at: index).message)
        }
        if let index = targets.firstIndex(where: { $0.number == number }) {
            let target = targets.remove(at: index)
            return named(target.revision, for: target.message)
        }
        guard let index = polls.firstIndex(where: { $0.number == number }), let view = view(), let own = view.report
        else { return }
        let isFirst = polls[index].view == nil
        polls[index].view = view
        do throws(RowError) {
            polls[index].relation = try SiteFeed.relation(
                of: polls[index].report.position, at: view.state, rows: process.rows)
        } catch {
            return world.fail("node \(process.id) cannot compare a position: \(error.message)")
        }
        guard isFirst else { return answer(index) }
        let poll = polls[index]
        hear(poll.report, as: view.record)
        polls[index].commands = SiteLink.commands(
            on: poll.report, at: view.record, own: own, relation: poll.relation
        ).filter { command in
            guard case .acknowledge(let word) = command else { return true }
            return pace.takes(word, isAwaited: view.record.switchover != nil, now: world.now * 1000)
        }
        goOn(number)
    }

    /// Proposes what is left, then answers; after a change the site is looked at again.
    func goOn(_ number: UInt64) {
        guard let index = polls.firstIndex(where: { $0.number == number }) else { return }
        guard !polls[index].commands.isEmpty else {
            guard polls[index].hasChanged else { return answer(index) }
            polls[index].awaited = 0
            return barrier(number)
        }
        let command = polls[index].commands.removeFirst()
        if case .acknowledge = command {} else { polls[index].hasChanged = true }
        polls[index].awaited = propose(command)
    }

    private func answer(_ index: Int) {
        let poll = polls.remove(at: index)
        guard let view = poll.view, let own = view.report else { return }
        do throws(QueryError) {
            let answer = try SiteAnswer(
                to: poll.report, bytesMax: poll.bytesMax, as: view, own: own, relation: poll.relation,
                rows: process.rows)
            reply(to: poll.message, .answer(answer))
        } catch {
            world.note { "node \(self.process.id) has no answer for the other site: \(error)" }
        }
    }

    /// Chunks, lists and hashes.
    func serve(_ message: LinkMessage) {
        switch message.content {
        case .list(let upload, let number, let first):
            reply(to: message, .listed(process.list(upload, number, from: first, limit: 3).map(\.id)))
        case .hashes(let revisions): reply(to: message, .hashed(hashes(revisions)))
        case .chunkAsk(let chunk): if process.node.chunks.holds(chunk) { reply(to: message, .chunk(chunk)) }
        case .targetAsk, .rangesAsk: answerSeed(message)
        default: return
        }
    }

    /// The chain hashes after some revisions here; zero for one that the feed does not have.
    func hashes(_ revisions: [UInt64]) -> [Digest] {
        do throws(RowError) {
            var hashes: [Digest] = []
            for revision in revisions {
                hashes.append(try FeedReader.hash(after: revision, rows: process.rows) ?? .zero)
            }
            return hashes
        } catch {
            world.fail("node \(process.id) cannot read its feed: \(error.message)")
            return []
        }
    }

    func reply(to message: LinkMessage, _ content: LinkMessage.Content) {
        sites.send(LinkMessage(from: own, to: message.from, number: message.number, content: content))
    }
}
