internal import Glibc

/// Memory that a tensor's bytes lie in: files mapped side by side, or pages filled by a reader. Unmapped with its owner.
///
/// Invariants: (1) `address` begins `length` mapped bytes, whole pages, that nobody else unmaps; (2) bytes are written only
/// by `fill`, before the value is shared for reading; (3) `mappings` are taken from `budget` until the end.
package final class MappedBytes: Sendable {
    // An address rather than a pointer: the memory behind it is read-only once shared (2), so threads may share it.
    private let address: UInt
    private let length: Int
    private let mappings: Int
    private let budget: MappingBudget

    private init(address: UInt, length: Int, mappings: Int, budget: MappingBudget) {
        self.address = address
        self.length = length
        self.mappings = mappings
        self.budget = budget
    }

    deinit {
        // Invariant (1) leaves munmap nothing to fail on.
        if length > 0 { _ = munmap(UnsafeMutableRawPointer(bitPattern: address), length) }
        budget.give(mappings)
    }

    /// The page size of this machine.
    package static let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))

    /// Fresh zero pages for at least `count` bytes.
    package static func pages(_ count: Int) throws(HoldfastError) -> MappedBytes {
        guard let mapped = reserve(count, protection: PROT_READ | PROT_WRITE) else {
            throw HoldfastError(.resourceExhausted, "no memory for \(count) bytes of a tensor")
        }
        return mapped
    }

    /// Maps files one after the other, read-only; every one but the last must have whole pages.
    ///
    /// Nil where one cannot be mapped, has not the length given, or the process has too many: the caller then reads the bytes instead.
    package static func files(
        _ files: [(path: String, bytes: Int)], budget: MappingBudget = .process
    ) -> MappedBytes? {
        let total = files.reduce(0) { $0 + $1.bytes }
        guard total > 0, files.dropLast().allSatisfy({ $0.bytes % pageBytes == 0 }),
            let region = reserve(total, protection: PROT_NONE, mappings: files.count + 1, budget: budget)
        else { return nil }
        var offset = 0
        for file in files {
            let descriptor = open(file.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
            guard descriptor >= 0 else { return nil }
            let opened = OpenFile(owning: descriptor, path: file.path)
            var status = stat()
            guard fstat(opened.descriptor, &status) == 0, Int(status.st_size) == file.bytes,
                let place = UnsafeMutableRawPointer(bitPattern: region.address + UInt(offset)),
                mmap(place, file.bytes, PROT_READ, MAP_SHARED | MAP_FIXED, opened.descriptor, 0) != MAP_FAILED
            else { return nil }
            offset += file.bytes
        }
        return region
    }

    /// Copies bytes to `offset`; the caller writes disjoint ranges and shares the value only afterwards: keeps (2).
    package func fill(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        precondition(offset >= 0 && bytes.count <= length - offset, "filling beyond the mapped pages")
        guard let source = bytes.baseAddress else { return }
        UnsafeMutableRawPointer(bitPattern: address + UInt(offset))?.copyMemory(from: source, byteCount: bytes.count)
    }

    /// Calls `body` with `count` bytes from `offset`.
    package func withBytes<R>(
        from offset: Int, count: Int, _ body: (UnsafeRawBufferPointer) throws -> R
    ) rethrows -> R {
        precondition(offset >= 0 && count >= 0 && count <= length - offset, "reading beyond the mapped pages")
        let start = count == 0 ? nil : UnsafeRawPointer(bitPattern: address + UInt(offset))
        return try withExtendedLifetime(self) { try body(UnsafeRawBufferPointer(start: start, count: count)) }
    }

    private static func reserve(
        _ count: Int, protection: Int32, mappings: Int = 0, budget: MappingBudget = .process
    ) -> MappedBytes? {
        guard count > 0 else { return MappedBytes(address: 0, length: 0, mappings: 0, budget: budget) }
        guard budget.take(mappings) else { return nil }
        let length = (count + pageBytes - 1) / pageBytes * pageBytes
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | (protection == PROT_NONE ? MAP_NORESERVE : 0)
        guard let start = mmap(nil, length, protection, flags, -1, 0), start != MAP_FAILED else {
            budget.give(mappings)
            return nil
        }
        return MappedBytes(address: UInt(bitPattern: start), length: length, mappings: mappings, budget: budget)
    }
}
