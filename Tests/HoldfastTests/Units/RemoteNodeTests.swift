import Foundation
import NIOCore
import NIOPosix
import Testing
import Transport

@testable import Holdfast

@Suite struct RemoteNodeTests {
    /// A member that leaves the configuration is dropped, perhaps while somebody waits for a connection to it.
    @Test func whoeverWaitsForAConnectionIsToldThatItWillNotCome() async throws {
        // It takes connections and never answers the hello.
        let silent = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelOption(.autoRead, value: false)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(silent.localAddress?.port)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let node = RemoteNode(
            Endpoint(host: "127.0.0.1", port: port), loops: ClientLoops(request: loop, bulk: loop),
            settings: TransportSettings(logger: quiet)
        ) { Hello(purpose: $0, identity: PeerIdentity(role: .client)) }
        let failures = Shared<[HoldfastError.Code]>([])
        let asked = Shared(0)
        for kind in [FrameKind.clusterStatus, .clusterStatus, .getChunk] {
            Task {
                asked.withLock { $0 += 1 }
                do throws(CallFailure) {
                    _ = try await node.call(kind, ByteBuffer(), deadline: .now() + .hours(1))
                } catch {
                    failures.withLock { $0.append(error.error.code) }
                }
            }
        }
        try await eventually("three wait") { asked.withLock { $0 } == 3 }
        node.close()
        try await eventually("all three have failed") {
            failures.withLock { $0 } == [.unavailable, .unavailable, .unavailable]
        }
        try await silent.close()
    }
}
