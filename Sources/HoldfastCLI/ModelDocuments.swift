internal import Foundation
internal import Holdfast

/// The last line of `model push --json`.
struct PublishedDocument: Encodable {
    let event = "published"
    var name: String
    var version: String
    var root: String
    var revision: Revision
    var bytes: UInt64
    var newBytes: UInt64
    var upload: String

    init(_ result: PushResult) {
        name = result.model.name
        version = result.model.version
        root = result.model.root
        revision = result.model.revision
        bytes = result.model.bytes
        newBytes = result.newBytes
        upload = result.upload
    }
}

/// A file of a model.
struct FileDocument: Encodable {
    var path: String
    var bytes: UInt64
    var sha256: String

    init(_ file: ModelFile) {
        path = file.path
        bytes = file.bytes
        sha256 = file.sha256
    }
}

/// The document of `model pull --json` and `model verify --json`.
struct PulledDocument: Encodable {
    var name: String
    var version: String
    var files: [FileDocument]

    init(_ result: PullResult) {
        name = result.model.name
        version = result.model.version
        files = result.files.map { FileDocument($0) }
    }
}

/// A version of a model, in lists.
struct VersionDocument: Encodable {
    var name: String
    var version: String
    var root: String
    var revision: Revision
    var bytes: UInt64
    var files: Int
    var chunks: Int
    var publishedMilliseconds: UInt64
    var retired: Bool

    init(_ model: ModelVersion) {
        name = model.name
        version = model.version
        root = model.root
        revision = model.revision
        bytes = model.bytes
        files = model.files
        chunks = model.chunks
        publishedMilliseconds = model.publishedMilliseconds
        retired = model.retired
    }
}

/// A tensor, in lists.
struct TensorDocument: Encodable {
    var name: String
    var dtype: String
    var shape: [UInt64]
    var bytes: UInt64
    var file: String

    init(_ tensor: TensorInfo) {
        name = tensor.name
        dtype = tensor.dtype
        shape = tensor.shape
        bytes = tensor.bytes
        file = tensor.file
    }
}

/// The document of `model show --json`.
struct ModelDocument: Encodable {
    var name: String
    var version: String
    var root: String
    var revision: Revision
    var bytes: UInt64
    var chunks: Int
    var publishedMilliseconds: UInt64
    var retired: Bool
    var files: [FileDocument]
    var tensors: Int

    init(_ model: Model) {
        let version = model.version
        name = version.name
        self.version = version.version
        root = version.root
        revision = version.revision
        bytes = version.bytes
        chunks = version.chunks
        publishedMilliseconds = version.publishedMilliseconds
        retired = version.retired
        files = model.files.map { FileDocument($0) }
        tensors = model.tensors.count
    }
}

/// An upload that is open, in lists.
struct UploadDocument: Encodable {
    var upload: String
    var name: String
    var version: String?
    var chunks: Int
    var touchedMilliseconds: UInt64

    init(_ status: UploadStatus) {
        upload = status.upload
        name = status.name
        version = status.version
        chunks = status.chunks
        touchedMilliseconds = status.touchedMilliseconds
    }
}
