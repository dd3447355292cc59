/// Where files are cut into chunks. Equal bytes get equal cuts, so that what two versions share is stored once.
package enum ChunkCuts {
    /// A plain file: every 4 MiB.
    package static func plain(bytes: UInt64) -> [UInt32] {
        var lengths: [UInt32] = []
        append(bytes, to: &lengths)
        return lengths
    }

    /// A safetensors file: the header apart; then every tensor larger than a chunk begins a chunk of its own and is cut
    /// every 4 MiB from its start (so its pieces are whole pages, and can be mapped side by side), and neighbours that are
    /// smaller share a chunk, never split.
    package static func safetensors(_ header: SafetensorsHeader) -> [UInt32] {
        let limit = UInt64(ModelLimits.chunkBytesMax)
        var lengths: [UInt32] = []
        append(header.dataStart, to: &lengths)
        var pooled: UInt64 = 0
        for tensor in header.tensors {
            let bytes = tensor.end - tensor.begin
            if pooled + bytes > limit {
                append(pooled, to: &lengths)
                pooled = 0
            }
            if bytes > limit { append(bytes, to: &lengths) } else { pooled += bytes }
        }
        append(pooled, to: &lengths)
        return lengths
    }

    private static func append(_ bytes: UInt64, to lengths: inout [UInt32]) {
        var rest = bytes
        while rest > 0 {
            let piece = min(rest, UInt64(ModelLimits.chunkBytesMax))
            lengths.append(UInt32(piece))
            rest -= piece
        }
    }
}
