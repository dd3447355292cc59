#include "store.h"

#include <rocksdb/iterator.h>
#include <rocksdb/snapshot.h>

using holdfast_rocks::report;
using holdfast_rocks::row_prefix;
using rocksdb::Slice;
using rocksdb::Status;

// Invariants:
// (1) `below` points into `below_bytes`, which lives as long as the iterators: RocksDB keeps the pointer to the bound
//     and reads it at every step. A new seek may move the bound because RocksDB looks at it again at a seek.
// (2) An iterator is used in one direction only, and the lower bound is compared here: RocksDB caches what it learned
//     about bounds per table file, and only the upper bound of a forward or backward seek is looked at anew.
// (3) `prefixed` is used only for ranges inside one prefix; its answers outside are undefined.
struct hfr_reader {
    hfr_store *store;
    const rocksdb::Snapshot *snapshot;
    const bool owns_snapshot;
    std::string below_bytes;
    Slice below;
    std::string from_bytes;
    std::unique_ptr<rocksdb::Iterator> prefixed;
    std::unique_ptr<rocksdb::Iterator> forward;
    std::unique_ptr<rocksdb::Iterator> backward;
    rocksdb::Iterator *current = nullptr;
    bool is_reverse = false;
    bool is_scanning = false;
    rocksdb::PinnableSlice value;

    explicit hfr_reader(hfr_store *of) : store(of), snapshot(of->database->GetSnapshot()), owns_snapshot(true) {}
    explicit hfr_reader(const hfr_reader &of) : store(of.store), snapshot(of.snapshot), owns_snapshot(false) {}
    hfr_reader &operator=(const hfr_reader &) = delete;

    ~hfr_reader() { release(); }

    void release() {
        current = nullptr;
        is_scanning = false;
        prefixed.reset();
        forward.reset();
        backward.reset();
        value.Reset();
        if (owns_snapshot && snapshot) store->database->ReleaseSnapshot(snapshot);
        snapshot = nullptr;
    }

    rocksdb::Iterator *make(bool within_prefix) {
        rocksdb::ReadOptions options;
        options.snapshot = snapshot;
        options.iterate_upper_bound = &below;  // Keeps (1).
        options.total_order_seek = !within_prefix;
        return store->database->NewIterator(options);
    }

    rocksdb::Iterator *pick(bool reverse) {
        if (reverse) {
            if (!backward) backward.reset(make(false));
            return backward.get();
        }
        if (is_within_prefix()) {
            if (!prefixed) prefixed.reset(make(true));
            return prefixed.get();
        }
        if (!forward) forward.reset(make(false));
        return forward.get();
    }

    // Whether every key of [from, below) has the prefix of `from`: below has it too, or is the first key after all that
    // have it (their end mark 0x00 0x01 counted up to 0x00 0x02).
    bool is_within_prefix() const {
        if (!store->has_prefixes) return false;
        const size_t length = row_prefix(from_bytes.data(), from_bytes.size());
        if (length == 0 || below_bytes.size() < length) return false;
        if (below_bytes.compare(0, length - 1, from_bytes, 0, length - 1) != 0) return false;
        const char last = below_bytes[length - 1];
        return last == 1 || (last == 2 && below_bytes.size() == length);
    }

    int answer(hfr_row *row, hfr_status *status) {
        is_scanning = false;
        if (!current->Valid()) return report(current->status(), status) ? 0 : -1;
        const Slice key = current->key();
        if (is_reverse && key.compare(from_bytes) < 0) return 0;  // Keeps (2).
        const Slice bytes = current->value();
        row->key = reinterpret_cast<const uint8_t *>(key.data());
        row->key_count = key.size();
        row->value = reinterpret_cast<const uint8_t *>(bytes.data());
        row->value_count = bytes.size();
        is_scanning = true;
        return 1;
    }
};

struct hfr_value {
    rocksdb::PinnableSlice slice;
};

hfr_value *hfr_get(hfr_store *store, const void *key, size_t key_count, const uint8_t **bytes, size_t *count,
                   hfr_status *status) {
    auto value = std::make_unique<hfr_value>();
    const Status result = store->database->Get(rocksdb::ReadOptions(), store->database->DefaultColumnFamily(),
                                               Slice(static_cast<const char *>(key), key_count), &value->slice);
    if (result.IsNotFound()) return nullptr;
    if (!report(result, status)) return nullptr;
    *bytes = reinterpret_cast<const uint8_t *>(value->slice.data());
    *count = value->slice.size();
    return value.release();
}

void hfr_value_release(hfr_value *value) { delete value; }

hfr_reader *hfr_reader_create(hfr_store *store) { return new hfr_reader(store); }

void hfr_reader_destroy(hfr_reader *reader) { delete reader; }

hfr_reader *hfr_reader_fork(hfr_reader *reader) { return new hfr_reader(*reader); }

bool hfr_reader_is_scanning(const hfr_reader *reader) { return reader->is_scanning; }

void hfr_reader_end_scan(hfr_reader *reader) { reader->is_scanning = false; }

void hfr_reader_release(hfr_reader *reader) { reader->release(); }

void hfr_reader_refresh(hfr_reader *reader) {
    reader->release();
    reader->snapshot = reader->store->database->GetSnapshot();
}

int hfr_reader_get(hfr_reader *reader, const void *key, size_t key_count, const uint8_t **bytes, size_t *count,
                   hfr_status *status) {
    rocksdb::ReadOptions options;
    options.snapshot = reader->snapshot;
    reader->value.Reset();
    const auto &database = reader->store->database;
    const Status result = database->Get(options, database->DefaultColumnFamily(),
                                        Slice(static_cast<const char *>(key), key_count), &reader->value);
    if (result.IsNotFound()) return 0;
    if (!report(result, status)) return -1;
    *bytes = reinterpret_cast<const uint8_t *>(reader->value.data());
    *count = reader->value.size();
    return 1;
}

int hfr_reader_seek(hfr_reader *reader, const void *from, size_t from_count, const void *below, size_t below_count,
                    bool reverse, hfr_row *row, hfr_status *status) {
    reader->from_bytes.assign(static_cast<const char *>(from), from_count);
    reader->below_bytes.assign(static_cast<const char *>(below), below_count);
    reader->below = Slice(reader->below_bytes);
    reader->is_reverse = reverse;
    reader->current = reader->pick(reverse);
    if (reader->from_bytes >= reader->below_bytes) return 0;
    if (reverse) {
        reader->current->SeekToLast();
    } else {
        reader->current->Seek(reader->from_bytes);
    }
    return reader->answer(row, status);
}

int hfr_reader_next(hfr_reader *reader, hfr_row *row, hfr_status *status) {
    if (reader->is_reverse) {
        reader->current->Prev();
    } else {
        reader->current->Next();
    }
    return reader->answer(row, status);
}
