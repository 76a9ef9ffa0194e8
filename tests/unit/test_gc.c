/*
 * Garbage collection: what goes, what stays, and that nothing goes once anything
 * could not be told.
 */
#include "server/content/gc_files.h"
#include "server/maintenance/gc.h"
#include "tests/support/content_fixture.h"

#include <stdio.h>

#define KEPT_BYTES "linked"
#define GARBAGE_BYTES "nobody's"

#define YOUNG_MS 60000
#define OLD_MS (-60000) /* all links are that old */

static enum status collect_when(struct fixture *fixture, bool remove, int64_t link_max_age_ms,
				struct gc_summary *summary, struct error *error)
{
	struct gc_options options = {
		.remove = remove, .upload_max_age_ms = 60000, .link_max_age_ms = link_max_age_ms};
	struct task task = {0};

	return gc_collect(fixture->content, &options, &task, summary, error);
}

static enum status collect_links(struct fixture *fixture, int64_t link_max_age_ms,
				 struct gc_summary *summary)
{
	return collect_when(fixture, true, link_max_age_ms, summary, NULL);
}

static enum status collect(struct fixture *fixture, bool remove, struct gc_summary *summary,
			   struct error *error)
{
	return collect_when(fixture, remove, YOUNG_MS, summary, error);
}

static void put_blob(struct fixture *fixture, const char *bytes)
{
	struct digest digest;
	char key[KEY_SIZE];

	digest_of(DIGEST_SHA256, bytes, strlen(bytes), &digest);
	key_of_blob(key, &digest);
	assert_int_equal(object_put(fixture->objects, key, bytes, strlen(bytes), PUT_REPLACE, NULL),
			 BW_OK);
	assert_int_equal(metadata_put_blob(fixture->metadata, &digest, strlen(bytes), 5, NULL),
			 BW_OK);
}

static enum status stored(struct fixture *fixture, const char *bytes)
{
	struct object_info info;
	struct digest digest;
	char key[KEY_SIZE];

	digest_of(DIGEST_SHA256, bytes, strlen(bytes), &digest);
	key_of_blob(key, &digest);
	return object_stat(fixture->objects, key, &info, NULL);
}

static void link_kept(struct fixture *fixture)
{
	assert_int_equal(push_bytes(fixture, HERE, KEPT_BYTES, strlen(KEPT_BYTES), NULL), BW_OK);
}

/* A linked blob, an image with its listed ones, and garbage. */
static void fill(struct fixture *fixture)
{
	char *config = some_bytes(10, 1, &fixture->config);
	char *layer = some_bytes(20, 2, &fixture->layer);
	char key[KEY_SIZE];

	link_kept(fixture);
	put_image(fixture, ELSEWHERE);
	key_of_blob(key, &fixture->config);
	assert_int_equal(object_put(fixture->objects, key, config, 10, PUT_REPLACE, NULL), BW_OK);
	key_of_blob(key, &fixture->layer);
	assert_int_equal(object_put(fixture->objects, key, layer, 20, PUT_REPLACE, NULL), BW_OK);
	put_blob(fixture, GARBAGE_BYTES);
	free(config);
	free(layer);
}

static void assert_only_garbage_went(struct fixture *fixture)
{
	assert_int_equal(stored(fixture, GARBAGE_BYTES), BW_ABSENT);
	assert_int_equal(stored(fixture, KEPT_BYTES), BW_OK);
	assert_int_equal(count_keys(fixture, "blobs/"), 4);
	assert_int_equal(count_keys(fixture, GC_PREFIX), 0);
}

static void what_nothing_refers_to_goes(void **state)
{
	struct fixture *fixture = *state;
	struct gc_summary summary;
	struct digest digest;
	uint64_t size;

	fill(fixture);
	assert_int_equal(collect(fixture, true, &summary, NULL), BW_OK);
	assert_only_garbage_went(fixture);
	digest_of(DIGEST_SHA256, GARBAGE_BYTES, strlen(GARBAGE_BYTES), &digest);
	assert_int_equal(metadata_get_blob(fixture->metadata, &digest, &size, NULL), BW_ABSENT);
	assert_int_equal(summary.stage, GC_ENDED);
	assert_int_equal(summary.seen, 5);
	assert_int_equal(summary.garbage, 1);
	assert_int_equal(summary.garbage_bytes, strlen(GARBAGE_BYTES));
	assert_int_equal(summary.removed, 1);
	assert_int_equal(summary.removed_bytes, strlen(GARBAGE_BYTES));
	assert_int_equal(summary.marked.repositories, 2);
	assert_int_equal(summary.marked.links, 1);
	assert_int_equal(summary.marked.manifests, 1);
}

static void a_dry_run_writes_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct gc_summary summary;
	unsigned puts;

	fill(fixture);
	puts = fixture->hooks.puts[PUT_REPLACE] + fixture->hooks.puts[PUT_REPLACE_SOON];
	make_fail(&fixture->object_faults, "remove", BW_IO);
	assert_int_equal(collect(fixture, false, &summary, NULL), BW_OK);
	assert_int_equal(fixture->hooks.puts[PUT_REPLACE] + fixture->hooks.puts[PUT_REPLACE_SOON],
			 puts);
	assert_int_equal(summary.garbage, 1);
	assert_int_equal(summary.removed, 0);
	assert_int_equal(stored(fixture, GARBAGE_BYTES), BW_OK);
}

static void the_index_need_not_know_anything(void **state)
{
	struct fixture *fixture = *state;
	struct gc_summary summary;

	fill(fixture);
	lose_index(fixture, true);
	assert_int_equal(collect(fixture, true, &summary, NULL), BW_OK);
	assert_only_garbage_went(fixture);
}

static void more_than_a_batch_goes(void **state)
{
	struct fixture *fixture = *state;
	struct gc_summary summary;
	char bytes[32];

	fill(fixture);
	for (unsigned i = 0; i < 2 * GC_BATCH_MAX + 7; i++) {
		snprintf(bytes, sizeof(bytes), "garbage %u", i);
		put_blob(fixture, bytes);
	}
	assert_int_equal(collect(fixture, true, &summary, NULL), BW_OK);
	assert_int_equal(summary.removed, 2 * GC_BATCH_MAX + 8);
	assert_only_garbage_went(fixture);
}

/* ---- when it cannot tell ---- */

static bool take_key(void *context, const char *key, const struct object_info *info)
{
	(void)info;
	str_copy(context, KEY_SIZE, key);
	return false;
}

/* What a run that could not be ended has left, and would keep for two minutes. */
static void forget_runs(struct fixture *fixture)
{
	for (;;) {
		char key[KEY_SIZE] = "";

		assert_int_equal(object_list(fixture->objects, GC_PREFIX, "", take_key, key, NULL),
				 BW_OK);
		if (!*key)
			break;
		assert_int_equal(object_remove(fixture->objects, key, NULL), BW_OK);
	}
}

static void collect_and_judge(struct fixture *fixture)
{
	struct gc_summary summary;
	enum status status = collect(fixture, true, &summary, NULL);
	unsigned object_plan = rest(&fixture->object_faults);
	unsigned metadata_plan = rest(&fixture->metadata_faults);

	assert_int_equal(stored(fixture, KEPT_BYTES), BW_OK);
	assert_true(count_keys(fixture, "blobs/") >= 4);
	if (stored(fixture, GARBAGE_BYTES) == BW_ABSENT)
		assert_int_equal(summary.removed, 1);
	else
		assert_int_not_equal(status, BW_OK);
	forget_runs(fixture);
	put_blob(fixture, GARBAGE_BYTES);
	atomic_store(&fixture->object_faults.every, object_plan);
	atomic_store(&fixture->metadata_faults.every, metadata_plan);
}

static void each_failure_of_the_object_store_loses_nothing(void **state)
{
	struct fixture *fixture = *state;

	fill(fixture);
	with_each_call_failing(fixture, &fixture->object_faults, collect_and_judge);
}

static void each_failure_of_the_index_loses_nothing(void **state)
{
	struct fixture *fixture = *state;

	fill(fixture);
	with_each_call_failing(fixture, &fixture->metadata_faults, collect_and_judge);
}

/* Nobody hears what becomes of a blob's removal; those of other objects are answered. */
static void hear_nothing_of_blobs(void *context, const char *action, const char *key)
{
	struct fixture *fixture = context;
	bool silent = strcmp(action, "remove") == 0 && str_starts_with(key, "blobs/");

	make_fail(&fixture->object_faults, silent ? "remove" : NULL, silent ? BW_TIMEOUT : BW_OK);
}

/* A store that hung may carry it out when it goes on, minutes later. */
static void what_may_still_be_removed_is_counted_on_by_nobody(void **state)
{
	struct fixture *fixture = *state;
	struct gc_summary summary;

	fill(fixture);
	fixture->hooks.before = hear_nothing_of_blobs;
	fixture->hooks.context = fixture;
	assert_int_equal(collect(fixture, true, &summary, NULL), BW_TIMEOUT);
	fixture->hooks.before = NULL;
	make_fail(&fixture->object_faults, NULL, BW_OK);
	assert_int_equal(push_bytes(fixture, HERE, GARBAGE_BYTES, strlen(GARBAGE_BYTES), NULL),
			 BW_UNAVAILABLE);
	assert_int_equal(push_bytes(fixture, HERE, "other bytes", 11, NULL), BW_OK);
	forget_runs(fixture);
	assert_int_equal(push_bytes(fixture, HERE, GARBAGE_BYTES, strlen(GARBAGE_BYTES), NULL),
			 BW_OK);
}

static void without_a_listing_nothing_goes(void **state)
{
	struct fixture *fixture = *state;
	struct gc_summary summary;
	struct error error = {0};

	fill(fixture);
	make_fail(&fixture->object_faults, "list", BW_IO);
	assert_int_equal(collect(fixture, true, &summary, &error), BW_IO);
	assert_int_equal(summary.removed, 0);
	make_fail(&fixture->object_faults, NULL, BW_OK);
	assert_int_equal(stored(fixture, GARBAGE_BYTES), BW_OK);
}

static void assert_refuses(struct fixture *fixture, const char *key)
{
	struct gc_summary summary;
	struct error error = {0};

	assert_int_equal(collect(fixture, true, &summary, &error), BW_CORRUPT);
	assert_non_null(strstr(error.message, key));
	assert_int_equal(summary.removed, 0);
	assert_int_equal(stored(fixture, GARBAGE_BYTES), BW_OK);
	assert_int_equal(count_keys(fixture, GC_PREFIX), 0);
}

static void a_manifest_that_cannot_be_read_keeps_everything(void **state)
{
	struct fixture *fixture = *state;
	char body[KEY_SIZE], record[KEY_SIZE];

	fill(fixture);
	lose_index(fixture, true);
	key_of_blob(body, &fixture->image);
	key_of_manifest(record, ELSEWHERE, &fixture->image);
	assert_int_equal(object_put(fixture->objects, body, "damaged", 7, PUT_REPLACE, NULL),
			 BW_OK);
	assert_refuses(fixture, body);
	assert_int_equal(object_put(fixture->objects, body, fixture->body, strlen(fixture->body),
				    PUT_REPLACE, NULL),
			 BW_OK);
	assert_int_equal(object_put(fixture->objects, record, "{", 1, PUT_REPLACE, NULL), BW_OK);
	assert_refuses(fixture, record);
}

/* The bytes of the index's copy will do. */
static void a_damaged_body_that_the_index_has_is_known(void **state)
{
	struct fixture *fixture = *state;
	struct gc_summary summary;
	char key[KEY_SIZE];

	fill(fixture);
	key_of_blob(key, &fixture->image);
	assert_int_equal(object_put(fixture->objects, key, "damaged", 7, PUT_REPLACE, NULL), BW_OK);
	assert_int_equal(collect(fixture, true, &summary, NULL), BW_OK);
	assert_only_garbage_went(fixture);
}

static void a_record_without_its_body_lists_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct gc_summary summary;
	char key[KEY_SIZE];

	fill(fixture);
	lose_index(fixture, true);
	key_of_blob(key, &fixture->image);
	assert_int_equal(object_remove(fixture->objects, key, NULL), BW_OK);
	assert_int_equal(collect(fixture, true, &summary, NULL), BW_OK);
	assert_int_equal(summary.removed, 3);
	assert_int_equal(stored(fixture, KEPT_BYTES), BW_OK);
}

static void what_is_not_ours_is_passed_over(void **state)
{
	struct fixture *fixture = *state;
	struct gc_summary summary;

	fill(fixture);
	assert_int_equal(
		object_put(fixture->objects, "repositories/note", "x", 1, PUT_REPLACE, NULL),
		BW_OK);
	assert_int_equal(
		object_put(fixture->objects, "blobs/sha256/zz/x", "x", 1, PUT_REPLACE, NULL),
		BW_OK);
	assert_int_equal(collect(fixture, true, &summary, NULL), BW_OK);
	assert_int_equal(summary.marked.foreign, 1);
	assert_int_equal(summary.removed, 1);
	assert_int_equal(count_keys(fixture, "blobs/"), 5);
}

/* ---- who comes in between ---- */

static void push_garbage(struct fixture *fixture)
{
	assert_int_equal(push_bytes(fixture, HERE, GARBAGE_BYTES, strlen(GARBAGE_BYTES), NULL),
			 BW_OK);
}

static void mount_garbage(struct fixture *fixture)
{
	struct digest digest;
	uint64_t size;

	digest_of(DIGEST_SHA256, GARBAGE_BYTES, strlen(GARBAGE_BYTES), &digest);
	assert_int_equal(content_mount_blob(fixture->content, HERE, &digest, &size, NULL), BW_OK);
}

static void spared_when(struct fixture *fixture, const char *action, const char *key_part,
			void (*act)(struct fixture *fixture))
{
	struct intrusion intrusion = {fixture, action, key_part, act, 1};
	struct gc_summary summary;

	fixture->hooks.before = intrude;
	fixture->hooks.context = &intrusion;
	assert_int_equal(collect(fixture, true, &summary, NULL), BW_OK);
	fixture->hooks.before = NULL;
	assert_int_equal(intrusion.times, 0);
	assert_int_equal(summary.removed, 0);
	assert_int_equal(stored(fixture, GARBAGE_BYTES), BW_OK);
	assert_int_equal(count_keys(fixture, GC_PREFIX), 0);
}

static void what_is_referred_to_meanwhile_is_spared(void **state)
{
	struct fixture *fixture = *state;

	fill(fixture);
	spared_when(fixture, "list", "blobs/", push_garbage);
}

static void so_it_is_at_the_last_moment(void **state)
{
	struct fixture *fixture = *state;

	fill(fixture);
	spared_when(fixture, "put", "gc/condemned/", mount_garbage);
}

/* ---- links that no manifest needs ---- */

static struct digest digest_of_kept(void)
{
	struct digest digest;

	digest_of(DIGEST_SHA256, KEPT_BYTES, strlen(KEPT_BYTES), &digest);
	return digest;
}

/* An image as it is pushed, links and all, and a blob that nothing lists. */
static void push_all(struct fixture *fixture)
{
	char *config = some_bytes(10, 1, &fixture->config);
	char *layer = some_bytes(20, 2, &fixture->layer);

	assert_int_equal(push_bytes(fixture, HERE, config, 10, NULL), BW_OK);
	assert_int_equal(push_bytes(fixture, HERE, layer, 20, NULL), BW_OK);
	free(config);
	free(layer);
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	link_kept(fixture);
}

static void old_links_that_no_manifest_needs_go(void **state)
{
	struct fixture *fixture = *state;
	struct digest kept = digest_of_kept();
	struct gc_summary summary;

	push_all(fixture);
	assert_int_equal(collect_links(fixture, YOUNG_MS, &summary), BW_OK);
	assert_int_equal(summary.marked.loose, 0);
	assert_int_equal(linked(fixture, HERE, &kept), BW_OK);

	assert_int_equal(collect_links(fixture, OLD_MS, &summary), BW_OK);
	assert_int_equal(summary.marked.loose, 1);
	assert_int_equal(summary.unlinked, 1);
	assert_int_equal(summary.removed, 1);
	assert_int_equal(linked(fixture, HERE, &kept), BW_ABSENT);
	assert_int_equal(stored(fixture, KEPT_BYTES), BW_ABSENT);
	assert_int_equal(linked(fixture, HERE, &fixture->layer), BW_OK);
	lose_index(fixture, true);
	assert_int_equal(linked(fixture, HERE, &kept), BW_ABSENT);
	assert_int_equal(linked(fixture, HERE, &fixture->layer), BW_OK);
}

static void a_removed_image_takes_its_layers_along(void **state)
{
	struct fixture *fixture = *state;
	struct gc_summary summary;

	push_all(fixture);
	assert_int_equal(remove_image(fixture), BW_OK);
	assert_int_equal(collect_links(fixture, OLD_MS, &summary), BW_OK);
	assert_int_equal(summary.unlinked, 3);
	assert_int_equal(count_keys(fixture, "blobs/"), 0);
	assert_int_equal(content_has_repository(fixture->content, HERE, NULL), BW_ABSENT);
	push_all(fixture); /* and it can be pushed again */
	assert_int_equal(linked(fixture, HERE, &fixture->layer), BW_OK);
}

/* Another repository's link of the same blob is its own affair. */
static void a_link_goes_and_the_blob_stays_where_it_is_listed(void **state)
{
	struct fixture *fixture = *state;
	struct gc_summary summary;
	uint64_t size;

	push_all(fixture);
	assert_int_equal(
		content_mount_blob(fixture->content, ELSEWHERE, &fixture->layer, &size, NULL),
		BW_OK);
	assert_int_equal(collect_links(fixture, OLD_MS, &summary), BW_OK);
	assert_int_equal(linked(fixture, ELSEWHERE, &fixture->layer), BW_ABSENT);
	assert_int_equal(linked(fixture, HERE, &fixture->layer), BW_OK);
}

static void mount_the_kept(struct fixture *fixture)
{
	struct digest kept = digest_of_kept();
	uint64_t size;

	assert_int_equal(content_mount_blob(fixture->content, HERE, &kept, &size, NULL), BW_OK);
}

static void link_spared_when(struct fixture *fixture, const char *action, const char *key_part,
			     void (*act)(struct fixture *fixture))
{
	struct intrusion intrusion = {fixture, action, key_part, act, 1};
	struct digest kept = digest_of_kept();
	struct gc_summary summary;

	push_all(fixture);
	fixture->hooks.before = intrude;
	fixture->hooks.context = &intrusion;
	assert_int_equal(collect_links(fixture, OLD_MS, &summary), BW_OK);
	fixture->hooks.before = NULL;
	assert_int_equal(intrusion.times, 0);
	assert_int_equal(summary.unlinked, 0);
	assert_int_equal(linked(fixture, HERE, &kept), BW_OK);
	assert_int_equal(stored(fixture, KEPT_BYTES), BW_OK);
}

static void a_link_that_is_renewed_meanwhile_is_spared(void **state)
{
	link_spared_when(*state, "put", "gc/condemned/", link_kept);
}

static void so_is_one_that_is_mounted_again(void **state)
{
	link_spared_when(*state, "put", "gc/condemned/", mount_the_kept);
}

/* The manifest is stored, and its blobs' links went before it could say so. */
static void unlink_the_layer(struct fixture *fixture)
{
	assert_int_equal(content_unlink_blob(fixture->content, HERE, &fixture->layer, NULL), BW_OK);
}

static void a_push_that_lost_a_link_is_not_acknowledged(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "put", "/_manifests/", unlink_the_layer, 1};
	struct manifest_entry entry = {.digest = fixture->image, .stored_at = 5};
	static const char *const tags[] = {"new"};
	struct manifest parsed;
	struct tag_entry tag;

	push_all(fixture);
	assert_int_equal(manifest_parse(fixture->body, strlen(fixture->body), NULL, &parsed, NULL),
			 BW_OK);
	entry.body = fixture->body;
	entry.body_length = strlen(fixture->body);
	assert_true(str_copy(entry.media_type, sizeof(entry.media_type), parsed.media_type));
	fixture->hooks.before = intrude;
	fixture->hooks.context = &intrusion;
	assert_int_equal(
		content_push_manifest(fixture->content, HERE, &entry, &parsed, true, tags, 1, NULL),
		BW_UNAVAILABLE);
	fixture->hooks.before = NULL;
	assert_int_equal(intrusion.times, 0);
	assert_int_equal(content_get_tag(fixture->content, HERE, "new", &tag, NULL), BW_ABSENT);
	manifest_release(&parsed);
}

static _Atomic bool stopping;

static void stop_it(struct fixture *fixture)
{
	(void)fixture;
	atomic_store(&stopping, true);
}

static void told_to_stop_it_ends_its_run(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "list", "blobs/", stop_it, 1};
	struct gc_options options = {
		.remove = true, .upload_max_age_ms = 60000, .link_max_age_ms = YOUNG_MS};
	struct task task = {.stop = &stopping};
	struct gc_summary summary;
	struct error error = {0};

	fill(fixture);
	atomic_store(&stopping, false);
	fixture->hooks.before = intrude;
	fixture->hooks.context = &intrusion;
	assert_int_equal(gc_collect(fixture->content, &options, &task, &summary, &error),
			 BW_CANCELLED);
	assert_string_equal(error.message, "stopped");
	assert_int_equal(summary.removed, 0);
	assert_int_equal(count_keys(fixture, GC_PREFIX), 0);
}

static void a_dead_collection_is_cleared_away(void **state)
{
	struct fixture *fixture = *state;
	struct gc_summary summary;
	static const char dead[] = "{\"refreshedAt\":5}";

	fill(fixture);
	assert_int_equal(object_put(fixture->objects, "gc/runs/0123456789abcdef0123456789abcdef",
				    dead, strlen(dead), PUT_REPLACE, NULL),
			 BW_OK);
	assert_int_equal(collect(fixture, true, &summary, NULL), BW_OK);
	assert_only_garbage_went(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_nothing_refers_to_goes),
		TEST(a_dry_run_writes_nothing),
		TEST(the_index_need_not_know_anything),
		TEST(more_than_a_batch_goes),
		TEST(each_failure_of_the_object_store_loses_nothing),
		TEST(each_failure_of_the_index_loses_nothing),
		TEST(what_may_still_be_removed_is_counted_on_by_nobody),
		TEST(without_a_listing_nothing_goes),
		TEST(a_manifest_that_cannot_be_read_keeps_everything),
		TEST(a_damaged_body_that_the_index_has_is_known),
		TEST(a_record_without_its_body_lists_nothing),
		TEST(what_is_not_ours_is_passed_over),
		TEST(what_is_referred_to_meanwhile_is_spared),
		TEST(so_it_is_at_the_last_moment),
		TEST(old_links_that_no_manifest_needs_go),
		TEST(a_removed_image_takes_its_layers_along),
		TEST(a_link_goes_and_the_blob_stays_where_it_is_listed),
		TEST(a_link_that_is_renewed_meanwhile_is_spared),
		TEST(so_is_one_that_is_mounted_again),
		TEST(a_push_that_lost_a_link_is_not_acknowledged),
		TEST(told_to_stop_it_ends_its_run),
		TEST(a_dead_collection_is_cleared_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
