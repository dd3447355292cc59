import Testing

@testable import Holdfast

@Suite struct SafetensorsTests {
    private func parse(_ json: String, dataBytes: Int = 0) throws(HoldfastError) -> SafetensorsHeader {
        try SafetensorsHeader(
            json: Array(json.utf8), file: "m.safetensors", fileBytes: UInt64(8 + json.utf8.count + dataBytes))
    }

    private func tensor(_ fields: String, name: String = "t") -> String { "{\"\(name)\":{\(fields)}}" }

    @Test func `tensors come in the order of their data whatever the order of the header`() throws {
        let header = try parse(
            """
            {"__metadata__":{"format":"pt","note":"\\u00e9\\ud83d\\ude00"},
             "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},
             "a":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]},
             "scalar":{"data_offsets":[12,20],"shape":[],"dtype":"I64"},
             "none":{"dtype":"F64","shape":[0,7],"data_offsets":[20,20],"unknown":[{"x":[1.5e3,null,true]}]}}   
            """, dataBytes: 20)
        #expect(header.tensors.map(\.name) == ["a", "b", "scalar", "none"])
        #expect(header.tensors.map(\.shape) == [[2, 1], [2], [], [0, 7]])
        #expect(header.tensors[1].type == .f32)
        #expect(header.notes.map(\.key) == ["format", "note"])
        #expect(header.notes[1].value == "é😀")
    }

    @Test func `a file without tensors is valid`() throws {
        #expect(try parse("{}      ").tensors.isEmpty)
        #expect(try parse("{\"__metadata__\":null}").notes.isEmpty)
    }

    @Test(arguments: ElementType.allCases)
    func `every element type of the format is read with its size`(type: ElementType) throws {
        let bytes = Int(type.bits)  // 8 elements fill as many bytes as one has bits.
        let header = try parse(
            tensor("\"dtype\":\"\(type.rawValue)\",\"shape\":[2,4],\"data_offsets\":[0,\(bytes)]"), dataBytes: bytes)
        #expect(header.tensors.first?.type == type)
        #expect(ElementType(code: type.code) == type)
    }

    static let malformed: [(json: String, dataBytes: Int, words: [String])] = [
        ("[]", 0, ["not a JSON object"]),
        ("", 0, ["not a JSON object"]),
        (" {}", 0, ["not a JSON object"]),
        ("{", 0, ["ends where"]),
        ("{\"t\"", 0, ["ends where"]),
        ("{\"t\":{}", 0, ["'t'", "dtype", "missing"]),
        ("{\"t\":3}", 0, ["'t'", "no object"]),
        ("{} x", 0, ["after its JSON object"]),
        ("{,}", 0, ["no string"]),
        ("{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},}", 1, ["no string"]),
        ("{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}", 1, ["ends inside"]),
        ("{\"\u{1}\":{}}", 0, ["control character"]),
        ("{\"\\x\":{}}", 0, ["escape"]),
        ("{\"\\ud800\":{}}", 0, ["surrogate"]),
        ("{\"\\ud800\\u0041\":{}}", 0, ["surrogate"]),
        ("{\"\\u12g4\":{}}", 0, ["hex digits"]),
        ("{\"t\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, ["'t'", "'dtype'", "F33"]),
        ("{\"t\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, ["'t'", "'dtype'", "no string"]),
        ("{\"t\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, ["'t'", "'dtype'", "missing"]),
        ("{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, ["'t'", "'shape'", "missing"]),
        ("{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, ["'t'", "'data_offsets'", "missing"]),
        ("{\"t\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, ["'t'", "'shape'", "whole number"]),
        ("{\"t\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, ["'t'", "'shape'", "whole number"]),
        ("{\"t\":{\"dtype\":\"F32\",\"shape\":[1e0],\"data_offsets\":[0,4]}}", 4, ["'t'", "'shape'", "whole number"]),
        ("{\"t\":{\"dtype\":\"F32\",\"shape\":[01],\"data_offsets\":[0,4]}}", 4, ["'t'", "'shape'", "leading zero"]),
        ("{\"t\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, ["'t'", "'shape'", "no array"]),
        (
            "{\"t\":{\"dtype\":\"F32\",\"shape\":[18446744073709551616],\"data_offsets\":[0,4]}}", 4,
            ["'t'", "'shape'", "2^64"]
        ),
        (
            "{\"t\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
            ["'t'", "'shape'", "overflows"]
        ),
        (
            "{\"t\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
            ["'t'", "'shape'", "overflows"]
        ),
        ("{\"t\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2, ["'t'", "'shape'", "whole bytes"]),
        ("{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, ["'t'", "'shape'", "needs 8 bytes"]),
        ("{\"t\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,8]}}", 8, ["'t'", "'shape'", "needs 4 bytes"]),
        ("{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, ["'t'", "'data_offsets'", "reversed"]),
        ("{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3, ["'t'", "'data_offsets'", "range"]),
        ("{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, ["'t'", "'data_offsets'", "1 numbers"]),
        (
            "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4,
            ["'t'", "'data_offsets'", "3 numbers"]
        ),
        ("{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5, ["'data_offsets'", "hole", "4 of 5"]),
        ("{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}", 5, ["'t'", "'data_offsets'", "hole"]),
        ("{}", 1, ["'data_offsets'", "hole", "0 of 1"]),
        (
            "{\"t\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
                + "\"u\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[2,5]}}", 5,
            ["'u'", "'data_offsets'", "overlaps"]
        ),
        (
            "{\"t\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
                + "\"u\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[4,7]}}", 7,
            ["'u'", "'data_offsets'", "hole"]
        ),
        (
            "{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                + "\"\\u0074\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2,
            ["tensor 't'", "twice"]
        ),
        (
            "{\"t\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
            ["'t'", "'dtype'", "twice"]
        ),
        ("{\"__metadata__\":{},\"__metadata__\":{}}", 0, ["'__metadata__'", "twice"]),
        ("{\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}}", 0, ["'__metadata__'", "'a'", "twice"]),
        ("{\"__metadata__\":{\"a\":1}}", 0, ["'__metadata__'", "'a'", "no string"]),
        ("{\"__metadata__\":[]}", 0, ["'__metadata__'", "no object"]),
        ("{\"t\":{\"x\":" + String(repeating: "[", count: 40), 0, ["'t'", "'x'", "nested deeper"]),
        ("{\"t\":{\"x\":nul}}", 0, ["'t'", "'x'", "unknown word"]),
        ("{\"t\":{\"x\":+1}}", 0, ["'t'", "'x'", "unknown value"]),
    ]

    @Test(arguments: malformed.indices)
    func `a malformed header is refused by file, tensor and field`(index: Int) async throws {
        let example = Self.malformed[index]
        let error = await failure { () throws(HoldfastError) in
            try parse(example.json, dataBytes: example.dataBytes)
        }
        let message = error?.message ?? ""
        #expect(error?.code == .invalidArgument)
        for word in ["'m.safetensors'"] + example.words { #expect(message.contains(word), "\(word) in: \(message)") }
    }

    @Test func `a header cut at any byte is refused`() throws {
        let json =
            "{\"__metadata__\":{\"a\":\"\\u00e9\"},\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"
        for count in 0..<json.utf8.count {
            let cut = Array(json.utf8.prefix(count))
            #expect(throws: HoldfastError.self) {
                try SafetensorsHeader(json: cut, file: "m", fileBytes: UInt64(8 + cut.count + 1))
            }
        }
    }

    @Test func `a header with any byte changed never traps`() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("header fuzz seed=\(seed)")
        var random = SeededRandom(state: seed)
        let json = Array("{\"t\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},\"__metadata__\":{}}".utf8)
        var refused = 0
        for _ in 0..<5_000 {
            var bytes = json
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            do throws(HoldfastError) {
                let header = try SafetensorsHeader(json: bytes, file: "m", fileBytes: UInt64(8 + bytes.count + 24))
                // What passes covers the data exactly.
                #expect(header.tensors.reduce(0) { $0 + $1.end - $1.begin } == 24)
            } catch {
                refused += 1
            }
        }
        #expect(refused > 4_000)
    }

    @Test func `a length beyond the file or the format is refused before it is read`() async {
        func length(_ value: UInt64, fileBytes: UInt64) -> (() throws(HoldfastError) -> UInt64) {
            return { () throws(HoldfastError) in
                try SafetensorsHeader.length(prefix: littleEndian(value), file: "m", fileBytes: fileBytes)
            }
        }
        #expect(
            await failure { () throws(HoldfastError) in try length(9, fileBytes: 16)() }?.message.contains("truncated")
                == true)
        let large = await failure { () throws(HoldfastError) in try length(100_000_001, fileBytes: 1 << 40)() }
        #expect(large?.message.contains("limit of 100000000") == true)
        let hostile = await failure { () throws(HoldfastError) in try length(UInt64.max, fileBytes: 16)() }
        #expect(hostile?.code == .invalidArgument)
        let short = await failure { () throws(HoldfastError) in
            try SafetensorsHeader.length(prefix: [1, 2, 3], file: "m", fileBytes: 3)
        }
        #expect(short?.message.contains("too few") == true)
        #expect((try? length(8, fileBytes: 16)()) == 8)
    }
}
