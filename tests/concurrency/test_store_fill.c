/*
 * A store that is elsewhere: its blobs are read once for all, kept on a local disk,
 * and what becomes of a pull when the store, or that disk, fails.
 */
#include "server/base/file.h"
#include "server/base/metrics.h"
#include "server/cache/cache_private.h"
#include "server/cache/fill_private.h"
#include "tests/support/remote_store.h"

#include <errno.h>

#define HALF (SIZE / 2)
#define READERS 100

static void pull_either(void *context, unsigned index)
{
	struct scene *scene = context;

	if ((index % 2 ? pull(scene, NULL) : pull_local(scene, NULL)) == BW_OK)
		atomic_fetch_add(&scene->right, 1);
}

/* ---- one read ---- */

static void a_hundred_readers_cost_one_read(void **state)
{
	struct scene *scene = *state;

	stored_for_a(scene);
	run_together(READERS, pull_either, scene);
	assert_int_equal(scene->right, READERS);
	assert_int_equal(scene->opens, 1);
	assert_int_equal(asked_a(scene), 0);
	/* it came from there and need not go back */
	assert_int_equal(objects_under(scene->world, "blobs/"), 1);
}

static void without_a_hot_cache_it_is_read_again(void **state)
{
	struct scene *scene = *state;

	stored_for_a(scene);
	assert_int_equal(pull(scene, NULL), BW_OK);
	restart(scene);
	assert_int_equal(pull_local(scene, NULL), BW_OK);
	assert_int_equal(scene->opens, 2);
}

static void what_was_read_outlives_the_process(void **state)
{
	struct scene *scene = *state;

	stored_for_a(scene);
	assert_int_equal(pull(scene, NULL), BW_OK);
	restart(scene);
	assert_int_equal(pull(scene, NULL), BW_OK);
	assert_int_equal(scene->opens, 1);
}

/* What is fetched is in the hot cache at once, and costs the store no read. */
static void what_was_fetched_is_hot(void **state)
{
	struct scene *scene = *state;
	unsigned opens;

	a_answers(scene);
	assert_int_equal(pull(scene, NULL), BW_OK);
	restart(scene);
	opens = scene->opens;
	assert_int_equal(objects_under(scene->world, "blobs/"), 1);
	assert_int_equal(pull(scene, NULL), BW_OK);
	assert_int_equal(scene->opens, opens);
	assert_int_equal(asked_a(scene), 1);
}

/* ---- a store that fails ---- */

static void an_outage_is_not_absence(void **state)
{
	struct scene *scene = *state;
	struct error error = {0};

	a_answers(scene);
	stored_for_a(scene);
	make_fail(&scene->world->object_faults, NULL, BW_IO);
	assert_int_equal(pull(scene, &error), BW_UNAVAILABLE);
	assert_int_equal(error.code, BW_UNAVAILABLE);
	assert_int_equal(pull_local(scene, NULL), BW_UNAVAILABLE);
	/* nor is it when the index does not know either */
	make_fail(&scene->world->metadata_faults, NULL, BW_IO);
	assert_int_equal(pull(scene, NULL), BW_UNAVAILABLE);
	assert_int_equal(asked_a(scene), 0);
	make_fail(&scene->world->metadata_faults, NULL, BW_OK);
	make_fail(&scene->world->object_faults, NULL, BW_OK);
	assert_int_equal(pull(scene, NULL), BW_OK);
	assert_int_equal(pull_local(scene, NULL), BW_OK);
}

static void what_is_hot_outlives_an_outage(void **state)
{
	struct scene *scene = *state;

	stored_for_a(scene);
	assert_int_equal(pull(scene, NULL), BW_OK);
	restart(scene);
	make_fail(&scene->world->object_faults, NULL, BW_TIMEOUT);
	assert_int_equal(pull(scene, NULL), BW_OK);
	assert_int_equal(pull_local(scene, NULL), BW_OK);
	assert_int_equal(asked_a(scene), 0);
}

static void a_blob_that_nobody_listed_is_not_fetched_in_an_outage(void **state)
{
	struct scene *scene = *state;

	a_answers(scene);
	make_fail(&scene->world->object_faults, NULL, BW_IO);
	assert_int_equal(pull(scene, NULL), BW_UNAVAILABLE);
	assert_int_equal(asked_a(scene), 0);
	make_fail(&scene->world->object_faults, NULL, BW_OK);
	assert_int_equal(pull(scene, NULL), BW_OK);
}

/* The store reads, and takes nothing: an upstream is asked once all the same. */
static void what_cannot_be_stored_is_hot(void **state)
{
	struct scene *scene = *state;

	a_answers(scene);
	make_fail(&scene->world->object_faults, "create", BW_IO);
	make_fail(&scene->world->object_faults, "adopt", BW_IO);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(pull(scene, NULL), BW_OK);
		restart(scene);
	}
	assert_int_equal(asked_a(scene), 1);
	assert_int_equal(objects_under(scene->world, "blobs/"), 0);
}

static void what_is_gone_is_told_or_fetched(void **state)
{
	struct scene *scene = *state;

	a_answers(scene);
	stored_for_a(scene);
	assert_int_equal(object_remove(scene->world->objects, scene->key, NULL), BW_OK);
	assert_int_equal(pull_local(scene, NULL), BW_ABSENT);
	assert_int_equal(pull(scene, NULL), BW_OK);
	assert_int_equal(asked_a(scene), 1);
}

/* ---- a store that lies ---- */

static void read_to_the_end(void *context, unsigned index)
{
	struct scene *scene = context;
	struct blob_source blob = {0};
	struct error error = {0};
	uint64_t end = 0;
	enum status status =
		cache_open_local_blob(scene->world->cache, &scene->digest, SIZE, &blob, &error);

	(void)index;
	while (status == BW_OK && end < SIZE) {
		status = blob_source_wait(&blob, end, DEADLINE_NEVER, &end, &error);
		if (end > SIZE - FILL_WITHHELD)
			atomic_fetch_add(&scene->wrong, 1);
	}
	/* late ones find that it was removed */
	if (status == BW_CORRUPT || status == BW_ABSENT || status == BW_UNAVAILABLE)
		atomic_fetch_add(&scene->right, 1);
	blob_source_release(&blob);
}

static void damaged_bytes_are_never_completed(void **state)
{
	struct scene *scene = *state;
	char *damaged = xmemdup(scene->bytes, SIZE);

	damaged[17] ^= 1;
	stored_for_a(scene);
	store_bytes(scene, damaged, SIZE);
	run_together(20, read_to_the_end, scene);
	assert_int_equal(scene->wrong, 0);
	assert_int_equal(scene->right, 20);
	restart(scene);
	/* found out, and gone: whoever has an upstream gets it from there */
	assert_int_equal(objects_under(scene->world, "blobs/"), 0);
	a_answers(scene);
	assert_int_equal(pull(scene, NULL), BW_OK);
	assert_int_equal(asked_a(scene), 1);
	free(damaged);
}

/* ---- reads that break ---- */

struct flaky_store {
	struct object_store base;
	struct object_store *inner;
	_Atomic unsigned breaks; /* so many readers break at HALF... */
	enum status how;
	unsigned opens;
};

struct flaky_reader {
	struct object_reader base;
	struct object_reader *inner;
	bool breaks;
	enum status how;
};

static enum status flaky_read(struct object_reader *base, uint64_t offset, void *target,
			      size_t length, deadline_ms deadline, size_t *ret_length,
			      struct error *error)
{
	struct flaky_reader *reader = container_of(base, struct flaky_reader, base);

	if (reader->breaks && offset + length > HALF)
		return error_set(error, reader->how, "the connection was reset");
	return object_read(reader->inner, offset, target, length, deadline, ret_length, error);
}

static void flaky_close(struct object_reader *base)
{
	struct flaky_reader *reader = container_of(base, struct flaky_reader, base);

	object_close(reader->inner);
	free(reader);
}

static enum status flaky_open(struct object_store *base, const char *key,
			      struct object_reader **ret_reader, struct error *error)
{
	static const struct object_reader_ops ops = {.read = flaky_read, .close = flaky_close};
	struct flaky_store *store = container_of(base, struct flaky_store, base);
	struct object_reader *inner;
	struct flaky_reader *reader;
	enum status status = object_open(store->inner, key, &inner, error);

	if (status != BW_OK)
		return status;
	store->opens++;
	reader = xcalloc(1, sizeof(*reader));
	*reader = (struct flaky_reader){
		.base = {.ops = &ops, .info = inner->info},
		.inner = inner,
		.breaks = store->breaks > 0,
		.how = store->how,
	};
	if (reader->breaks)
		store->breaks--;
	*ret_reader = &reader->base;
	return BW_OK;
}

static enum status flaky_stat(struct object_store *base, const char *key,
			      struct object_info *ret_info, struct error *error)
{
	return object_stat(container_of(base, struct flaky_store, base)->inner, key, ret_info,
			   error);
}

static const struct object_store_ops flaky_ops = {
	.name = "flaky",
	.open = flaky_open,
	.stat = flaky_stat,
};

static struct flaky_store flaky_begin(struct scene *scene, unsigned breaks, enum status how)
{
	stored_for_a(scene);
	world_stop(scene->world);
	return (struct flaky_store){
		.base = {.ops = &flaky_ops},
		.inner = scene->world->objects,
		.breaks = breaks,
		.how = how,
	};
}

static void flaky_end(struct scene *scene, struct flaky_store *store)
{
	world_stop(scene->world);
	scene->world->objects = store->inner;
}

static void a_broken_read_is_resumed(void **state)
{
	static const enum status breaks[] = {BW_IO, BW_TIMEOUT, BW_UNAVAILABLE, BW_UNREACHABLE};
	struct scene *scene = *state;

	for (size_t i = 0; i < array_size(breaks); i++) {
		struct flaky_store store = flaky_begin(scene, 2, breaks[i]);

		scene->world->objects = &store.base;
		world_start(scene->world);
		assert_int_equal(pull_local(scene, NULL), BW_OK);
		assert_int_equal(store.opens, 3);
		flaky_end(scene, &store);
		world_start(scene->world);
	}
}

static void a_read_that_always_breaks_ends(void **state)
{
	struct scene *scene = *state;
	struct flaky_store store = flaky_begin(scene, 1000, BW_IO);

	scene->world->objects = &store.base;
	world_start(scene->world);
	assert_int_equal(pull_local(scene, NULL), BW_UNREACHABLE);
	assert_true(store.opens <= 10);
	flaky_end(scene, &store);
}

/* ---- a disk that fails ---- */

static int full(int fd, const void *bytes, size_t length, uint64_t offset)
{
	(void)fd;
	(void)bytes;
	(void)length;
	(void)offset;
	return -ENOSPC;
}

static int full_at_half(int fd, const void *bytes, size_t length, uint64_t offset)
{
	return offset >= HALF ? -EIO : file_pwrite_all(fd, bytes, length, offset);
}

static struct spool *spool_of(struct scene *scene)
{
	return &scene->world->cache->fills->spool;
}

static void a_full_disk_costs_memory(void **state)
{
	struct scene *scene = *state;

	a_answers(scene);
	spool_of(scene)->write = full;
	assert_int_equal(pull(scene, NULL), BW_OK);
	restart(scene);
	/* and is stored from there */
	assert_int_equal(objects_under(scene->world, "blobs/"), 1);
	spool_of(scene)->write = full_at_half;
	assert_int_equal(pull(scene, NULL), BW_OK);
	assert_int_equal(asked_a(scene), 1);
	restart(scene);
	assert_true(metric_value(M_SPOOL_MEMORY_BYTES, METRIC_LABELS(NULL)) == 0);
}

/* Readers that are in the middle of the file, which is another one suddenly. */
static void readers_of_a_failing_disk_notice_nothing(void **state)
{
	struct scene *scene = *state;

	stored_for_a(scene);
	spool_of(scene)->write = full_at_half;
	run_together(READERS, pull_either, scene);
	assert_int_equal(scene->right, READERS);
}

static void beyond_memory_the_store_is_read(void **state)
{
	struct scene *scene = *state;

	stored_for_a(scene);
	spool_of(scene)->memory_max = SIZE / 2;
	spool_of(scene)->write = full;
	run_together(10, pull_either, scene);
	assert_int_equal(scene->right, 10);
}

static void beyond_memory_in_the_middle_too(void **state)
{
	struct scene *scene = *state;

	stored_for_a(scene);
	spool_of(scene)->memory_max = SIZE / 2;
	spool_of(scene)->write = full_at_half;
	run_together(10, pull_either, scene);
	assert_int_equal(scene->right, 10);
}

static void beyond_memory_an_upstreams_blob_is_refused(void **state)
{
	struct scene *scene = *state;

	a_answers(scene);
	spool_of(scene)->memory_max = SIZE / 2;
	spool_of(scene)->write = full;
	assert_int_equal(pull(scene, NULL), BW_NO_SPACE);
	spool_of(scene)->memory_max = 2 * SIZE;
	assert_int_equal(pull(scene, NULL), BW_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)
#define TEST_COLD(name) cmocka_unit_test_setup_teardown(name, make_cold, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_hundred_readers_cost_one_read),
		TEST_COLD(without_a_hot_cache_it_is_read_again),
		TEST(what_was_read_outlives_the_process),
		TEST(what_was_fetched_is_hot),
		TEST(an_outage_is_not_absence),
		TEST(what_is_hot_outlives_an_outage),
		TEST(a_blob_that_nobody_listed_is_not_fetched_in_an_outage),
		TEST(what_cannot_be_stored_is_hot),
		TEST(what_is_gone_is_told_or_fetched),
		TEST(damaged_bytes_are_never_completed),
		TEST_COLD(a_broken_read_is_resumed),
		TEST(a_read_that_always_breaks_ends),
		TEST_COLD(a_full_disk_costs_memory),
		TEST(readers_of_a_failing_disk_notice_nothing),
		TEST(beyond_memory_the_store_is_read),
		TEST(beyond_memory_in_the_middle_too),
		TEST(beyond_memory_an_upstreams_blob_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
