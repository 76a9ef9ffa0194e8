/*
 * Two replicas over the same stores: what one of them changes, the other one's memory
 * does not hide.
 */
#include "server/base/work_pool.h"
#include "server/cache/cache_private.h"
#include "server/oci/manifest.h"
#include "tests/support/cache_world.h"
#include "tests/support/shared_index.h"

#define LOCAL "team/app"

struct replicas {
	struct world *world; /* its own cache is the first replica */
	struct content *content;
	struct cache *other;
	struct cache_source local;
	struct digest one, two;
	char *first, *second;
};

static struct replicas *replicas; /* for what is called back */

static int make(void **state)
{
	struct cache_options options;
	struct digest config, layer;

	replicas = xcalloc(1, sizeof(*replicas));
	replicas->world = world_new();
	world_stop(replicas->world);
	metadata_store_free(replicas->world->metadata);
	replicas->world->metadata = shared_index_new();
	world_start(replicas->world);
	replicas->world->upstreams[0].prefetch_layers = false;
	replicas->content = content_new(replicas->world->objects, replicas->world->metadata);
	options = replicas->world->options;
	options.content = replicas->content;
	options.spool_directory = xasprintf("%s/spool2", replicas->world->scratch);
	assert_int_equal(cache_new(&options, &replicas->other, NULL), BW_OK);
	free((char *)options.spool_directory);
	replicas->local = (struct cache_source){.repository = LOCAL, .stored = LOCAL};
	free(some_bytes(10, 1, &config));
	free(some_bytes(20, 2, &layer));
	replicas->first = image_of(&config, 10, &layer, 20, &replicas->one);
	replicas->second = image_of(&config, 10, &layer, 21, &replicas->two);
	*state = replicas;
	return 0;
}

static int forget(void **state)
{
	(void)state;
	cache_free(replicas->other);
	content_free(replicas->content);
	world_free(replicas->world);
	free(replicas->first);
	free(replicas->second);
	free(replicas);
	return 0;
}

static void push(const char *body, const char *tag)
{
	struct manifest_entry entry = {.body = xstrdup(body), .body_length = strlen(body)};
	struct manifest parsed;

	assert_int_equal(manifest_parse(body, strlen(body), NULL, &parsed, NULL), BW_OK);
	digest_of(DIGEST_SHA256, body, strlen(body), &entry.digest);
	snprintf(entry.media_type, sizeof(entry.media_type), "%s", parsed.media_type);
	assert_int_equal(content_push_manifest(replicas->world->content, LOCAL, &entry, &parsed,
					       false, &tag, 1, NULL),
			 BW_OK);
	manifest_release(&parsed);
	manifest_entry_release(&entry);
}

static enum status pull_local(struct cache *cache, const char *text)
{
	struct reference reference;
	struct manifest_view *view = NULL;
	enum status status;

	assert_true(reference_parse(text, strlen(text), &reference));
	status = cache_get_local_manifest(cache, &replicas->local, &reference, &view, NULL);
	if (status == BW_OK)
		manifest_view_unref(view);
	return status;
}

static enum status pull_one(struct cache *cache)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(&replicas->one, text);
	return pull_local(cache, text);
}

static void answer(const char *body)
{
	fake_answer(FAKE_MANIFEST, "a.test", "team/app", "latest",
		    (struct fake_reply){.body = body, .media_type = MEDIA_OCI_MANIFEST});
}

static enum cache_verdict pull(struct cache *cache, const struct digest *expected)
{
	struct reference reference = tag_named("latest");
	struct manifest_view *view = NULL;
	enum cache_verdict verdict;

	assert_int_equal(cache_get_manifest(cache, &replicas->world->a, &reference, false, &view,
					    &verdict, NULL),
			 BW_OK);
	assert_true(digest_equals(&view->digest, expected));
	manifest_view_unref(view);
	return verdict;
}

static void delete_one(void)
{
	assert_int_equal(content_remove_manifest(replicas->content, LOCAL, &replicas->one, NULL),
			 BW_OK);
}

/* ---- heard ---- */

static void a_copy_costs_no_question_while_changes_are_heard(void **state)
{
	unsigned reads;

	(void)state;
	push(replicas->first, "v1");
	assert_int_equal(pull_one(replicas->world->cache), BW_OK);
	reads = shared_index.reads;
	assert_int_equal(pull_one(replicas->world->cache), BW_OK);
	assert_int_equal(shared_index.reads, reads);
	answer(replicas->first);
	assert_int_equal(pull(replicas->world->cache, &replicas->one), CACHE_MISS);
	pull(replicas->world->cache, &replicas->one); /* our own change was told of too */
	reads = shared_index.reads;
	assert_int_equal(pull(replicas->world->cache, &replicas->one), CACHE_HIT);
	assert_int_equal(shared_index.reads, reads);
}

static void what_another_replica_deletes_is_gone_here(void **state)
{
	(void)state;
	push(replicas->first, "v1");
	assert_int_equal(pull_one(replicas->world->cache), BW_OK);
	delete_one();
	assert_int_equal(pull_one(replicas->world->cache), BW_ABSENT);
	assert_int_equal(pull_local(replicas->world->cache, "v1"), BW_ABSENT);
}

static void where_another_replica_moved_a_tag_is_seen_here(void **state)
{
	(void)state;
	answer(replicas->first);
	assert_int_equal(pull(replicas->world->cache, &replicas->one), CACHE_MISS);
	assert_int_equal(pull(replicas->other, &replicas->one), CACHE_HIT);
	assert_int_equal(pull(replicas->world->cache, &replicas->one), CACHE_HIT);
	answer(replicas->second);
	replicas->world->upstreams[0].manifest_ttl_ms = 0;
	assert_int_equal(pull(replicas->other, &replicas->two), CACHE_MISS);
	replicas->world->upstreams[0].manifest_ttl_ms = HOUR_MS;
	assert_int_equal(pull(replicas->world->cache, &replicas->two), CACHE_HIT);
}

/* Between our reading of the row and our keeping of it. */
static void what_is_deleted_while_it_is_read_is_not_kept(void **state)
{
	(void)state;
	push(replicas->first, "v1");
	shared_index.after_read = delete_one;
	pull_one(replicas->world->cache); /* it came before, or after */
	assert_int_equal(pull_one(replicas->world->cache), BW_ABSENT);
}

static void evict_one(void)
{
	assert_int_equal(
		content_remove_manifest(replicas->content, "a.test/team/app", &replicas->one, NULL),
		BW_OK);
}

/* The same of what is cached, which no look at the store follows. */
static void what_is_evicted_while_it_is_read_is_not_kept(void **state)
{
	char text[DIGEST_TEXT_SIZE];
	struct reference reference;
	struct manifest_view *view = NULL;
	enum cache_verdict verdict;

	(void)state;
	answer(replicas->first);
	assert_int_equal(pull(replicas->other, &replicas->one), CACHE_MISS);
	digest_format(&replicas->one, text);
	fake_answer(FAKE_MANIFEST, "a.test", "team/app", text,
		    (struct fake_reply){.body = replicas->first, .media_type = MEDIA_OCI_MANIFEST});
	reference_from_digest(&replicas->one, &reference);
	shared_index.after_read = evict_one;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(cache_get_manifest(replicas->world->cache, &replicas->world->a,
						    &reference, false, &view, &verdict, NULL),
				 BW_OK);
		assert_int_equal(verdict, i == 0 ? CACHE_HIT : CACHE_MISS);
		manifest_view_unref(view);
	}
}

/* ---- unheard ---- */

static void go_deaf(int64_t believed_ms)
{
	shared_index.deaf = true;
	replicas->world->cache->copy_believed_ms = believed_ms;
}

static void a_copy_is_believed_for_a_moment_when_nothing_is_heard(void **state)
{
	unsigned reads;

	(void)state;
	push(replicas->first, "v1");
	assert_int_equal(pull_one(replicas->world->cache), BW_OK);
	go_deaf(HOUR_MS);
	reads = shared_index.reads;
	assert_int_equal(pull_one(replicas->world->cache), BW_OK);
	assert_int_equal(shared_index.reads, reads);
	go_deaf(0);
	assert_int_equal(pull_one(replicas->world->cache), BW_OK);
	assert_int_equal(shared_index.reads, reads + 1);
}

static void what_is_deleted_unheard_is_gone_after_a_moment(void **state)
{
	(void)state;
	push(replicas->first, "v1");
	assert_int_equal(pull_one(replicas->world->cache), BW_OK);
	go_deaf(0);
	delete_one();
	assert_int_equal(pull_one(replicas->world->cache), BW_ABSENT);
}

static void a_tag_moved_unheard_is_seen_after_a_moment(void **state)
{
	(void)state;
	answer(replicas->first);
	pull(replicas->world->cache, &replicas->one);
	pull(replicas->world->cache, &replicas->one);
	go_deaf(0);
	answer(replicas->second);
	replicas->world->upstreams[0].manifest_ttl_ms = 0;
	assert_int_equal(pull(replicas->other, &replicas->two), CACHE_MISS);
	replicas->world->upstreams[0].manifest_ttl_ms = HOUR_MS;
	assert_int_equal(pull(replicas->world->cache, &replicas->two), CACHE_HIT);
	/* and one that is removed is asked for anew */
	assert_int_equal(content_remove_tag(replicas->content, "a.test/team/app", "latest", NULL),
			 BW_OK);
	assert_int_equal(pull(replicas->world->cache, &replicas->two), CACHE_MISS);
}

static enum status fail_get_tag(struct metadata_store *store, const char *repository,
				const char *tag, struct tag_entry *ret, struct error *error)
{
	(void)store;
	(void)repository;
	(void)tag;
	(void)ret;
	return error_set(error, BW_UNAVAILABLE, "away");
}

static enum status fail_get_manifest(struct metadata_store *store, const char *repository,
				     const struct digest *digest, struct manifest_entry *ret,
				     struct error *error)
{
	(void)store;
	(void)repository;
	(void)digest;
	(void)ret;
	return error_set(error, BW_UNAVAILABLE, "away");
}

static void a_copy_is_served_while_no_store_can_tell(void **state)
{
	(void)state;
	push(replicas->first, "v1");
	answer(replicas->first);
	assert_int_equal(pull_one(replicas->world->cache), BW_OK);
	pull(replicas->world->cache, &replicas->one);
	pull(replicas->world->cache, &replicas->one);
	go_deaf(0);
	shared_index.ops.get_tag = fail_get_tag;
	shared_index.ops.get_manifest = fail_get_manifest;
	make_fail(&replicas->world->object_faults, NULL, BW_UNAVAILABLE);
	assert_int_equal(pull_one(replicas->world->cache), BW_OK);
	assert_int_equal(pull(replicas->world->cache, &replicas->one), CACHE_HIT);
	make_fail(&replicas->world->object_faults, NULL, BW_OK);
}

static void when_hearing_was_lost_nothing_kept_is_believed(void **state)
{
	(void)state;
	push(replicas->first, "v1");
	answer(replicas->first);
	pull(replicas->world->cache, &replicas->one);
	assert_int_equal(pull_one(replicas->world->cache), BW_OK);
	shared_index.deaf = true;
	delete_one();
	shared_index.deaf = false;
	shared_lost();
	assert_int_equal(pull_one(replicas->world->cache), BW_ABSENT);
	assert_int_equal(pull(replicas->world->cache, &replicas->one), CACHE_HIT);
}

/* ---- use ---- */

static bool take_idle(void *context, const char *repository, const struct digest *digest,
		      int64_t used_at)
{
	assert_string_equal(repository, "a.test/team/app");
	assert_true(digest_equals(digest, &replicas->one));
	*(int64_t *)context = used_at;
	return true;
}

static int64_t used_at(void)
{
	int64_t used = 0;

	assert_int_equal(metadata_list_idle_manifests(replicas->world->metadata, INT64_MAX, 9,
						      take_idle, &used, NULL),
			 BW_OK);
	return used;
}

/* Ends the replica's background work. */
static void come_to_rest(void)
{
	work_pool_free(replicas->world->cache->background);
	replicas->world->cache->background = work_pool_new("cache", 1, 1);
}

static void what_is_pulled_through_is_noted_as_used(void **state)
{
	int64_t before = clock_wall_ms();

	(void)state;
	push(replicas->first, "v1");
	answer(replicas->first);
	pull(replicas->world->cache, &replicas->one);
	assert_int_equal(pull_one(replicas->world->cache), BW_OK); /* pushed: not noted */
	come_to_rest();
	assert_true(used_at() >= before);
}

static unsigned touches;

static enum status count_touch(struct metadata_store *store, const char *repository,
			       const struct digest *digests, size_t count, int64_t time,
			       struct error *error)
{
	touches++;
	return shared_index.memory->touch_manifests(store, repository, digests, count, time, error);
}

static void what_is_pulled_often_is_noted_once_in_a_while(void **state)
{
	(void)state;
	answer(replicas->first);
	pull(replicas->world->cache, &replicas->one);
	pull(replicas->world->cache, &replicas->one);
	come_to_rest();
	touches = 0;
	shared_index.ops.touch_manifests = count_touch;
	for (unsigned i = 0; i < 100; i++)
		pull(replicas->world->cache, &replicas->one);
	come_to_rest();
	assert_int_equal(touches, 0);
	replicas->world->cache->moment++; /* the copy goes, and with it when it was told */
	shared_lost();
	for (unsigned i = 0; i < 100; i++)
		pull(replicas->world->cache, &replicas->one);
	come_to_rest();
	assert_int_equal(touches, 1);
}

#define REPLICAS_TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		REPLICAS_TEST(a_copy_costs_no_question_while_changes_are_heard),
		REPLICAS_TEST(what_another_replica_deletes_is_gone_here),
		REPLICAS_TEST(where_another_replica_moved_a_tag_is_seen_here),
		REPLICAS_TEST(what_is_deleted_while_it_is_read_is_not_kept),
		REPLICAS_TEST(what_is_evicted_while_it_is_read_is_not_kept),
		REPLICAS_TEST(a_copy_is_believed_for_a_moment_when_nothing_is_heard),
		REPLICAS_TEST(what_is_deleted_unheard_is_gone_after_a_moment),
		REPLICAS_TEST(a_tag_moved_unheard_is_seen_after_a_moment),
		REPLICAS_TEST(a_copy_is_served_while_no_store_can_tell),
		REPLICAS_TEST(when_hearing_was_lost_nothing_kept_is_believed),
		REPLICAS_TEST(what_is_pulled_through_is_noted_as_used),
		REPLICAS_TEST(what_is_pulled_often_is_noted_once_in_a_while),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
