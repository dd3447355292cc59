import Foundation
import RaftCore
import Storage
import Testing

/// Random orders against an array that obeys the same ones, with restarts.
@Suite struct LogModelTests {
    struct Model {
        var entries: [Entry] = []
        var previous: (index: LogIndex, term: Term) = (0, 0)
        var state = HardState()
        var last: LogIndex { entries.last?.index ?? previous.index }
    }

    @Test(arguments: [11, 12, 13, 14, 15, 16] as [UInt64])
    func `a log does what an array does, through restarts`(seed: UInt64) throws {
        for unbuffered in [true, false] {
            var random = SeededRandom(seed: seed)
            print("seed \(seed), unbuffered \(unbuffered)")
            let directory = try TestDirectory()
            var options = smallOptions(segmentBytes: 8192 + 4096 * Int(seed % 3))
            options.unbuffered = unbuffered
            try LogStore.format(directory: directory.path, identity: seed, options: options)
            var model = Model()
            for _ in 0..<12 {
                let log = try RunningLog(directory.path, options: options)
                check(log.recovered, model)
                var number: UInt64 = 0
                for _ in 0..<Int.random(in: 1...40, using: &random) {
                    let operations = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                        Self.operation(&model, &random) { log.nextSequence }
                    }
                    for case .persist(let sequence, _, _) in operations { number = sequence }
                    for case .reset(let sequence, _, _) in operations { number = max(number, sequence) }
                    log.store.submit(contentsOf: operations)
                    if Bool.random(using: &random) { try log.wait(for: number) }
                }
                try log.wait(for: number)
                log.store.close()
                #expect(log.failures == [])
                // Compaction goes by whole segments: the log may hold more at the front than the model must.
                #expect(log.store.previousIndex <= model.previous.index)
                if model.last > log.store.previousIndex {
                    let found = try log.all()
                    #expect(Array(found.suffix(model.entries.count)) == model.entries)
                    for entry in model.entries { #expect(try log.store.term(at: entry.index) == entry.term) }
                }
                guard LogImage(files: try directory.files()).verdict != .corrupted else {
                    Issue.record("seed \(seed): corrupted")
                    return
                }
            }
        }
    }

    func check(_ recovered: RecoveredLog, _ model: Model) {
        #expect(recovered.lastIndex == model.last)
        #expect(recovered.hardState.term == model.state.term)
        #expect(recovered.hardState.vote == model.state.vote)
        #expect(recovered.hardState.commit <= max(model.state.commit, model.previous.index))
        #expect(recovered.previousIndex <= model.previous.index)
        #expect(recovered.tornBytes == 0)
        #expect(!recovered.repairedCopies)
        #expect(recovered.lastTerm == (model.entries.last?.term ?? recovered.terms.last?.term ?? model.previous.term))
    }

    static func operation(
        _ model: inout Model, _ random: inout SeededRandom, sequence: () -> UInt64
    ) -> LogOperation {
        switch Int.random(in: 0..<20, using: &random) {
        case 0:
            let through = model.state.commit
            guard through > model.previous.index, let entry = model.entries.last(where: { $0.index <= through }) else {
                return .compact(through: 0)
            }
            model.previous = (entry.index, entry.term)
            model.entries.removeAll { $0.index <= entry.index }
            return .compact(through: entry.index)
        case 1 where Int.random(in: 0..<4, using: &random) == 0:
            let index = model.last + UInt64.random(in: 0...30, using: &random)
            model.previous = (index, model.state.term)
            model.entries = []
            model.state.commit = index
            return .reset(sequence: sequence(), index: index, term: model.state.term)
        default:
            var state: HardState?
            if Int.random(in: 0..<4, using: &random) == 0 {
                if Bool.random(using: &random) {
                    model.state.term += 1
                    model.state.vote = UInt64.random(in: 0...3, using: &random)
                }
                let floor = max(model.state.commit, model.previous.index)
                model.state.commit = floor <= model.last ? UInt64.random(in: floor...model.last, using: &random) : floor
                state = model.state
            }
            var first = model.last + 1
            let lowest = max(model.state.commit, model.previous.index) + 1
            if lowest < first, Int.random(in: 0..<5, using: &random) == 0 {
                first = UInt64.random(in: lowest..<first, using: &random)
            }
            let count = UInt64.random(in: 0...6, using: &random)
            let bytes = [0, 9, 100, 700, 3900].randomElement(using: &random) ?? 0
            let new =
                count == 0
                ? [] : StorageLogTests.entries(first...(first + count - 1), term: model.state.term, bytes: bytes)
            if !new.isEmpty {
                model.entries.removeAll { $0.index >= first }
                model.entries += new
            }
            return .persist(sequence: sequence(), hardState: state, entries: new)
        }
    }
}
