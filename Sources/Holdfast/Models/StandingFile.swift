internal import Glibc

/// What stands where a file of a model will be.
package enum StandingFile: Sendable {
    /// Nothing.
    case absent
    /// A file of the same length, open for reading.
    case sameSize(OpenFile)
    /// A file of another length.
    case otherSize

    /// Looks without following links; throws for anything that is neither absent nor a file. Blocks on the disk.
    package init(_ file: Manifest.File, below root: DirectoryHandle) throws(HoldfastError) {
        let directory: DirectoryHandle
        let name: String
        do throws(HoldfastError) {
            (directory, name) = try root.parent(of: file.path)
        } catch {
            guard error.code == .notFound else { throw error }
            self = .absent
            return
        }
        guard let status = try directory.status(name) else {
            self = .absent
            return
        }
        let path = "\(directory.path)/\(name)"
        if DirectoryHandle.isLink(status) { throw DirectoryHandle.linkRefused(path) }
        guard DirectoryHandle.isFile(status) else {
            throw HoldfastError(
                .alreadyExists, "'\(path)' is in the way and not a file; remove it or use another directory",
                details: ["file": path])
        }
        guard UInt64(max(0, status.st_size)) == file.bytes else {
            self = .otherSize
            return
        }
        self = .sameSize(try directory.file(name, flags: O_RDONLY))
    }
}
