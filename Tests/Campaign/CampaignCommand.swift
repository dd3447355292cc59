internal import ArgumentParser
internal import Foundation

/// `Tests/campaign` runs it, with what the machine allows.
@main
struct CampaignCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "campaign", abstract: "Clients and faults on real nodes, then a judgement of all that was seen.")

    @Option(help: "How long faults are injected.")
    var minutes: Double = 2
    @Option(help: "The kinds of fault, with commas: kill, pause, partition, disk, members, clock.")
    var faults: String = FaultKind.allCases.map(\.rawValue).joined(separator: ",")
    @Option(help: "Draws the faults; a random one by default.")
    var seed: UInt64 = .random(in: 1...999_999)
    @Option(help: "How many clients read and write.")
    var clients: Int = 8
    @Option(help: "The program under test.")
    var program: String
    @Option(help: "The library that makes disks fail and clocks jump; without it there are no such faults.")
    var interposer: String?
    @Option(help: "Where the nodes' directories, logs and the history go.")
    var directory: String
    @Flag(help: "Network namespaces may be made; without them links are not cut.")
    var namespaces = false

    func run() async throws {
        var kinds: [FaultKind] = []
        for name in faults.split(separator: ",") {
            guard let kind = FaultKind(rawValue: String(name)) else {
                throw ValidationError("'\(name)' is no kind of fault")
            }
            let missing: String? =
                switch kind {
                case .partition where !namespaces: "links on loopback cannot be cut; run as root"
                case .disk where interposer == nil, .clock where interposer == nil: "there is no interposer; install cc"
                default: nil
                }
            if let missing { Console.say("left out: \(name) (\(missing))") } else { kinds.append(kind) }
        }
        let campaign = CampaignRun(
            options: .init(
                duration: .seconds(minutes * 60), kinds: kinds, seed: seed, clients: clients, program: program,
                interposer: interposer, directory: directory, hasNamespaces: namespaces))
        let isClean = try await campaign.run()
        if !isClean { throw ExitCode(1) }
    }
}
