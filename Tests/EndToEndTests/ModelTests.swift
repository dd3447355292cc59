import Foundation
import Processes
import Testing

extension EndToEndTests {
    /// Models and tensors against three members.
    @Suite(.serialized, .cluster) struct Models {
        private let cluster: Cluster
        private let scratch: ScratchDirectory

        init() throws {
            cluster = try #require(Cluster.current)
            scratch = try ScratchDirectory()
        }

        /// Two tensors of 12 and 4 bytes.
        static let header = """
            {"first":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"last":{"dtype":"I32","shape":[],"data_offsets":[12,16]}}
            """

        private func source(_ name: String, seed: UInt64, bytes: Int = 300_000) throws -> String {
            try scratch.write(name + "/model.safetensors", safetensors(Self.header, data: Array(noise(16, seed: seed))))
            try scratch.write(name + "/a/b/deep.bin", noise(bytes, seed: seed))
            try scratch.write(name + "/a/empty", [])
            return scratch.path + "/" + name
        }

        @Test func aPushReportsItselfAndAPullGivesTheSameFiles() async throws {
            let path = try source("s", seed: 11)
            let push = try await cluster.run("model", "push", "org/m", path, "--json")
            #expect(push.status == 0, "\(push.error)")
            #expect(push.error.isEmpty)
            let lines = try push.documents
            let total = try tree(path).values.reduce(0) { $0 + $1.count }
            var sent = 0
            for line in lines.dropLast() {
                #expect(line.names == ["event", "sentBytes", "totalBytes"])
                #expect(line.text("event") == "progress")
                #expect(line.number("totalBytes") == total)
                let now = try #require(line.number("sentBytes"))
                #expect(now >= sent && now <= total)
                sent = now
            }
            #expect(lines.count > 1)
            let published = try #require(lines.last)
            #expect(
                published.names == ["bytes", "event", "name", "newBytes", "revision", "root", "upload", "version"])
            #expect(published.text("event") == "published")
            #expect(published.text("name") == "org/m")
            #expect(published.text("version") == "1")
            #expect(published.number("bytes") == total)
            #expect(published.text("root")?.count == 64)
            #expect(published.text("upload")?.count == 32)

            let target = scratch.path + "/t"
            let pull = try await cluster.run("model", "pull", "org/m", target, "--json")
            #expect(pull.status == 0, "\(pull.error)")
            let document = try pull.document
            #expect(document.names == ["files", "name", "version"])
            let files = try #require(document.list("files"))
            #expect(files.map { $0.text("path") } == ["a/b/deep.bin", "a/empty", "model.safetensors"])
            for file in files { #expect(file.names == ["bytes", "path", "sha256"]) }
            #expect(
                files[1].text("sha256") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
            #expect(try tree(target) == tree(path))
            #expect(try await cluster.run("model", "verify", "org/m", "--json").document.names == document.names)
        }

        @Test func versionsCountUpAndNeverChange() async throws {
            let one = try source("one", seed: 21)
            let two = try source("two", seed: 22)
            let first = try #require(try await cluster.run("model", "push", "v", one, "--json").documents.last)
            #expect(first.text("version") == "1")
            let same = try await cluster.run("model", "push", "v", one, "--version", "1", "--json")
            #expect(same.status == 0, "the same content again is no error")
            #expect(try same.documents.last?.text("root") == first.text("root"))
            #expect(try same.documents.last?.number("revision") == first.number("revision"))
            let other = try await cluster.run("model", "push", "v", two, "--version", "1", "--json")
            #expect(other.status == 2)
            #expect(try JSONObject(other.error).object("error")?.text("code") == "alreadyExists")
            let second = try #require(try await cluster.run("model", "push", "v", two, "--json").documents.last)
            #expect(second.text("version") == "2")

            let latest = try await cluster.run("model", "pull", "v", scratch.path + "/p2", "--json").document
            #expect(latest.text("version") == "2")
            #expect(try await cluster.run("model", "retire", "v").status == 64, "the version must be named")
            #expect(try await cluster.run("model", "retire", "v@2").status == 0)
            let older = try await cluster.run("model", "pull", "v", scratch.path + "/p1", "--json").document
            #expect(older.text("version") == "1", "a retired version is not found by name alone")
            #expect(try await cluster.run("model", "retire", "v@1").status == 0)
            let gone = try await cluster.run("model", "pull", "v", scratch.path + "/p0", "--json")
            #expect(gone.status == 3)
            #expect(try gone.failure.text("code") == "notFound")
            #expect(try await cluster.run("model", "retire", "v@9").status == 3)
            #expect(try await cluster.run("model", "show", "nothing").status == 3)
        }

        @Test(arguments: ["a/b/c", ".x", "a b", "a@b", "", "a/", "../a", "ä", String(repeating: "a", count: 97)])
        func aBadNameIsRefused(_ name: String) async throws {
            let file = try scratch.write("file", [1])
            let outcome = try await cluster.run("model", "push", "--json", "--", name, file)
            #expect(outcome.status == 64)
            #expect(try outcome.failure.text("code") == "invalidArgument")
        }

        @Test func theLongestNameWorks() async throws {
            let file = try scratch.write("file", [1])
            let name = String(repeating: "a", count: 47) + "/" + String(repeating: "Z", count: 48)
            #expect(try await cluster.run("model", "push", name, file, "--version", "2026.1_x-1").status == 0)
            #expect(try await cluster.run("model", "show", name + "@2026.1_x-1").status == 0)
            #expect(try await cluster.run("model", "push", name, file, "--version", "a/b").status == 64)
        }

        @Test func anotherFileIsReplacedOnlyByForce() async throws {
            let path = try source("s", seed: 31)
            #expect(try await cluster.run("model", "push", "force", path).status == 0)
            let target = scratch.path + "/t"
            try scratch.write("t/a/b/deep.bin", Array("mine".utf8))
            try scratch.write("t/notes", Array("kept".utf8))
            let refused = try await cluster.run("model", "pull", "force", target, "--json")
            #expect(refused.status == 2)
            #expect(try refused.failure.text("message")?.contains("--force") == true)
            #expect(try scratch.read("t/a/b/deep.bin") == Array("mine".utf8))
            #expect(try await cluster.run("model", "pull", "force", target, "--force").status == 0)
            var expected = try tree(path)
            expected["notes"] = Array("kept".utf8)
            #expect(try tree(target) == expected, "nothing else is touched, no temporary file stays")
            #expect(
                try await cluster.run("model", "pull", "force", target).status == 0, "the same files are no conflict")
        }

        @Test func linksAndEmptyDirectoriesAreRefused() async throws {
            let path = try source("s", seed: 41)
            try FileManager.default.createSymbolicLink(atPath: path + "/link", withDestinationPath: "a/empty")
            let link = try await cluster.run("model", "push", "link", path, "--json")
            #expect(link.status == 64)
            #expect(link.error.contains("symbolic link"))
            let file = try await cluster.run("model", "push", "link", path + "/link", "--json")
            #expect(file.status == 64)
            try FileManager.default.removeItem(atPath: path + "/link")
            try FileManager.default.createSymbolicLink(atPath: path + "/a/out", withDestinationPath: "/etc")
            #expect(try await cluster.run("model", "push", "link", path).status == 64)
            try FileManager.default.createDirectory(atPath: scratch.path + "/none", withIntermediateDirectories: true)
            #expect(try await cluster.run("model", "push", "link", scratch.path + "/none").status == 64)
            #expect(try await cluster.run("model", "push", "link", scratch.path + "/absent").status == 3)
            #expect(try await cluster.run("model", "show", "link").status == 3)
        }

        @Test func malformedSafetensorsAreRefusedByField() async throws {
            let tensor = #"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#
            let two = { (first: String, second: String) in
                #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[\#(first)]},"b":{"dtype":"F32","shape":[2],"data_offsets":[\#(second)]}}"#
            }
            let cases: [(String, [UInt8])] = [
                ("3 bytes", [1, 2, 3]),
                ("header length", safetensors(tensor, length: 1 << 60)),
                ("header length", safetensors(tensor, length: 100_000_001)),
                ("header", safetensors(#"{"a":"#)), ("not a JSON object", safetensors("[]")),
                ("dtype", safetensors(tensor.replacing("F32", with: "Q99"))),
                ("shape", safetensors(tensor.replacing("[4]", with: "[3]"))),
                ("shape", safetensors(tensor.replacing("[4]", with: "[-4]"))),
                ("shape", safetensors(tensor.replacing("[4]", with: "[4611686018427387904,4]"))),
                ("out of range", safetensors(tensor.replacing("16]", with: "32]"))),
                ("out of range", safetensors(tensor, data: [0])),
                ("hole", safetensors(tensor, data: [UInt8](repeating: 0, count: 17))),
                ("overlaps", safetensors(two("0,8", "4,12"))),
                ("hole", safetensors(two("0,8", "9,17"), data: [UInt8](repeating: 0, count: 17))),
                ("twice", safetensors(two("0,8", "8,16").replacing("\"b\"", with: "\"a\""))),
            ]
            for (field, bytes) in cases {
                try scratch.write("bad/model.safetensors", bytes)
                let outcome = try await cluster.run("model", "push", "bad", scratch.path + "/bad", "--json")
                #expect(outcome.status == 64, "\(field)")
                #expect(try outcome.failure.text("code") == "invalidArgument")
                #expect(outcome.error.contains(field), "\(outcome.error)")
                #expect(outcome.error.contains("model.safetensors"))
            }
            #expect(try await cluster.run("model", "show", "bad").status == 3, "nothing was published")
        }

        @Test func aTensorIsReadByName() async throws {
            let path = try source("s", seed: 51)
            #expect(try await cluster.run("model", "push", "tensors", path).status == 0)
            let data = noise(16, seed: 51)
            let list = try await cluster.run("tensor", "list", "tensors", "--json").document
            #expect(list.list("tensors")?.map { $0.text("name") } == ["first", "last"])
            #expect(try await cluster.run("tensor", "read", "tensors", "first").output == Array(data[..<12]))
            let out = scratch.path + "/tensor"
            #expect(try await cluster.run("tensor", "read", "tensors@1", "last", "--out", out).status == 0)
            #expect(try scratch.read("tensor") == Array(data[12...]))
            let summary = try await cluster.run("tensor", "read", "tensors", "first", "--summary")
            #expect(summary.text.contains("F32 [3]"))
            let json = try await cluster.run("tensor", "read", "tensors", "first", "--json").document
            #expect(json.text("dtype") == "F32")
            #expect(json.number("bytes") == 12)
            #expect(try await cluster.run("tensor", "read", "tensors", "middle").status == 3)
        }

        @Test func aFileThatChangesWhileItIsPushedFailsThePush() async throws {
            // More than a push holds in memory, so that it cannot have been read whole.
            let path = try scratch.write("s/large.bin", noise(100 << 20, seed: 61))
            let push = try cluster.begin("model", "push", "moving", path, "--json", "--rate-limit", "20000000")
            defer { push.signal(SIGKILL) }
            _ = try await push.line("of progress") { try JSONObject($0).number("sentBytes") ?? 0 > 100_000 }
            let file = try #require(FileHandle(forWritingAtPath: path))
            try file.seekToEnd()
            try file.write(contentsOf: Data([1]))
            try file.close()
            let outcome = try await push.outcome()
            #expect(outcome.status == 2, "\(outcome.error)")
            #expect(try outcome.failure.text("message")?.contains("changed") == true)
            #expect(try await cluster.run("model", "show", "moving").status == 3)
        }

        @Test func anInterruptedPushNamesItsUploadAndResumesOnAnotherNode() async throws {
            let path = try source("s", seed: 71, bytes: 20_000_000)
            let push = try cluster.begin("model", "push", "halves", path, "--json", "--rate-limit", "4000000", at: [1])
            defer { push.signal(SIGKILL) }
            _ = try await push.line("past a half") { try JSONObject($0).number("sentBytes") ?? 0 > 10_000_000 }
            push.signal(SIGINT)
            let end = try await push.outcome(seconds: 10)
            #expect(end.status == 130)
            let uploads = try await cluster.run("model", "uploads", "list", "--json").document.list("uploads")
            let upload = try #require(uploads?.first { $0.text("name") == "halves" }?.text("upload"))
            #expect(end.error.contains("--upload \(upload)"), "\(end.error)")

            let resumed = try await cluster.run("model", "push", "halves", path, "--upload", upload, "--json", at: [2])
            #expect(resumed.status == 0, "\(resumed.error)")
            let published = try #require(try resumed.documents.last)
            #expect(published.text("upload") == upload)
            #expect(try #require(published.number("newBytes")) < 14_000_000, "what was sent is not sent again")
            let target = scratch.path + "/t"
            #expect(try await cluster.run("model", "pull", "halves", target, at: [3]).status == 0)
            #expect(try tree(target) == tree(path))
        }

        @Test func anUploadIsListedAndAborted() async throws {
            let path = try source("s", seed: 81, bytes: 20_000_000)
            let push = try cluster.begin("model", "push", "given-up", path, "--json", "--rate-limit", "4000000")
            defer { push.signal(SIGKILL) }
            _ = try await push.line("of progress") { try JSONObject($0).number("sentBytes") ?? 0 > 1_000_000 }
            push.signal(SIGINT)
            _ = try await push.outcome(seconds: 10)
            let list = { try await cluster.run("model", "uploads", "list", "--json").document.list("uploads") ?? [] }
            let upload = try #require(try await list().first { $0.text("name") == "given-up" }?.text("upload"))
            #expect(try await cluster.run("model", "uploads", "abort", upload).status == 0)
            #expect(try await list().allSatisfy { $0.text("upload") != upload })
            #expect(try await cluster.run("model", "uploads", "abort", upload).status == 3)
            let resumed = try await cluster.run("model", "push", "given-up", path, "--upload", upload, "--json")
            #expect(resumed.status == 0, "its ID may begin anew: \(resumed.error)")
            #expect(try await cluster.run("model", "uploads", "abort", "00").status == 64)
        }

        @Test func anInterruptedPullResumesInANewProcess() async throws {
            for number in 0..<8 { try scratch.write("s/part\(number)", noise(12_000_000, seed: UInt64(90 + number))) }
            let path = scratch.path + "/s"
            #expect(try await cluster.run("model", "push", "pulled", path).status == 0)
            let target = scratch.path + "/t"
            let pull = try cluster.begin("model", "pull", "pulled", target)
            defer { pull.signal(SIGKILL) }
            try await until("a first file") {
                guard FileManager.default.fileExists(atPath: target) else { return false }
                return try FileManager.default.subpathsOfDirectory(atPath: target).count > 1
            }
            pull.signal(SIGKILL)
            _ = try await pull.outcome()
            let again = try await cluster.run("model", "pull", "pulled", target, "--json")
            #expect(again.status == 0, "\(again.error)")
            #expect(try tree(target) == tree(path), "complete, and no temporary file stays")
        }
    }
}
