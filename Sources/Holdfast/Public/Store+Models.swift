internal import NIOCore
internal import ReplicaCore

/// How a push goes.
public struct PushOptions: Sendable {
    /// The version to publish; nil for the next number.
    public var version: String?
    /// The upload to resume, 32 hex digits; nil begins one.
    public var upload: String?
    /// Bytes sent per second at most; nil for as fast as it goes.
    public var rateLimitBytesPerSecond: UInt64?

    /// Options for one push.
    public init(version: String? = nil, upload: String? = nil, rateLimitBytesPerSecond: UInt64? = nil) {
        self.version = version
        self.upload = upload
        self.rateLimitBytesPerSecond = rateLimitBytesPerSecond
    }
}

extension Store {
    /// Pushes a directory or a file as a new version of a model; returns when a quorum holds every byte and the version is visible.
    ///
    /// - Parameters:
    ///   - progress: told of bytes that the cluster has.
    ///   - began: told the upload's ID at once, so that an interrupted push can be resumed with it.
    /// - Throws: `invalidArgument` for malformed files, `preconditionFailed` for a file that changed meanwhile, `alreadyExists` where the
    ///   version has another content.
    public func push(
        _ path: String, as name: String, options: PushOptions = PushOptions(),
        progress: (@Sendable (TransferProgress) -> Void)? = nil, began: (@Sendable (_ upload: String) -> Void)? = nil
    ) async throws(HoldfastError) -> PushResult {
        try await Pusher.push(
            path, as: name, version: options.version, upload: options.upload,
            rateLimitBytesPerSecond: options.rateLimitBytesPerSecond, plane: RoutedUploads(store: self),
            progress: progress, began: began)
    }

    /// Pulls a model into a directory; every file is checked before it gets its name. An interrupted pull goes on where it stopped.
    ///
    /// - Parameters:
    ///   - force: replaces files that have other content; without it they are refused with `alreadyExists`.
    ///   - consistency: how fresh the node must be that says which version it is; a standby answers what is not linearizable.
    public func pull(
        _ reference: ModelReference, into directory: String, force: Bool = false,
        consistency: ReadConsistency = .linearizable, progress: (@Sendable (TransferProgress) -> Void)? = nil
    ) async throws(HoldfastError) -> PullResult {
        try await Puller.pull(
            try await resolve(reference, consistency), from: chunkSource, into: directory, force: force,
            progress: progress)
    }

    /// Pulls exactly this content, published or not, from nodes that keep its chunks: what an orphan was.
    ///
    /// - Throws: `notFound` where nobody keeps them any more.
    public func pull(
        _ version: ModelVersion, into directory: String, force: Bool = false,
        progress: (@Sendable (TransferProgress) -> Void)? = nil
    ) async throws(HoldfastError) -> PullResult {
        try await Puller.pull(version, from: chunkSource, into: directory, force: force, progress: progress)
    }

    /// Reads every byte of a model from the node asked and checks it.
    public func verify(
        _ reference: ModelReference, progress: (@Sendable (TransferProgress) -> Void)? = nil
    ) async throws(HoldfastError) -> PullResult {
        try await Puller.verify(try await resolve(reference), from: chunkSource, progress: progress)
    }

    /// The published versions, retired ones included: of one model, or of all.
    public func models(
        named name: String? = nil, consistency: ReadConsistency = .linearizable
    ) async throws(HoldfastError) -> [ModelVersion] {
        let body = ByteBuffer.written { consistency.encode(into: &$0) { $0.optionalText(name) } }
        let answer = try await router.send(.models, body, to: .any, deadline: deadline)
        return try Self.decode(answer) { reader throws(DecodeError) in
            try reader.list(of: ReplicaCore.ModelVersion.self)
        }.map(ModelVersion.init)
    }

    /// Opens a model for reading tensors and files.
    public func model(_ reference: ModelReference) async throws(HoldfastError) -> Model {
        try await Model.load(try await resolve(reference), from: chunkSource)
    }

    /// Retires a version: it is no longer found by name alone, and its bytes go when nothing needs them. The version must be named.
    public func retire(_ reference: ModelReference) async throws(HoldfastError) {
        guard let version = reference.version else {
            throw HoldfastError(.invalidArgument, "name the version to retire: \(reference.name)@VERSION")
        }
        _ = try await router.command(.retire(name: reference.name, version: version), deadline: deadline)
    }

    /// The uploads that have begun and are neither published nor aborted.
    public func uploads() async throws(HoldfastError) -> [UploadStatus] {
        let body = ByteBuffer.written { ReadConsistency.linearizable.encode(into: &$0) { _ in } }
        let answer = try await router.send(.uploads, body, to: .any, deadline: deadline)
        return try Self.decode(answer) { reader throws(DecodeError) in try reader.list(of: UploadInfo.self) }
            .map { info in
                UploadStatus(
                    upload: info.id.hex, name: info.name, version: info.version, chunks: Int(info.count),
                    touchedMilliseconds: info.lastActive)
            }
    }

    /// Gives an upload up; its chunks go unless something else names them.
    public func abortUpload(_ upload: String) async throws(HoldfastError) {
        guard upload.utf8.count == 32, let id = UploadID(hex: upload) else {
            throw HoldfastError(.invalidArgument, "'\(upload)' is not an upload ID; it has 32 hex digits")
        }
        _ = try await router.command(.uploadAbort(id), deadline: deadline)
    }

    private func resolve(
        _ reference: ModelReference, _ consistency: ReadConsistency = .linearizable
    ) async throws(HoldfastError) -> ModelVersion {
        let body = ByteBuffer.written {
            consistency.encode(into: &$0) {
                $0.text(reference.name)
                $0.optionalText(reference.version)
            }
        }
        let answer = try await router.send(.model, body, to: .any, deadline: deadline)
        return ModelVersion(
            try Self.decode(answer) { reader throws(DecodeError) in
                try ReplicaCore.ModelVersion.decode(from: &reader)
            })
    }
}
