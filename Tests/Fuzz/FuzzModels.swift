import Foundation

@testable import Holdfast

/// Manifests and root chunks: what decodes keeps its invariants and encodes to what came.
enum FuzzManifest {
    static func run(_ bytes: [UInt8]) {
        var input = Input(bytes)
        let isRoot = input.byte() & 1 == 1
        let rest = input.rest()
        if isRoot {
            guard let root = try? ManifestRoot(decoding: rest) else { return }
            precondition(root.encoded() == rest, "a root has two forms")
        } else {
            guard let manifest = try? Manifest(decoding: rest) else { return }
            precondition(manifest.encoded() == rest, "a manifest has two forms")
        }
    }
}

/// Headers of safetensors files: every tensor lies in the file, and they do not overlap.
enum FuzzSafetensors {
    static func run(_ bytes: [UInt8]) {
        var input = Input(bytes)
        let dataBytes = input.number() & 0xFFFF_FFFF
        let json = input.rest()
        let fileBytes = 8 + UInt64(json.count) + dataBytes
        let prefix = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) }
        _ = try? SafetensorsHeader.length(prefix: prefix, file: "f", fileBytes: fileBytes)
        guard let header = try? SafetensorsHeader(json: json, file: "f", fileBytes: fileBytes) else { return }
        var end: UInt64 = 0
        for tensor in header.tensors {
            precondition(tensor.begin >= end && tensor.end >= tensor.begin, "tensors overlap")
            precondition(tensor.end <= fileBytes - header.dataStart, "a tensor is beyond the file")
            end = tensor.end
        }
    }
}
