internal import Holdfast
internal import Linearizability
internal import Processes

/// One client: asks for one operation after another and records each.
struct Client {
    /// Any node, for writes.
    let any: Store
    /// Each node by itself, for reads.
    let nodes: Nodes
    let keyspace: Keyspace
    let recorder: Recorder
    /// How many clients there are: a process of unknown outcome goes on under a number so much higher.
    let clients: Int
    /// The number under which the history knows it now.
    var process: Int
    var numbers: SeededNumbers
    /// The last values seen or written, by key: what a compare expects.
    private var known: [String: String?] = [:]
    private var written = 0

    init(
        process: Int, clients: Int, any: Store, nodes: Nodes, keyspace: Keyspace, recorder: Recorder, seed: UInt64
    ) {
        self.process = process
        self.clients = clients
        self.any = any
        self.nodes = nodes
        self.keyspace = keyspace
        self.recorder = recorder
        numbers = SeededNumbers(seed: seed)
    }

    /// Works until it is cancelled.
    mutating func run() async {
        while !Task.isCancelled {
            let group = keyspace.draw(&numbers)
            let key = group.keys.randomElement(using: &numbers) ?? group.keys[0]
            if group.keys.count == 1 {
                switch Int.random(in: 0..<20, using: &numbers) {
                case 0..<9: await read(key)
                case 9..<14: await write(key)
                case 14: await remove(key)
                default: await compareAndSet(key)
                }
            } else {
                switch Int.random(in: 0..<10, using: &numbers) {
                case 0..<3: await read(key)
                case 3..<6: await readAll(group.keys)
                case 6..<8: await writeTwo(group.keys, comparing: nil)
                default: await writeTwo(group.keys, comparing: key)
                }
            }
            if known.count > 200 { known = [:] }
            try? await Task.sleep(for: .milliseconds(Int.random(in: 1...24, using: &numbers)))
        }
    }

    // MARK: Operations

    private mutating func read(_ key: String) async {
        let begin = recorder.begin(process, .read(key: key, value: nil))
        let store = nodes.one(&numbers).withTimeout(milliseconds: 2_000)
        do throws(HoldfastError) {
            let list = try await store.list(.key(Key(key)), limit: 1)
            let seen = list.keys.map { FeedEntry($0) }
            known[key] = .some(seen.first?.value)
            recorder.end(
                process, since: begin, .ok, .read(key: key, value: seen.first?.value), revision: list.revision,
                seen: seen)
        } catch {
            recorder.end(process, since: begin, .fail, .read(key: key, value: nil), error: error.code.rawValue)
        }
    }

    private mutating func write(_ key: String) async {
        let value = fresh()
        let action = Action.write(key: key, value: value)
        let begin = recorder.begin(process, action)
        do throws(HoldfastError) {
            let revision = try await any.put(Key(key), Padding.bytes(value)).revision
            known[key] = value
            recorder.end(
                process, since: begin, .ok, action, revision: revision,
                written: [FeedEntry(key: key, value: value, revision: revision)])
        } catch {
            failed(begin, action, error)
        }
    }

    private mutating func remove(_ key: String) async {
        let action = Action.write(key: key, value: nil)
        let begin = recorder.begin(process, action)
        do throws(HoldfastError) {
            let revision = try await any.delete(Key(key))
            known[key] = .some(nil)
            recorder.end(
                process, since: begin, .ok, action, revision: revision,
                written: revision.map { [FeedEntry(key: key, value: nil, revision: $0)] } ?? [])
        } catch {
            failed(begin, action, error)
        }
    }

    private mutating func compareAndSet(_ key: String) async {
        let expected = known[key] ?? nil
        let value = fresh()
        let action = Action.compareAndSet(key: key, expected: expected, new: value)
        let transaction = Transaction(
            compare: [Self.compare(key, expected)], then: [.put(Key(key), Padding.bytes(value))],
            otherwise: [.get(.key(Key(key)), limit: 1)])
        let begin = recorder.begin(process, action)
        do throws(HoldfastError) {
            let result = try await any.transaction(transaction)
            guard result.succeeded else {
                let seen = Self.entries(result)
                known[key] = .some(seen.first?.value)
                recorder.end(
                    process, since: begin, .fail, action, error: HistoryLine.refusal, revision: result.revision,
                    seen: seen)
                return
            }
            known[key] = value
            recorder.end(
                process, since: begin, .ok, action, revision: result.revision,
                written: [FeedEntry(key: key, value: value, revision: result.revision)])
        } catch {
            failed(begin, action, error)
        }
    }

    private mutating func readAll(_ keys: [String]) async {
        let asked = Action.transaction(keys.map { .read(key: $0, value: nil) })
        let begin = recorder.begin(process, asked)
        do throws(HoldfastError) {
            let result = try await any.transaction(
                Transaction(then: keys.map { .get(.key(Key($0)), limit: 1) }))
            let seen = Self.entries(result)
            let values = Dictionary(seen.map { ($0.key, $0.value) }) { first, _ in first }
            for key in keys { known[key] = .some(values[key] ?? nil) }
            let done = Action.transaction(keys.map { .read(key: $0, value: values[$0] ?? nil) })
            recorder.end(process, since: begin, .ok, done, revision: result.revision, seen: seen)
        } catch {
            // It changes nothing, so that it was certainly not done.
            recorder.end(process, since: begin, .fail, asked, error: error.code.rawValue)
        }
    }

    /// Reads the third key and writes the other two, if a key has the value that is expected of it.
    private mutating func writeTwo(_ keys: [String], comparing key: String?) async {
        let value = fresh()
        let order = keys.shuffled(using: &numbers)
        let compared = key.map { [($0, known[$0] ?? nil)] } ?? []
        let claims = compared.map { Action.Step.compare(key: $0.0, value: $0.1) }
        let writes = order.dropFirst().map { Action.Step.write(key: $0, value: value) }
        func action(_ seen: String?) -> Action {
            .transaction(claims + [.read(key: order[0], value: seen)] + writes)
        }
        let transaction = Transaction(
            compare: compared.map { Self.compare($0.0, $0.1) },
            then: [.get(.key(Key(order[0])), limit: 1)] + order.dropFirst().map { .put(Key($0), Padding.bytes(value)) },
            otherwise: keys.map { .get(.key(Key($0)), limit: 1) })
        let begin = recorder.begin(process, action(nil))
        do throws(HoldfastError) {
            let result = try await any.transaction(transaction)
            let seen = Self.entries(result)
            for entry in seen { known[entry.key] = entry.value }
            guard result.succeeded else {
                recorder.end(
                    process, since: begin, .fail, action(nil), error: HistoryLine.refusal, revision: result.revision,
                    seen: seen)
                return
            }
            for key in order.dropFirst() { known[key] = value }
            recorder.end(
                process, since: begin, .ok, action(seen.first?.value), revision: result.revision, seen: seen,
                written: order.dropFirst().map { FeedEntry(key: $0, value: value, revision: result.revision) })
        } catch {
            failed(begin, action(nil), error)
        }
    }

    // MARK: Parts

    /// A write without a success: only one code means that it may have happened.
    private mutating func failed(_ begin: Int, _ action: Action, _ error: HoldfastError) {
        let isUnknown = error.code == .outcomeUnknown
        recorder.end(process, since: begin, isUnknown ? .info : .fail, action, error: error.code.rawValue)
        if isUnknown { process += clients }
    }

    /// A value that nobody else writes.
    private mutating func fresh() -> String {
        written += 1
        return "v\(process)-\(written)"
    }

    private static func compare(_ key: String, _ expected: String?) -> Transaction.Compare {
        guard let expected else { return .init(Key(key), .equal, .revision(0)) }
        return .init(Key(key), .equal, .value(Padding.bytes(expected)))
    }

    private static func entries(_ result: TransactionResult) -> [FeedEntry] {
        result.answers.flatMap { answer -> [FeedEntry] in
            guard case .keys(let list) = answer else { return [] }
            return list.keys.map { FeedEntry($0) }
        }
    }
}
