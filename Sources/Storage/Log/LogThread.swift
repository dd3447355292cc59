internal import CHoldfast
internal import Glibc

/// A thread of the operating system with a name; its body may block.
struct LogThread: Sendable {
    private let id: pthread_t

    /// Starts `body` on a new thread. Fails only if the process is out of threads.
    static func start(name: String, _ body: @escaping @Sendable () -> Void) throws(LogError) -> LogThread {
        var id = pthread_t()
        let box = Unmanaged.passRetained(ThreadBody(name: name, body: body))
        let code = pthread_create(
            &id, nil,
            { argument in
                guard let argument else { return nil }
                let thread = Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue()
                chf_name_thread(thread.name)
                thread.body()
                return nil
            }, box.toOpaque())
        guard code == 0 else {
            box.release()
            throw .failed(operation: "start the thread", path: name, code: code)
        }
        return LogThread(id: id)
    }

    /// Waits until the body has returned.
    func join() { pthread_join(id, nil) }
}

/// What a new thread takes over.
private final class ThreadBody: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }
}
