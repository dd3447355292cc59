internal import Glibc

/// What the operating system allows this process.
package enum ProcessLimits {
    /// Where Linux keeps the number of mappings that a process may have.
    private static let mappingsFile = "/proc/sys/vm/max_map_count"
    /// Linux' own default, for where the file cannot be read.
    private static let mappingsDefault = 65_530

    /// Raises the soft limit of open files to the hard one, as far as it is of use, and returns what holds then.
    package static func raiseFiles(to wanted: Int = ResourceBudget.filesWanted) -> Int {
        var limit = rlimit()
        guard getrlimit(openFiles, &limit) == 0 else { return wanted }
        let target = min(limit.rlim_max, rlim_t(wanted))
        if limit.rlim_cur < target {
            var raised = limit
            raised.rlim_cur = target
            // Where the system refuses, the old limit is what there is.
            if setrlimit(openFiles, &raised) == 0 { limit = raised }
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// Mappings that a process may have.
    package static var mappings: Int {
        guard let file = fopen(mappingsFile, "re") else { return mappingsDefault }
        defer { fclose(file) }
        var digits = [CChar](repeating: 0, count: 32)
        guard fgets(&digits, CInt(digits.count), file) != nil else { return mappingsDefault }
        let text = digits.prefix { $0 >= 48 && $0 <= 57 }.map { UInt8(bitPattern: $0) }
        return Int(String(decoding: text, as: UTF8.self)) ?? mappingsDefault
    }

    /// Files that this process has open now; nil where the system does not tell.
    package static var filesOpen: Int? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        // "." and "..", and the directory that is being read.
        return max(count - 3, 0)
    }

    private static var openFiles: __rlimit_resource_t { __rlimit_resource_t(RLIMIT_NOFILE.rawValue) }
}
