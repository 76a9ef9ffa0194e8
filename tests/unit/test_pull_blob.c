/*
 * Who may have a blob's bytes, and where they come from.
 */
#include "server/content/keys.h"
#include "tests/support/cache_world.h"

#define SIZE ((size_t)200000)

struct scene {
	struct world *world;
	struct digest config, layer, image;
	char *bytes; /* of the layer */
	char *body; /* of the image */
};

static int make(void **state)
{
	struct scene *scene = xcalloc(1, sizeof(*scene));

	scene->world = world_new();
	scene->world->upstreams[0].prefetch_layers = false;
	free(some_bytes(10, 1, &scene->config));
	scene->bytes = some_bytes(SIZE, 2, &scene->layer);
	scene->body = image_of(&scene->config, 10, &scene->layer, SIZE, &scene->image);
	*state = scene;
	return 0;
}

static int forget(void **state)
{
	struct scene *scene = *state;

	world_free(scene->world);
	free(scene->bytes);
	free(scene->body);
	free(scene);
	return 0;
}

static void a_answers(struct scene *scene, struct fake_reply reply)
{
	if (reply.status == BW_OK) {
		reply.body = scene->bytes;
		reply.length = SIZE;
	}
	fake_answer_blob("a.test", "team/app", &scene->layer, reply);
}

static void b_answers(struct scene *scene, struct fake_reply reply)
{
	if (reply.status == BW_OK) {
		reply.body = scene->bytes;
		reply.length = SIZE;
	}
	fake_answer_blob("b.test", "other/app", &scene->layer, reply);
}

static struct fake_route asked_a(struct scene *scene)
{
	return fake_asked_blob("a.test", "team/app", &scene->layer);
}

static struct fake_route asked_b(struct scene *scene)
{
	return fake_asked_blob("b.test", "other/app", &scene->layer);
}

/* a's image, whose manifest lists the layer. */
static void pull_image(struct scene *scene, const struct cache_source *source, const char *host)
{
	struct reference latest = tag_named("latest");
	struct manifest_view *view;
	enum cache_verdict verdict;

	fake_answer(FAKE_MANIFEST, host, source->repository, "latest",
		    (struct fake_reply){.body = scene->body, .media_type = MEDIA_OCI_MANIFEST});
	assert_int_equal(cache_get_manifest(scene->world->cache, source, &latest, false, &view,
					    &verdict, NULL),
			 BW_OK);
	manifest_view_unref(view);
}

static enum status pull(struct scene *scene, const struct cache_source *source,
			enum cache_verdict *ret_verdict, struct error *error)
{
	struct blob_source blob = {0};
	enum status status =
		cache_open_blob(scene->world->cache, source, &scene->layer, &blob, error);

	if (status != BW_OK) {
		assert_null(blob.fill);
		assert_null(blob.reader);
		return status;
	}
	assert_int_equal(blob.size, SIZE);
	assert_true(reads_like(&blob, 0, scene->bytes, error));
	*ret_verdict = blob.verdict;
	blob_source_release(&blob);
	return BW_OK;
}

static void assert_pulls(struct scene *scene, const struct cache_source *source,
			 enum cache_verdict expected)
{
	enum cache_verdict verdict = (enum cache_verdict) - 1;

	assert_int_equal(pull(scene, source, &verdict, NULL), BW_OK);
	assert_int_equal(verdict, expected);
}

static enum status pull_fails(struct scene *scene, const struct cache_source *source,
			      struct error *error)
{
	enum cache_verdict verdict;

	return pull(scene, source, &verdict, error);
}

static enum status stat_blob(struct scene *scene, const struct cache_source *source,
			     uint64_t *ret_size, enum cache_verdict *ret_verdict,
			     struct error *error)
{
	return cache_stat_blob(scene->world->cache, source, &scene->layer, ret_size, ret_verdict,
			       error);
}

/* The layer, stored by a's pull, in a process that has nothing in memory. */
static void store_for_a(struct scene *scene)
{
	a_answers(scene, (struct fake_reply){0});
	assert_pulls(scene, &scene->world->a, CACHE_MISS);
	world_stop(scene->world);
	world_start(scene->world);
}

/* ---- its own repository ---- */

static void a_blob_is_fetched_and_then_served(void **state)
{
	struct scene *scene = *state;

	pull_image(scene, &scene->world->a, "a.test");
	store_for_a(scene);
	assert_pulls(scene, &scene->world->a, CACHE_HIT);
	assert_int_equal(asked_a(scene).gets, 1);
	assert_int_equal(asked_a(scene).heads, 0);
}

static void what_is_listed_and_stored_outlives_an_outage(void **state)
{
	struct scene *scene = *state;

	pull_image(scene, &scene->world->a, "a.test");
	store_for_a(scene);
	a_answers(scene, (struct fake_reply){.status = BW_UNREACHABLE});
	assert_pulls(scene, &scene->world->a, CACHE_HIT);
	world_lose_index(scene->world);
	assert_pulls(scene, &scene->world->a, CACHE_HIT);
	make_fail(&scene->world->metadata_faults, NULL, BW_UNAVAILABLE);
	assert_pulls(scene, &scene->world->a, CACHE_HIT);
}

/* No manifest lists it, but its upstream gave it to this repository once. */
static void what_was_given_once_outlives_an_outage(void **state)
{
	struct scene *scene = *state;

	store_for_a(scene);
	a_answers(scene, (struct fake_reply){.status = BW_UNREACHABLE});
	assert_pulls(scene, &scene->world->a, CACHE_HIT);
	/* the link was in the index only: lost with it, the upstream is asked */
	world_lose_index(scene->world);
	assert_int_equal(pull_fails(scene, &scene->world->a, NULL), BW_UNREACHABLE);
	a_answers(scene, (struct fake_reply){0});
	assert_pulls(scene, &scene->world->a, CACHE_REVALIDATED);
	assert_int_equal(asked_a(scene).gets, 1);
}

/* ---- somebody else's ---- */

static void what_is_stored_for_another_is_asked_for_first(void **state)
{
	static const struct {
		enum status status;
		int http_status;
	} answers[] = {{BW_DENIED, 401},    {BW_DENIED, 403}, {BW_UNAVAILABLE, 429},
		       {BW_UNREACHABLE, 0}, {BW_TIMEOUT, 0},  {BW_ABSENT, 404}};
	struct scene *scene = *state;

	pull_image(scene, &scene->world->a, "a.test");
	store_for_a(scene);
	for (size_t i = 0; i < array_size(answers); i++) {
		struct error error = {0};
		enum cache_verdict verdict;
		uint64_t size = 42;

		b_answers(scene, (struct fake_reply){.status = answers[i].status,
						     .http_status = answers[i].http_status});
		assert_int_equal(pull_fails(scene, &scene->world->b, &error), answers[i].status);
		assert_int_equal(error.code, answers[i].status);
		assert_int_equal(stat_blob(scene, &scene->world->b, &size, &verdict, NULL),
				 answers[i].status);
		assert_int_equal(size, 42);
	}
	assert_int_equal(asked_b(scene).gets, 0);
}

static void what_another_upstream_has_too_is_stored_once(void **state)
{
	struct scene *scene = *state;

	store_for_a(scene);
	b_answers(scene, (struct fake_reply){0});
	assert_pulls(scene, &scene->world->b, CACHE_REVALIDATED);
	assert_pulls(scene, &scene->world->b, CACHE_HIT);
	assert_int_equal(asked_b(scene).heads, 1);
	assert_int_equal(asked_b(scene).gets, 0);
}

static void what_a_manifest_of_ours_lists_is_ours(void **state)
{
	struct scene *scene = *state;

	store_for_a(scene);
	pull_image(scene, &scene->world->b, "b.test");
	b_answers(scene, (struct fake_reply){.status = BW_UNREACHABLE});
	assert_pulls(scene, &scene->world->b, CACHE_HIT);
	assert_int_equal(asked_b(scene).heads, 0);
}

/* Somebody who may push to b names a's private layer as a foreign one. */
static void a_foreign_layer_opens_nothing(void **state)
{
	struct scene *scene = *state;
	char layer[DIGEST_TEXT_SIZE], *honest = scene->body;

	store_for_a(scene);
	digest_format(&scene->layer, layer);
	scene->body = xasprintf(
		"{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST
		"\",\"config\":{\"mediaType\":\"a/b\",\"digest\":\"%s\",\"size\":10,\"urls\":[]},"
		"\"layers\":[{\"mediaType\":\"application/vnd.docker.image.rootfs.foreign.diff."
		"tar.gzip\",\"digest\":\"%s\",\"size\":200000,\"urls\":[\"https://x.test\"]}]}",
		layer, layer);
	pull_image(scene, &scene->world->b, "b.test");
	b_answers(scene, (struct fake_reply){.status = BW_ABSENT, .http_status = 404});
	assert_int_equal(pull_fails(scene, &scene->world->b, NULL), BW_ABSENT);
	assert_int_equal(asked_b(scene).heads, 1);
	free(scene->body);
	scene->body = honest;
}

/* ---- absence ---- */

static void absence_is_remembered_for_a_while(void **state)
{
	struct scene *scene = *state;
	struct error error = {0};

	for (unsigned i = 0; i < 3; i++) {
		a_answers(scene, (struct fake_reply){.status = BW_ABSENT, .http_status = 404});
		assert_int_equal(pull_fails(scene, &scene->world->a, &error), BW_ABSENT);
		assert_non_null(strstr(error.message, "a.test"));
	}
	assert_int_equal(asked_a(scene).gets, 1);
	/* another repository's answer is another answer */
	b_answers(scene, (struct fake_reply){0});
	assert_pulls(scene, &scene->world->b, CACHE_MISS);
}

static void a_failure_is_not_absence(void **state)
{
	struct scene *scene = *state;
	struct error error = {0};

	a_answers(scene, (struct fake_reply){.status = BW_UNAVAILABLE, .http_status = 429});
	assert_int_equal(pull_fails(scene, &scene->world->a, &error), BW_UNAVAILABLE);
	assert_int_equal(error.http_status, 429);
	a_answers(scene, (struct fake_reply){0});
	assert_pulls(scene, &scene->world->a, CACHE_MISS);
}

/* ---- our own stores ---- */

static void stores_that_cannot_tell_cost_a_fetch(void **state)
{
	struct scene *scene = *state;

	pull_image(scene, &scene->world->a, "a.test");
	store_for_a(scene);
	make_fail(&scene->world->object_faults, NULL, BW_IO);
	make_fail(&scene->world->metadata_faults, NULL, BW_IO);
	assert_pulls(scene, &scene->world->a, CACHE_MISS);
	assert_int_equal(asked_a(scene).gets, 2);
}

/* The index says that it is stored, and the disk says I/O error. */
static void a_blob_that_cannot_be_opened_is_fetched(void **state)
{
	struct scene *scene = *state;

	pull_image(scene, &scene->world->a, "a.test");
	store_for_a(scene);
	make_fail(&scene->world->object_faults, "open", BW_IO);
	assert_pulls(scene, &scene->world->a, CACHE_MISS);
	assert_int_equal(asked_a(scene).gets, 2);
}

static void a_blob_that_was_lost_is_fetched(void **state)
{
	struct scene *scene = *state;
	char key[KEY_SIZE];

	pull_image(scene, &scene->world->a, "a.test");
	store_for_a(scene);
	key_of_blob(key, &scene->layer);
	assert_int_equal(object_remove(scene->world->objects, key, NULL), BW_OK);
	assert_pulls(scene, &scene->world->a, CACHE_MISS);
	world_stop(scene->world);
	world_start(scene->world);
	assert_pulls(scene, &scene->world->a, CACHE_HIT);
}

/* A power cut left half of it: half a blob is never served as a whole one. */
static void a_blob_that_was_cut_is_fetched(void **state)
{
	struct scene *scene = *state;
	char key[KEY_SIZE];

	pull_image(scene, &scene->world->a, "a.test");
	store_for_a(scene);
	key_of_blob(key, &scene->layer);
	assert_int_equal(
		object_put(scene->world->objects, key, scene->bytes, SIZE / 2, PUT_REPLACE, NULL),
		BW_OK);
	assert_pulls(scene, &scene->world->a, CACHE_MISS);
	world_stop(scene->world);
	world_start(scene->world);
	assert_pulls(scene, &scene->world->a, CACHE_HIT);
}

/* ---- HEAD ---- */

static void a_head_fetches_nothing(void **state)
{
	struct scene *scene = *state;
	enum cache_verdict verdict;
	uint64_t size = 0;

	a_answers(scene, (struct fake_reply){0});
	assert_int_equal(stat_blob(scene, &scene->world->a, &size, &verdict, NULL), BW_OK);
	assert_int_equal(size, SIZE);
	assert_int_equal(verdict, CACHE_MISS);
	assert_int_equal(asked_a(scene).gets, 0);
	assert_int_equal(asked_a(scene).heads, 1);
	pull_image(scene, &scene->world->a, "a.test");
	store_for_a(scene);
	size = 0;
	assert_int_equal(stat_blob(scene, &scene->world->a, &size, &verdict, NULL), BW_OK);
	assert_int_equal(size, SIZE);
	assert_int_equal(verdict, CACHE_HIT);
	assert_int_equal(asked_a(scene).heads, 1);
}

static void a_head_of_what_is_stored_grants_it(void **state)
{
	struct scene *scene = *state;
	enum cache_verdict verdict;
	uint64_t size = 0;

	store_for_a(scene);
	b_answers(scene, (struct fake_reply){.head_tells_no_size = true});
	assert_int_equal(stat_blob(scene, &scene->world->b, &size, &verdict, NULL), BW_OK);
	assert_int_equal(size, SIZE);
	assert_int_equal(verdict, CACHE_REVALIDATED);
	b_answers(scene, (struct fake_reply){.status = BW_UNREACHABLE});
	assert_pulls(scene, &scene->world->b, CACHE_HIT);
}

/* Content-Length: 0 would be a lie. */
static void a_size_that_is_not_told_is_not_zero(void **state)
{
	struct scene *scene = *state;
	struct error error = {0};
	enum cache_verdict verdict;
	uint64_t size = 42;

	a_answers(scene, (struct fake_reply){.head_tells_no_size = true});
	assert_int_equal(stat_blob(scene, &scene->world->a, &size, &verdict, &error),
			 BW_UNREACHABLE);
	assert_int_equal(size, 42);
	assert_non_null(strstr(error.message, "a.test"));
	/* but it can be had */
	assert_pulls(scene, &scene->world->a, CACHE_MISS);
}

/* ---- a store that changes while it is looked at ---- */

struct late_store {
	struct object_store base;
	struct object_store *inner;
	struct scene *scene;
	unsigned opens;
};

static struct late_store *late(struct object_store *store)
{
	return container_of(store, struct late_store, base);
}

/* Not there at the first look; another process stores it right after. */
static enum status late_open(struct object_store *store, const char *key,
			     struct object_reader **ret_reader, struct error *error)
{
	struct late_store *self = late(store);

	if (str_starts_with(key, "blobs/") && self->opens++ == 0) {
		object_put(self->inner, key, self->scene->bytes, SIZE, PUT_REPLACE, NULL);
		return error_set(error, BW_ABSENT, "not yet");
	}
	return object_open(self->inner, key, ret_reader, error);
}

static enum status late_stat(struct object_store *store, const char *key,
			     struct object_info *ret_info, struct error *error)
{
	return object_stat(late(store)->inner, key, ret_info, error);
}

static enum status late_list(struct object_store *store, const char *prefix,
			     const char *start_after, object_list_fn fn, void *context,
			     struct error *error)
{
	return object_list(late(store)->inner, prefix, start_after, fn, context, error);
}

static const struct object_store_ops late_ops = {
	.name = "late",
	.open = late_open,
	.stat = late_stat,
	.list = late_list,
};

static void a_fill_that_finds_it_stored_asks_nobody(void **state)
{
	struct scene *scene = *state;
	struct world *world = scene->world;
	struct late_store store = {
		.base = {.ops = &late_ops}, .inner = world->objects, .scene = scene};

	a_answers(scene, (struct fake_reply){0});
	assert_int_equal(
		content_link_blob(world->content, world->a.stored, &scene->layer, SIZE, NULL),
		BW_OK);
	world_stop(world);
	world->objects = &store.base;
	world_start(world);
	assert_pulls(scene, &world->a, CACHE_HIT);
	assert_int_equal(store.opens, 3); /* absent, by the fill, by the second look */
	assert_int_equal(asked_a(scene).gets, 0);
	world_stop(world);
	world->objects = store.inner;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_blob_is_fetched_and_then_served),
		TEST(what_is_listed_and_stored_outlives_an_outage),
		TEST(what_was_given_once_outlives_an_outage),
		TEST(what_is_stored_for_another_is_asked_for_first),
		TEST(what_another_upstream_has_too_is_stored_once),
		TEST(what_a_manifest_of_ours_lists_is_ours),
		TEST(a_foreign_layer_opens_nothing),
		TEST(absence_is_remembered_for_a_while),
		TEST(a_failure_is_not_absence),
		TEST(stores_that_cannot_tell_cost_a_fetch),
		TEST(a_blob_that_cannot_be_opened_is_fetched),
		TEST(a_blob_that_was_lost_is_fetched),
		TEST(a_blob_that_was_cut_is_fetched),
		TEST(a_head_fetches_nothing),
		TEST(a_head_of_what_is_stored_grants_it),
		TEST(a_size_that_is_not_told_is_not_zero),
		TEST(a_fill_that_finds_it_stored_asks_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
