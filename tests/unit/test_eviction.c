/*
 * Eviction: what goes, what stays, and that nothing is lost that somebody counts on.
 */
#include "server/content/gc_files.h"
#include "server/content/references.h"
#include "server/maintenance/eviction.h"
#include "tests/support/content_fixture.h"

#include <stdio.h>

#define LOCAL "team/app"
#define LAYER_BYTES 1000
#define CONFIG_BYTES 500
#define IMAGE_BYTES (LAYER_BYTES + CONFIG_BYTES)

struct image {
	struct digest manifest, config, layer;
};

static void store_blob(struct fixture *fixture, const char *bytes, size_t length,
		       const struct digest *digest)
{
	char key[KEY_SIZE];

	key_of_blob(key, digest);
	assert_int_equal(object_put(fixture->objects, key, bytes, length, PUT_REPLACE, NULL),
			 BW_OK);
	assert_int_equal(metadata_put_blob(fixture->metadata, digest, length, 5, NULL), BW_OK);
}

static struct digest cached_blob(struct fixture *fixture, size_t length, unsigned seed)
{
	struct digest digest;
	char *bytes = some_bytes(length, seed, &digest);

	store_blob(fixture, bytes, length, &digest);
	free(bytes);
	return digest;
}

/* As it is after a pull: manifest, tag, blobs. Images of one `layer` seed share it. It
 * was last used `used` ms from now. */
static struct image cache_image(struct fixture *fixture, const char *repository, const char *tag,
				unsigned seed, unsigned layer, int64_t used)
{
	struct image image = {.config = cached_blob(fixture, CONFIG_BYTES, seed),
			      .layer = cached_blob(fixture, LAYER_BYTES, layer)};
	char *body =
		image_of(&image.config, CONFIG_BYTES, &image.layer, LAYER_BYTES, &image.manifest);
	struct tag_entry entry = {.stored_at = 5};

	assert_int_equal(put_body(fixture, repository, body, NULL), BW_OK);
	free(body);
	entry.digest = image.manifest;
	assert_int_equal(
		content_next_version(fixture->content, repository, tag, &entry.version, NULL),
		BW_OK);
	assert_int_equal(content_put_tag(fixture->content, repository, tag, &entry, NULL), BW_OK);
	assert_int_equal(metadata_touch_manifests(fixture->metadata, repository, &image.manifest, 1,
						  clock_wall_ms() + used, NULL),
			 BW_OK);
	return image;
}

/* By default everything is old enough: times of use are in the next minutes. */
#define ALL_OLD ((int64_t)-3600000)

static enum status evict_when(struct fixture *fixture, uint64_t max_bytes, int64_t min_age_ms,
			      struct eviction_summary *summary, struct error *error)
{
	struct eviction_options options = {.max_bytes = max_bytes, .min_age_ms = min_age_ms};
	struct task task = {0};

	return evict(fixture->content, &options, &task, summary, error);
}

static struct eviction_summary evict_over(struct fixture *fixture, uint64_t max_bytes)
{
	struct eviction_summary summary;
	struct error error = {0};

	if (evict_when(fixture, max_bytes, ALL_OLD, &summary, &error) != BW_OK)
		fail_msg("%s", error.message);
	assert_int_equal(count_keys(fixture, GC_PREFIX), 0);
	return summary;
}

static bool is_stored(struct fixture *fixture, const struct digest *digest)
{
	struct object_info info;
	char key[KEY_SIZE];

	key_of_blob(key, digest);
	return object_stat(fixture->objects, key, &info, NULL) == BW_OK;
}

static bool is_there(struct fixture *fixture, const char *repository, const struct image *image)
{
	struct manifest_entry entry = {0};
	bool there = content_get_manifest(fixture->content, repository, &image->manifest, &entry,
					  NULL) == BW_OK;

	manifest_entry_release(&entry);
	return there;
}

static bool is_tagged(struct fixture *fixture, const char *repository, const char *tag)
{
	struct tag_entry entry;

	return content_get_tag(fixture->content, repository, tag, &entry, NULL) == BW_OK;
}

static bool is_readable(struct fixture *fixture, const char *repository, const struct image *image)
{
	return is_there(fixture, repository, image) && is_stored(fixture, &image->manifest) &&
	       is_stored(fixture, &image->config) && is_stored(fixture, &image->layer) &&
	       listed(fixture, repository, &image->layer) == BW_OK;
}

static bool is_whole(struct fixture *fixture, const char *repository, const char *tag,
		     const struct image *image)
{
	return is_readable(fixture, repository, image) && is_tagged(fixture, repository, tag);
}

static void assert_gone(struct fixture *fixture, const char *repository, const char *tag,
			const struct image *image)
{
	assert_false(is_there(fixture, repository, image));
	assert_false(is_tagged(fixture, repository, tag));
	assert_false(is_stored(fixture, &image->manifest));
	assert_false(is_stored(fixture, &image->config));
	assert_false(is_stored(fixture, &image->layer));
	assert_int_equal(listed(fixture, repository, &image->layer), BW_ABSENT);
}

static int make(void **state)
{
	content_make(state);
	mark_complete(*state);
	return 0;
}

static void what_is_within_the_limit_stays(void **state)
{
	struct fixture *fixture = *state;
	struct image image = cache_image(fixture, HERE, "v1", 1, 101, 1000);
	struct eviction_summary summary = evict_over(fixture, IMAGE_BYTES);

	assert_int_equal(summary.bytes, IMAGE_BYTES);
	assert_int_equal(summary.manifests, 0);
	assert_false(summary.too_young);
	assert_true(is_whole(fixture, HERE, "v1", &image));
}

static void the_longest_unused_goes_first_and_no_more_than_it_takes(void **state)
{
	struct fixture *fixture = *state;
	struct image first = cache_image(fixture, HERE, "v1", 1, 101, 3000);
	struct image second = cache_image(fixture, ELSEWHERE, "v2", 2, 102, 1000);
	struct image third = cache_image(fixture, HERE, "v3", 3, 103, 2000);
	struct eviction_summary summary = evict_over(fixture, 3 * IMAGE_BYTES - 100);

	assert_gone(fixture, ELSEWHERE, "v2", &second);
	assert_true(is_whole(fixture, HERE, "v1", &first));
	assert_true(is_whole(fixture, HERE, "v3", &third));
	assert_int_equal(summary.manifests, 1);
	assert_int_equal(summary.removed.blobs, 3);
	assert_int_equal(summary.bytes, 2 * IMAGE_BYTES);
	/* down to nine tenths of it */
	summary = evict_over(fixture, 2 * IMAGE_BYTES - 1);
	assert_int_equal(summary.bytes, IMAGE_BYTES);
	assert_gone(fixture, HERE, "v3", &third);
	assert_true(is_whole(fixture, HERE, "v1", &first));
}

static void a_blob_that_another_image_has_stays(void **state)
{
	struct fixture *fixture = *state;
	struct image old = cache_image(fixture, HERE, "v1", 1, 101, 1000);
	struct image other = cache_image(fixture, ELSEWHERE, "v1", 2, 101, 2000);
	struct eviction_summary summary = evict_over(fixture, IMAGE_BYTES + CONFIG_BYTES - 1);

	assert_false(is_there(fixture, HERE, &old));
	assert_false(is_stored(fixture, &old.config));
	assert_true(is_whole(fixture, ELSEWHERE, "v1", &other));
	assert_int_equal(summary.held, 1);
}

/* In the same repository as well. */
static void layers_shared_within_a_repository_stay(void **state)
{
	struct fixture *fixture = *state;
	struct image old = cache_image(fixture, HERE, "v1", 1, 101, 1000);
	struct image other = cache_image(fixture, HERE, "v2", 2, 101, 2000);

	evict_over(fixture, IMAGE_BYTES + CONFIG_BYTES - 1);
	assert_false(is_there(fixture, HERE, &old));
	assert_true(is_whole(fixture, HERE, "v2", &other));
}

static void what_was_pushed_stays_and_does_not_count(void **state)
{
	struct fixture *fixture = *state;
	struct digest digest;
	char *layer = some_bytes(LAYER_BYTES, 101, &digest);
	struct image cached;
	struct eviction_summary summary;
	struct manifest_entry entry = {0};

	assert_int_equal(push_bytes(fixture, LOCAL, layer, LAYER_BYTES, NULL), BW_OK);
	free(layer);
	assert_int_equal(push_image(fixture, LOCAL), BW_OK);
	/* nobody touches what was pushed; if somebody did, it would not go either */
	assert_int_equal(
		metadata_touch_manifests(fixture->metadata, LOCAL, &fixture->image, 1, 1, NULL),
		BW_OK);
	cached = cache_image(fixture, HERE, "v1", 1, 101, 1000); /* has the pushed layer */
	summary = evict_over(fixture, 5);
	assert_int_equal(summary.manifests, 1);
	assert_int_equal(summary.bytes, 0);
	assert_false(is_there(fixture, HERE, &cached));
	assert_true(is_stored(fixture, &digest));
	assert_int_equal(linked(fixture, LOCAL, &digest), BW_OK);
	assert_int_equal(
		content_get_manifest(fixture->content, LOCAL, &fixture->image, &entry, NULL),
		BW_OK);
	manifest_entry_release(&entry);
	assert_true(is_stored(fixture, &fixture->image));
}

static void what_was_used_just_now_stays_over_the_limit(void **state)
{
	struct fixture *fixture = *state;
	struct image image = cache_image(fixture, HERE, "v1", 1, 101, 0);
	struct eviction_summary summary;

	assert_int_equal(evict_when(fixture, 100, EVICTION_MIN_AGE_MS, &summary, NULL), BW_OK);
	assert_true(summary.too_young);
	assert_int_equal(summary.manifests, 0);
	assert_true(is_whole(fixture, HERE, "v1", &image));
	assert_int_equal(count_keys(fixture, GC_PREFIX), 0);
}

/* What is cached counts as used, also before its first client is told of. */
static void what_was_cached_just_now_is_young(void **state)
{
	struct fixture *fixture = *state;
	struct eviction_summary summary;

	put_image(fixture, HERE);
	cached_blob(fixture, 100, 9);
	assert_int_equal(evict_when(fixture, 10, EVICTION_MIN_AGE_MS, &summary, NULL), BW_OK);
	assert_true(summary.too_young);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
	assert_int_equal(evict_over(fixture, 10).manifests, 1);
}

static void nothing_goes_while_the_index_is_not_complete(void **state)
{
	struct fixture *fixture = *state;
	struct image image = cache_image(fixture, HERE, "v1", 1, 101, 1000);
	struct eviction_summary summary;

	assert_int_equal(content_mark_incomplete(fixture->content, NULL), BW_OK);
	atomic_store(&fixture->content->complete_asked_at, 0);
	summary = evict_over(fixture, 100);
	assert_true(summary.incomplete);
	assert_int_equal(summary.manifests, 0);
	assert_true(is_whole(fixture, HERE, "v1", &image));
}

static void a_grant_of_the_index_alone_holds_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct image image = cache_image(fixture, HERE, "v1", 1, 101, 1000);
	uint64_t size;

	assert_int_equal(
		content_link_blob(fixture->content, ELSEWHERE, &image.config, CONFIG_BYTES, NULL),
		BW_OK);
	evict_over(fixture, 100);
	assert_gone(fixture, HERE, "v1", &image);
	assert_int_equal(
		metadata_get_link(fixture->metadata, ELSEWHERE, &image.config, &size, NULL),
		BW_ABSENT);
}

static void an_image_with_nothing_fetched_goes_too(void **state)
{
	struct fixture *fixture = *state;
	struct eviction_summary summary;

	put_image(fixture, HERE);
	cached_blob(fixture, 100, 9); /* of nobody: for a garbage collection */
	summary = evict_over(fixture, 10);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_ABSENT);
	assert_int_equal(summary.removed.blobs, 1); /* its body */
	assert_true(summary.too_young); /* nothing more can be done */
}

static void what_cannot_be_read_goes_too(void **state)
{
	struct fixture *fixture = *state;
	struct image image = cache_image(fixture, HERE, "v1", 1, 101, 1000);
	struct manifest_entry entry = {0};
	char key[KEY_SIZE];

	lose_index(fixture, true);
	mark_complete(fixture);
	key_of_blob(key, &image.manifest);
	assert_int_equal(
		content_get_manifest(fixture->content, HERE, &image.manifest, &entry, NULL), BW_OK);
	manifest_entry_release(&entry);
	assert_true(is_tagged(fixture, HERE, "v1")); /* the index knows it again */
	assert_int_equal(object_put(fixture->objects, key, "x", 1, PUT_REPLACE, NULL), BW_OK);
	cached_blob(fixture, 100, 9);
	evict_over(fixture, 10);
	assert_false(is_there(fixture, HERE, &image));
}

static void what_was_evicted_is_cached_anew(void **state)
{
	struct fixture *fixture = *state;
	struct image image = cache_image(fixture, HERE, "v1", 1, 101, 1000);
	struct image again;

	evict_over(fixture, 100);
	assert_gone(fixture, HERE, "v1", &image);
	again = cache_image(fixture, HERE, "v1", 1, 101, 1000);
	assert_true(is_whole(fixture, HERE, "v1", &again));
	lose_index(fixture, true);
	assert_true(is_whole(fixture, HERE, "v1", &again));
}

static void many_images_go_in_several_rounds(void **state)
{
	struct fixture *fixture = *state;
	char tag[16];
	struct eviction_summary summary;

	for (unsigned i = 0; i < 100; i++) {
		snprintf(tag, sizeof(tag), "v%u", i);
		cache_image(fixture, HERE, tag, 1000 + i, 2000 + i, i);
	}
	summary = evict_over(fixture, 10 * IMAGE_BYTES);
	assert_int_equal(summary.manifests, 91);
	assert_int_equal(summary.bytes, 9 * IMAGE_BYTES);
}

/* ---- pushes meanwhile ---- */

static char *pushed_layer(struct digest *ret_digest)
{
	return some_bytes(LAYER_BYTES, 101, ret_digest);
}

static void push_layer(struct fixture *fixture)
{
	struct digest digest;
	char *layer = pushed_layer(&digest);

	assert_int_equal(push_bytes(fixture, LOCAL, layer, LAYER_BYTES, NULL), BW_OK);
	free(layer);
}

static void mount_layer(struct fixture *fixture)
{
	struct digest digest;
	uint64_t size;

	free(pushed_layer(&digest));
	/* its bytes may be gone */
	content_mount_blob(fixture->content, LOCAL, &digest, &size, NULL);
}

/* Whoever comes to push the layer of the image that is evicted, at whatever moment, has
 * it afterwards if that was acknowledged. */
static void eviction_against(struct fixture *fixture, void (*act)(struct fixture *fixture))
{
	static const struct {
		const char *action;
		const char *key_part;
	} moments[] = {
		{"put", "gc/runs/"},      {"remove", "_manifests/"}, {"stat", "blobs/"},
		{"put", "gc/condemned/"}, {"stat", "gc/kept/"},      {"remove", "gc/runs/"},
	};
	struct digest digest;

	free(pushed_layer(&digest));
	for (size_t i = 0; i < 2 * array_size(moments); i++) {
		struct intrusion intrusion = {.fixture = fixture,
					      .action = moments[i / 2].action,
					      .key_part = moments[i / 2].key_part,
					      .act = act,
					      .times = 1};

		cache_image(fixture, HERE, "v1", 1, 101, 1000);
		fixture->hooks = (struct hooks){.before = i % 2 ? intrude : NULL,
						.after = i % 2 ? NULL : intrude,
						.context = &intrusion};
		fixture->content->settle_patience_ms = 0; /* it would wait for us */
		evict_over(fixture, 100);
		fixture->hooks = (struct hooks){0};
		assert_int_equal(intrusion.times, 0);
		if (linked(fixture, LOCAL, &digest) == BW_OK)
			assert_true(is_stored(fixture, &digest));
		assert_int_equal(content_unlink_blob(fixture->content, LOCAL, &digest, NULL),
				 BW_OK);
	}
}

static void try_to_push_layer(struct fixture *fixture)
{
	struct digest digest;
	struct object_part part = {0};
	char *layer = pushed_layer(&digest);
	enum status status;

	upload_bytes(fixture, "abc", layer, LAYER_BYTES, &part);
	free(layer);
	status = content_push_blob(fixture->content, LOCAL, &digest, LAYER_BYTES, "abc", &part, 1,
				   NULL);
	if (status == BW_OK) {
		assert_true(is_stored(fixture, &digest));
		return;
	}
	assert_int_equal(status, BW_UNAVAILABLE); /* being removed at this moment */
	object_parts_discard(fixture->objects, "abc", NULL);
}

static void a_push_at_any_moment_has_its_blob(void **state)
{
	eviction_against(*state, try_to_push_layer);
}

static void a_mount_at_any_moment_has_its_blob(void **state)
{
	eviction_against(*state, mount_layer);
}

static void a_blob_pushed_before_is_held(void **state)
{
	struct fixture *fixture = *state;
	struct digest digest;

	free(pushed_layer(&digest));
	cache_image(fixture, HERE, "v1", 1, 101, 1000);
	push_layer(fixture);
	evict_over(fixture, 5);
	assert_true(is_stored(fixture, &digest));
	assert_int_equal(linked(fixture, LOCAL, &digest), BW_OK);
}

/* The index took so long that an eviction could have missed it. */
static void a_reference_that_comes_late_to_the_index_is_not_acknowledged(void **state)
{
	struct references_start start = references_start();
	struct error error = {0};

	(void)state;
	assert_int_equal(references_in_time(&start, &error), BW_OK);
	start.monotonic -= REFERENCES_INDEX_MS;
	assert_int_equal(references_in_time(&start, &error), BW_UNAVAILABLE);
	assert_true(error.retry_after > 0);
	start = references_start();
	start.wall += 2 * REFERENCES_INDEX_MS; /* a clock that was set back */
	assert_int_equal(references_in_time(&start, NULL), BW_UNAVAILABLE);
	assert_true(REFERENCES_EVICTION_MS > REFERENCES_INDEX_MS);
}

/* ---- failures, deaths ---- */

static bool held_or_whole(struct fixture *fixture, const struct image *old,
			  const struct image *young)
{
	assert_true(is_whole(fixture, ELSEWHERE, "v1", young));
	return !is_there(fixture, HERE, old) || is_readable(fixture, HERE, old);
}

static bool take_key(void *context, const char *key, const struct object_info *info)
{
	(void)info;
	return !str_copy(context, KEY_SIZE, key);
}

/* What a run that failed left counts for two minutes. */
static void forget_runs(struct fixture *fixture)
{
	char key[KEY_SIZE] = "";

	while (count_keys(fixture, GC_PREFIX) > 0) {
		assert_int_equal(object_list(fixture->objects, GC_PREFIX, "", take_key, key, NULL),
				 BW_OK);
		assert_int_equal(object_remove(fixture->objects, key, NULL), BW_OK);
	}
}

/* Whatever fails: an image is whole or gone. */
static void evict_and_fail(struct fixture *fixture)
{
	unsigned object_every = rest(&fixture->object_faults);
	unsigned metadata_every = rest(&fixture->metadata_faults);
	struct image old = cache_image(fixture, HERE, "v1", 1, 101, 1000);
	struct image young = cache_image(fixture, ELSEWHERE, "v1", 2, 102, 2000);
	struct eviction_summary summary;
	enum status status;

	mark_complete(fixture);
	fixture->object_faults.calls = 0;
	fixture->metadata_faults.calls = 0;
	fixture->object_faults.every = object_every;
	fixture->metadata_faults.every = metadata_every;
	status = evict_when(fixture, 2 * IMAGE_BYTES - 1, ALL_OLD, &summary, NULL);
	rest(&fixture->object_faults);
	rest(&fixture->metadata_faults);
	assert_true(held_or_whole(fixture, &old, &young));
	if (status == BW_OK && fixture->object_faults.failed + fixture->metadata_faults.failed == 0)
		assert_gone(fixture, HERE, "v1", &old);
	forget_runs(fixture);
}

static void an_object_store_that_fails_anywhere_breaks_no_image(void **state)
{
	struct fixture *fixture = *state;

	with_each_call_failing(fixture, &fixture->object_faults, evict_and_fail);
}

static void an_index_that_fails_anywhere_breaks_no_image(void **state)
{
	struct fixture *fixture = *state;

	with_each_call_failing(fixture, &fixture->metadata_faults, evict_and_fail);
}

static void it_ends_when_told(void **state)
{
	struct fixture *fixture = *state;
	struct image image = cache_image(fixture, HERE, "v1", 1, 101, 1000);
	struct eviction_options options = {
		.max_bytes = 100, .min_age_ms = ALL_OLD, .grace_ms = 60000};
	_Atomic bool stop = true;
	struct task task = {.stop = &stop};
	struct eviction_summary summary;

	assert_int_equal(evict(fixture->content, &options, &task, &summary, NULL), BW_CANCELLED);
	assert_true(is_whole(fixture, HERE, "v1", &image));
	assert_int_equal(count_keys(fixture, GC_PREFIX), 0);
}

#define EVICTION_TEST(name) cmocka_unit_test_setup_teardown(name, make, content_forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EVICTION_TEST(what_is_within_the_limit_stays),
		EVICTION_TEST(the_longest_unused_goes_first_and_no_more_than_it_takes),
		EVICTION_TEST(a_blob_that_another_image_has_stays),
		EVICTION_TEST(layers_shared_within_a_repository_stay),
		EVICTION_TEST(what_was_pushed_stays_and_does_not_count),
		EVICTION_TEST(what_was_used_just_now_stays_over_the_limit),
		EVICTION_TEST(what_was_cached_just_now_is_young),
		EVICTION_TEST(nothing_goes_while_the_index_is_not_complete),
		EVICTION_TEST(a_grant_of_the_index_alone_holds_nothing),
		EVICTION_TEST(an_image_with_nothing_fetched_goes_too),
		EVICTION_TEST(what_cannot_be_read_goes_too),
		EVICTION_TEST(what_was_evicted_is_cached_anew),
		EVICTION_TEST(many_images_go_in_several_rounds),
		EVICTION_TEST(a_push_at_any_moment_has_its_blob),
		EVICTION_TEST(a_mount_at_any_moment_has_its_blob),
		EVICTION_TEST(a_blob_pushed_before_is_held),
		EVICTION_TEST(a_reference_that_comes_late_to_the_index_is_not_acknowledged),
		EVICTION_TEST(an_object_store_that_fails_anywhere_breaks_no_image),
		EVICTION_TEST(an_index_that_fails_anywhere_breaks_no_image),
		EVICTION_TEST(it_ends_when_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
