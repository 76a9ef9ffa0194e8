#include "server/maintenance/digest_set.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY ((size_t)1024) /* a power of two, as all that follow */

struct print {
	uint64_t high;
	uint64_t low; /* never 0: that is an empty place */
};

struct digest_set {
	unsigned char key[16];
	struct print *places;
	size_t capacity;
	size_t count;
};

struct digest_set *digest_set_new(void)
{
	struct digest_set *set = xcalloc(1, sizeof(*set));

	random_bytes(set->key, sizeof(set->key));
	set->capacity = FIRST_CAPACITY;
	set->places = xcalloc(set->capacity, sizeof(*set->places));
	return set;
}

void digest_set_free(struct digest_set *set)
{
	if (!set)
		return;
	free(set->places);
	free(set);
}

static struct print print_of(const struct digest_set *set, const struct digest *digest)
{
	const unsigned char algorithm = (unsigned char)digest->algorithm;
	struct hasher hasher;
	struct digest keyed;
	struct print print;

	hasher_init(&hasher, DIGEST_SHA256);
	hasher_update(&hasher, set->key, sizeof(set->key));
	hasher_update(&hasher, &algorithm, 1);
	hasher_update(&hasher, digest->bytes, sizeof(digest->bytes));
	hasher_finish(&hasher, &keyed);
	memcpy(&print.high, keyed.bytes, sizeof(print.high));
	memcpy(&print.low, keyed.bytes + sizeof(print.high), sizeof(print.low));
	if (print.low == 0)
		print.low = 1;
	return print;
}

/* Where it is, or the empty place where it would be. */
static struct print *place_of(struct print *places, size_t capacity, struct print print)
{
	size_t at = (size_t)print.high & (capacity - 1);

	while (places[at].low && (places[at].low != print.low || places[at].high != print.high))
		at = (at + 1) & (capacity - 1);
	return &places[at];
}

static enum status grow(struct digest_set *set, struct error *error)
{
	size_t capacity = set->capacity * 2;
	struct print *places = calloc(capacity, sizeof(*places));

	if (!places)
		return error_set(error, BW_UNAVAILABLE, "no memory for a table of %zu digests",
				 capacity);
	for (size_t i = 0; i < set->capacity; i++) {
		if (set->places[i].low)
			*place_of(places, capacity, set->places[i]) = set->places[i];
	}
	free(set->places);
	set->places = places;
	set->capacity = capacity;
	return BW_OK;
}

enum status digest_set_add(struct digest_set *set, const struct digest *digest, struct error *error)
{
	struct print print = print_of(set, digest);
	struct print *place = place_of(set->places, set->capacity, print);

	if (place->low)
		return BW_OK;
	if (set->count >= set->capacity / 4 * 3) {
		enum status status = grow(set, error);

		if (status != BW_OK)
			return status;
		place = place_of(set->places, set->capacity, print);
	}
	*place = print;
	set->count++;
	return BW_OK;
}

bool digest_set_has(const struct digest_set *set, const struct digest *digest)
{
	return place_of(set->places, set->capacity, print_of(set, digest))->low != 0;
}

uint64_t digest_set_count(const struct digest_set *set)
{
	return set->count;
}
