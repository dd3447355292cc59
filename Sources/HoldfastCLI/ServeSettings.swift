internal import Foundation
internal import Holdfast
internal import Logging
internal import Yams

/// The settings of `serve`, from flags, environment and file: the first that says something wins.
struct ServeSettings {
    /// Every setting by its one name: in Swift, in the file and in the documentation. The environment writes
    /// `rowCacheBytes` as `HOLDFAST_ROW_CACHE_BYTES`, the command line as `--row-cache-bytes`.
    enum Name: String, CaseIterable {
        case data, listen, allowPlaintext, heartbeatMilliseconds, electionMilliseconds, timeoutMilliseconds
        case rowCacheBytes, uploadIdleMilliseconds, sweepMilliseconds
        case logBytesMax, logEntriesMax, absenceMilliseconds, snapshotBytesPerSecond
        case scrubMilliseconds, scrubBytesPerSecond
        case featureVersionMax, logLevel

        /// The name of the environment's variable.
        var variable: String { "HOLDFAST_" + words("_").uppercased() }

        /// The name of the flag.
        var flag: String { "--" + words("-") }

        private func words(_ separator: String) -> String {
            rawValue.reduce(into: "") { text, character in
                text += character.isUppercase ? separator + character.lowercased() : String(character)
            }
        }
    }

    /// Where a value was said, for messages.
    private struct Value {
        var text: String
        var origin: String
    }

    private var values: [Name: Value] = [:]

    /// Layers the sources. `flags` are the texts that the command line gave; `file` is the content of `--config`.
    init(
        flags: [Name: String], environment: [String: String], file: String? = nil, fileName: String = ""
    ) throws(Failure) {
        if let file { values = try Self.parse(file, fileName) }
        for name in Name.allCases {
            if let text = environment[name.variable], !text.isEmpty {
                values[name] = Value(text: text, origin: name.variable)
            }
            if let text = flags[name] { values[name] = Value(text: text, origin: name.flag) }
        }
    }

    /// The node's configuration. A member's directory must be named somewhere.
    func configuration() throws(Failure) -> NodeConfiguration {
        guard let directory = values[.data]?.text, !directory.isEmpty else {
            throw .usage("no data directory; give --data DIR, set HOLDFAST_DATA, or write data: in the file")
        }
        var configuration = NodeConfiguration(.member(directory: directory))
        if let listen = values[.listen] {
            try Endpoint.check(listen.text, portZero: true)
            configuration.listen = listen.text
        }
        configuration.allowPlaintext = try truth(.allowPlaintext) ?? configuration.allowPlaintext
        try set(.heartbeatMilliseconds, &configuration.heartbeatMilliseconds)
        try set(.electionMilliseconds, &configuration.electionMilliseconds)
        try set(.timeoutMilliseconds, &configuration.timeoutMilliseconds)
        try set(.rowCacheBytes, &configuration.rowCacheBytes)
        try set(.uploadIdleMilliseconds, &configuration.uploadIdleMilliseconds)
        try set(.sweepMilliseconds, &configuration.sweepMilliseconds)
        try set(.logBytesMax, &configuration.logBytesMax)
        try set(.logEntriesMax, &configuration.logEntriesMax)
        try set(.absenceMilliseconds, &configuration.absenceMilliseconds)
        try set(.snapshotBytesPerSecond, &configuration.snapshotBytesPerSecond)
        try set(.scrubMilliseconds, &configuration.scrubMilliseconds)
        try set(.scrubBytesPerSecond, &configuration.scrubBytesPerSecond)
        configuration.featureVersionMax = try number(.featureVersionMax)
        return configuration
    }

    /// The log level, or nil where nothing says.
    func logLevel() throws(Failure) -> Logger.Level? {
        guard let value = values[.logLevel] else { return nil }
        guard let level = Logger.Level(rawValue: value.text) else {
            throw .usage(
                "\(value.origin) is '\(value.text)'; use trace, debug, info, notice, warning, error or critical")
        }
        return level
    }

    private func set(_ name: Name, _ property: inout Int) throws(Failure) {
        property = try number(name) ?? property
    }

    private func number(_ name: Name) throws(Failure) -> Int? {
        guard let value = values[name] else { return nil }
        guard let number = Int(value.text), number > 0 else {
            throw .usage("\(value.origin) is '\(value.text)'; it must be a whole number of 1 or more")
        }
        return number
    }

    private func truth(_ name: Name) throws(Failure) -> Bool? {
        guard let value = values[name] else { return nil }
        switch value.text.lowercased() {
        case "1", "true", "yes", "on": return true
        case "0", "false", "no", "off": return false
        default: throw .usage("\(value.origin) is '\(value.text)'; it must be true or false (1 or 0)")
        }
    }

    /// Reads a mapping of scalars; a name that is unknown or stands twice is refused with its line.
    private static func parse(_ text: String, _ fileName: String) throws(Failure) -> [Name: Value] {
        let node: Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch {
            throw .usage("\(fileName) is not YAML: \(error)")
        }
        // An empty file sets nothing.
        guard let node, node.null == nil else { return [:] }
        guard case .mapping(let mapping) = node else {
            throw .usage("\(fileName) must hold 'name: value' lines, such as 'listen: 127.0.0.1:7001'")
        }
        var values: [Name: Value] = [:]
        for (key, value) in mapping {
            let place = key.mark.map { "\(fileName):\($0.line)" } ?? fileName
            let word = key.string ?? ""
            guard let name = Name(rawValue: word) else {
                let known = Name.allCases.map(\.rawValue).joined(separator: ", ")
                throw .usage("\(place): '\(word)' is no setting; the settings are \(known)")
            }
            guard case .scalar(let scalar) = value else {
                throw .usage("\(place): '\(word)' takes one value, not a list or a mapping")
            }
            values[name] = Value(text: scalar.string, origin: "\(place): \(word)")
        }
        return values
    }
}
