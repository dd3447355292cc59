// What the files of the shim share. Nothing but the two opaque types leaves namespace-less scope: librocksdb exports
// weak symbols of classes with plain names, and a class of ours with such a name would replace one of them.
#pragma once

#include "CRocksDBShim.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/listener.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/status.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

namespace holdfast_rocks {

// What happens in the background, as listeners reported it.
struct BackgroundState {
    std::mutex mutex;
    // Notified when a flush ended or an error came.
    std::condition_variable changed;
    // The background error that stands.
    rocksdb::Status error;
    std::atomic<uint64_t> count{0};
    // Everything up to this sequence number is in table files that the manifest names: flushes are installed in order.
    uint64_t flushed = 0;
};

// Fills `status` from a failure. Returns whether `result` was a success.
bool report(const rocksdb::Status &result, hfr_status *status);

// The prefix of an MVCC row: everything up to the mark that ends its key (0x00 0x01). Rows of other kinds have none.
// Returns its length, or 0.
size_t row_prefix(const char *bytes, size_t count);

const rocksdb::SliceTransform *make_row_prefix_transform();

// Where RocksDB's warnings about the database in `directory` go.
std::shared_ptr<rocksdb::Logger> make_log(const std::string &directory, bool read_only);

}  // namespace holdfast_rocks

struct hfr_store {
    std::unique_ptr<rocksdb::DB> database;
    std::shared_ptr<rocksdb::Cache> cache;
    std::shared_ptr<holdfast_rocks::BackgroundState> background;
    bool has_prefixes;
};
