internal import Holdfast
internal import Logging

/// Where a verb works: on a cluster, or on a directory without a daemon.
enum Place: Equatable {
    /// Any of these nodes, `HOST:PORT`.
    case endpoints([String])
    /// A directory of this process' own.
    case local(String)

    /// Flags before environment; `--endpoint` and `--local` exclude each other.
    init(endpoints flags: [String], local: String?, environment: [String: String]) throws(Failure) {
        if !flags.isEmpty, local != nil {
            throw .usage("--endpoint and --local exclude each other; give one of them")
        }
        if !flags.isEmpty {
            self = .endpoints(try Self.list(flags))
        } else if let local {
            self = .local(try Self.directory(local))
        } else if let text = environment["HOLDFAST_ENDPOINT"], !text.isEmpty {
            self = .endpoints(try Self.list([text]))
        } else if let directory = environment["HOLDFAST_LOCAL"], !directory.isEmpty {
            self = .local(directory)
        } else {
            throw .usage(
                "no place to work on; give --endpoint HOST:PORT or --local DIR, or set HOLDFAST_ENDPOINT or HOLDFAST_LOCAL"
            )
        }
    }

    /// What the library calls this place.
    var kind: NodeConfiguration.Kind {
        switch self {
        case .endpoints(let endpoints): .client(endpoints: endpoints)
        case .local(let directory): .local(directory: directory)
        }
    }

    /// Starts a node on the place. A directory that cannot be opened ends the program with status 1.
    func open(_ configuration: NodeConfiguration, logger: Logger) async throws -> HoldfastNode {
        do throws(HoldfastError) {
            let node = try HoldfastNode(configuration, logger: logger)
            try await node.start()
            return node
        } catch {
            guard case .local = self, error.code != .invalidArgument else { throw error }
            throw Failure(error, status: ExitStatus.failed)
        }
    }

    private static func directory(_ path: String) throws(Failure) -> String {
        guard !path.isEmpty else { throw .usage("--local needs the path of a directory") }
        return path
    }

    private static func list(_ texts: [String]) throws(Failure) -> [String] {
        var endpoints: [String] = []
        for part in texts.joined(separator: ",").split(separator: ",", omittingEmptySubsequences: false) {
            let text = part.trimmingSpaces
            try Endpoint.check(text, portZero: false)
            if !endpoints.contains(text) { endpoints.append(text) }
        }
        return endpoints
    }
}

/// Addresses as people write them: `HOST:PORT`, an IPv6 host in brackets.
enum Endpoint {
    /// Refuses what is no `HOST:PORT`; port 0 only where the system may choose.
    static func check(_ text: String, portZero: Bool) throws(Failure) {
        let hint = "'\(text)' is not an address; write HOST:PORT, such as 127.0.0.1:7001 or [::1]:7001"
        guard let colon = text.lastIndex(of: ":") else { throw .usage(hint) }
        let host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]") && host.count > 2
        guard !host.isEmpty, isBracketed || !host.contains(where: { ":[] ".contains($0) }) else { throw .usage(hint) }
        guard let port = UInt16(text[text.index(after: colon)...]) else { throw .usage(hint) }
        guard port > 0 || portZero else { throw .usage("'\(text)' has port 0; name the port that the node listens on") }
    }
}

extension Substring {
    /// Without the spaces at either end.
    var trimmingSpaces: String {
        var rest = self
        while rest.first == " " { rest.removeFirst() }
        while rest.last == " " { rest.removeLast() }
        return String(rest)
    }
}
