internal import RaftCore
internal import ReplicaCore

// A standby that is seeded: what its leader asks and proposes next is `SeedMove`; here is the order in which it asks, waits and proposes. Ranges are small, so
// that a seed takes many of them.
extension SitePart {
    /// Microseconds that a leader goes on with a seed before it polls again.
    private static let seedPatience: UInt64 = 1_000_000
    private static let leavesMax = 2
    private static let leafKeysMax = 2
    private static let offerBytesMax = 256
    private static let leafBytesMax = 96
    private static let stepBytesMax = 256
    private static let clearRowsMax = 4

    /// Goes on with a seed, or with its removal, unless that is under way.
    func goOnSeeding(_ kind: SiteTask.Kind, since began: Instant) {
        guard leads, world.now < began + Self.seedPatience, !tasks.contains(where: { $0.kind == kind }),
            let view = view()
        else { return }
        let move = SeedMove(at: view)
        var steps: [SiteTask.Step] = []
        do throws(RowError) {
            switch (move, kind) {
            case (.begin, .seed): steps = [.target]
            case (.fill(let seed), .seed):
                steps = [
                    .fill(
                        seed,
                        try SeedRowsRequest(
                            of: seed, limit: Self.leavesMax, keysMax: Self.leafKeysMax, rows: process.rows,
                            hash: QuickHash.self))
                ]
            case (.end(let seed), .seed): steps = [.propose(.seedEnd(revision: seed.target.revision))]
            case (.clear(let seed), .clear):
                let below = try Applier.clearBound(of: seed, rowsMax: Self.clearRowsMax, rows: process.rows)
                steps = [.propose(.seedClear(from: seed.clearsFrom, below: below))]
            default: return
            }
        } catch {
            return world.fail("node \(process.id) cannot read the rows of its seed: \(error.message)")
        }
        tasks.append(
            SiteTask(
                kind: kind, number: nextCall(), sent: began, deadline: world.now + Self.patience, view: view,
                awaited: 0,
                steps: steps))
        advance(tasks.count - 1)
    }

    /// The primary has named where the site is brought.
    func take(_ target: SeedTarget, _ index: Int) {
        let view = tasks[index].view
        tasks[index].steps = [
            .propose(
                .seed(
                    SeedHead(
                        epoch: view.record.epoch, from: view.position, target: target.position, feedRow: target.feedRow)
                ))
        ]
    }

    /// The primary has compared ranges.
    func take(_ answer: SeedAnswer, of seed: SeedRecord, _ index: Int) {
        switch answer {
        case .notOfThisEpoch, .offers([]): tasks.remove(at: index)
        // What is here already is not asked for again.
        case .noLongerKept: tasks[index].steps = [.target]
        case .offers(let offers):
            do throws(RowError) {
                let spans = try SeedReader.spans(
                    for: offers, from: seed.next, through: seed.target.revision, rows: process.rows)
                var steps: [SiteTask.Step] = []
                for step in SeedStep.steps(
                    of: spans, from: seed.next, revision: seed.target.revision, bytesMax: Self.stepBytesMax)
                {
                    for publish in try publishes(of: step) {
                        steps += [.list(publish, first: 0), .gather(publish), .receipts(publish)]
                    }
                    steps.append(.stage(step))
                }
                tasks[index].steps = steps
            } catch {
                world.fail("node \(process.id) cannot read the rows of its seed: \(error.message)")
            }
        }
    }

    private func publishes(of step: SeedStep) throws(RowError) -> [SiteShipment.Publish] {
        var publishes: [SiteShipment.Publish] = []
        do throws(DecodeError) {
            for span in step.spans { publishes += try span.publishes() }
        } catch {
            throw RowError(message: "a version of the primary: \(error)", isCorruption: true)
        }
        return publishes
    }

    // MARK: The primary's side

    /// Answers what a seed asks, behind a read round.
    func answerSeed(_ message: LinkMessage) {
        do throws(RowError) {
            switch message.content {
            case .targetAsk(let report):
                let position = report.position
                // What is held for a standby that the feed still reaches is not let go by a word that comes late.
                guard let view = view(),
                    try SiteFeed.relation(of: position, at: view.state, rows: process.rows) == .belowFloor
                else { return }
                let call = propose(.holdForSeed(site: report.site, epoch: report.epoch))
                holds.append((call, message))
            case .rangesAsk(let request):
                reply(
                    to: message,
                    .ranges(
                        try SeedAnswer(
                            to: request, bytesMax: Self.offerBytesMax, leafBytesMax: Self.leafBytesMax,
                            rows: process.rows, hash: QuickHash.self)))
            default: return
            }
        } catch {
            world.fail("node \(process.id) cannot read its rows for a seed: \(error.message)")
        }
    }

    /// History is held as of a revision, or not.
    func held(_ index: Int, _ answer: Answer) {
        let message = holds.remove(at: index).message
        guard case .outcome(.done(let revision)) = answer else { return }
        let number = nextCall()
        targets.append((number, revision, message))
        barrier(number)
    }

    /// The read round behind it is over.
    func named(_ revision: UInt64, for message: LinkMessage) {
        do throws(RowError) {
            guard let target = try SeedTarget(at: revision, rows: process.rows) else { return }
            reply(to: message, .target(target))
        } catch {
            world.fail("node \(process.id) cannot read its feed: \(error.message)")
        }
    }
}
