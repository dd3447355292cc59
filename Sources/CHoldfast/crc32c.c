#include "CHoldfast.h"
#include <pthread.h>
#include <string.h>

// Table code for processors without SSE4.2, and the operator that appends zero bytes to a sum (used to join lanes).
static uint32_t table[8][256];
// Applies `lane` zero bytes to a sum, a byte of the sum at a time.
enum { lane = 1024 };
static uint32_t shift_table[4][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;
static int has_instruction = 0;

static uint32_t software(uint32_t sum, const uint8_t *p, size_t n) {
    while (n > 0 && ((uintptr_t)p & 7) != 0) {
        sum = table[0][(sum ^ *p++) & 0xff] ^ (sum >> 8);
        n--;
    }
    while (n >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        word ^= sum;
        sum = table[7][word & 0xff] ^ table[6][(word >> 8) & 0xff] ^ table[5][(word >> 16) & 0xff] ^
              table[4][(word >> 24) & 0xff] ^ table[3][(word >> 32) & 0xff] ^ table[2][(word >> 40) & 0xff] ^
              table[1][(word >> 48) & 0xff] ^ table[0][word >> 56];
        p += 8;
        n -= 8;
    }
    while (n > 0) {
        sum = table[0][(sum ^ *p++) & 0xff] ^ (sum >> 8);
        n--;
    }
    return sum;
}

static void make_tables(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t sum = i;
        for (int bit = 0; bit < 8; bit++) sum = (sum >> 1) ^ ((sum & 1) ? 0x82f63b78u : 0);
        table[0][i] = sum;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++) table[k][i] = table[0][table[k - 1][i] & 0xff] ^ (table[k - 1][i] >> 8);
    static const uint8_t zeros[lane];
    for (int byte = 0; byte < 4; byte++)
        for (uint32_t i = 0; i < 256; i++) shift_table[byte][i] = software(i << (8 * byte), zeros, lane);
#if defined(__x86_64__)
    has_instruction = __builtin_cpu_supports("sse4.2");
#endif
}

#if defined(__x86_64__)
#include <nmmintrin.h>

static inline uint32_t shift(uint32_t sum) {
    return shift_table[0][sum & 0xff] ^ shift_table[1][(sum >> 8) & 0xff] ^ shift_table[2][(sum >> 16) & 0xff] ^
           shift_table[3][sum >> 24];
}

// Three independent lanes hide the instruction's latency of three cycles.
__attribute__((target("sse4.2"))) static uint32_t hardware(uint32_t start, const uint8_t *p, size_t n) {
    uint64_t sum = start;
    while (n >= 3 * lane) {
        uint64_t second = 0, third = 0;
        for (size_t i = 0; i < lane; i += 8) {
            uint64_t a, b, c;
            memcpy(&a, p + i, 8);
            memcpy(&b, p + lane + i, 8);
            memcpy(&c, p + 2 * lane + i, 8);
            sum = _mm_crc32_u64(sum, a);
            second = _mm_crc32_u64(second, b);
            third = _mm_crc32_u64(third, c);
        }
        sum = shift((uint32_t)sum) ^ second;
        sum = shift((uint32_t)sum) ^ third;
        p += 3 * lane;
        n -= 3 * lane;
    }
    while (n >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        sum = _mm_crc32_u64(sum, word);
        p += 8;
        n -= 8;
    }
    uint32_t rest = (uint32_t)sum;
    while (n > 0) {
        rest = _mm_crc32_u8(rest, *p++);
        n--;
    }
    return rest;
}
#endif

uint32_t chf_crc32c(uint32_t seed, const void *bytes, size_t count) {
    pthread_once(&tables_once, make_tables);
    uint32_t sum = ~seed;
#if defined(__x86_64__)
    if (has_instruction) return ~hardware(sum, bytes, count);
#endif
    return ~software(sum, bytes, count);
}
