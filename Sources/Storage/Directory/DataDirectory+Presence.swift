extension DataDirectory {
    /// Whether a directory may be formatted at `path`: there is none, or an empty one.
    package static func isAbsentOrEmpty(_ path: String) -> Bool {
        do throws(FileError) {
            return try FileTree.names(in: path).allSatisfy { $0 == "lost+found" }
        } catch {
            return error.isMissing
        }
    }
}
