/*
 * A set of very many digests that takes little memory: it keeps 128 bits of each,
 * under a key of its own, in one open-addressing table. Between 21 and 43 bytes a
 * digest, half as much again while it grows: 10 million digests are some 400 MiB
 * at worst.
 *
 * It may say that a digest is in it which is not, with a chance nobody will live
 * to see: whoever picks digests does not know the key, so can neither make two
 * collide nor crowd one place of the table. It never forgets one. Not thread-safe.
 */
#ifndef MAINTENANCE_DIGEST_SET_H
#define MAINTENANCE_DIGEST_SET_H

#include "server/base/digest.h"
#include "server/base/error.h"

struct digest_set;

struct digest_set *digest_set_new(void);
void digest_set_free(struct digest_set *set); /* NULL is fine */

/* Adding it again is BW_OK. BW_UNAVAILABLE: there is no memory for a larger table;
 * what was in it stays. */
enum status digest_set_add(struct digest_set *set, const struct digest *digest,
			   struct error *error);
bool digest_set_has(const struct digest_set *set, const struct digest *digest);
uint64_t digest_set_count(const struct digest_set *set);

#endif
