internal import Testing

/// Replays etcd/raft's interaction scripts: its printed answers are the oracle of this core.
@Suite("EtcdRaftScripts", .serialized)
struct EtcdRaftScripts {
    /// Blocks that may differ, with the reason.
    static let exceptions: [Exception] = []

    @Test("every block of every script prints what etcd/raft prints")
    func scriptsAgree() throws {
        try replayScripts(
            suite: "EtcdRaftScripts", variable: "HOLDFAST_RAFT_SCRIPTS", except: Self.exceptions
        ) {
            let interaction = ScriptInteraction()
            return { interaction.run($0) }
        }
    }
}
