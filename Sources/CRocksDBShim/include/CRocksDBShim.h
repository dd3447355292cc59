// The one door to RocksDB 7.8: a C face over its C++ classes, because the C API of that version hides what a store must
// know (status codes, background errors, Resume, VerifyChecksum, a filter of our own key prefixes).
//
// Every call that can fail takes an `hfr_status`, returns whether it worked, and touches the status only on failure.
// Nothing here aborts, prints or keeps a pointer of the caller after it returned.
#ifndef CROCKSDBSHIM_H
#define CROCKSDBSHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// An open database with one column family and no write-ahead log. Safe for use from any thread.
typedef struct hfr_store hfr_store;
// A consistent view with iterators that are kept between seeks. One thread at a time.
typedef struct hfr_reader hfr_reader;

// Why a call failed. `code`, `subcode` and `severity` are the numbers of rocksdb::Status; `message` is owned by the
// receiver, who gives it back with hfr_status_clear.
typedef struct {
    uint8_t code;
    uint8_t subcode;
    uint8_t severity;
    char *message;
} hfr_status;
void hfr_status_clear(hfr_status *status);

typedef struct {
    size_t block_cache_bytes;
    size_t write_buffer_bytes;
    int write_buffers_max;
    int background_jobs_max;
    int open_files_max;
    // Bits per key of the filters in table files; 0 turns them off.
    double filter_bits_per_key;
    // Part of a write buffer that a filter over its prefixes takes; 0 turns it off.
    double buffer_filter_share;
    // Filters over prefixes of MVCC rows, for seeks of keys that do not exist.
    bool prefix_filter;
    bool create_if_missing;
    // Open what is there without a lock and without changing anything: a copy that others may read too.
    bool read_only;
    // Write out the buffers when the database closes (else they are dropped, as by a crash).
    bool flush_at_close;
} hfr_options;

// The version that the shim was compiled against and the one that is linked, as major * 10000 + minor * 100 + patch.
int hfr_version_compiled(void);
int hfr_version_linked(void);

hfr_store *hfr_open(const char *path, const hfr_options *options, hfr_status *status);
// Waits for background work. Every reader of the store must be gone.
void hfr_close(hfr_store *store);

// Applies one batch in RocksDB's wire form. The caller has checked the form: a bad record found by RocksDB itself would
// leave the records before it applied.
bool hfr_write(hfr_store *store, const void *bytes, size_t count, hfr_status *status);
// Writes the buffers to table files and waits until they and the manifest are synced.
bool hfr_flush(hfr_store *store, hfr_status *status);
bool hfr_compact_all(hfr_store *store, hfr_status *status);
// Leaves the state that a background error brought, once its cause is gone. RocksDB never does so by itself.
bool hfr_resume(hfr_store *store, hfr_status *status);
// The background error that stands, into `status`; false if there is none.
bool hfr_background_error(hfr_store *store, hfr_status *status);
// Background errors seen since the start.
uint64_t hfr_background_error_count(hfr_store *store);
// Reads every block of every table file and checks it.
bool hfr_verify_checksums(hfr_store *store, hfr_status *status);
// A consistent copy of hard links at `path`, which must not exist.
bool hfr_checkpoint(hfr_store *store, const char *path, hfr_status *status);
// A number that RocksDB keeps under `name` ("rocksdb.…"); false if it has none.
bool hfr_property(hfr_store *store, const char *name, uint64_t *value);
uint64_t hfr_block_cache_bytes(hfr_store *store);

// The newest value of a row as bytes that `hfr_value_release` frees: one copy is left to the caller.
typedef struct hfr_value hfr_value;
// Null without a status (code 0) when there is no such row.
hfr_value *hfr_get(hfr_store *store, const void *key, size_t key_count, const uint8_t **bytes, size_t *count,
                   hfr_status *status);
void hfr_value_release(hfr_value *value);

// A view of the store as it is now. Iterators are made at the first seek and kept.
hfr_reader *hfr_reader_create(hfr_store *store);
void hfr_reader_destroy(hfr_reader *reader);
// A reader of its own on the same view, for a scan inside a scan. It must go before the one that it came from.
hfr_reader *hfr_reader_fork(hfr_reader *reader);
// Whether a scan is under way: between a seek that found a row and its end.
bool hfr_reader_is_scanning(const hfr_reader *reader);
// Ends a scan before its last row.
void hfr_reader_end_scan(hfr_reader *reader);
// Moves the view to now. Not during a scan, and not on a fork.
void hfr_reader_refresh(hfr_reader *reader);
// Lets go of the tables and buffers that the view keeps; hfr_reader_refresh comes before the next use.
void hfr_reader_release(hfr_reader *reader);
// 1 found, 0 no such row, -1 failed. The bytes are valid until the next call with this reader.
int hfr_reader_get(hfr_reader *reader, const void *key, size_t key_count, const uint8_t **bytes, size_t *count,
                   hfr_status *status);

typedef struct {
    const uint8_t *key;
    size_t key_count;
    const uint8_t *value;
    size_t value_count;
} hfr_row;
// Positions at the first row of [from, below), or the last if `reverse`. 1 a row, 0 none, -1 failed.
// The bytes of a row are valid until the next call with this reader.
int hfr_reader_seek(hfr_reader *reader, const void *from, size_t from_count, const void *below, size_t below_count,
                    bool reverse, hfr_row *row, hfr_status *status);
// The next row of the seek before, in its direction.
int hfr_reader_next(hfr_reader *reader, hfr_row *row, hfr_status *status);

#ifdef __cplusplus
}
#endif
#endif
