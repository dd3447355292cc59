internal import Logging
internal import NIOCore
internal import RaftCore
internal import ReplicaCore
internal import Storage

extension Member {
    /// Leads what consensus says of state snapshots to those who make, fetch and install them.
    static func wireSnapshots(
        _ replica: Replica, _ service: RequestService, _ shelf: SnapshotShelf, _ intake: SnapshotIntake
    ) {
        replica.snapshots.make = { [weak replica, logger = replica.logger] node, index in
            Task { [weak replica, shelf] in
                var made: Checkpoint?
                do throws(HoldfastError) {
                    made = try await shelf.checkpoint(atLeast: index)
                } catch {
                    logger.warning(
                        "no checkpoint could be made for a follower",
                        metadata: ["node": "\(node)", "error": "\(error.message)"])
                }
                let checkpoint = made
                guard let replica else { return }
                replica.loop.execute { replica.snapshotReady(checkpoint) }
            }
        }
        replica.snapshots.swap = { [weak replica] staged in replica?.applyLane.install(staged) }
        service.onSnapshot = { [intake] in intake.offered($0) }
        service.onSnapshotRefused = { [weak replica] node, refusal in replica?.snapshotRefused(by: node, refusal) }
    }

    /// The rows of a state snapshot are in force, durably: tell everyone (on the apply thread).
    static func installed(
        _ snapshot: InstalledState, state: MemberState, replica: Replica, watches: WatchHub, chunks: NodeChunks,
        directory: DataDirectory, maintenance: LogMaintenance, configured: Configured, fault: Fault, logger: Logger
    ) {
        show(snapshot, state: state, replica: replica, chunks: chunks, directory: directory, fault: fault)
        replica.loop.execute {
            configured.take()
            maintenance.installed(snapshot.head.state.index)
            replica.installed(snapshot.head.state)
            watches.applied(snapshot.head.state.revision)
        }
    }

    /// Other rows are in force: everyone who keeps something of the rows before learns what these say (on the apply thread).
    static func show(
        _ snapshot: InstalledState, state: MemberState, replica: Replica, chunks: NodeChunks, directory: DataDirectory,
        fault: Fault
    ) {
        let head = snapshot.head
        if let lineage = head.lineage {
            do throws(DirectoryError) {
                try directory.recordLineage(lineage)
            } catch {
                fault.report(HoldfastError(.incompatible, error.message))
            }
        }
        // Completeness hears of what was published before its index shows.
        chunks.installed()
        state.update { values in
            values.members = head.members
            values.roster = snapshot.roster
            values.completeness = snapshot.completeness
            values.lineage = head.lineage ?? values.lineage
            values.featureVersion = head.featureVersion
            values.site = snapshot.site
            values.isSeeding = snapshot.isSeeding
            values.publishedRevision = snapshot.publishedRevision
            // The log that there was at the start is no more: what of it was committed is in the state.
            values.startIndex = min(values.startIndex, head.state.index)
            values.applied = head.state
        }
        // Lets the view of the rows before go, so that they are closed and removed.
        replica.readLane.submit { _, _ in }
    }

    /// Lets go of checkpoints that nobody reads (about once a second, on the control loop).
    func expireCheckpoints() {
        let shelf = self.shelf
        let replica = self.replica
        let logger = self.logger
        Task { [weak replica] in
            do throws(HoldfastError) {
                guard try await shelf.expire(), let replica else { return }
                replica.loop.execute { replica.withdrawSnapshot() }
            } catch {
                logger.debug("checkpoints were not looked at", metadata: ["reason": "\(error.message)"])
            }
        }
    }
}
