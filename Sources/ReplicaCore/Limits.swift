/// Bounds of what one command, row or index may hold, with the sums that led to them.
package enum Limits {
    /// A key: 4 KiB. Escaping may double it in a row key, which RocksDB takes without trouble.
    package static let keyBytesMax = 4 << 10
    /// A value, and all of one transaction: 512 KiB, so that one revision fits one shipment and one frame (8 MiB).
    package static let valueBytesMax = 512 << 10
    /// Keys and values of one transaction's compares and puts: 512 KiB, and room for the largest key in a put and three compares.
    package static let transactionBytesMax = (512 << 10) + (16 << 10)
    /// Compares, and operations of each list, in one transaction.
    package static let transactionItemsMax = 1_024
    /// Bytes that the reads of one transaction may answer in all; a read that would pass it ends with `more`.
    package static let transactionReadBytesMax = 1 << 20
    /// Bytes of keys and values in the answer of one range read: half of a request frame (8 MiB).
    package static let rangeBytesMax = 4 << 20
    /// Keys that one range delete may remove: a tombstone and its index entry take about 150 bytes, so 15 MB of batch.
    package static let deleteRangeKeysMax = 100_000
    /// One encoded envelope: a transaction, or 16,384 chunk IDs (512 KiB), and the fields around them.
    package static let envelopeBytesMax = (512 << 10) + (64 << 10)
    /// Client sessions: an idle one takes about 200 bytes, so 13 MB in all.
    package static let sessionsMax = 65_536
    /// Sessions dropped at once when there are too many: the search for the oldest is then shared by 1,024 openings.
    package static let sessionsEvictedTogether = 1_024
    /// Sequence numbers that a session may have outstanding, and so answers that it keeps.
    package static let sessionWindow: UInt64 = 4_096
    /// A kept answer: larger ones lose what they read, and say so.
    package static let keptAnswerBytesMax = 1 << 10
    /// All kept answers of a session: its row is written whole once per group.
    package static let keptSessionBytesMax = 256 << 10
    /// All kept answers of all sessions.
    package static let keptBytesMax = 256 << 20
    /// Chunk IDs in one `uploadAdd`: 16,384 × 32 bytes is 512 KiB, and 64 GiB of chunks.
    package static let uploadAddMax = 16_384
    /// Chunks of one upload: 16 TiB in chunks of 4 MiB.
    package static let uploadChunksMax: UInt64 = 4 << 20
    /// Separate ordinal ranges of an open upload: 1,024 × 20 bytes is a 20 KiB row.
    package static let uploadRangesMax = 1_024
    /// Uploads open at once.
    package static let openUploadsMax = 1_024
    /// A model's name.
    package static let nameBytesMax = 96
    /// A model's version.
    package static let versionBytesMax = 64
    /// Members of a configuration, counted over every role.
    package static let membersMax = 128
    /// Keys remembered with their current row, dropped together between groups: about 150 bytes each, 2.5 MB.
    package static let keyCacheMax = 16_384
    /// Rows that one step of a compaction sweep looks at.
    package static let sweepRowsMax = 4_096
    /// What the entry of one envelope that ships a revision may take above `envelopeBytesMax`: its own fields around an entry that the
    /// largest envelope of a client made.
    package static let shipmentFieldsMax = 8 << 10
    /// Beginnings of epochs that a site remembers: what rejoins after more changes of the primary compares from there on.
    package static let siteBranchesMax = 16
    /// The highest epoch: what a site numbers begins anew at epoch × 2⁴⁸, in 64 bits.
    package static let siteEpochMax: UInt64 = 65_535
    /// An address, `HOST:PORT`.
    package static let endpointBytesMax = 512
    /// Addresses of one site.
    package static let siteEndpointsMax = 32
    /// Entries of one shipment; their bytes end it sooner.
    package static let shipmentEntriesMax = 4_096
    /// Bytes of entries after which a shipment ends, so that it fits an envelope with the largest last entry left out.
    package static let shipmentBytesMax = 256 << 10
    /// Bytes of entries in the answer of one poll: two frames of them would still fit one (8 MiB) with the largest entry behind.
    package static let sitePollBytesMax = 2 << 20
    /// Chain hashes in one answer: three answers find a place among a quarter of a million revisions.
    package static let siteHashesMax = 256
    /// Revisions that one command rewinds; their bytes may end it sooner.
    package static let rewindRevisionsMax: UInt64 = 256
    /// Bytes of orphans that one command writes, before the last.
    package static let rewindBytesMax = 1 << 20
    /// Keys of one leaf of a seed.
    package static let seedLeafKeysMax = 512
    /// Bytes of one leaf, the first row excepted: the rows of one, the largest value in the last, and the keys that it lacks fit a command.
    package static let seedLeafBytesMax = 24 << 10
    /// Leaves that are compared in one request, and ranges in one command: two megabytes at most.
    package static let seedLeavesMax = 64
    /// Bytes of rows in one answer, before the last leaf.
    package static let seedOffersBytesMax = 1 << 20
    /// Bytes of ranges in one command that are not the only one in it.
    package static let seedStepBytesMax = 256 << 10
    /// Rows that are looked at by one command that removes a seed: some milliseconds.
    package static let seedClearRowsMax = 8_192
    /// Places in the feed that bytes and age are measured from: each a sixteenth of a cap, and twice as many in all.
    package static let siteMarksMax = 32
    /// Revisions, and bytes of them, that are read back to be counted for a new standby, within one command: some tens of milliseconds.
    package static let admitRevisionsMax: UInt64 = 1_024
    package static let admitBytesMax: UInt64 = 16 << 20
    /// Windows of the day in a link's pace.
    package static let siteWindowsMax = 16
    /// Answered polls whose revisions are not durable here yet: at one a second, a standby four minutes behind.
    package static let recoverySamplesMax = 256
}
