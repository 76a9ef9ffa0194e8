#include "tests/support/support.h"

#include "server/base/lru.h"
#include "server/base/memory.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 6
#define KEYS 64

struct value {
	atomic_uint refs;
	char key[16];
};

static atomic_int alive;

static void *value_ref(void *object)
{
	struct value *value = object;

	atomic_fetch_add(&value->refs, 1);
	return value;
}

static void value_unref(void *object)
{
	struct value *value = object;

	if (atomic_fetch_sub(&value->refs, 1) == 1) {
		memset(value->key, 'x', sizeof(value->key));
		free(value);
		atomic_fetch_sub(&alive, 1);
	}
}

static const struct lru_ops ops = {value_ref, value_unref};

static void put(struct lru *lru, const char *key, size_t bytes)
{
	struct value *value = xcalloc(1, sizeof(*value));

	atomic_fetch_add(&alive, 1);
	atomic_init(&value->refs, 1);
	snprintf(value->key, sizeof(value->key), "%s", key);
	lru_put(lru, key, value, bytes);
	value_unref(value);
}

static void use(void *context, unsigned index)
{
	struct lru *lru = context;

	for (unsigned i = 0; i < 3000; i++) {
		char key[16];
		struct value *value;

		snprintf(key, sizeof(key), "key-%u", (i * 31 + index * 7) % KEYS);
		value = lru_get(lru, key);
		if (value) {
			/* ours until we let go, whatever the others do */
			assert_string_equal(value->key, key);
			value_unref(value);
		} else {
			put(lru, key, i % 300);
		}
		if (i % 97 == 0)
			lru_remove(lru, key);
		if (i % 1009 == 0)
			lru_clear(lru);
	}
}

static void run_with(size_t max_bytes)
{
	struct lru *lru = lru_new(max_bytes, &ops);

	run_together(THREADS, use, lru);
	assert_true(lru_bytes(lru) <= max_bytes);
	lru_free(lru);
	assert_int_equal(atomic_load(&alive), 0);
}

/* One shard that always evicts, and eight that never do. */
static void test_values_live_while_held_and_no_longer(void **state)
{
	(void)state;
	run_with(6000);
	run_with(4 << 20);
}

static void replace(void *context, unsigned index)
{
	struct lru *lru = context;

	for (unsigned i = 0; i < 2000; i++) {
		struct value *value;

		if (index % 2) {
			put(lru, "one", 10);
		} else if ((value = lru_get(lru, "one"))) {
			assert_string_equal(value->key, "one");
			value_unref(value);
		}
	}
}

static void test_replacing_under_readers(void **state)
{
	struct lru *lru = lru_new(100000, &ops);

	(void)state;
	run_together(THREADS, replace, lru);
	assert_int_equal(atomic_load(&alive), 1);
	lru_free(lru);
	assert_int_equal(atomic_load(&alive), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_live_while_held_and_no_longer),
		cmocka_unit_test(test_replacing_under_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
