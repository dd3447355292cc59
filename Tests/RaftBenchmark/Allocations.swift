// Counts heap objects (arrays, classes, boxes) through the hook that the Swift runtime keeps for instruments.
internal import Glibc

private typealias Allocate = @convention(c) (UnsafeRawPointer?, Int, Int) -> UnsafeMutableRawPointer?

/// Objects allocated since counting started; this program has one thread.
nonisolated(unsafe) var allocationCount = 0
nonisolated(unsafe) private var runtimeAllocate: Allocate?

/// Starts to count; false if this runtime has no such hook.
func startCountingAllocations() -> Bool {
    guard let program = dlopen(nil, RTLD_NOW), let hook = dlsym(program, "_swift_allocObject"),
        let flag = dlsym(program, "_swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly")
    else { return false }
    let place = hook.assumingMemoryBound(to: Allocate.self)
    runtimeAllocate = place.pointee
    place.pointee = { metadata, size, alignment in
        allocationCount &+= 1
        return runtimeAllocate?(metadata, size, alignment)
    }
    flag.assumingMemoryBound(to: Bool.self).pointee = true
    return true
}
