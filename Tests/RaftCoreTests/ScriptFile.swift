internal import Foundation
internal import Testing

/// One command of a script with what it should print.
struct ScriptBlock {
    /// An argument: `key`, `key=value` or `key=(value, …)`.
    struct Argument {
        var key: String
        var values: [String]
    }

    var line: Int
    var command: String
    var arguments: [Argument]
    var input: [String]
    var expected: [String]

    /// The values of an argument, joined from all its uses; empty if it is absent.
    func values(_ key: String) -> [String] {
        arguments.filter { $0.key == key }.flatMap(\.values)
    }

    /// The arguments without a value, as numbers.
    var numbers: [Int] {
        arguments.filter(\.values.isEmpty).compactMap { Int($0.key) }
    }
}

/// A file of blocks: `command args`, input lines, `----`, expected output up to a blank line
/// (or, after a second `----`, up to two more of them).
struct ScriptFile {
    var name: String
    var blocks: [ScriptBlock] = []

    init(name: String, text: String) {
        self.name = name
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        var place = 0
        while place < lines.count {
            var directive = lines[place].trimmingCharacters(in: .whitespaces)
            let line = place + 1
            place += 1
            if directive.isEmpty || directive.hasPrefix("#") { continue }
            while directive.hasSuffix("\\"), place < lines.count {
                directive = String(directive.dropLast()) + lines[place].trimmingCharacters(in: .whitespaces)
                place += 1
            }
            var input: [String] = []
            while place < lines.count, lines[place] != "----" {
                input.append(lines[place])
                place += 1
            }
            place += 1
            var expected: [String] = []
            if place < lines.count, lines[place] == "----" {
                place += 1
                while place < lines.count,
                    !(lines[place] == "----" && place + 1 < lines.count && lines[place + 1] == "----")
                {
                    expected.append(lines[place])
                    place += 1
                }
                place += 2
            } else {
                while place < lines.count, !lines[place].isEmpty {
                    expected.append(lines[place])
                    place += 1
                }
            }
            let (command, arguments) = Self.parse(directive)
            blocks.append(
                ScriptBlock(line: line, command: command, arguments: arguments, input: input, expected: expected))
        }
    }

    /// Splits at white space outside of parentheses.
    private static func parse(_ directive: String) -> (String, [ScriptBlock.Argument]) {
        var words: [String] = [""]
        var depth = 0
        for character in directive {
            if character == "(" { depth += 1 }
            if character == ")" { depth -= 1 }
            if character.isWhitespace && depth == 0 {
                if words.last != "" { words.append("") }
            } else {
                words[words.count - 1].append(character)
            }
        }
        if words.last == "" { words.removeLast() }
        let arguments = words.dropFirst().map { word -> ScriptBlock.Argument in
            guard let sign = word.firstIndex(of: "=") else { return .init(key: word, values: []) }
            var value = String(word[word.index(after: sign)...])
            if value.hasPrefix("("), value.hasSuffix(")") {
                value = String(value.dropFirst().dropLast())
                let values = value.split { $0 == "," || $0.isWhitespace }.map(String.init)
                return .init(key: String(word[..<sign]), values: values)
            }
            return .init(key: String(word[..<sign]), values: [value])
        }
        return (words.first ?? "", Array(arguments))
    }
}

/// A block that may differ, and why.
struct Exception {
    var file: String
    var line: Int
    var reason: String
}

/// Replays every script of the directory that an environment variable names and compares block by block.
func replayScripts(
    suite: String, variable: String, except exceptions: [Exception] = [],
    start: () -> (ScriptBlock) -> String
) throws {
    guard let directory = ProcessInfo.processInfo.environment[variable], !directory.isEmpty else {
        Issue.record("\(variable) is not set: name the directory of the scripts")
        return
    }
    let root = URL(fileURLWithPath: directory, isDirectory: true)
    var files: [String] = []
    if let walk = FileManager.default.enumerator(atPath: root.path) {
        for case let path as String in walk where path.hasSuffix(".txt") { files.append(path) }
    }
    var agreeing = 0
    for path in files.sorted() {
        let text = try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
        let run = start()
        var differences = 0
        for block in ScriptFile(name: path, text: text).blocks {
            let actual = comparable(
                run(block).split(separator: "\n", omittingEmptySubsequences: false).map(String.init))
            let expected = comparable(block.expected)
            guard actual != expected else { continue }
            if exceptions.contains(where: { $0.file == path && $0.line == block.line }) { continue }
            differences += 1
            if differences <= 3 {
                Issue.record(
                    """
                    \(path):\(block.line): \(block.command) differs
                    expected:
                    \(expected.joined(separator: "\n"))
                    got:
                    \(actual.joined(separator: "\n"))
                    """)
            }
        }
        if differences == 0 { agreeing += 1 }
    }
    print("\(suite): \(agreeing) of \(files.count) agree")
    #expect(!files.isEmpty, "no scripts in \(directory)")
    #expect(agreeing == files.count)
}

/// Output without log lines, leading white space, and the words for "nothing to print".
private func comparable(_ lines: [String]) -> [String] {
    let levels = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
    var kept = lines.map { String($0.drop { $0.isWhitespace }) }.filter { line in
        !levels.contains { line == $0 || line.hasPrefix($0 + " ") }
    }
    while kept.last == "" { kept.removeLast() }
    return kept == ["ok"] || kept == ["ok (quiet)"] ? [] : kept
}
