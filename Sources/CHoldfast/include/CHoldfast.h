// C that Swift cannot express: processor instructions, Linux calls hidden behind _GNU_SOURCE, libcrypto's SHA-256 and libzstd.
#ifndef CHOLDFAST_H
#define CHOLDFAST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

// CRC32C (Castagnoli, RFC 3720 appendix B.4). `seed` is 0 for a new sum, or the value of the bytes before.
uint32_t chf_crc32c(uint32_t seed, const void *bytes, size_t count);

// SHA-256 (FIPS 180-4) of one buffer into 32 bytes.
void chf_sha256(const void *bytes, size_t count, uint8_t *digest);

// A running SHA-256, held by value: no allocation. The words are libcrypto's SHA256_CTX.
typedef struct { uint64_t words[16]; } chf_sha256_state;
void chf_sha256_start(chf_sha256_state *state);
void chf_sha256_update(chf_sha256_state *state, const void *bytes, size_t count);
void chf_sha256_finish(chf_sha256_state *state, uint8_t *digest);

// fallocate(2) with mode 0: 0, or the error number.
int chf_fallocate(int descriptor, off_t offset, off_t length);
// sync_file_range(2) that starts write-out without waiting: 0, or the error number.
int chf_start_writeout(int descriptor, off_t offset, off_t length);
// renameat2(2) with RENAME_NOREPLACE: 0, or the error number.
int chf_rename_exclusive(const char *from, const char *to);
// Open flags that Glibc's module hides.
int chf_o_direct(void);
int chf_o_dsync(void);
int chf_o_cloexec(void);
// Names the calling thread for `top -H` and `perf` (15 characters are kept).
void chf_name_thread(const char *name);
// copy_file_range(2): bytes copied, or -1 with errno set.
ssize_t chf_copy_file_range(int from, int to, size_t count);
// A non-blocking exclusive flock(2): 0, or the error number.
int chf_lock_exclusive(int descriptor);
// Gives up a lock of chf_lock_exclusive.
void chf_unlock(int descriptor);
// Random bytes of the kernel (getrandom(2)): 0, or the error number.
int chf_random(void *bytes, size_t count);

// Bytes that a zstd frame (RFC 8878) of so many bytes needs at most.
size_t chf_zstd_bound(size_t count);
// One zstd frame that says how long its content is: its bytes, or 0 if it does not fit.
size_t chf_zstd_compress(void *to, size_t capacity, const void *from, size_t count, int level);
// How long a frame says that its content is; 0 for none, or no frame.
size_t chf_zstd_size(const void *from, size_t count);
// Whether the frame's content is exactly `capacity` bytes, which are then at `to`.
int chf_zstd_expand(void *to, size_t capacity, const void *from, size_t count);

#ifdef __cplusplus
}
#endif
#endif
