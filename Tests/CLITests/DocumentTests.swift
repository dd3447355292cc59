import Foundation
import Testing

@testable import Holdfast
@testable import HoldfastCLI

@Suite struct DocumentTests {
    private static let model = ModelVersion(
        name: "org/m", version: "2", root: "ab", revision: 7, bytes: 90, files: 1, chunks: 3,
        publishedMilliseconds: 5, retired: false)

    @Test func aKeyHasTheFieldsOfTheContract() throws {
        let found = KeyValue(key: "a/b", value: Array("é/\0".utf8), revision: 9, createRevision: 4, version: 2)
        let text = JSON.text(KeyDocument(found))
        let document = try object(text)
        #expect(document.keys.sorted() == ["createRevision", "encoding", "key", "revision", "value", "version"])
        #expect(document["key"] as? String == "a/b")
        #expect(document["value"] as? String == "é/\0")
        #expect(document["encoding"] as? String == "utf8")
        #expect(document["revision"] as? Int == 9)
        #expect(document["createRevision"] as? Int == 4)
        #expect(document["version"] as? Int == 2)
        #expect(text.contains("a/b"), "slashes are not escaped")
    }

    @Test func aValueThatIsNotTextComesAsBase64AndLosesNothing() throws {
        let bytes: [UInt8] = [0xFF, 0x00, 0xC3, 0x28]
        let found = KeyValue(key: Key(bytes), value: bytes, revision: 1, createRevision: 1, version: 1)
        let document = try object(JSON.text(KeyDocument(found)))
        #expect(document["encoding"] as? String == "base64")
        #expect(document["keyEncoding"] as? String == "base64")
        let value = try #require(document["value"] as? String)
        #expect(Data(base64Encoded: value).map { Array($0) } == bytes)
    }

    @Test func theLargestRevisionKeepsEveryDigit() {
        let found = KeyValue(key: "k", value: [], revision: .max, createRevision: 1, version: 1)
        #expect(JSON.text(KeyDocument(found)).contains("\"revision\":18446744073709551615"))
    }

    @Test func aWatchEventHasItsTypeAndIsOneLine() throws {
        let found = KeyValue(key: "k", value: Array("a\nb".utf8), revision: 1, createRevision: 1, version: 1)
        let put = JSON.text(KeyDocument(Change(kind: .put, keyValue: found)))
        #expect(try object(put)["type"] as? String == "put")
        #expect(!put.contains("\n"))
        #expect(
            try object(JSON.text(KeyDocument(Change(kind: .delete, keyValue: found))))["type"] as? String == "delete")
    }

    @Test func aPushEndsWithThePublishedLine() throws {
        let line = try object(JSON.text(PublishedDocument(PushResult(model: Self.model, newBytes: 8, upload: "cd"))))
        #expect(
            line.keys.sorted() == ["bytes", "event", "name", "newBytes", "revision", "root", "upload", "version"])
        #expect(line["event"] as? String == "published")
        #expect(line["version"] as? String == "2")
        let progress = try object(JSON.text(ProgressLine(sentBytes: 1, totalBytes: 2)))
        #expect(progress.keys.sorted() == ["event", "sentBytes", "totalBytes"])
        #expect(progress["event"] as? String == "progress")
    }

    @Test func aPullNamesItsFiles() throws {
        let result = PullResult(model: Self.model, files: [ModelFile(path: "a/b", bytes: 3, sha256: "ef")])
        let document = try object(JSON.text(PulledDocument(result)))
        #expect(document.keys.sorted() == ["files", "name", "version"])
        let files = try #require(document["files"] as? [[String: any Sendable]])
        #expect(files.first?.keys.sorted() == ["bytes", "path", "sha256"])
    }

    @Test func aStatusAlwaysHasALeaderFieldAndEveryNodeField() throws {
        let node = ClusterStatus.Node(id: 1, endpoint: "h:1", role: .unreachable)
        let status = ClusterStatus(cluster: "c", lineage: "", term: 3, leader: nil, revision: 4, nodes: [node])
        let text = JSON.text(ClusterDocument(status))
        #expect(text.contains("\"leader\":null"))
        let document = try object(text)
        #expect(
            document.keys.sorted() == ["cluster", "featureVersion", "leader", "lineage", "nodes", "revision", "term"])
        let nodes = try #require(document["nodes"] as? [[String: any Sendable]])
        #expect(
            nodes.first?.keys.sorted() == [
                "applied", "commit", "complete", "completeRevision", "endpoint", "featureVersion", "feedHash",
                "freeBytes", "full", "id", "missingBytes", "protocolVersion", "quarantined", "revision", "role",
            ])
        #expect(nodes.first?["role"] as? String == "unreachable")
    }

    @Test func aFigureAlwaysHasItsFiveFields() throws {
        let limit = JSON.text(Figure("limit.sha256", 1200, "MB/s"))
        #expect(limit.contains("\"limit\":null") && limit.contains("\"ratio\":null"))
        #expect(try object(limit).keys.sorted() == ["limit", "name", "ratio", "unit", "value"])
        #expect(Figure("put.p50", 300, "us", limit: 100).ratio == 3)
    }

    @Test func waitingForReadyNeedsALeaderAndEveryMember() {
        func status(_ leader: UInt64?, _ nodes: [ClusterStatus.Node]) -> ClusterStatus {
            ClusterStatus(cluster: "c", lineage: "", term: 1, leader: leader, revision: 1, nodes: nodes)
        }
        let first = ClusterStatus.Node(id: 1, endpoint: "h:1", role: .leader, complete: true)
        var second = ClusterStatus.Node(id: 2, endpoint: "h:2", role: .follower, complete: false)
        #expect(ClusterCondition.ready.holds(in: status(1, [first, second])))
        #expect(!ClusterCondition.complete.holds(in: status(1, [first, second])))
        #expect(!ClusterCondition.ready.holds(in: status(nil, [first, second])))
        #expect(!ClusterCondition.ready.holds(in: status(1, [])))
        second.complete = true
        #expect(ClusterCondition.complete.holds(in: status(1, [first, second])))
        second.role = .unreachable
        #expect(!ClusterCondition.ready.holds(in: status(1, [first, second])))
        second.role = .follower
        second.quarantined = true
        #expect(!ClusterCondition.complete.holds(in: status(1, [first, second])))
    }
}

@Suite struct TransactionFileTests {
    private func parse(_ text: String) throws(Failure) -> Transaction {
        try TransactionFile(parsing: Array(text.utf8)).transaction
    }

    @Test func everyFormIsUnderstood() throws {
        let found = try parse(
            """
            {"compare":[{"key":"a","revision":0},{"key":"b","value":"/w==","encoding":"base64","is":"notEqual"},
                        {"key":"c","version":3,"is":"less"},{"key":"d","createRevision":4,"is":"greater"}],
             "then":[{"op":"put","key":"a","value":"x"},{"op":"delete","prefix":"p"}],
             "else":[{"op":"get","key":"a"},{"op":"get","from":"a","below":"b","limit":2}]}
            """)
        #expect(
            found
                == Transaction(
                    compare: [
                        .init("a", .equal, .revision(0)), .init("b", .notEqual, .value([0xFF])),
                        .init("c", .less, .version(3)), .init("d", .greater, .createRevision(4)),
                    ],
                    then: [.put("a", Array("x".utf8)), .delete(.prefix("p"))],
                    otherwise: [.get(.key("a"), limit: 0), .get(.range(from: "a", below: "b"), limit: 2)]))
    }

    @Test(arguments: [
        "", "[]", "{\"compares\":[]}", "{\"then\":[{\"op\":\"put\",\"key\":\"a\"}]}",
        "{\"then\":[{\"op\":\"pop\",\"key\":\"a\"}]}", "{\"then\":[{\"op\":\"delete\"}]}",
        "{\"then\":[{\"op\":\"delete\",\"key\":\"a\",\"prefix\":\"b\"}]}",
        "{\"then\":[{\"op\":\"get\",\"key\":\"a\",\"limit\":-1}]}", "{\"compare\":[{\"key\":\"a\"}]}",
        "{\"compare\":[{\"key\":\"a\",\"revision\":1,\"version\":1}]}",
        "{\"compare\":[{\"key\":\"a\",\"revision\":1,\"is\":\"==\"}]}",
        "{\"then\":[{\"op\":\"put\",\"key\":\"a\",\"value\":\"?\",\"encoding\":\"base64\"}]}",
        "{\"then\":[{\"op\":\"put\",\"key\":\"a\",\"value\":\"x\",\"lease\":1}]}",
        "{\"compare\":[{\"key\":\"a\",\"revision\":-1}]}",
    ])
    func whatTheFormatDoesNotKnowIsAUsageError(_ text: String) {
        let failure = #expect(throws: Failure.self) { try parse(text) }
        #expect(failure?.status == 64)
    }

    @Test func anAnswerSaysWhatEachOperationDid() throws {
        let read = KeyList(keys: [], more: false, revision: 3)
        let result = TransactionResult(succeeded: true, revision: 3, answers: [.put, .deleted(2), .keys(read)])
        let document = try object(JSON.text(TransactionDocument(result)))
        #expect(document["succeeded"] as? Bool == true)
        let answers = try #require(document["answers"] as? [[String: any Sendable]])
        #expect(answers.map { $0["op"] as? String } == ["put", "delete", "get"])
        #expect(answers[1]["deleted"] as? Int == 2)
    }
}

@Suite struct KeyPagesTests {
    private func rest(_ prefix: Key, _ order: KeyOrder, after key: Key) -> KeyScope {
        KeyPages(prefix: prefix, limit: 0, order: order, consistency: .linearizable).rest(after: key)
    }

    @Test func aPageBeginsRightAfterTheLastKey() {
        #expect(rest("a/", .ascending, after: "a/b") == .range(from: "a/b\0", below: "a0"))
        #expect(rest("a/", .descending, after: "a/b") == .range(from: "a/", below: "a/b"))
    }

    @Test func theEndOfAPrefixIsAboveAllItsKeys() {
        #expect(KeyPages.end(of: "ab") == "ac")
        #expect(KeyPages.end(of: Key([1, 0xFF, 0xFF])) == Key([2]))
        for prefix in [Key([]), Key([0xFF])] { #expect(KeyPages.end(of: prefix).bytes.count == 4096) }
    }
}
