/*
 * Nonces that were used, for as long as their request could be repeated. Bounded:
 * when it is full every further request is taken for a repetition, which sends a
 * replica to the upstream and hurts nobody else, since only what was signed with
 * the secret gets here. Thread-safe.
 */
#ifndef CLUSTER_NONCES_H
#define CLUSTER_NONCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nonces;

#define NONCE_LENGTH 32 /* hex digits */

/* Kept for `keep_ms`; at most `max` of them. */
struct nonces *nonces_new(int64_t keep_ms, size_t max);
void nonces_free(struct nonces *nonces);

/* False: it was used before, or there is no room. `now_ms` never goes back by
 * much: the monotonic clock's. */
bool nonces_use(struct nonces *nonces, const char *nonce, int64_t now_ms);

#endif
