/// A model's name and, unless the newest is meant, its version: `org/name@3`.
public struct ModelReference: Sendable, Hashable, CustomStringConvertible {
    /// `[A-Za-z0-9][A-Za-z0-9._-]*`, optionally with one `org/` before it, at most 96 bytes.
    public var name: String
    /// The version, or nil for the highest published and not retired.
    public var version: String?

    /// A reference by parts; checked when it is used.
    public init(name: String, version: String? = nil) {
        self.name = name
        self.version = version
    }

    /// Parses `NAME` or `NAME@VERSION`; throws `invalidArgument` for anything else.
    public init(parsing text: String) throws(HoldfastError) {
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, !first.isEmpty, parts.count == 1 || !parts[1].isEmpty else {
            throw HoldfastError(.invalidArgument, "'\(text)' is not a model reference; write NAME or NAME@VERSION")
        }
        name = String(first)
        version = parts.count == 2 ? String(parts[1]) : nil
    }

    /// `name` or `name@version`.
    public var description: String { version.map { "\(name)@\($0)" } ?? name }
}

/// One published version of a model.
public struct ModelVersion: Sendable, Hashable {
    /// The model's name.
    public var name: String
    /// Its version.
    public var version: String
    /// The SHA-256, in hex, of the manifest's root chunk: equal roots are equal models.
    public var root: String
    /// The revision at which it was published.
    public var revision: Revision
    /// The bytes of all its files.
    public var bytes: UInt64
    /// How many files it has.
    public var files: Int
    /// How many chunks hold them, the manifest's own included.
    public var chunks: Int
    /// When it was published, in milliseconds since 1970, by the leader's clock.
    public var publishedMilliseconds: UInt64
    /// Whether it was retired: it is no longer found by name alone, and its bytes go when nothing needs them.
    public var retired: Bool

    /// A version as a test or a gateway builds it.
    public init(
        name: String, version: String, root: String, revision: Revision, bytes: UInt64, files: Int, chunks: Int,
        publishedMilliseconds: UInt64, retired: Bool
    ) {
        self.name = name
        self.version = version
        self.root = root
        self.revision = revision
        self.bytes = bytes
        self.files = files
        self.chunks = chunks
        self.publishedMilliseconds = publishedMilliseconds
        self.retired = retired
    }
}

/// One file of a model.
public struct ModelFile: Sendable, Hashable {
    /// The path below the model's directory, with `/` between its parts.
    public var path: String
    /// Its length.
    public var bytes: UInt64
    /// The SHA-256 of its content, in hex.
    public var sha256: String

    /// A file as a test or a gateway builds it.
    public init(path: String, bytes: UInt64, sha256: String) {
        self.path = path
        self.bytes = bytes
        self.sha256 = sha256
    }
}

/// One tensor of a model's safetensors files.
public struct TensorInfo: Sendable, Hashable {
    /// Its name in the safetensors header.
    public var name: String
    /// The element type as safetensors writes it: `F32`, `BF16`, `I64`, …
    public var dtype: String
    /// The lengths of its dimensions; empty for a scalar.
    public var shape: [UInt64]
    /// The length of its data.
    public var bytes: UInt64
    /// The file it stands in.
    public var file: String

    /// A tensor as a test or a gateway builds it.
    public init(name: String, dtype: String, shape: [UInt64], bytes: UInt64, file: String) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.bytes = bytes
        self.file = file
    }
}

/// What a push published.
public struct PushResult: Sendable, Hashable {
    /// The version that is now visible.
    public var model: ModelVersion
    /// Bytes that had to be sent; the rest was there already.
    public var newBytes: UInt64
    /// The upload's ID, 32 hex digits.
    public var upload: String

    /// A result as a test builds it.
    public init(model: ModelVersion, newBytes: UInt64, upload: String) {
        self.model = model
        self.newBytes = newBytes
        self.upload = upload
    }
}

/// What a pull or a verification read.
public struct PullResult: Sendable, Hashable {
    /// The version that was read.
    public var model: ModelVersion
    /// Its files, every one checked against its hash.
    public var files: [ModelFile]

    /// A result as a test builds it.
    public init(model: ModelVersion, files: [ModelFile]) {
        self.model = model
        self.files = files
    }
}

/// How far a push, a pull or a verification is.
public struct TransferProgress: Sendable, Hashable {
    /// Bytes done, of files; bytes that were there already count at once.
    public var doneBytes: UInt64
    /// Bytes of all files.
    public var totalBytes: UInt64

    /// Progress of so many bytes.
    public init(doneBytes: UInt64, totalBytes: UInt64) {
        self.doneBytes = doneBytes
        self.totalBytes = totalBytes
    }
}

/// An upload that has begun and is neither published nor aborted.
public struct UploadStatus: Sendable, Hashable {
    /// Its ID, 32 hex digits.
    public var upload: String
    /// The model it is for.
    public var name: String
    /// The version asked for, or nil for the next number.
    public var version: String?
    /// Chunks named so far.
    public var chunks: Int
    /// When it was last added to, in milliseconds since 1970, by the leader's clock.
    public var touchedMilliseconds: UInt64

    /// A status as a test builds it.
    public init(upload: String, name: String, version: String?, chunks: Int, touchedMilliseconds: UInt64) {
        self.upload = upload
        self.name = name
        self.version = version
        self.chunks = chunks
        self.touchedMilliseconds = touchedMilliseconds
    }
}
