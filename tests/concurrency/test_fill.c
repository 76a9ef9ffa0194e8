/*
 * One blob, one upstream, many readers: what they see while the upstream stops
 * in the middle, breaks off, lies, or says no.
 */
#include "server/cache/fill_private.h"
#include "tests/support/cache_world.h"

#include <dirent.h>
#include <sched.h>

#define SIZE ((size_t)1 << 20)
#define HALF (SIZE / 2)
#define READERS 100

struct scene {
	struct world *world;
	struct digest digest;
	char *bytes;
	struct gate gate; /* the upstream's */
	struct gate halfway; /* readers that have read half of it */
	_Atomic unsigned right; /* readers that got every byte */
	_Atomic unsigned wrong;
};

static int make(void **state)
{
	struct scene *scene = xcalloc(1, sizeof(*scene));

	scene->world = world_new();
	scene->bytes = some_bytes(SIZE, 1, &scene->digest);
	gate_init(&scene->gate);
	gate_init(&scene->halfway);
	gate_open(&scene->halfway);
	*state = scene;
	return 0;
}

static int forget(void **state)
{
	struct scene *scene = *state;

	world_free(scene->world);
	gate_release(&scene->gate);
	gate_release(&scene->halfway);
	free(scene->bytes);
	free(scene);
	return 0;
}

static void a_answers(struct scene *scene, struct fake_reply reply)
{
	if (!reply.body && reply.status == BW_OK) {
		reply.body = scene->bytes;
		reply.length = SIZE;
	}
	fake_answer_blob("a.test", "team/app", &scene->digest, reply);
}

static void b_answers(struct scene *scene, struct fake_reply reply)
{
	if (!reply.body && reply.status == BW_OK) {
		reply.body = scene->bytes;
		reply.length = SIZE;
	}
	fake_answer_blob("b.test", "other/app", &scene->digest, reply);
}

static unsigned asked_a(struct scene *scene)
{
	return fake_asked_blob("a.test", "team/app", &scene->digest).gets;
}

static enum status open_at(struct scene *scene, const struct cache_source *source,
			   struct blob_source *blob, struct error *error)
{
	return cache_open_blob(scene->world->cache, source, &scene->digest, blob, error);
}

/* What the fill of this source said to a reader in the end. */
static enum status outcome(struct scene *scene, const struct cache_source *source,
			   struct error *error)
{
	struct blob_source blob = {0};
	struct error trouble = {0};
	enum status status = open_at(scene, source, &blob, &trouble);

	if (status == BW_OK && !reads_like(&blob, 0, scene->bytes, &trouble)) {
		assert_int_not_equal(trouble.code, BW_OK); /* no wrong byte */
		status = trouble.code;
	}
	blob_source_release(&blob);
	if (error)
		*error = trouble;
	return status;
}

/* Ends the cache, and with it what was still being stored. */
static void assert_stored(struct scene *scene, bool stored)
{
	struct object_reader *reader = NULL;
	char *read = xmalloc(SIZE);
	size_t length = 0;

	cache_free(scene->world->cache);
	scene->world->cache = NULL;
	assert_int_equal(objects_under(scene->world, "blobs/"), stored);
	if (stored) {
		assert_int_equal(content_open_blob(scene->world->content, &scene->digest, NULL,
						   &reader, NULL),
				 BW_OK);
		assert_int_equal(object_read(reader, 0, read, SIZE, DEADLINE_NEVER, &length, NULL),
				 BW_OK);
		assert_int_equal(length, SIZE);
		assert_memory_equal(read, scene->bytes, SIZE);
		object_close(reader);
	}
	free(read);
}

static unsigned spool_files(struct scene *scene)
{
	DIR *entries = opendir(scene->world->spool);
	unsigned count = 0;
	struct dirent *entry;

	assert_non_null(entries);
	while ((entry = readdir(entries)))
		count += entry->d_name[0] != '.';
	closedir(entries);
	return count;
}

/* A fill and its table without a cache around them. */
struct lone {
	struct fill_table *table;
	struct fill *fill;
};

static struct lone lone_fill(struct scene *scene)
{
	const struct fill_source wanted = {.set = scene->world->set,
					   .upstream = scene->world->a.upstream,
					   .repository = "team/app",
					   .digest = scene->digest};
	struct lone lone = {0};

	assert_int_equal(fill_table_new(&scene->world->options, NULL, &lone.table, NULL), BW_OK);
	assert_int_equal(fill_join(lone.table, &wanted, &lone.fill, NULL, NULL), BW_OK);
	return lone;
}

static void lone_release(struct lone *lone)
{
	fill_table_free(lone->table);
	fill_unref(lone->fill);
}

/* ---- streaming ---- */

static void read_through_the_gate(void *context, unsigned index)
{
	struct scene *scene = context;
	struct blob_source blob = {0};
	uint64_t end = 0;
	char byte;
	size_t length;

	if (index == 0) {
		/* everybody has half of it while the upstream still holds the rest */
		gate_await(&scene->halfway, READERS);
		gate_open(&scene->gate);
		return;
	}
	if (open_at(scene, &scene->world->a, &blob, NULL) != BW_OK || blob.size != SIZE)
		return;
	while (end < HALF && blob_source_wait(&blob, end, DEADLINE_NEVER, &end, NULL) == BW_OK)
		;
	if (end < HALF || blob_source_read(&blob, HALF - 1, &byte, 1, &length, NULL) != BW_OK ||
	    byte != scene->bytes[HALF - 1])
		atomic_fetch_add(&scene->wrong, 1);
	gate_pass(&scene->halfway, NULL);
	if (reads_like(&blob, 0, scene->bytes, NULL))
		atomic_fetch_add(&scene->right, 1);
	blob_source_release(&blob);
}

static void a_hundred_readers_cost_one_request(void **state)
{
	struct scene *scene = *state;

	a_answers(scene, (struct fake_reply){.gate = &scene->gate, .gate_at = HALF + 65536});
	run_together(READERS + 1, read_through_the_gate, scene);
	assert_int_equal(scene->right, READERS);
	assert_int_equal(scene->wrong, 0);
	assert_int_equal(asked_a(scene), 1);
	assert_stored(scene, true);
	assert_int_equal(spool_files(scene), 0);
}

static void read_it(void *context, unsigned index)
{
	struct scene *scene = context;

	(void)index;
	if (outcome(scene, &scene->world->a, NULL) == BW_OK)
		atomic_fetch_add(&scene->right, 1);
}

/* Some come early, some while the file moves into the store, some after. */
static void whenever_they_come_it_is_fetched_once(void **state)
{
	struct scene *scene = *state;

	a_answers(scene, (struct fake_reply){0});
	run_together(READERS, read_it, scene);
	assert_int_equal(scene->right, READERS);
	assert_int_equal(asked_a(scene), 1);
	assert_stored(scene, true);
}

static void a_reader_that_leaves_stops_nothing(void **state)
{
	struct scene *scene = *state;
	struct blob_source blob = {0};

	a_answers(scene, (struct fake_reply){.gate = &scene->gate, .gate_at = HALF});
	assert_int_equal(open_at(scene, &scene->world->a, &blob, NULL), BW_OK);
	blob_source_release(&blob);
	gate_open(&scene->gate);
	assert_int_equal(outcome(scene, &scene->world->a, NULL), BW_OK);
	assert_int_equal(asked_a(scene), 1);
	assert_stored(scene, true);
}

static void a_wait_has_an_end(void **state)
{
	struct scene *scene = *state;
	struct lone lone;
	struct error error = {0};
	uint64_t size = 42, end = 42;

	a_answers(scene, (struct fake_reply){.gate = &scene->gate, .gate_at = HALF});
	lone = lone_fill(scene);
	assert_int_equal(fill_wait_size(lone.fill, DEADLINE_NEVER, &size, NULL), BW_OK);
	assert_int_equal(size, SIZE);
	gate_await(&scene->gate, 1);
	assert_int_equal(fill_wait_bytes(lone.fill, SIZE - 1, deadline_in(1), &end, &error),
			 BW_TIMEOUT);
	assert_int_equal(end, 42);
	assert_non_null(strstr(error.message, "a.test"));
	assert_int_equal(fill_wait_done(lone.fill, deadline_in(1), NULL), BW_TIMEOUT);
	gate_open(&scene->gate);
	assert_int_equal(fill_wait_done(lone.fill, DEADLINE_NEVER, NULL), BW_OK);
	assert_int_equal(fill_wait_bytes(lone.fill, 0, 0, &end, NULL), BW_OK);
	assert_int_equal(end, SIZE);
	lone_release(&lone);
}

/* ---- bodies that lie ---- */

static void read_a_corrupt_body(void *context, unsigned index)
{
	struct scene *scene = context;
	struct blob_source blob = {0};
	struct error error = {0};
	uint64_t end = 0;
	enum status status;

	(void)index;
	status = open_at(scene, &scene->world->a, &blob, &error);
	while (status == BW_OK && end < SIZE) {
		status = blob_source_wait(&blob, end, DEADLINE_NEVER, &end, &error);
		if (end > SIZE - FILL_WITHHELD)
			atomic_fetch_add(&scene->wrong, 1);
	}
	if (status == BW_CORRUPT && strstr(error.message, "a.test"))
		atomic_fetch_add(&scene->right, 1);
	blob_source_release(&blob);
}

static void a_corrupt_body_is_never_completed(void **state)
{
	struct scene *scene = *state;
	char *corrupt = xmemdup(scene->bytes, SIZE);

	corrupt[SIZE - 1] ^= 1;
	a_answers(scene, (struct fake_reply){.body = corrupt, .length = SIZE});
	run_together(20, read_a_corrupt_body, scene);
	assert_int_equal(scene->wrong, 0);
	assert_int_equal(scene->right, 20);
	assert_stored(scene, false);
	assert_int_equal(spool_files(scene), 0);
	free(corrupt);
}

/* A small blob is withheld whole: not one byte of a wrong one gets out. */
static void a_small_corrupt_body_gives_no_byte(void **state)
{
	struct scene *scene = *state;
	struct blob_source blob = {0};
	struct error error = {0};
	uint64_t end = 42;
	enum status status;

	a_answers(scene, (struct fake_reply){.body = "something else"});
	status = open_at(scene, &scene->world->a, &blob, &error);
	if (status == BW_OK)
		status = blob_source_wait(&blob, 0, DEADLINE_NEVER, &end, &error);
	assert_int_equal(status, BW_CORRUPT);
	assert_int_equal(end, 42);
	blob_source_release(&blob);
	assert_stored(scene, false);
}

/* Its length alone would complete it: nobody may be told before the digest. */
static void an_empty_body_is_not_told_before_its_digest(void **state)
{
	struct scene *scene = *state;
	struct lone lone;
	uint64_t size = 42;

	a_answers(scene, (struct fake_reply){.body = "", .gate = &scene->gate});
	lone = lone_fill(scene);
	gate_await(&scene->gate, 1);
	assert_int_equal(fill_wait_size(lone.fill, 0, &size, NULL), BW_TIMEOUT);
	assert_int_equal(size, 42);
	gate_open(&scene->gate);
	assert_int_equal(fill_wait_done(lone.fill, DEADLINE_NEVER, NULL), BW_CORRUPT);
	lone_release(&lone);
	assert_stored(scene, false);
}

static void the_empty_blob_is_a_blob(void **state)
{
	struct scene *scene = *state;
	struct blob_source blob = {0};

	digest_of(DIGEST_SHA256, "", 0, &scene->digest);
	a_answers(scene, (struct fake_reply){.body = ""});
	assert_int_equal(open_at(scene, &scene->world->a, &blob, NULL), BW_OK);
	assert_int_equal(blob.size, 0);
	blob_source_release(&blob);
	world_stop(scene->world);
	assert_int_equal(objects_under(scene->world, "blobs/"), 1);
}

static void more_than_was_told_is_corrupt(void **state)
{
	struct scene *scene = *state;

	a_answers(scene, (struct fake_reply){.told_total = SIZE - 1});
	assert_int_equal(outcome(scene, &scene->world->a, NULL), BW_CORRUPT);
	assert_stored(scene, false);
}

static void another_length_than_listed_is_corrupt(void **state)
{
	struct scene *scene = *state;

	content_link_blob(scene->world->content, scene->world->a.stored, &scene->digest, SIZE + 1,
			  NULL);
	a_answers(scene, (struct fake_reply){0});
	assert_int_equal(outcome(scene, &scene->world->a, NULL), BW_CORRUPT);
	assert_stored(scene, false);
}

static void a_length_that_is_not_told_is_no_matter(void **state)
{
	struct scene *scene = *state;

	a_answers(scene, (struct fake_reply){.without_total = true});
	assert_int_equal(outcome(scene, &scene->world->a, NULL), BW_OK);
	assert_stored(scene, true);
}

/* No length at first, then one that is less than what came already. */
static void a_length_that_shrinks_is_corrupt(void **state)
{
	struct scene *scene = *state;
	struct lone lone;

	a_answers(scene, (struct fake_reply){.without_total = true,
					     .breaks = 1,
					     .break_after = HALF,
					     .gate = &scene->gate,
					     .gate_at = HALF});
	lone = lone_fill(scene);
	gate_await(&scene->gate, 1);
	a_answers(scene, (struct fake_reply){.told_total = HALF / 2});
	gate_open(&scene->gate);
	assert_int_equal(fill_wait_done(lone.fill, DEADLINE_NEVER, NULL), BW_CORRUPT);
	lone_release(&lone);
	assert_stored(scene, false);
}

/* ---- reads that break ---- */

static void a_broken_read_is_resumed(void **state)
{
	struct scene *scene = *state;
	struct fake_route asked;

	a_answers(scene, (struct fake_reply){.breaks = 2, .break_after = 200000});
	assert_int_equal(outcome(scene, &scene->world->a, NULL), BW_OK);
	asked = fake_asked_blob("a.test", "team/app", &scene->digest);
	assert_int_equal(asked.gets, 3);
	assert_int_equal(asked.offsets[0], 0);
	assert_int_equal(asked.offsets[1], 200000);
	assert_int_equal(asked.offsets[2], 400000);
	assert_stored(scene, true);
}

static void a_server_without_ranges_is_read_again(void **state)
{
	struct scene *scene = *state;

	a_answers(scene,
		  (struct fake_reply){.breaks = 1, .break_after = 300001, .ignores_range = true});
	assert_int_equal(outcome(scene, &scene->world->a, NULL), BW_OK);
	assert_int_equal(asked_a(scene), 2);
	assert_stored(scene, true);
}

/* One byte at a time is no progress: it must end, and not in years. */
static void a_read_that_always_breaks_is_given_up(void **state)
{
	struct scene *scene = *state;

	a_answers(scene, (struct fake_reply){.breaks = 1000000, .break_after = 1});
	assert_int_equal(outcome(scene, &scene->world->a, NULL), BW_UNREACHABLE);
	assert_true(asked_a(scene) <= 10);
	assert_stored(scene, false);
	assert_int_equal(spool_files(scene), 0);
}

/* ---- answers ---- */

static void an_answer_is_not_asked_for_twice(void **state)
{
	static const struct {
		enum status status;
		int http_status;
	} answers[] = {{BW_DENIED, 403}, {BW_UNAVAILABLE, 429}, {BW_ABSENT, 404}};
	struct scene *scene = *state;

	for (unsigned i = 0; i < array_size(answers); i++) {
		struct error error = {0};

		a_answers(scene, (struct fake_reply){.status = answers[i].status,
						     .http_status = answers[i].http_status});
		assert_int_equal(outcome(scene, &scene->world->a, &error), answers[i].status);
		assert_int_equal(error.http_status, answers[i].http_status);
		assert_int_equal(asked_a(scene), i + 1);
	}
	assert_stored(scene, false);
}

static void open_b_meanwhile(void *context, unsigned index)
{
	struct scene *scene = context;
	const struct world *world = scene->world;
	enum status status;

	if (index == 0) {
		status = outcome(scene, &world->a, NULL);
		if (status == BW_DENIED)
			atomic_fetch_add(&scene->right, 1);
		return;
	}
	gate_await(&scene->gate, 1); /* a's fill is there to be joined */
	if (index == 1) {
		/* b has been asked whether it has the blob, so it is waiting for a's
		 * fill, or about to */
		while (fake_asked_blob("b.test", "other/app", &scene->digest).heads == 0)
			sched_yield();
		gate_open(&scene->gate);
		return;
	}
	if (outcome(scene, &world->b, NULL) == BW_OK)
		atomic_fetch_add(&scene->right, 1);
}

/* b's readers join the fill that a's began, and a says no. */
static void another_sources_failure_is_not_ours(void **state)
{
	struct scene *scene = *state;

	a_answers(scene, (struct fake_reply){
				 .status = BW_DENIED, .http_status = 403, .gate = &scene->gate});
	b_answers(scene, (struct fake_reply){0});
	run_together(12, open_b_meanwhile, scene);
	assert_int_equal(scene->right, 11);
	assert_int_equal(fake_asked_blob("b.test", "other/app", &scene->digest).gets, 1);
	assert_stored(scene, true);
}

/* ---- stores ---- */

static void what_is_stored_is_not_fetched(void **state)
{
	struct scene *scene = *state;
	struct lone lone;
	uint64_t size;

	a_answers(scene, (struct fake_reply){0});
	assert_int_equal(outcome(scene, &scene->world->a, NULL), BW_OK);
	world_stop(scene->world);
	world_start(scene->world);
	lone = lone_fill(scene);
	assert_int_equal(fill_wait_size(lone.fill, DEADLINE_NEVER, &size, NULL), BW_CONFLICT);
	lone_release(&lone);
	assert_int_equal(asked_a(scene), 1);
}

static void a_full_store_costs_only_the_copy(void **state)
{
	struct scene *scene = *state;

	a_answers(scene, (struct fake_reply){0});
	make_fail(&scene->world->object_faults, "adopt", BW_NO_SPACE);
	assert_int_equal(outcome(scene, &scene->world->a, NULL), BW_OK);
	assert_stored(scene, false);
	assert_int_equal(spool_files(scene), 0);
}

static void a_lost_spool_is_our_own_failure(void **state)
{
	struct scene *scene = *state;
	struct error error = {0};
	FILE *in_its_place;

	a_answers(scene, (struct fake_reply){0});
	assert_int_equal(remove(scene->world->spool), 0);
	in_its_place = fopen(scene->world->spool, "w");
	assert_non_null(in_its_place);
	fclose(in_its_place);
	assert_int_equal(outcome(scene, &scene->world->a, &error), BW_IO);
	assert_non_null(strstr(error.message, scene->world->spool));
	assert_int_equal(asked_a(scene), 0);
}

/* ---- stopping ---- */

/* More fills than threads, all held up by their upstream: those that run are
 * cancelled, those that wait never ask. */
static void stopping_does_not_wait_for_an_upstream(void **state)
{
	enum { FILLS = 20 };
	struct scene *scene = *state;
	struct world *world = scene->world;
	struct digest digests[FILLS];
	char *bodies[FILLS];
	struct fill *fills[FILLS];
	struct fill_table *table = NULL;
	unsigned asked = 0;

	assert_int_equal(fill_table_new(&world->options, NULL, &table, NULL), BW_OK);
	for (unsigned i = 0; i < FILLS; i++) {
		struct fill_source wanted = {
			.set = world->set, .upstream = world->a.upstream, .repository = "team/app"};

		bodies[i] = some_bytes(1000, 50 + i, &digests[i]);
		fake_answer_blob("a.test", "team/app", &digests[i],
				 (struct fake_reply){
					 .body = bodies[i], .length = 1000, .gate = &scene->gate});
		wanted.digest = digests[i];
		assert_int_equal(fill_join(table, &wanted, &fills[i], NULL, NULL), BW_OK);
	}
	gate_await(&scene->gate, world->upstreams[0].max_connections);
	fill_table_free(table);
	for (unsigned i = 0; i < FILLS; i++) {
		assert_int_equal(fill_wait_done(fills[i], 0, NULL), BW_CANCELLED);
		fill_unref(fills[i]);
		asked += fake_asked_blob("a.test", "team/app", &digests[i]).gets;
		free(bodies[i]);
	}
	assert_int_equal(asked, world->upstreams[0].max_connections);
	assert_int_equal(spool_files(scene), 0);
	assert_int_equal(objects_under(world, "blobs/"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_hundred_readers_cost_one_request),
		TEST(whenever_they_come_it_is_fetched_once),
		TEST(a_reader_that_leaves_stops_nothing),
		TEST(a_wait_has_an_end),
		TEST(a_corrupt_body_is_never_completed),
		TEST(a_small_corrupt_body_gives_no_byte),
		TEST(an_empty_body_is_not_told_before_its_digest),
		TEST(the_empty_blob_is_a_blob),
		TEST(more_than_was_told_is_corrupt),
		TEST(another_length_than_listed_is_corrupt),
		TEST(a_length_that_is_not_told_is_no_matter),
		TEST(a_length_that_shrinks_is_corrupt),
		TEST(a_broken_read_is_resumed),
		TEST(a_server_without_ranges_is_read_again),
		TEST(a_read_that_always_breaks_is_given_up),
		TEST(an_answer_is_not_asked_for_twice),
		TEST(another_sources_failure_is_not_ours),
		TEST(what_is_stored_is_not_fetched),
		TEST(a_full_store_costs_only_the_copy),
		TEST(a_lost_spool_is_our_own_failure),
		TEST(stopping_does_not_wait_for_an_upstream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
