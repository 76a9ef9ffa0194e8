/* Listing as backends/object_store.h promises it: what S3 would answer. */
#include "server/base/str.h"
#include "tests/support/object_stores.h"

#include <string.h>

/* In byte order. '-' and '.' come before '/', digits and letters after, which
 * is where folder by folder goes wrong. */
static const char *const sorted_keys[] = {
	"-",
	"..a/b",
	"A/z",
	"a-b/c",
	"a.b",
	"a/-",
	"a/..x",
	"a/b-/c",
	"a/b.c",
	"a/b/c/d",
	"a/b/c/e",
	"a/b/d",
	"a/b0",
	"a/b_/x",
	"a0",
	"a:",
	"aA",
	"a_/b",
	"ab/c",
	"b/_tags/v1/1",
	"b/_tags/v1/2",
	"b/_tags/v10/1",
	"b/_tags/v1:x/1",
	"b/c/_tags/v1/1",
	"zz",
};

static const char *const prefixes[] = {
	"",        "-",        "a",           "a-",         "a-b",           "a/", "a/b",
	"a/b/",    "a/b/c/",   "b/_tags/v1/", "b/_tags/v1", "b/_",           "zz", "zzz",
	"a/b/c/d", "a/b/c/d/", "..",          "..a/",       "nothing/here/", "A",  "\x7f",
};

struct listed {
	char *keys[64];
	uint64_t sizes[64];
	size_t count;
	size_t stop_after; /* 0: never */
};

static bool collect(void *context, const char *key, const struct object_info *info)
{
	struct listed *listed = context;

	assert_true(listed->count < array_size(listed->keys));
	listed->keys[listed->count] = xstrdup(key);
	listed->sizes[listed->count++] = info->size;
	return listed->count != listed->stop_after;
}

static void listed_release(struct listed *listed)
{
	for (size_t i = 0; i < listed->count; i++)
		free(listed->keys[i]);
	*listed = (struct listed){0};
}

static struct object_store *filled(void **state)
{
	struct object_store *store = ((struct object_fixture *)*state)->store;

	/* 7 shares no factor with their number: every key once, in no order */
	for (size_t i = 0; i < array_size(sorted_keys); i++) {
		const char *key = sorted_keys[i * 7 % array_size(sorted_keys)];

		assert_int_equal(object_put(store, key, key, strlen(key), PUT_REPLACE, NULL),
				 BW_OK);
	}
	return store;
}

static void assert_lists(struct object_store *store, const char *prefix, const char *after)
{
	struct listed listed = {0};
	struct error error = {0};
	size_t at = 0;

	if (object_list(store, prefix, after, collect, &listed, &error))
		fail_msg("list \"%s\" after \"%s\": %s", prefix, after, error.message);
	assert_string_equal(error.message, "");
	for (size_t i = 0; i < array_size(sorted_keys); i++) {
		if (!str_starts_with(sorted_keys[i], prefix) || strcmp(sorted_keys[i], after) <= 0)
			continue;
		if (at >= listed.count || strcmp(listed.keys[at], sorted_keys[i]) != 0)
			fail_msg("prefix \"%s\" after \"%s\": \"%s\" where \"%s\" belongs", prefix,
				 after, at < listed.count ? listed.keys[at] : "nothing",
				 sorted_keys[i]);
		assert_int_equal(listed.sizes[at], strlen(sorted_keys[i]));
		at++;
	}
	assert_int_equal(at, listed.count);
	listed_release(&listed);
}

static void every_prefix_lists_in_byte_order(void **state)
{
	struct object_store *store = filled(state);

	for (size_t i = 0; i < array_size(prefixes); i++)
		assert_lists(store, prefixes[i], "");
}

static void every_key_can_be_gone_on_from(void **state)
{
	static const char *const between[] = {"a",     "a/",     "a/b", "a/b/",
					      "a/b/c", "a/b/c/", "a/~", "~"};
	struct object_store *store = filled(state);

	for (size_t p = 0; p < array_size(prefixes); p++) {
		for (size_t i = 0; i < array_size(sorted_keys); i++)
			assert_lists(store, prefixes[p], sorted_keys[i]);
		for (size_t i = 0; i < array_size(between); i++)
			assert_lists(store, prefixes[p], between[i]);
	}
}

static void a_listing_stops_when_told(void **state)
{
	struct object_store *store = filled(state);
	struct listed listed = {.stop_after = 3};

	assert_int_equal(object_list(store, "a/", "", collect, &listed, NULL), BW_OK);
	assert_int_equal(listed.count, 3);
	assert_string_equal(listed.keys[2], "a/b-/c");
	listed_release(&listed);
}

static void an_empty_store_lists_nothing(void **state)
{
	struct object_store *store = ((struct object_fixture *)*state)->store;
	struct listed listed = {0};

	assert_int_equal(object_list(store, "", "", collect, &listed, NULL), BW_OK);
	assert_int_equal(listed.count, 0);
}

static void a_prefix_no_key_has_lists_nothing(void **state)
{
	static const char *const impossible[] = {"/",     "../", "a/../",      "a//", "./",
						 "a/./b", "a b", "../../etc/", "\n",  "a/\xff"};
	struct object_store *store = filled(state);
	struct listed listed = {0};
	char too_long[OBJECT_KEY_MAX + 2];

	for (size_t i = 0; i < array_size(impossible); i++)
		assert_int_equal(object_list(store, impossible[i], "", collect, &listed, NULL), 0);
	memset(too_long, 'a', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	assert_int_equal(object_list(store, too_long, "", collect, &listed, NULL), BW_OK);
	assert_int_equal(listed.count, 0);
}

static void what_is_not_committed_or_removed_is_not_listed(void **state)
{
	struct object_store *store = ((struct object_fixture *)*state)->store;
	struct listed listed = {0};
	struct object_writer *writer;

	assert_int_equal(object_create(store, "x/pending", &writer, NULL), BW_OK);
	assert_int_equal(object_put(store, "x/gone/now", "1", 1, PUT_REPLACE, NULL), BW_OK);
	assert_int_equal(object_put(store, "x/there", "1", 1, PUT_IF_ABSENT, NULL), BW_OK);
	assert_int_equal(object_remove(store, "x/gone/now", NULL), BW_OK);
	assert_int_equal(object_list(store, "", "", collect, &listed, NULL), BW_OK);
	assert_int_equal(listed.count, 1);
	assert_string_equal(listed.keys[0], "x/there");
	listed_release(&listed);
	object_abort(writer);
}

int main(void)
{
	static const struct object_case cases[] = {
		OBJECT_CASE(every_prefix_lists_in_byte_order),
		OBJECT_CASE(every_key_can_be_gone_on_from),
		OBJECT_CASE(a_listing_stops_when_told),
		OBJECT_CASE(an_empty_store_lists_nothing),
		OBJECT_CASE(a_prefix_no_key_has_lists_nothing),
		OBJECT_CASE(what_is_not_committed_or_removed_is_not_listed),
	};

	return run_over_object_stores("object_store_list", cases, array_size(cases));
}
