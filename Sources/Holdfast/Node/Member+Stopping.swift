internal import NIOCore
internal import Storage

// The end of a member: leadership first, then whoever waits, then the connections, then the stores.
extension Member {
    /// Hands leadership over, answers what can be answered, and closes everything.
    func stop() async {
        await handOver()
        let parts = running.withLock { running in
            defer { running = Running() }
            return running
        }
        for clock in parts.clocks { clock.cancel() }
        parts.repair?.cancel()
        parts.scrub?.cancel()
        parts.site?.cancel()
        site.stop()
        damage.stop()
        rebuild.stop()
        // First, so that a watch of this process ends instead of beginning anew here.
        router.close()
        let replica = self.replica
        let stopping = HoldfastError(.unavailable, "the node is stopping")
        await drain()
        state.update { $0.isStopped = true }
        // Whoever still waits is answered before the connections go: it asks another node.
        await run(on: replica.loop) { [service, intake] in
            service.watches.stopAll(stopping)
            intake.stop()
            replica.stop(HoldfastError(.outcomeUnknown, "the node stopped before the answer"))
            replica.replies.flush()
        }
        await listener?.close()
        await run(on: replica.loop) { [peers] in
            // Lets go of the connections that were answered last.
            replica.replies.flush()
            replica.replies.close()
            peers.stop()
        }
        await chunks.stop()
        await shelf.stop()
        await fetchThreads.stop()
        fault.end()
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            LaneThread.start("hf-stop") { [self] in
                replica.applyLane.stop()
                replica.readLane.stop()
                maintenance.stop()
                space.stop()
                stores.log.close()
                do throws(RowStoreError) {
                    try stores.rows.flush()
                } catch {
                    logger.error("rows could not be flushed at the end", metadata: ["error": "\(error)"])
                }
                continuation.resume()
            }
        }
    }

    /// Lets the best follower take over while it is still served; tries again, and gives up after a while.
    private func handOver() async {
        let replica = self.replica
        for _ in 0..<2 {
            let isOver = await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
                replica.loop.execute {
                    guard replica.raft.role == .leader, let successor = replica.successor else {
                        return continuation.resume(returning: true)
                    }
                    replica.figures.handOvers.increment()
                    replica.transferLeadership(
                        to: successor,
                        reply: .local { result in
                            if case .success = result {
                                continuation.resume(returning: true)
                            } else {
                                continuation.resume(returning: false)
                            }
                        })
                }
            }
            if isOver { return }
        }
    }

    /// Takes nothing new and waits until what is under way is answered, for at most two seconds: without a quorum it never would be.
    private func drain() async {
        let deadline = NIODeadline.now() + .seconds(2)
        await run(on: replica.loop) { [replica] in replica.isDraining = true }
        while NIODeadline.now() < deadline {
            let isQuiet = await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
                replica.loop.execute { [replica] in continuation.resume(returning: replica.isQuiet) }
            }
            if isQuiet { return }
            // Detached, so that a cancelled caller waits as well.
            await Task.detached { try? await Task.sleep(nanoseconds: 2_000_000) }.value
        }
    }

    /// Runs `body` on a loop and returns when it has run.
    func run(on loop: any EventLoop, _ body: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            loop.execute {
                body()
                continuation.resume()
            }
        }
    }
}
