@testable internal import RaftCore
internal import Testing

/// Replays etcd/raft's tables of configuration changes.
@Suite("EtcdRaftConfChange", .serialized)
struct EtcdRaftConfChange {
    @Test("every configuration change of the tables ends as in etcd/raft")
    func tablesAgree() throws {
        try replayScripts(suite: "EtcdRaftConfChange", variable: "HOLDFAST_RAFT_CONFCHANGE") {
            var settings = RaftConfiguration(id: 1)
            settings.inflightMessagesMax = 10
            settings.inflightBytesMax = 0
            var members = Membership(settings)
            var lastIndex: LogIndex = 0
            return { block in
                defer { lastIndex += 1 }
                do throws(ScriptError) {
                    members = try Self.changed(members, by: block, lastIndex: lastIndex)
                    return members.text + "\n" + members.progressText
                } catch {
                    return error.text + "\n"
                }
            }
        }
    }

    private static func changed(
        _ members: Membership, by block: ScriptBlock, lastIndex: LogIndex
    ) throws(ScriptError) -> Membership {
        let steps = try ConfigurationChange.Step.list(block.input.joined(separator: "\n"))
        do throws(ConfigurationError) {
            switch block.command {
            case "simple": return try members.simplyChanged(steps, lastIndex: lastIndex)
            case "enter-joint":
                let autoLeave = block.values("autoleave").last == "true"
                return try members.enteredJoint(steps, autoLeave: autoLeave, lastIndex: lastIndex)
            case "leave-joint":
                guard steps.isEmpty else { throw ConfigurationError.inconsistent("this command takes no input") }
                return try members.leftJoint()
            default: throw ConfigurationError.inconsistent("unknown command")
            }
        } catch {
            throw ScriptError(text: error.description)
        }
    }
}
