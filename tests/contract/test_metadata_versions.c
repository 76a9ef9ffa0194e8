/* What backends/metadata_store.h promises of the versions an index gives, where it
 * gives any. */
#include "server/base/clock.h"
#include "tests/support/metadata_stores.h"

#include <pthread.h>

/* NULL: an index of one process alone gives none, and has nothing to promise. */
static struct metadata_store *giving(void **state)
{
	struct metadata_store *store = store_of(state);

	return metadata_gives_versions(store) ? store : NULL;
}

static uint64_t next(struct metadata_store *store, const char *tag, uint64_t at_least)
{
	uint64_t version = 0;

	assert_int_equal(metadata_next_version(store, "a", tag, at_least, &version, NULL), BW_OK);
	return version;
}

static enum status put(struct metadata_store *store, uint64_t version)
{
	struct tag_entry entry = {.digest = digest_for("m"), .version = version};

	return metadata_put_tag(store, "a", "v1", &entry, NULL);
}

static void a_version_is_about_now_in_microseconds(void **state)
{
	struct metadata_store *store = giving(state);
	uint64_t before = (uint64_t)clock_wall_ms() * 1000;
	uint64_t version;

	if (!store)
		return;
	version = next(store, "v1", 0);
	assert_true(version >= before);
	assert_true(version < before + (uint64_t)60 * 1000 * 1000);
}

static void each_is_higher_than_those_given_before(void **state)
{
	struct metadata_store *store = giving(state);
	uint64_t last = 0;

	if (!store)
		return;
	for (unsigned i = 0; i < 100; i++) {
		uint64_t version = next(store, "v1", 0);

		assert_true(version > last);
		last = version;
	}
}

static void one_is_at_least_what_was_asked_for(void **state)
{
	struct metadata_store *store = giving(state);
	uint64_t ahead = ((uint64_t)clock_wall_ms() + 86400000) * 1000;

	if (!store)
		return;
	assert_int_equal(next(store, "v1", ahead), ahead);
	assert_int_equal(next(store, "v1", 5), ahead + 1);
	assert_int_equal(next(store, "v1", ahead), ahead + 2);
	assert_true(next(store, "v2", 0) < ahead);
}

static void one_is_higher_than_what_was_put(void **state)
{
	struct metadata_store *store = giving(state);
	uint64_t ahead = ((uint64_t)clock_wall_ms() + 86400000) * 1000;

	if (!store)
		return;
	assert_int_equal(put(store, ahead), BW_OK);
	assert_true(next(store, "v1", 0) > ahead);
}

/* A write that was given its version before the removal may still be on its way. */
static void removing_the_tag_does_not_begin_anew(void **state)
{
	struct metadata_store *store = giving(state);
	uint64_t ahead = ((uint64_t)clock_wall_ms() + 86400000) * 1000;

	if (!store)
		return;
	assert_int_equal(put(store, next(store, "v1", ahead)), BW_OK);
	assert_int_equal(metadata_remove_tag(store, "a", "v1", INT64_MAX, NULL), BW_OK);
	assert_true(next(store, "v1", 0) > ahead);
}

static void giving_one_writes_nothing(void **state)
{
	struct metadata_store *store = giving(state);
	struct tag_entry entry;
	struct name_list list = {0};

	if (!store)
		return;
	next(store, "v1", 0);
	assert_int_equal(metadata_get_tag(store, "a", "v1", &entry, NULL), BW_ABSENT);
	assert_int_equal(metadata_list_tags(store, "a", "", 9, collect_name, &list, NULL), BW_OK);
	assert_string_equal(list.text, "");
	assert_int_equal(put(store, 7), BW_OK); /* a lower one that was given long ago */
	assert_int_equal(metadata_get_tag(store, "a", "v1", &entry, NULL), BW_OK);
	assert_int_equal(entry.version, 7);
}

static void one_that_no_index_takes_is_not_given(void **state)
{
	struct metadata_store *store = giving(state);
	uint64_t version = 1;
	struct error error = {0};

	if (!store)
		return;
	assert_int_equal(
		metadata_next_version(store, "a", "v1", (uint64_t)INT64_MAX + 1, &version, &error),
		BW_INVALID);
	assert_true(error.message[0]);
	assert_int_equal(version, 1);
	assert_int_equal(next(store, "v1", INT64_MAX), INT64_MAX);
	assert_int_equal(metadata_next_version(store, "a", "v1", 0, &version, NULL), BW_INVALID);
}

#define THREADS 4
#define EACH 200

struct taker {
	struct metadata_store *store;
	pthread_barrier_t *start;
	uint64_t taken[EACH];
};

static void *take(void *argument)
{
	struct taker *taker = argument;

	pthread_barrier_wait(taker->start);
	for (unsigned i = 0; i < EACH; i++)
		if (metadata_next_version(taker->store, "a", "v1", 0, &taker->taken[i], NULL))
			taker->taken[i] = 0;
	return NULL;
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static void no_two_are_given_the_same(void **state)
{
	static struct taker takers[THREADS];
	static uint64_t all[THREADS * EACH];
	struct metadata_store *store = giving(state);
	pthread_barrier_t start;
	pthread_t threads[THREADS];

	if (!store)
		return;
	pthread_barrier_init(&start, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		takers[i] = (struct taker){.store = store, .start = &start};
		assert_int_equal(pthread_create(&threads[i], NULL, take, &takers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		memcpy(all + (size_t)i * EACH, takers[i].taken, sizeof(takers[i].taken));
	}
	pthread_barrier_destroy(&start);
	qsort(all, array_size(all), sizeof(*all), compare);
	assert_true(all[0] > 0);
	for (size_t i = 1; i < array_size(all); i++)
		assert_true(all[i] > all[i - 1]);
}

int main(void)
{
	static const struct metadata_case cases[] = {
		METADATA_CASE(a_version_is_about_now_in_microseconds),
		METADATA_CASE(each_is_higher_than_those_given_before),
		METADATA_CASE(one_is_at_least_what_was_asked_for),
		METADATA_CASE(one_is_higher_than_what_was_put),
		METADATA_CASE(removing_the_tag_does_not_begin_anew),
		METADATA_CASE(giving_one_writes_nothing),
		METADATA_CASE(one_that_no_index_takes_is_not_given),
		METADATA_CASE(no_two_are_given_the_same),
	};

	return run_over_metadata_stores("metadata_versions", cases, array_size(cases));
}
