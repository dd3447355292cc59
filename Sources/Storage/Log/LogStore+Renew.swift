package import RaftCore

/// A damaged log is put aside, whole, and another takes its place; term and vote go over.
///
/// ```
///   log/ damaged ─▶ log.new/ complete, durable ─▶ log/ becomes quarantine/log.N ─▶ log.new/ becomes log/
///                   (a crash: made anew)            (a crash: the next open renames log.new/)
/// ```
extension LogStore {
    /// Puts the log in `directory` aside, below `quarantine`, and begins another after an entry that the rows hold.
    ///
    /// What the damaged log had acknowledged beyond that entry is not in the new one: the node must not vote before it has it again.
    ///
    /// - Throws: `hardStateLost` where term and vote cannot be read; nothing was changed then.
    package static func renew(
        directory: String, quarantine: String, after previous: EntryID, options: LogOptions = LogOptions()
    ) throws(LogError) {
        let (identity, shape, state) = try succession(directory: directory, after: previous, options: options)
        let fresh = directory + ".new"
        do throws(FileError) {
            try FileTree.removeTree(fresh)
            try FileTree.makeDirectory(fresh)
            try FileTree.makeDirectories(quarantine)
        } catch {
            throw LogError(error)
        }
        try format(
            directory: fresh, identity: identity, options: shape, after: previous, hardState: state)
        do throws(FileError) {
            var number = 0
            while try !FileTree.renameExclusive(directory, to: "\(quarantine)/log.\(number)") { number += 1 }
            try FileTree.syncDirectory(quarantine)
            try FileTree.rename(fresh, to: directory)
            try FileTree.syncDirectory(FileTree.parent(of: directory))
        } catch {
            throw LogError(error)
        }
    }

    /// What the log that takes the damaged one's place has of it: the identity, the shape, term and vote. Changes nothing.
    ///
    /// - Throws: `hardStateLost` where term and vote cannot be read.
    package static func succession(
        directory: String, after previous: EntryID, options: LogOptions = LogOptions()
    ) throws(LogError) -> (identity: UInt64, shape: LogOptions, hardState: HardState) {
        let disk = LogDisk(directory: directory, options: options)
        guard let states = try CopiedFile<HardStateRecord>.read(hardStateName, disk: disk) else {
            throw .hardStateLost(detail: "both copies of the hard state in \(directory) are bad")
        }
        var shape = options
        if let start = try CopiedFile<StartRecord>.read(startName, disk: disk)?.record {
            guard start.identity == states.record.identity else {
                throw .incompatible(detail: "hard state and log in \(directory) do not belong together")
            }
            shape.segmentBytes = Int(start.segmentBytes)
            shape.headerSlots = Int(start.headerSlots)
        }
        var state = states.record.hardState
        // Rows of another node may be of a later term: it is entered as if its leader had been heard.
        if state.term < previous.term { state = HardState(term: previous.term, vote: noNode, commit: 0) }
        state.commit = previous.index
        return (states.record.identity, shape, state)
    }

    /// Ends a renewal that a crash cut off between its last two steps.
    package static func finishRenewal(directory: String) throws(LogError) {
        let fresh = directory + ".new"
        guard !FileTree.isDirectory(directory), FileTree.isDirectory(fresh) else { return }
        do throws(FileError) {
            try FileTree.rename(fresh, to: directory)
            try FileTree.syncDirectory(FileTree.parent(of: directory))
        } catch {
            throw LogError(error)
        }
    }

    /// Enters a term durably, as if its leader had been heard, unless the log in `directory` is at that term or a later one already.
    package static func enter(term: Term, directory: String) throws(LogError) {
        let disk = LogDisk(directory: directory, options: LogOptions())
        guard let found = try CopiedFile<HardStateRecord>.read(hardStateName, disk: disk)?.record else {
            throw .hardStateLost(detail: "both copies of the hard state in \(directory) are bad")
        }
        guard found.hardState.term < term else { return }
        var file = try CopiedFile(hardStateName, record: found, disk: disk)
        var next = found
        next.hardState = HardState(term: term, vote: noNode, commit: found.hardState.commit)
        try file.write(next)
    }

    /// The index before the first entry of the log in `directory`, without reading more; nil if neither copy of its start can be read.
    package static func previousIndex(directory: String) throws(LogError) -> LogIndex? {
        let disk = LogDisk(directory: directory, options: LogOptions())
        return try CopiedFile<StartRecord>.read(startName, disk: disk)?.record.previousIndex
    }
}

extension LogError {
    init(_ error: FileError) {
        self =
            error.isNoSpace
            ? .noSpace(detail: "\(error.action) \(error.path)")
            : .failed(operation: error.action, path: error.path, code: error.number)
    }
}
