import ReplicaCore
import Testing

@testable import Storage

@Suite struct NodeIdentityTests {
    private static let members: [NodeIdentity.Member] = [
        .init(node: 1, endpoint: "a.example:7001"), .init(node: 2, endpoint: "[::1]:7002"),
    ]

    @Test func `the identity file has this form`() throws {
        let identity = NodeIdentity(
            node: 2, incarnation: Incarnation(0x0011_2233_4455_6677, 0x8899_AABB_CCDD_EEFF), cluster: "prod",
            bootstrap: NodeIdentity.bootstrapID(cluster: "prod", token: "t", members: NodeIdentityTests.members),
            members: NodeIdentityTests.members, createdMilliseconds: 1_700_000_000_123)
        let golden = """
            holdfast identity 1
            node=2
            incarnation=00112233445566778899aabbccddeeff
            cluster=prod
            bootstrap=363f98181b97fc3c775aadc5b8b348aabb4309614b858401e06e9a03f6e36dff
            members=1=a.example:7001,2=[::1]:7002
            created=1700000000123
            seal=eb5ae62bf9a262c19550452bc010e0072438fc47ed60f633c9ee2a16302a23c4

            """
        #expect(String(decoding: identity.text.bytes, as: UTF8.self) == golden)
        let read = try SealedText(Array(golden.utf8), kind: "identity", version: 1)
        #expect(NodeIdentity(read) == identity)
    }

    @Test func `the bootstrap ID depends on the name, the token and the members, not on their order`() {
        let members = NodeIdentityTests.members
        let id = NodeIdentity.bootstrapID(cluster: "c", token: "t", members: members)
        #expect(id == NodeIdentity.bootstrapID(cluster: "c", token: "t", members: members.reversed()))
        var others = [
            NodeIdentity.bootstrapID(cluster: "d", token: "t", members: members),
            NodeIdentity.bootstrapID(cluster: "c", token: "u", members: members),
            NodeIdentity.bootstrapID(cluster: "ct", token: "", members: members),
            NodeIdentity.bootstrapID(cluster: "", token: "ct", members: members),
            NodeIdentity.bootstrapID(cluster: "c", token: "t", members: [members[0]]),
        ]
        var moved = members
        moved[0].endpoint = "a.example:7009"
        others.append(NodeIdentity.bootstrapID(cluster: "c", token: "t", members: moved))
        moved = members
        moved[0].node = 9
        others.append(NodeIdentity.bootstrapID(cluster: "c", token: "t", members: moved))
        #expect(Set(others + [id]).count == others.count + 1)
    }

    @Test func `a member is ID=HOST:PORT`() {
        for text in ["1=a:1", "18446744073709551615=a-b.c:65535", "7=[fe80::1%eth0]:80"] {
            #expect(NodeIdentity.Member(text: text) != nil, "\(text)")
        }
        for text in [
            "", "1", "=a:1", "0=a:1", "x=a:1", "1=a", "1=:1", "1=a:0", "1=a:65536", "1=a:x", "1=a b:1", "1=a,b:1",
            "-1=a:1", "1=a\n:1",
        ] {
            #expect(NodeIdentity.Member(text: text) == nil, "\(text)")
        }
    }

    @Test func `a request that makes no cluster is refused before anything is touched`() throws {
        let directory = try TemporaryDirectory()
        let good = FormatRequest(node: 1, cluster: "c", members: NodeIdentityTests.members, nowMilliseconds: 0)
        let faults: [(inout FormatRequest) -> Void] = [
            { $0.node = 0 }, { $0.node = 3 }, { $0.cluster = "" }, { $0.cluster = "a b" }, { $0.cluster = "-a" },
            { $0.cluster = "é" }, { $0.cluster = String(repeating: "a", count: 65) }, { $0.members = [] },
            { $0.members[1].node = 1 }, { $0.members[1].endpoint = $0.members[0].endpoint },
            { $0.members[0].endpoint = "a" }, { $0.members[0].endpoint = "a\n:1" }, { $0.members[1].node = 0 },
            { $0.token = String(repeating: "t", count: 1_025) },
        ]
        for (number, fault) in faults.enumerated() {
            var request = good
            fault(&request)
            let error = #expect(throws: DirectoryError.self) {
                _ = try DataDirectory.format(at: directory.path + "/data", request)
            }
            #expect(error?.cause == .invalidArgument, "fault \(number)")
        }
        #expect(try directory.tree().isEmpty)
    }

    @Test func `a sealed text with fields of another form is refused`() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/data"
        var request = FormatRequest(node: 1, cluster: "c", members: NodeIdentityTests.members, nowMilliseconds: 0)
        request.reserveBytes = 0
        let good = try DataDirectory.format(at: path, request).text.fields
        let faults: [(inout [(name: String, value: String)]) -> Void] = [
            { $0.removeLast() }, { $0.append(("more", "1")) }, { $0.swapAt(0, 1) }, { $0[0].value = "x" },
            { $0[1].value = "00" }, { $0[3].value = "" }, { $0[4].value = "" }, { $0[4].value += "," },
            { $0[5].value = "-1" }, { $0 = [] },
        ]
        for (number, fault) in faults.enumerated() {
            var fields = good
            fault(&fields)
            try put(SealedText(kind: "identity", version: 1, fields: fields).bytes, at: path + "/identity")
            let error = #expect(throws: DirectoryError.self) { _ = try DataDirectory.open(at: path) }
            #expect(error?.cause == .corrupted, "fault \(number)")
        }
    }
}
