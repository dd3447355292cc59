/// The rules of paths inside a model, the same when a directory is read and when a manifest is decoded.
///
/// A path that passes can be created below any directory without leaving it.
package enum ModelPath {
    /// How a pull's temporary files end; no file of a model may have such a name.
    package static let partialSuffix = ".holdfast-partial"

    /// Why `path` may not stand in a model, or nil if it may.
    package static func fault(in path: String) -> String? {
        let bytes = path.utf8
        if bytes.isEmpty { return "is empty" }
        if bytes.count > ModelLimits.pathBytesMax {
            return "is longer than \(ModelLimits.pathBytesMax) bytes"
        }
        if bytes.contains(0) { return "contains a zero byte" }
        if bytes.first == UInt8(ascii: "/") { return "is absolute" }
        for part in bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            if part.isEmpty { return "has an empty part" }
            if part.elementsEqual(".".utf8) { return "has a part '.'" }
            if part.elementsEqual("..".utf8) { return "has a part '..'" }
            if part.count > ModelLimits.pathPartBytesMax {
                return "has a part longer than \(ModelLimits.pathPartBytesMax) bytes"
            }
            if part.count >= partialSuffix.utf8.count,
                part.suffix(partialSuffix.utf8.count).elementsEqual(partialSuffix.utf8)
            {
                return "is named like the temporary file of an unfinished pull; finish that pull or remove the file"
            }
        }
        return nil
    }

    /// The order of files in a manifest: by the bytes of their paths.
    package static func precedes(_ left: String, _ right: String) -> Bool {
        left.utf8.lexicographicallyPrecedes(right.utf8)
    }

    /// The first path that is also a directory of another one; `paths` are distinct.
    package static func conflict(in paths: [String]) -> String? {
        // Dictionaries and sets are only asked here, never walked, so the answer depends on the order of `paths` alone.
        let files = Set(paths)
        for path in paths {
            for index in path.utf8.indices where path.utf8[index] == UInt8(ascii: "/") {
                let parent = String(path[..<index])
                if files.contains(parent) { return parent }
            }
        }
        return nil
    }
}

/// The rules of model names and versions.
package enum ModelName {
    /// Throws `invalidArgument` unless `name` is `[A-Za-z0-9][A-Za-z0-9._-]*`, with at most one `org/` before it, in 96 bytes.
    package static func check(_ name: String) throws(HoldfastError) {
        let parts = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard name.utf8.count <= 96, parts.count <= 2, parts.allSatisfy({ isWord($0) }) else {
            throw HoldfastError(
                .invalidArgument,
                "'\(name)' is not a model name; use letters, digits, '.', '_' and '-' (first a letter or digit), "
                    + "optionally ORG/NAME, at most 96 bytes")
        }
    }

    /// Throws `invalidArgument` unless `version` is `[A-Za-z0-9][A-Za-z0-9._-]*` in 64 bytes.
    package static func check(version: String) throws(HoldfastError) {
        guard version.utf8.count <= 64, isWord(version.utf8) else {
            throw HoldfastError(
                .invalidArgument,
                "'\(version)' is not a version; use letters, digits, '.', '_' and '-' (first a letter or digit), "
                    + "at most 64 bytes")
        }
    }

    private static func isWord(_ bytes: some Collection<UInt8>) -> Bool {
        guard let first = bytes.first, isLetterOrDigit(first) else { return false }
        return bytes.allSatisfy {
            isLetterOrDigit($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-")
        }
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"):
            true
        default: false
        }
    }
}
