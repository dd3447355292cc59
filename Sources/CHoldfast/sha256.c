// The low-level calls are used, not EVP: a digest of a few hundred bytes is taken for every applied command, and EVP's
// allocation and provider look-up cost more than the hash itself.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "CHoldfast.h"
#include <openssl/sha.h>

_Static_assert(sizeof(SHA256_CTX) <= sizeof(chf_sha256_state), "libcrypto's SHA256_CTX grew");

void chf_sha256_start(chf_sha256_state *state) { SHA256_Init((SHA256_CTX *)state); }
void chf_sha256_update(chf_sha256_state *state, const void *bytes, size_t count) {
    SHA256_Update((SHA256_CTX *)state, bytes, count);
}
void chf_sha256_finish(chf_sha256_state *state, uint8_t *digest) { SHA256_Final(digest, (SHA256_CTX *)state); }

void chf_sha256(const void *bytes, size_t count, uint8_t *digest) {
    chf_sha256_state state;
    chf_sha256_start(&state);
    chf_sha256_update(&state, bytes, count);
    chf_sha256_finish(&state, digest);
}
