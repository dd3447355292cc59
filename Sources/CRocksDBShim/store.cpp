#include "store.h"

#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/version.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

using rocksdb::Status;

namespace holdfast_rocks {

bool report(const Status &result, hfr_status *status) {
    if (result.ok()) return true;
    if (status->message) free(status->message);
    status->code = static_cast<uint8_t>(result.code());
    status->subcode = static_cast<uint8_t>(result.subcode());
    status->severity = static_cast<uint8_t>(result.severity());
    status->message = strdup(result.ToString().c_str());
    return false;
}

namespace {

// Remembers the background error: without it a store that turned read-only could be told only by its failed writes. And
// how far flushes came, for wait_until_flushed.
class BackgroundListener final : public rocksdb::EventListener {
public:
    explicit BackgroundListener(std::shared_ptr<BackgroundState> state) : state_(std::move(state)) {}

    void OnBackgroundError(rocksdb::BackgroundErrorReason, Status *error) override {
        std::lock_guard<std::mutex> guard(state_->mutex);
        state_->error = *error;
        state_->count.fetch_add(1, std::memory_order_relaxed);
        state_->changed.notify_all();
    }

    // Called once the manifest names the file.
    void OnFlushCompleted(rocksdb::DB *, const rocksdb::FlushJobInfo &info) override {
        std::lock_guard<std::mutex> guard(state_->mutex);
        state_->flushed = std::max<uint64_t>(state_->flushed, info.largest_seqno);
        state_->changed.notify_all();
    }

    // RocksDB's own recovery from a full disk looks every five seconds, and refuses Resume as busy meanwhile.
    void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, Status, bool *is_automatic) override {
        *is_automatic = false;
    }

    void OnErrorRecoveryEnd(const rocksdb::BackgroundErrorRecoveryInfo &info) override {
        std::lock_guard<std::mutex> guard(state_->mutex);
        state_->error = info.new_bg_error;
    }

private:
    std::shared_ptr<BackgroundState> state_;
};

}  // namespace

static rocksdb::Options make_options(const hfr_options &given, hfr_store &store) {
    rocksdb::Options options;
    options.create_if_missing = given.create_if_missing;
    options.paranoid_checks = true;
    options.avoid_flush_during_shutdown = !given.flush_at_close;
    options.max_bgerror_resume_count = 0;  // hfr_resume decides when.
    options.write_buffer_size = given.write_buffer_bytes;
    options.max_write_buffer_number = given.write_buffers_max;
    options.max_background_jobs = given.background_jobs_max;
    options.max_open_files = given.open_files_max;
    options.allow_concurrent_memtable_write = false;  // One thread applies; the simpler insert is the cheaper one.
    options.level_compaction_dynamic_level_bytes = true;
    options.target_file_size_base = 32 << 20;
    // With dynamic levels the first entry is level 0 and the second the first level in use.
    options.compression_per_level = {rocksdb::kLZ4Compression, rocksdb::kLZ4Compression, rocksdb::kZSTD,
                                     rocksdb::kZSTD, rocksdb::kZSTD, rocksdb::kZSTD, rocksdb::kZSTD};
    options.bottommost_compression = rocksdb::kZSTD;
    // Table files trickle to the disk while they are written, so that the log's fsync does not queue behind them.
    options.bytes_per_sync = 512 << 10;
    options.max_manifest_file_size = 4 << 20;
    options.manifest_preallocation_size = 64 << 10;  // The default would take 4 MiB of a disk that may be full.
    options.stats_dump_period_sec = 0;
    options.stats_persist_period_sec = 0;
    options.listeners.push_back(std::make_shared<BackgroundListener>(store.background));
    if (given.prefix_filter) {
        options.prefix_extractor.reset(make_row_prefix_transform());
        options.memtable_prefix_bloom_size_ratio = given.buffer_filter_share;
    }

    rocksdb::BlockBasedTableOptions table;
    table.block_cache = store.cache;
    table.block_size = 4 << 10;  // A seek of an uncached row costs mostly the decompression of one block.
    table.cache_index_and_filter_blocks = true;  // Else their memory has no bound.
    table.cache_index_and_filter_blocks_with_high_priority = true;
    // In pieces of their own, so that a large table does not need its whole filter and index in a small cache.
    table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
    table.partition_filters = true;
    table.metadata_block_size = 4 << 10;
    table.pin_top_level_index_and_filter = true;
    table.pin_l0_filter_and_index_blocks_in_cache = true;
    table.checksum = rocksdb::kXXH3;  // Distributions build CRC32C by table: several times slower.
    table.format_version = 5;
    if (given.filter_bits_per_key > 0) {
        table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(given.filter_bits_per_key));
    }
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    return options;
}

// Waits until everything up to `last` is in table files; to be called after DB::Flush, which has put it into buffers that
// will be flushed. Once Resume has led out of a hard error, DB::Flush of RocksDB 7.8 does not wait any more: the mark of
// a stopped database (ErrorHandler::is_db_stopped_) is never taken away, so it answers with the error that stands,
// which is none, while the buffers are still in memory only.
static bool wait_until_flushed(hfr_store &store, rocksdb::SequenceNumber last, hfr_status *status) {
    auto &background = *store.background;
    std::unique_lock<std::mutex> lock(background.mutex);
    while (background.flushed < last) {
        if (!report(background.error, status)) return false;
        lock.unlock();
        // No such buffer is left: the newest sequence numbers need not be in a file, which keeps what was not
        // overwritten or deleted at once.
        uint64_t buffers = 0;
        const bool isKnown = store.database->GetIntProperty(rocksdb::DB::Properties::kNumImmutableMemTable, &buffers);
        lock.lock();
        if (isKnown && buffers == 0) return true;
        // An event between the two locks is seen at the next look.
        background.changed.wait_for(lock, std::chrono::milliseconds(20));
    }
    return true;
}

}  // namespace holdfast_rocks

using holdfast_rocks::report;

void hfr_status_clear(hfr_status *status) {
    free(status->message);
    memset(status, 0, sizeof *status);
}

int hfr_version_compiled(void) { return ROCKSDB_MAJOR * 10000 + ROCKSDB_MINOR * 100 + ROCKSDB_PATCH; }

int hfr_version_linked(void) {
    int major = 0, minor = 0, patch = 0;
    sscanf(rocksdb::GetRocksVersionAsString().c_str(), "%d.%d.%d", &major, &minor, &patch);
    return major * 10000 + minor * 100 + patch;
}

hfr_store *hfr_open(const char *path, const hfr_options *given, hfr_status *status) {
    auto store = std::make_unique<hfr_store>();
    // Few shards: by default a small cache is cut into parts of 512 KiB, which a table's filter alone may exceed, and
    // then every read would load it anew.
    store->cache = rocksdb::NewLRUCache(given->block_cache_bytes, 2, false, 0.5);
    store->background = std::make_shared<holdfast_rocks::BackgroundState>();
    store->has_prefixes = given->prefix_filter;
    rocksdb::DB *database = nullptr;
    rocksdb::Options options = holdfast_rocks::make_options(*given, *store);
    // Before RocksDB does: the log comes first.
    if (given->create_if_missing && !given->read_only) (void)options.env->CreateDirIfMissing(path);
    options.info_log = holdfast_rocks::make_log(path, given->read_only);
    const Status opened = given->read_only ? rocksdb::DB::OpenForReadOnly(options, path, &database)
                                           : rocksdb::DB::Open(options, path, &database);
    if (!report(opened, status)) return nullptr;
    store->database.reset(database);
    store->background->flushed = database->GetLatestSequenceNumber();  // Without a log of its own all of it came from files.
    return store.release();
}

void hfr_close(hfr_store *store) {
    (void)store->database->Close();
    delete store;
}

bool hfr_write(hfr_store *store, const void *bytes, size_t count, hfr_status *status) {
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    rocksdb::WriteBatch batch(std::string(static_cast<const char *>(bytes), count));
    return report(store->database->Write(options, &batch), status);
}

bool hfr_flush(hfr_store *store, hfr_status *status) {
    rocksdb::FlushOptions options;
    options.wait = true;
    options.allow_write_stall = true;  // Else it waits for compactions before it starts.
    const rocksdb::SequenceNumber last = store->database->GetLatestSequenceNumber();
    if (!report(store->database->Flush(options), status)) return false;
    return holdfast_rocks::wait_until_flushed(*store, last, status);
}

bool hfr_compact_all(hfr_store *store, hfr_status *status) {
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
    return report(store->database->CompactRange(options, nullptr, nullptr), status);
}

bool hfr_resume(hfr_store *store, hfr_status *status) {
    if (!report(store->database->Resume(), status)) return false;
    std::lock_guard<std::mutex> guard(store->background->mutex);
    store->background->error = Status::OK();
    return true;
}

bool hfr_background_error(hfr_store *store, hfr_status *status) {
    std::lock_guard<std::mutex> guard(store->background->mutex);
    return !report(store->background->error, status);
}

uint64_t hfr_background_error_count(hfr_store *store) {
    return store->background->count.load(std::memory_order_relaxed);
}

bool hfr_verify_checksums(hfr_store *store, hfr_status *status) {
    rocksdb::ReadOptions options;
    options.fill_cache = false;
    return report(store->database->VerifyChecksum(options), status);
}

bool hfr_checkpoint(hfr_store *store, const char *path, hfr_status *status) {
    // The checkpoint's own flush may not wait either.
    if (!hfr_flush(store, status)) return false;
    rocksdb::Checkpoint *made = nullptr;
    if (!report(rocksdb::Checkpoint::Create(store->database.get(), &made), status)) return false;
    std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
    return report(checkpoint->CreateCheckpoint(path), status);
}

bool hfr_property(hfr_store *store, const char *name, uint64_t *value) {
    return store->database->GetIntProperty(name, value);
}

uint64_t hfr_block_cache_bytes(hfr_store *store) { return store->cache->GetUsage(); }
