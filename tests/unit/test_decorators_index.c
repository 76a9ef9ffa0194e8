/* Each operation of the index is forwarded by the store that fails on purpose, under
 * its own name, and its failure counted by the store that measures. */
#include "backends/decorators/faulty_store.h"
#include "backends/decorators/metered_store.h"
#include "backends/mem/mem_metadata_store.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "tests/support/support.h"

#include <string.h>

static double errors_of(const char *action)
{
	return metric_value(M_STORAGE_ERRORS, METRIC_LABELS("memory", action));
}

static bool see_name(void *context, const char *name)
{
	(void)name;
	(*(unsigned *)context)++;
	return true;
}

static bool see_referrer(void *context, const struct digest *digest, const char *descriptor)
{
	(void)digest;
	(void)descriptor;
	(*(unsigned *)context)++;
	return true;
}

static const struct digest some_digest = {.algorithm = DIGEST_SHA256};

static enum status call_tags(struct metadata_store *store, const char *action)
{
	struct tag_entry tag = {.digest = some_digest, .version = 1};
	unsigned seen = 0;

	if (strcmp(action, "put_tag") == 0)
		return metadata_put_tag(store, "a", "v1", &tag, NULL);
	if (strcmp(action, "get_tag") == 0)
		return metadata_get_tag(store, "a", "v1", &tag, NULL);
	if (strcmp(action, "touch_tag") == 0)
		return metadata_touch_tag(store, "a", "v1", 1, 1, NULL);
	if (strcmp(action, "begin_tag") == 0)
		return metadata_begin_tag(store, "a", "v1", 2, NULL);
	if (strcmp(action, "next_version") == 0)
		return metadata_next_version(store, "a", "v1", 1, &tag.version, NULL);
	if (strcmp(action, "list_tags") == 0)
		return metadata_list_tags(store, "a", "", 9, see_name, &seen, NULL);
	if (strcmp(action, "list_tags_of") == 0)
		return metadata_list_tags_of(store, "a", &some_digest, 9, see_name, &seen, NULL);
	return metadata_remove_tag(store, "a", "v1", 1, NULL);
}

static enum status call_manifests(struct metadata_store *store, const char *action)
{
	struct manifest_entry entry = {.digest = some_digest};
	unsigned seen = 0;
	enum status status;

	if (strcmp(action, "put_manifest") == 0)
		return metadata_put_manifest(store, "a", &entry, NULL, 0, NULL);
	if (strcmp(action, "list_referrers") == 0)
		return metadata_list_referrers(store, "a", &some_digest, NULL, see_referrer, &seen,
					       NULL);
	if (strcmp(action, "remove_manifest") == 0)
		return metadata_remove_manifest(store, "a", &some_digest, NULL);
	status = metadata_get_manifest(store, "a", &some_digest, &entry, NULL);
	if (status == BW_OK)
		manifest_entry_release(&entry);
	return status;
}

static bool see_idle(void *context, const char *repository, const struct digest *digest,
		     int64_t used_at)
{
	(void)repository;
	(void)digest;
	(void)used_at;
	(*(unsigned *)context)++;
	return true;
}

static enum status call_use(struct metadata_store *store, const char *action)
{
	struct usage usage;
	unsigned seen = 0;

	if (strcmp(action, "touch_manifests") == 0)
		return metadata_touch_manifests(store, "a", &some_digest, 1, 5, NULL);
	if (strcmp(action, "list_idle_manifests") == 0)
		return metadata_list_idle_manifests(store, 9, 9, see_idle, &seen, NULL);
	if (strcmp(action, "list_holders_of") == 0)
		return metadata_list_holders_of(store, &some_digest, 9, see_name, &seen, NULL);
	return metadata_get_usage(store, &usage, NULL);
}

static enum status call_links(struct metadata_store *store, const char *action)
{
	struct listed_content link = {.digest = some_digest, .size = 1};
	unsigned seen = 0;
	uint64_t size;

	if (strcmp(action, "put_link") == 0)
		return metadata_put_link(store, "a", &link, NULL);
	if (strcmp(action, "get_link") == 0)
		return metadata_get_link(store, "a", &some_digest, &size, NULL);
	if (strcmp(action, "get_listed") == 0)
		return metadata_get_listed(store, "a", &some_digest, &size, NULL);
	if (strcmp(action, "list_links_of") == 0)
		return metadata_list_links_of(store, &some_digest, 9, see_name, &seen, NULL);
	return metadata_remove_link(store, "a", &some_digest, NULL);
}

static enum status call_catalog(struct metadata_store *store, const char *action)
{
	unsigned seen = 0;
	int64_t value;

	if (strcmp(action, "put_repository") == 0)
		return metadata_put_repository(store, "a", NULL);
	if (strcmp(action, "get_repository") == 0)
		return metadata_get_repository(store, "a", NULL);
	if (strcmp(action, "list_repositories") == 0)
		return metadata_list_repositories(store, "", 9, see_name, &seen, NULL);
	if (strcmp(action, "put_mark") == 0)
		return metadata_put_mark(store, "m", 1, NULL);
	if (strcmp(action, "get_mark") == 0)
		return metadata_get_mark(store, "m", &value, NULL);
	return metadata_remove_repository(store, "a", NULL);
}

static enum status call_uploads(struct metadata_store *store, const char *action)
{
	struct upload_entry entry = {.repository = (char *)"a",
				     .caller = (char *)"",
				     .state = (char *)"",
				     .revision = 1};
	unsigned seen = 0;
	enum status status;

	if (strcmp(action, "create_upload") == 0)
		return metadata_create_upload(store, "id", &entry, NULL);
	if (strcmp(action, "advance_upload") == 0)
		return metadata_advance_upload(store, "id", &entry, NULL);
	if (strcmp(action, "list_uploads") == 0)
		return metadata_list_uploads(store, INT64_MAX, 9, see_name, &seen, NULL);
	if (strcmp(action, "remove_upload") == 0)
		return metadata_remove_upload(store, "id", NULL);
	status = metadata_get_upload(store, "id", &entry, NULL);
	if (status == BW_OK)
		upload_entry_release(&entry);
	return status;
}

static enum status call_blobs(struct metadata_store *store, const char *action)
{
	struct document_entry document = {0};
	uint64_t size;
	enum status status;

	if (strcmp(action, "put_blob") == 0)
		return metadata_put_blob(store, &some_digest, 1, 1, NULL);
	if (strcmp(action, "get_blob") == 0)
		return metadata_get_blob(store, &some_digest, &size, NULL);
	if (strcmp(action, "remove_blob") == 0)
		return metadata_remove_blob(store, &some_digest, NULL);
	if (strcmp(action, "put_document") == 0)
		return metadata_put_document(store, "a", "tags", "k", &document, NULL);
	if (strcmp(action, "check") == 0)
		return metadata_check(store, NULL);
	status = metadata_get_document(store, "a", "tags", "k", &document, NULL);
	if (status == BW_OK)
		document_entry_release(&document);
	return status;
}

/* In an order in which each succeeds. */
static const struct {
	const char *action;
	enum status (*call)(struct metadata_store *store, const char *action);
} index_actions[] = {
	{"put_tag", call_tags},
	{"get_tag", call_tags},
	{"touch_tag", call_tags},
	{"begin_tag", call_tags},
	{"next_version", call_tags},
	{"list_tags", call_tags},
	{"list_tags_of", call_tags},
	{"remove_tag", call_tags},
	{"put_manifest", call_manifests},
	{"get_manifest", call_manifests},
	{"list_referrers", call_manifests},
	{"touch_manifests", call_use},
	{"list_idle_manifests", call_use},
	{"list_holders_of", call_use},
	{"get_usage", call_use},
	{"remove_manifest", call_manifests},
	{"put_link", call_links},
	{"get_link", call_links},
	{"get_listed", call_links},
	{"list_links_of", call_links},
	{"remove_link", call_links},
	{"put_repository", call_catalog},
	{"get_repository", call_catalog},
	{"list_repositories", call_catalog},
	{"remove_repository", call_catalog},
	{"put_mark", call_catalog},
	{"get_mark", call_catalog},
	{"create_upload", call_uploads},
	{"get_upload", call_uploads},
	{"advance_upload", call_uploads},
	{"list_uploads", call_uploads},
	{"remove_upload", call_uploads},
	{"put_blob", call_blobs},
	{"get_blob", call_blobs},
	{"remove_blob", call_blobs},
	{"put_document", call_blobs},
	{"get_document", call_blobs},
	{"check", call_blobs},
};

/* The table of operations holds a name, the operations, free, and two that cannot
 * fail: watch and is_watched. */
_Static_assert(sizeof(struct metadata_store_ops) / sizeof(void *) ==
		       sizeof(index_actions) / sizeof(index_actions[0]) + 4,
	       "an operation of the index that this test does not know");

static void every_action_on_the_index_can_fail_and_is_counted(void **state)
{
	struct fault_plan plan = {.status = BW_IO};
	struct metadata_store *store = metered_metadata_store_new(
		faulty_metadata_store_new(mem_metadata_store_new(), &plan));

	(void)state;
	for (size_t i = 0; i < array_size(index_actions); i++) {
		const char *action = index_actions[i].action;
		double before = errors_of(action);

		plan.action = action;
		plan.every = 1;
		if (index_actions[i].call(store, action) != BW_IO)
			fail_msg("%s did not fail", action);
		assert_true(errors_of(action) == before + 1);
		plan.every = 0;
		if (index_actions[i].call(store, action) != BW_OK)
			fail_msg("%s failed", action);
		assert_true(errors_of(action) == before + 1);
	}
	metadata_store_free(store);
}

/* ---- what cannot fail ---- */

static unsigned told;

static void tell_lost(void *context)
{
	(void)context;
	told++;
}

static const struct metadata_watcher *watching;
static bool heard;

static void note_watcher(struct metadata_store *store, const struct metadata_watcher *watcher)
{
	(void)store;
	watching = watcher;
}

static bool say_heard(struct metadata_store *store)
{
	(void)store;
	return heard;
}

static void a_watcher_reaches_the_store_inside(void **state)
{
	static const struct metadata_watcher watcher = {.lost = tell_lost};
	struct fault_plan plan = {0};
	struct metadata_store *inner = mem_metadata_store_new();
	struct metadata_store_ops ops = *inner->ops;
	const struct metadata_store_ops *plain = inner->ops;
	struct metadata_store *store;

	(void)state;
	ops.watch = note_watcher;
	ops.is_watched = say_heard;
	inner->ops = &ops;
	store = metered_metadata_store_new(faulty_metadata_store_new(inner, &plan));
	assert_true(metadata_is_shared(store));
	assert_false(metadata_is_watched(store));
	heard = true;
	assert_true(metadata_is_watched(store));
	metadata_watch(store, &watcher);
	assert_ptr_equal(watching, &watcher);
	watching->lost(NULL);
	assert_int_equal(told, 1);
	inner->ops = plain;
	metadata_store_free(store);
}

static void what_a_store_does_not_do_is_seen(void **state)
{
	struct fault_plan plan = {0};
	struct metadata_store *inner = mem_metadata_store_new();
	struct metadata_store_ops ops = *inner->ops;
	const struct metadata_store_ops *plain = inner->ops;
	struct metadata_store *store;

	(void)state;
	ops.next_version = NULL;
	inner->ops = &ops;
	store = metered_metadata_store_new(faulty_metadata_store_new(inner, &plan));
	assert_false(metadata_gives_versions(store));
	assert_false(metadata_is_shared(store));
	assert_true(metadata_is_watched(store)); /* nobody else changes it */
	metadata_watch(store, NULL);
	inner->ops = plain;
	metadata_store_free(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_watcher_reaches_the_store_inside),
		cmocka_unit_test(what_a_store_does_not_do_is_seen),
		cmocka_unit_test(every_action_on_the_index_can_fail_and_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
