#include "tests/support/support.h"

#include "server/base/lru.h"
#include "server/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct value {
	int refs;
	struct lru *reenter; /* asked something when the last reference goes */
};

static void *value_ref(void *object)
{
	struct value *value = object;

	value->refs++;
	return value;
}

static void value_unref(void *object)
{
	struct value *value = object;

	assert_true(value->refs > 0);
	value->refs--;
	if (value->reenter)
		lru_remove(value->reenter, "whatever");
}

static const struct lru_ops ops = {value_ref, value_unref};

static bool has(struct lru *lru, const char *key, struct value *expected)
{
	struct value *found = lru_get(lru, key);

	if (!found)
		return false;
	assert_ptr_equal(found, expected);
	value_unref(found);
	return true;
}

static void test_keeps_and_counts_references(void **state)
{
	struct lru *lru = lru_new(100000, &ops);
	struct value a = {0}, b = {0};

	(void)state;
	assert_null(lru_get(lru, "a"));
	lru_put(lru, "a", &a, 10);
	lru_put(lru, "b", &b, 10);
	assert_int_equal(a.refs, 1);
	assert_ptr_equal(lru_get(lru, "a"), &a);
	assert_int_equal(a.refs, 2);
	lru_remove(lru, "a");
	assert_int_equal(a.refs, 1); /* the one that lru_get gave us */
	assert_null(lru_get(lru, "a"));
	lru_remove(lru, "a");
	assert_true(has(lru, "b", &b));
	lru_free(lru);
	assert_int_equal(b.refs, 0);
	lru_free(NULL);
}

static void test_replaces(void **state)
{
	struct lru *lru = lru_new(100000, &ops);
	struct value a = {0}, b = {0};

	(void)state;
	lru_put(lru, "k", &a, 1000);
	lru_put(lru, "k", &b, 10);
	assert_int_equal(a.refs, 0);
	assert_true(has(lru, "k", &b));
	assert_true(lru_bytes(lru) < 1000);
	lru_put(lru, "k", &b, 10);
	assert_int_equal(b.refs, 1);
	lru_free(lru);
}

static void test_least_recently_used_goes_first(void **state)
{
	struct lru *lru = lru_new(100000, &ops);
	struct value values[10] = {0};
	char key[2] = "0";

	(void)state;
	/* eight of 12000 fit into 100000, entries included */
	for (int i = 0; i < 8; i++) {
		key[0] = (char)('0' + i);
		lru_put(lru, key, &values[i], 12000);
	}
	for (int i = 0; i < 8; i++)
		assert_int_equal(values[i].refs, 1);
	assert_true(has(lru, "0", &values[0]));
	lru_put(lru, "8", &values[8], 12000);
	assert_true(has(lru, "0", &values[0]));
	assert_false(has(lru, "1", &values[1]));
	assert_int_equal(values[1].refs, 0);
	assert_true(has(lru, "2", &values[2]));
	assert_true(lru_bytes(lru) <= 100000);
	lru_free(lru);
}

static void test_too_large_is_not_kept(void **state)
{
	struct lru *lru = lru_new(80000, &ops);
	struct value small = {0}, large = {0};

	(void)state;
	lru_put(lru, "k", &small, 100);
	lru_put(lru, "k", &large, 10001);
	/* and what it was to replace is no longer true */
	assert_null(lru_get(lru, "k"));
	assert_int_equal(small.refs, 0);
	assert_int_equal(large.refs, 0);
	lru_put(lru, "k", &large, SIZE_MAX);
	assert_null(lru_get(lru, "k"));
	lru_put(lru, "k", &large, 9500);
	assert_true(has(lru, "k", &large));
	lru_free(lru);
}

static void test_no_room_at_all(void **state)
{
	struct lru *lru = lru_new(0, &ops);
	struct value a = {0};

	(void)state;
	lru_put(lru, "a", &a, 0);
	assert_null(lru_get(lru, "a"));
	assert_int_equal(a.refs, 0);
	lru_free(lru);
}

static void test_bounded_whatever_comes(void **state)
{
	const size_t sizes[] = {50000, 4 << 20};
	struct value value = {0};

	(void)state;
	for (size_t i = 0; i < array_size(sizes); i++) {
		struct lru *lru = lru_new(sizes[i], &ops);

		/* keys are paid for as well, even when values cost nothing */
		for (int j = 0; j < 50000; j++) {
			char key[32];

			snprintf(key, sizeof(key), "docker.io/%d", j);
			lru_put(lru, key, &value, (size_t)(j % 100));
			if (j % 1000 == 0)
				assert_true(lru_bytes(lru) <= sizes[i]);
		}
		assert_true(has(lru, "docker.io/49999", &value));
		assert_false(has(lru, "docker.io/0", &value));
		assert_true(lru_bytes(lru) <= sizes[i]);
		assert_true(lru_bytes(lru) > sizes[i] / 2);
		lru_clear(lru);
		assert_int_equal(lru_bytes(lru), 0);
		assert_int_equal(value.refs, 0);
		lru_put(lru, "again", &value, 1);
		assert_true(has(lru, "again", &value));
		lru_free(lru);
	}
}

/* An unref under the shard's lock would never return from this. */
static void test_unref_may_use_the_cache(void **state)
{
	struct lru *lru = lru_new(20000, &ops);
	struct value values[3] = {{0, lru}, {0, lru}, {0, lru}};

	(void)state;
	lru_put(lru, "whatever", &values[0], 1);
	lru_put(lru, "a", &values[1], 1);
	lru_put(lru, "a", &values[2], 1);
	lru_remove(lru, "a");
	lru_put(lru, "b", &values[1], 1);
	lru_clear(lru);
	for (size_t i = 0; i < array_size(values); i++)
		assert_int_equal(values[i].refs, 0);
	lru_free(lru);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keeps_and_counts_references),
		cmocka_unit_test(test_replaces),
		cmocka_unit_test(test_least_recently_used_goes_first),
		cmocka_unit_test(test_too_large_is_not_kept),
		cmocka_unit_test(test_no_room_at_all),
		cmocka_unit_test(test_bounded_whatever_comes),
		cmocka_unit_test(test_unref_may_use_the_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
