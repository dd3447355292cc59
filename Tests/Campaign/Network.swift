internal import Foundation
internal import Processes

/// Where nodes are: each in a network namespace of its own, tied to ours by a bridge, or all on loopback, which cannot be cut.
struct Network: Sendable {
    /// Whether links can be cut.
    let hasNamespaces: Bool
    /// `HOST:PORT` of every place, from 0.
    let endpoints: [String]

    private static let port = 7_700

    /// Makes so many places. Namespaces are made below our own, which the script has unshared from the machine's.
    static func make(_ count: Int, namespaces: Bool) async throws -> Network {
        guard namespaces else {
            return Network(hasNamespaces: false, endpoints: try freePorts(count).map { "127.0.0.1:\($0)" })
        }
        try await tool(["ip", "link", "add", "bridge", "type", "bridge"])
        try await tool(["ip", "address", "add", "10.77.0.254/24", "dev", "bridge"])
        try await tool(["ip", "link", "set", "bridge", "up"])
        for place in 0..<count {
            let name = Self.name(place)
            try await tool(["ip", "netns", "add", name])
            try await tool(["ip", "link", "add", "to-\(name)", "type", "veth", "peer", "name", "eth0", "netns", name])
            try await tool(["ip", "link", "set", "to-\(name)", "master", "bridge", "up"])
            try await tool(["ip", "-n", name, "address", "add", "\(address(place))/24", "dev", "eth0"])
            for device in ["lo", "eth0"] { try await tool(["ip", "-n", name, "link", "set", device, "up"]) }
        }
        return Network(hasNamespaces: true, endpoints: (0..<count).map { "\(address($0)):\(port)" })
    }

    /// What stands before a command that runs at a place.
    func prefix(_ place: Int) -> [String] { hasNamespaces ? ["ip", "netns", "exec", Self.name(place)] : [] }

    /// What `serve` needs to listen there.
    var arguments: [String] { hasNamespaces ? ["--allow-plaintext"] : [] }

    /// Lets a place drop every packet that comes from these places; replaces what it dropped before.
    func drop(at place: Int, from others: [Int]) async throws {
        guard hasNamespaces else { throw CampaignError("links on loopback cannot be cut") }
        let rules = others.map { "ip saddr \(Self.address($0)) drop" }.joined(separator: "\n")
        try await tool(
            ["ip", "netns", "exec", Self.name(place), "nft", "-f", "-"],
            input: """
                table inet campaign
                flush table inet campaign
                table inet campaign {
                  chain input {
                    type filter hook input priority 0
                    \(rules)
                  }
                }

                """)
    }

    private static func name(_ place: Int) -> String { "node\(place + 1)" }
    private static func address(_ place: Int) -> String { "10.77.0.\(place + 1)" }
}
