import Foundation
import Processes
import Testing

extension FaultTests {
    /// Networks that lose one direction, or take their time.
    @Suite(.serialized) struct Links {
        /// Three members, each reached by the others through a proxy.
        private func withNetwork(_ body: (Cluster, Network) async throws -> Void) async throws {
            let ports = try freePorts(6)
            let network = Network()
            var proxies: [Proxy] = []
            for id in 1...3 {
                proxies.append(
                    try Proxy(to: id, listening: ports[id - 1], target: ports[id + 2], network: network))
            }
            defer { for proxy in proxies { proxy.close() } }
            var layout = Cluster.Layout()
            layout.endpoints = ports[0..<3].map { "127.0.0.1:\($0)" }
            layout.listens = ports[3..<6].map { "127.0.0.1:\($0)" }
            layout.environment = { ["HOLDFAST_SOURCE": Proxy.source(of: $0)] }
            try await FaultyCluster.with(layout) { faulty in
                try await body(faulty.cluster, network)
                network.heal()
                try await faulty.cluster.wait("complete")
                try await faulty.cluster.equalHashes()
            }
        }

        @Test func aLeaderThatIsHeardByNobodyStepsDownThoughItHearsAll() async throws {
            try await withNetwork { cluster, network in
                let storm = try await Storm.begin("k", on: cluster)
                try await storm.progress(20)
                let mute = try await cluster.leader()
                for id in cluster.others(mute) { network.cut(mute, id) }
                try await storm.progress(50)
                #expect(try await cluster.leader(at: cluster.others(mute)) != mute)
                network.heal()
                await storm.end()
                try await cluster.wait("complete")
                for id in cluster.ids { try await storm.verify(on: cluster, at: [id]) }
            }
        }

        @Test func aLeaderThatHearsNobodyStepsDownThoughAllHearIt() async throws {
            try await withNetwork { cluster, network in
                let storm = try await Storm.begin("k", on: cluster)
                try await storm.progress(20)
                let deaf = try await cluster.leader()
                for id in cluster.others(deaf) { network.cut(id, deaf) }
                try await storm.progress(50)
                #expect(try await cluster.leader(at: cluster.others(deaf)) != deaf)
                network.heal()
                await storm.end()
                try await cluster.wait("complete")
                for id in cluster.ids { try await storm.verify(on: cluster, at: [id]) }
            }
        }

        @Test func aFollowerThatHearsNoLeaderUnseatsNobody() async throws {
            try await withNetwork { cluster, network in
                let leader = try await cluster.leader()
                let follower = try #require(cluster.others(leader).first)
                network.cut(leader, follower)
                let storm = try await Storm.begin("k", on: cluster)
                try await storm.progress(300)
                let status = try await cluster.run("cluster", "status", "--json", at: cluster.others(follower))
                #expect(try status.document.number("leader") == leader)
                network.heal()
                await storm.end()
                try await cluster.wait("complete")
                #expect(try await cluster.leader() == leader, "pre-votes were refused, and the term did not rise")
                try await storm.verify(on: cluster, at: [follower])
            }
        }

        @Test func slowLinksOnlyMakeEverythingSlower() async throws {
            try await withNetwork { cluster, network in
                let leader = try await cluster.leader()
                network.setDelay(.milliseconds(40))
                let storm = try await Storm.begin("k", on: cluster)
                let scratch = try ScratchDirectory()
                let file = try scratch.write("m.bin", noise(3_000_000, seed: 12))
                let push = try await cluster.run("model", "push", "m", file, "--json")
                #expect(push.status == 0, "\(push.error)")
                try await storm.progress(50)
                #expect(try await cluster.leader() == leader, "bulk bytes delay no heartbeat")
                await storm.end()
                #expect(storm.refusals == 0)
                network.heal()
                try await cluster.wait("complete")
                for id in cluster.ids { try await storm.verify(on: cluster, at: [id]) }
            }
        }
    }
}
