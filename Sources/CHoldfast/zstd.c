#include "CHoldfast.h"

#include <zstd.h>

size_t chf_zstd_bound(size_t count) { return ZSTD_compressBound(count); }

size_t chf_zstd_compress(void *to, size_t capacity, const void *from, size_t count, int level) {
    size_t written = ZSTD_compress(to, capacity, from, count, level);
    return ZSTD_isError(written) ? 0 : written;
}

size_t chf_zstd_size(const void *from, size_t count) {
    unsigned long long size = ZSTD_getFrameContentSize(from, count);
    return size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR ? 0 : (size_t)size;
}

int chf_zstd_expand(void *to, size_t capacity, const void *from, size_t count) {
    size_t written = ZSTD_decompress(to, capacity, from, count);
    return !ZSTD_isError(written) && written == capacity;
}
