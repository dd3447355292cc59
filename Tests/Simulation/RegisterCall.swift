internal import RaftCore
internal import ReplicaCore

/// One request of a client that puts, deletes, compares and sets, and reads a few keys in a session.
struct RegisterCall {
    enum Kind {
        case open
        case write
        case read([UInt8])
    }

    /// What an answer comes to.
    enum Reply {
        /// Nothing yet: it is asked again after so many microseconds, at least and at most, perhaps of this node.
        case later(UInt64, UInt64, leader: NodeID?)
        case refused(ReplicaCore.Refusal)
        /// It was done, and what was answered was held against the registers.
        case settled
        /// It answers something else.
        case other
    }

    var number: UInt64
    var kind: Kind
    var sequence: UInt64
    var envelope: [UInt8]
    /// What had been told to anybody at the cluster when it was first asked for, and in which of its histories.
    var since: UInt64
    var branch: UInt64
    var attempts = 0

    /// A key that is read or written.
    static func key(of keys: Int, _ dice: inout Dice) -> [UInt8] { [UInt8(ascii: "k"), UInt8(dice.below(keys))] }

    /// A write; `seen` are the modification revisions that the client saw last.
    static func write(
        session: UInt64, sequence: UInt64, keys: Int, seen: [[UInt8]: UInt64], _ dice: inout Dice
    ) -> Command {
        let key = key(of: keys, &dice)
        let value = withUnsafeBytes(of: (session << 32 | sequence).bigEndian) { Array($0) }
        switch dice.below(10) {
        case 0, 1: return .delete(.key(key[...]))
        case 2, 3, 4:
            let compare = Compare(key: key[...], .equal, .modRevision(seen[key] ?? 0))
            return .transaction(
                Transaction(compares: [compare], then: [.put(key: key[...], value: value[...], lease: 0)]))
        default: return .put(key: key[...], value: value[...], lease: 0)
        }
    }
}

extension World {
    /// Takes an answer to a call of a session.
    func take(
        _ answer: Answer, to asked: RegisterCall, session: UInt64, seen: inout [[UInt8]: UInt64]
    ) -> RegisterCall.Reply {
        switch answer {
        case .notLeader(let leader): return .later(5_000, 100_000, leader: leader)
        case .overloaded, .unknown: return .later(20_000, 200_000, leader: nil)
        case .stored, .have, .notNamed: return .other
        case .outcome(.refused(let refusal)): return .refused(refusal)
        case .outcome(let outcome):
            if case .write = asked.kind, asked.branch == branch {
                report(
                    checks.registers.answered(
                        session: session, sequence: asked.sequence, outcome, since: asked.since))
            }
        case .value(let value, let revision):
            guard case .read(let key) = asked.kind else { return .other }
            if asked.branch == branch {
                report(checks.registers.read(key, value, at: revision, since: asked.since))
                seen[key] = checks.registers.modRevision(of: key, at: revision)
            }
        }
        return .settled
    }
}
