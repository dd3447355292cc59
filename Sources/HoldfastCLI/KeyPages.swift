internal import Holdfast

/// A list of any length, read in as many answers as it takes, all at the revision of the first.
struct KeyPages {
    /// The first bytes of the keys.
    var prefix: Key
    /// Keys at most; 0 is no limit.
    var limit: Int
    /// The order by key.
    var order: KeyOrder
    /// How fresh the first answer must be.
    var consistency: ReadConsistency

    /// Reads until the limit or the last key.
    func read(_ store: Store, at revision: Revision?) async throws(HoldfastError) -> KeyList {
        var list = try await store.list(
            .prefix(prefix), limit: limit, order: order, at: revision, consistency: consistency)
        while list.more, let last = list.keys.last, limit == 0 || list.keys.count < limit {
            // The revision is fixed now: any node that has it will do.
            let page = try await store.list(
                rest(after: last.key), limit: limit == 0 ? 0 : limit - list.keys.count, order: order, at: list.revision,
                consistency: consistency == .linearizable ? .linearizable : .atLeast(list.revision))
            list.keys += page.keys
            list.more = page.more && !page.keys.isEmpty
        }
        return list
    }

    /// The keys of the prefix beyond `key`, in the order of the list.
    func rest(after key: Key) -> KeyScope {
        switch order {
        // The key with a zero byte behind it is the next one that can exist.
        case .ascending: .range(from: Key(key.bytes + [0]), below: Self.end(of: prefix))
        case .descending: .range(from: prefix, below: key)
        }
    }

    /// The first key after every key of a prefix.
    static func end(of prefix: Key) -> Key {
        var bytes = prefix.bytes
        while let last = bytes.popLast() {
            if last < 0xFF { return Key(bytes + [last + 1]) }
        }
        // Nothing is above a prefix of no bytes, or of 0xFF alone, but the longest key there can be.
        return Key([UInt8](repeating: 0xFF, count: 4096))
    }
}
