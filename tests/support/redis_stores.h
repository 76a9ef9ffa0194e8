/*
 * The index and the coordination in the Redis that the tests run beside
 * (tests/support/with-backends): BREAKWATER_TEST_REDIS is its host:port. Without one a
 * test fails. Each opened store has a prefix of its own, and so is empty.
 */
#ifndef TESTS_SUPPORT_REDIS_STORES_H
#define TESTS_SUPPORT_REDIS_STORES_H

#include "backends/redis/redis_store.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "tests/support/support.h"

#include <stdlib.h>

struct redis_stores {
	struct metadata_store *metadata;
	struct coordination *coordination; /* NULL after redis_stores_open */
};

static inline char *redis_fresh_prefix(void)
{
	unsigned char random[8];
	char text[17];

	random_bytes(random, sizeof(random));
	str_hex(random, sizeof(random), text);
	return xasprintf("bw-test-%s:", text);
}

/* A sanitizer's build on a busy machine is given more time than a server. */
static inline struct redis_stores redis_stores_at(const char *address, const char *prefix)
{
	struct redis_options options = {
		.address = address, .prefix = prefix, .connect_ms = 5000, .command_ms = 5000};
	struct redis_stores stores = {0};
	struct error error = {0};

	if (redis_store_new(&options, &stores.metadata, &stores.coordination, &error))
		fail_msg("%s", error.message);
	return stores;
}

static inline const char *redis_test_address(void)
{
	const char *address = getenv("BREAKWATER_TEST_REDIS");

	if (!address || !*address)
		fail_msg("BREAKWATER_TEST_REDIS is not set: run this by "
			 "tests/support/with-backends");
	return address;
}

/* Just the index. */
static inline struct redis_stores redis_stores_open(void)
{
	char *prefix = redis_fresh_prefix();
	struct redis_stores stores = redis_stores_at(redis_test_address(), prefix);

	free(prefix);
	coordination_free(stores.coordination);
	stores.coordination = NULL;
	return stores;
}

#endif
