/*
 * Many clients at once: what the upstream is asked, and that everybody gets the
 * right bytes whatever else goes on.
 */
#include "tests/support/cache_world.h"

#include <sched.h>

#define CLIENTS 50
#define LAYERS 6
#define LAYER_SIZE ((size_t)300000)

struct scene {
	struct world *world;
	struct digest layers[LAYERS];
	char *bytes[LAYERS];
	struct digest one, two;
	char *first, *second; /* two versions of one image */
	struct gate gate; /* the upstream's */
	_Atomic unsigned right;
	_Atomic unsigned verdicts[CACHE_LOCAL + 1];
	const char *expected;
};

static int make(void **state)
{
	struct scene *scene = xcalloc(1, sizeof(*scene));

	scene->world = world_new();
	for (unsigned i = 0; i < LAYERS; i++)
		scene->bytes[i] = some_bytes(LAYER_SIZE, 10 + i, &scene->layers[i]);
	scene->first =
		image_of(&scene->layers[0], LAYER_SIZE, &scene->layers[1], LAYER_SIZE, &scene->one);
	scene->second =
		image_of(&scene->layers[0], LAYER_SIZE, &scene->layers[2], LAYER_SIZE, &scene->two);
	scene->expected = scene->first;
	gate_init(&scene->gate);
	*state = scene;
	return 0;
}

static int forget(void **state)
{
	struct scene *scene = *state;

	world_free(scene->world);
	for (unsigned i = 0; i < LAYERS; i++)
		free(scene->bytes[i]);
	free(scene->first);
	free(scene->second);
	gate_release(&scene->gate);
	free(scene);
	return 0;
}

static void answer(const char *reference, struct fake_reply reply)
{
	reply.media_type = MEDIA_OCI_MANIFEST;
	fake_answer(FAKE_MANIFEST, "a.test", "team/app", reference, reply);
}

static struct fake_route asked(const char *reference)
{
	return fake_asked(FAKE_MANIFEST, "a.test", "team/app", reference);
}

static void answer_layers(struct scene *scene, struct gate *gate)
{
	for (unsigned i = 0; i < LAYERS; i++)
		fake_answer_blob("a.test", "team/app", &scene->layers[i],
				 (struct fake_reply){.body = scene->bytes[i],
						     .length = LAYER_SIZE,
						     .gate = gate});
}

static enum status pull_tag(struct scene *scene, bool prefetch, enum cache_verdict *ret_verdict)
{
	struct reference latest = tag_named("latest");
	struct manifest_view *view = NULL;
	enum status status = cache_get_manifest(scene->world->cache, &scene->world->a, &latest,
						prefetch, &view, ret_verdict, NULL);

	if (status == BW_OK && strcmp(view->body, scene->expected) == 0)
		atomic_fetch_add(&scene->right, 1);
	manifest_view_unref(view);
	return status;
}

static void client(void *context, unsigned index)
{
	struct scene *scene = context;
	enum cache_verdict verdict;

	(void)index;
	if (pull_tag(scene, true, &verdict) == BW_OK)
		atomic_fetch_add(&scene->verdicts[verdict], 1);
}

/* A copy that has expired by now, in a process that has nothing in memory. */
static void store_expired(struct scene *scene)
{
	enum cache_verdict verdict;

	scene->world->upstreams[0].prefetch_layers = false;
	answer("latest", (struct fake_reply){.body = scene->first});
	assert_int_equal(pull_tag(scene, false, &verdict), BW_OK);
	world_lose_index(scene->world);
	atomic_store(&scene->right, 0);
}

/* ---- one question ---- */

static void a_cold_tag_costs_one_get(void **state)
{
	struct scene *scene = *state;

	scene->world->upstreams[0].prefetch_layers = false;
	answer("latest", (struct fake_reply){.body = scene->first});
	run_together(CLIENTS, client, scene);
	assert_int_equal(scene->right, CLIENTS);
	assert_int_equal(asked("latest").gets, 1);
	assert_int_equal(asked("latest").heads, 0);
}

/* Each comes with the copy it read from the stores, some of them before the
 * answer and some after: often, because they meet in another way each time. */
static void an_expired_tag_costs_one_head(void **state)
{
	struct scene *scene = *state;

	store_expired(scene);
	for (unsigned round = 1; round <= 40; round++) {
		run_together(CLIENTS, client, scene);
		assert_int_equal(scene->right, round * CLIENTS);
		assert_int_equal(asked("latest").heads, round);
		world_lose_index(scene->world);
	}
	assert_int_equal(asked("latest").gets, 1);
	assert_true(scene->verdicts[CACHE_REVALIDATED] > 0);
	assert_int_equal(scene->verdicts[CACHE_MISS] + scene->verdicts[CACHE_STALE], 0);
}

static void an_expired_tag_that_moved_costs_one_get(void **state)
{
	struct scene *scene = *state;

	store_expired(scene);
	answer("latest", (struct fake_reply){.body = scene->second});
	scene->expected = scene->second;
	run_together(CLIENTS, client, scene);
	assert_int_equal(scene->right, CLIENTS);
	assert_int_equal(asked("latest").heads, 1);
	assert_int_equal(asked("latest").gets, 2);
}

static void a_missing_tag_costs_one_get(void **state)
{
	struct scene *scene = *state;

	answer("latest", (struct fake_reply){.status = BW_ABSENT, .http_status = 404});
	run_together(CLIENTS, client, scene);
	assert_int_equal(scene->right, 0);
	assert_int_equal(asked("latest").gets, 1);
}

static void a_deleted_tag_costs_one_head_and_is_gone(void **state)
{
	struct scene *scene = *state;
	enum cache_verdict verdict;

	store_expired(scene);
	answer("latest", (struct fake_reply){.status = BW_ABSENT, .http_status = 404});
	run_together(CLIENTS, client, scene);
	assert_int_equal(scene->right, 0);
	assert_int_equal(asked("latest").heads, 1);
	answer("latest", (struct fake_reply){.status = BW_UNREACHABLE});
	world_stop(scene->world);
	world_start(scene->world);
	assert_int_equal(pull_tag(scene, false, &verdict), BW_UNREACHABLE);
}

static void in_an_outage_everybody_is_served_stale(void **state)
{
	struct scene *scene = *state;

	store_expired(scene);
	answer("latest", (struct fake_reply){.status = BW_UNREACHABLE, .http_status = 502});
	run_together(CLIENTS, client, scene);
	assert_int_equal(scene->right, CLIENTS);
	assert_int_equal(scene->verdicts[CACHE_STALE], CLIENTS);
}

/* ---- in the background ---- */

static void await_heads(unsigned count)
{
	deadline_ms end = deadline_in(GATE_PATIENCE_MS);

	while (asked("latest").heads < count && !deadline_passed(end))
		sched_yield();
	assert_int_equal(asked("latest").heads, count);
}

/* The upstream hangs, and nobody notices. */
static void a_tag_just_expired_is_refreshed_once_behind_everybody(void **state)
{
	struct scene *scene = *state;
	enum cache_verdict verdict;

	scene->world->upstreams[0].prefetch_layers = false;
	answer("latest", (struct fake_reply){.body = scene->first});
	assert_int_equal(pull_tag(scene, false, &verdict), BW_OK);
	scene->world->upstreams[0].manifest_ttl_ms = 0;
	scene->world->upstreams[0].stale_while_revalidate_ms = HOUR_MS;
	answer("latest", (struct fake_reply){.body = scene->second, .gate = &scene->gate});
	run_together(CLIENTS, client, scene);
	assert_int_equal(scene->right, CLIENTS + 1);
	assert_int_equal(scene->verdicts[CACHE_HIT], CLIENTS);
	gate_await(&scene->gate, 1);
	assert_int_equal(asked("latest").heads, 1);
	gate_open(&scene->gate);
	world_stop(scene->world); /* waits for the refresh */
	assert_int_equal(asked("latest").heads, 1);
	assert_int_equal(asked("latest").gets, 2);

	scene->world->upstreams[0].manifest_ttl_ms = HOUR_MS;
	world_start(scene->world);
	scene->expected = scene->second;
	assert_int_equal(pull_tag(scene, false, &verdict), BW_OK);
	assert_int_equal(verdict, CACHE_HIT);
	assert_int_equal(scene->right, CLIENTS + 2);
}

/* One refresh failed: the next request tries again. */
static void a_refresh_that_failed_is_tried_again(void **state)
{
	struct scene *scene = *state;
	enum cache_verdict verdict;

	scene->world->upstreams[0].prefetch_layers = false;
	answer("latest", (struct fake_reply){.body = scene->first});
	assert_int_equal(pull_tag(scene, false, &verdict), BW_OK);
	scene->world->upstreams[0].manifest_ttl_ms = 0;
	scene->world->upstreams[0].stale_while_revalidate_ms = HOUR_MS;
	answer("latest", (struct fake_reply){.status = BW_UNREACHABLE});
	assert_int_equal(pull_tag(scene, false, &verdict), BW_OK);
	assert_int_equal(verdict, CACHE_HIT);
	await_heads(1);
	while (asked("latest").heads < 2) {
		assert_int_equal(pull_tag(scene, false, &verdict), BW_OK);
		assert_int_equal(verdict, CACHE_HIT);
	}
}

static void an_images_layers_are_fetched_once_unasked(void **state)
{
	struct scene *scene = *state;

	answer("latest", (struct fake_reply){.body = scene->first});
	answer_layers(scene, &scene->gate);
	run_together(CLIENTS, client, scene);
	gate_await(&scene->gate, 2);
	gate_open(&scene->gate);
	for (unsigned i = 0; i < 2; i++) {
		struct blob_source blob = {0};

		assert_int_equal(cache_open_blob(scene->world->cache, &scene->world->a,
						 &scene->layers[i], &blob, NULL),
				 BW_OK);
		assert_true(reads_like(&blob, 0, scene->bytes[i], NULL));
		blob_source_release(&blob);
	}
	world_stop(scene->world);
	assert_int_equal(fake_asked_blob("a.test", "team/app", &scene->layers[0]).gets, 1);
	assert_int_equal(fake_asked_blob("a.test", "team/app", &scene->layers[1]).gets, 1);
	assert_int_equal(fake_asked_blob("a.test", "team/app", &scene->layers[2]).gets, 0);
	assert_int_equal(objects_under(scene->world, "blobs/"), 3);
}

static void a_head_or_a_wish_fetches_no_layer(void **state)
{
	struct scene *scene = *state;
	enum cache_verdict verdict;

	answer("latest", (struct fake_reply){.body = scene->first});
	answer_layers(scene, NULL);
	assert_int_equal(pull_tag(scene, false, &verdict), BW_OK);
	scene->world->upstreams[0].prefetch_layers = false;
	assert_int_equal(pull_tag(scene, true, &verdict), BW_OK);
	world_stop(scene->world);
	assert_int_equal(fake_asked_blob("a.test", "team/app", &scene->layers[0]).gets, 0);
}

/* Work that waits when we stop is not begun; what waits for its upstream ends. */
static void stopping_waits_for_no_upstream(void **state)
{
	struct scene *scene = *state;
	enum cache_verdict verdict;

	answer("latest", (struct fake_reply){.body = scene->first});
	answer_layers(scene, &scene->gate);
	assert_int_equal(pull_tag(scene, true, &verdict), BW_OK);
	gate_await(&scene->gate, 2);
	world_stop(scene->world);
	assert_int_equal(objects_under(scene->world, "blobs/"), 1); /* the manifest's */
}

/* ---- everything at once ---- */

static bool one_step(struct scene *scene, unsigned choice)
{
	struct world *world = scene->world;
	const struct cache_source *source = choice & 1 ? &world->a : &world->b;
	unsigned layer = (choice >> 1) % LAYERS;
	struct blob_source blob = {0};
	enum cache_verdict verdict;
	struct tag_names tags = {0};
	uint64_t size = LAYER_SIZE;
	bool right = true;

	switch ((choice >> 8) % 4) {
	case 0:
		if (cache_open_blob(world->cache, source, &scene->layers[layer], &blob, NULL) ==
		    BW_OK) {
			struct error error = {0};

			right = reads_like(&blob, 0, scene->bytes[layer], &error) ||
				error.code != BW_OK;
		}
		blob_source_release(&blob);
		break;
	case 1:
		if (cache_stat_blob(world->cache, source, &scene->layers[layer], &size, &verdict,
				    NULL) == BW_OK)
			right = size == LAYER_SIZE;
		break;
	case 2:
		pull_tag(scene, true, &verdict);
		break;
	default:
		if (cache_list_tags(world->cache, source, &tags, &verdict, NULL) == BW_OK)
			right = tags.count == 1;
		tag_names_release(&tags);
		break;
	}
	return right;
}

static void busy_client(void *context, unsigned index)
{
	struct scene *scene = context;
	uint32_t random = index * 2654435761u + 1;
	unsigned right = 0;

	for (unsigned i = 0; i < 60; i++) {
		random = random * 1664525u + 1013904223u;
		right += one_step(scene, random >> 8);
	}
	atomic_fetch_add(&scene->verdicts[CACHE_LOCAL], right);
}

/* Stores that fail now and then, one upstream that breaks off, another that
 * refuses half of it, tags that are always expired: whoever gets an answer gets
 * the right one. */
static void nobody_gets_a_wrong_byte(void **state)
{
	struct scene *scene = *state;
	struct world *world = scene->world;

	world->upstreams[0].manifest_ttl_ms = 0;
	world->upstreams[0].negative_ttl_ms = 0;
	answer("latest", (struct fake_reply){.body = scene->first});
	for (unsigned i = 0; i < LAYERS; i++) {
		struct fake_reply reply = {.body = scene->bytes[i], .length = LAYER_SIZE};

		reply.breaks = i % 2;
		reply.break_after = 100000;
		fake_answer_blob("a.test", "team/app", &scene->layers[i], reply);
		if (i % 2)
			reply = (struct fake_reply){.status = BW_DENIED, .http_status = 403};
		fake_answer_blob("b.test", "other/app", &scene->layers[i], reply);
	}
	fake_answer(FAKE_DOCUMENT, "a.test", "team/app", "tags/list?n=1000",
		    (struct fake_reply){.body = "{\"tags\":[\"latest\"]}"});
	atomic_store(&world->object_faults.status, BW_IO);
	atomic_store(&world->object_faults.every, 7);
	atomic_store(&world->metadata_faults.status, BW_UNAVAILABLE);
	atomic_store(&world->metadata_faults.every, 5);
	run_together(16, busy_client, scene);
	assert_int_equal(scene->verdicts[CACHE_LOCAL], 16 * 60);
}

/* ---- a fill that is done, and not stored yet ---- */

static struct gate *before_adopting;
static const struct object_store_ops *plain_ops;

static enum status adopt_at_the_gate(struct object_store *store, const char *key, const char *path,
				     struct error *error)
{
	gate_pass(before_adopting, NULL);
	return plain_ops->adopt(store, key, path, error);
}

static enum cache_verdict pull_layer(struct scene *scene, const struct cache_source *source)
{
	struct blob_source blob;
	enum cache_verdict verdict;

	assert_int_equal(
		cache_open_blob(scene->world->cache, source, &scene->layers[0], &blob, NULL),
		BW_OK);
	assert_true(reads_like(&blob, 0, scene->bytes[0], NULL));
	verdict = blob.verdict;
	blob_source_release(&blob);
	return verdict;
}

/* Nothing is fetched for who comes then, so it is no miss. */
static void what_is_being_stored_is_a_hit(void **state)
{
	struct scene *scene = *state;
	struct world *world = scene->world;
	struct object_store_ops slow_ops = *world->objects->ops;

	before_adopting = &scene->gate;
	plain_ops = world->objects->ops;
	slow_ops.adopt = adopt_at_the_gate;
	world->objects->ops = &slow_ops;
	answer_layers(scene, NULL);
	fake_answer_blob("b.test", "other/app", &scene->layers[0],
			 (struct fake_reply){.body = scene->bytes[0], .length = LAYER_SIZE});
	assert_int_equal(pull_layer(scene, &world->a), CACHE_MISS);
	assert_int_equal(objects_under(world, "blobs/"), 0);
	assert_int_equal(pull_layer(scene, &world->a), CACHE_HIT);
	assert_int_equal(pull_layer(scene, &world->b), CACHE_REVALIDATED);
	gate_open(&scene->gate);
	world_stop(world);
	world->objects->ops = plain_ops;
	world_start(world);
	assert_int_equal(fake_asked_blob("a.test", "team/app", &scene->layers[0]).gets, 1);
	assert_int_equal(fake_asked_blob("b.test", "other/app", &scene->layers[0]).gets, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_cold_tag_costs_one_get),
		TEST(an_expired_tag_costs_one_head),
		TEST(an_expired_tag_that_moved_costs_one_get),
		TEST(a_missing_tag_costs_one_get),
		TEST(a_deleted_tag_costs_one_head_and_is_gone),
		TEST(in_an_outage_everybody_is_served_stale),
		TEST(a_tag_just_expired_is_refreshed_once_behind_everybody),
		TEST(a_refresh_that_failed_is_tried_again),
		TEST(an_images_layers_are_fetched_once_unasked),
		TEST(a_head_or_a_wish_fetches_no_layer),
		TEST(stopping_waits_for_no_upstream),
		TEST(nobody_gets_a_wrong_byte),
		TEST(what_is_being_stored_is_a_hit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
