/// The bytes of one tensor, contiguous and little-endian as in safetensors, in C order.
///
/// A tensor keeps its bytes for as long as it lives: where its chunks lie raw in this process' own directory they are the
/// chunk files themselves, mapped and read without a copy; else they were read once, checked against their names, into
/// memory of its own. Mapped bytes were checked when their chunk was written and are not checked again here: finding rot on
/// the disk is the scrub's work. It may be used from any thread.
public struct Tensor: Sendable {
    /// Its name, element type, shape and size.
    public let info: TensorInfo
    /// Whether the bytes are the chunk files themselves.
    package let isMapped: Bool
    private let memory: MappedBytes
    private let offset: Int

    package init(info: TensorInfo, memory: MappedBytes, offset: Int, isMapped: Bool) {
        self.info = info
        self.memory = memory
        self.offset = offset
        self.isMapped = isMapped
    }

    /// Calls `body` with the tensor's bytes, which are valid only inside the call.
    ///
    /// Elements may lie at any alignment when small tensors share a chunk: load them unaligned, or check first.
    public func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try memory.withBytes(from: offset, count: Int(info.bytes), body)
    }

    /// Smallest, largest and mean element, read once from front to back; nil for element types that have no order
    /// (`C64`) or are packed below a byte.
    public func summary() -> TensorSummary? {
        guard let type = ElementType(rawValue: info.dtype) else { return nil }
        return withBytes { TensorSummary(of: $0, type: type) }
    }
}
