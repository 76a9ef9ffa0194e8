/*
 * Links over stores that fail and change: what was acknowledged is readable, what
 * was removed stays removed, and nobody reads what they were not given.
 */
#include "server/base/buf.h"
#include "tests/support/content_fixture.h"

#define BYTES "bytes of a layer"
#define LENGTH (sizeof(BYTES) - 1)

static struct digest digest_of_bytes(void)
{
	struct digest digest;

	digest_of(DIGEST_SHA256, BYTES, LENGTH, &digest);
	return digest;
}

static void store_bytes(struct fixture *fixture)
{
	struct digest digest = digest_of_bytes();
	char key[KEY_SIZE];

	key_of_blob(key, &digest);
	assert_int_equal(object_put(fixture->objects, key, BYTES, LENGTH, PUT_REPLACE, NULL),
			 BW_OK);
}

static void remove_bytes(struct fixture *fixture)
{
	struct digest digest = digest_of_bytes();
	char key[KEY_SIZE];

	key_of_blob(key, &digest);
	assert_int_equal(object_remove(fixture->objects, key, NULL), BW_OK);
}

static void store_link(struct fixture *fixture)
{
	struct digest digest = digest_of_bytes();
	char key[KEY_SIZE];

	key_of_link(key, HERE, &digest);
	assert_int_equal(object_put(fixture->objects, key, "{\"size\":16,\"storedAt\":1}", 24,
				    PUT_REPLACE, NULL),
			 BW_OK);
}

static void remove_link(struct fixture *fixture)
{
	struct digest digest = digest_of_bytes();
	char key[KEY_SIZE];

	key_of_link(key, HERE, &digest);
	assert_int_equal(object_remove(fixture->objects, key, NULL), BW_OK);
}

static enum status mount(struct fixture *fixture, const char *repository)
{
	struct digest digest = digest_of_bytes();
	uint64_t size = 42;
	enum status status = content_mount_blob(fixture->content, repository, &digest, &size, NULL);

	assert_int_equal(size, status == BW_OK ? LENGTH : 42);
	return status;
}

static enum status unlink_here(struct fixture *fixture)
{
	struct digest digest = digest_of_bytes();

	return content_unlink_blob(fixture->content, HERE, &digest, NULL);
}

static enum status linked_at(struct fixture *fixture, const char *repository)
{
	struct digest digest = digest_of_bytes();

	return linked(fixture, repository, &digest);
}

static bool index_has_link(struct fixture *fixture)
{
	struct digest digest = digest_of_bytes();
	uint64_t size;

	return metadata_get_link(fixture->metadata, HERE, &digest, &size, NULL) == BW_OK;
}

/* ---- pushes ---- */

static void a_pushed_blob_is_linked_and_stored(void **state)
{
	struct fixture *fixture = *state;
	struct digest digest = digest_of_bytes();
	uint64_t size = 0;

	assert_int_equal(linked_at(fixture, HERE), BW_ABSENT);
	assert_int_equal(push_bytes(fixture, HERE, BYTES, LENGTH, NULL), BW_OK);
	assert_int_equal(content_get_link(fixture->content, HERE, &digest, &size, NULL), BW_OK);
	assert_int_equal(size, LENGTH);
	assert_int_equal(content_stat_blob(fixture->content, &digest, &size, NULL), BW_OK);
	assert_int_equal(linked_at(fixture, ELSEWHERE), BW_ABSENT);
	assert_int_equal(linked_at(fixture, HERE "/sub"), BW_ABSENT);
	assert_int_equal(content_has_repository(fixture->content, HERE, NULL), BW_OK);
}

static void the_empty_blob_needs_no_parts(void **state)
{
	struct fixture *fixture = *state;
	struct digest digest;
	uint64_t size = 42;

	digest_of(DIGEST_SHA512, "", 0, &digest);
	assert_int_equal(
		content_push_blob(fixture->content, HERE, &digest, 0, "abc", NULL, 0, NULL), BW_OK);
	assert_int_equal(content_get_link(fixture->content, HERE, &digest, &size, NULL), BW_OK);
	assert_int_equal(size, 0);
}

/* The link need not be flushed: the bytes are, and take it along. */
static void a_push_costs_one_flush(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(push_bytes(fixture, HERE, BYTES, LENGTH, NULL), BW_OK);
	assert_int_equal(fixture->hooks.puts[PUT_REPLACE], 0);
	assert_int_equal(fixture->hooks.puts[PUT_REPLACE_SOON], 1);
}

static void a_link_outlives_its_index(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(push_bytes(fixture, HERE, BYTES, LENGTH, NULL), BW_OK);
	make_fail(&fixture->metadata_faults, NULL, BW_UNAVAILABLE);
	assert_int_equal(linked_at(fixture, HERE), BW_OK);
	make_fail(&fixture->metadata_faults, NULL, BW_OK);
	lose_index(fixture, true);
	assert_false(index_has_link(fixture));
	assert_int_equal(linked_at(fixture, HERE), BW_OK);
	assert_true(index_has_link(fixture));
}

static void a_store_that_fails_is_not_absence(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(push_bytes(fixture, HERE, BYTES, LENGTH, NULL), BW_OK);
	lose_index(fixture, true);
	make_fail(&fixture->object_faults, NULL, BW_UNREACHABLE);
	assert_int_equal(linked_at(fixture, HERE), BW_UNREACHABLE);
	assert_int_equal(mount(fixture, ELSEWHERE), BW_UNREACHABLE);
	assert_int_equal(linked_at(fixture, ELSEWHERE), BW_UNREACHABLE);
}

static void what_a_manifest_lists_is_no_link(void **state)
{
	struct fixture *fixture = *state;

	put_image(fixture, HERE);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_OK);
	assert_int_equal(linked(fixture, HERE, &fixture->layer), BW_ABSENT);
}

/* The beginning of a push that died. */
static void a_link_without_bytes_does_not_count(void **state)
{
	struct fixture *fixture = *state;

	store_link(fixture);
	assert_int_equal(linked_at(fixture, HERE), BW_ABSENT);
	assert_false(index_has_link(fixture));
	store_bytes(fixture);
	assert_int_equal(linked_at(fixture, HERE), BW_OK);
}

static void bytes_without_a_link_do_not_count(void **state)
{
	struct fixture *fixture = *state;

	store_bytes(fixture);
	assert_int_equal(linked_at(fixture, HERE), BW_ABSENT);
}

static void a_push_heals_bytes_of_another_size(void **state)
{
	struct fixture *fixture = *state;
	struct digest digest = digest_of_bytes();
	struct object_info info;
	char key[KEY_SIZE];

	key_of_blob(key, &digest);
	assert_int_equal(object_put(fixture->objects, key, "cut", 3, PUT_REPLACE, NULL), BW_OK);
	assert_int_equal(push_bytes(fixture, HERE, BYTES, LENGTH, NULL), BW_OK);
	assert_int_equal(object_stat(fixture->objects, key, &info, NULL), BW_OK);
	assert_int_equal(info.size, LENGTH);
}

/* ---- mounts ---- */

static void a_mounted_blob_is_linked(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(push_bytes(fixture, ELSEWHERE, BYTES, LENGTH, NULL), BW_OK);
	fixture->hooks.puts[PUT_REPLACE] = 0;
	assert_int_equal(mount(fixture, HERE), BW_OK);
	/* nothing that follows would flush it */
	assert_int_equal(fixture->hooks.puts[PUT_REPLACE], 1);
	assert_int_equal(mount(fixture, HERE), BW_OK);
	assert_int_equal(linked_at(fixture, HERE), BW_OK);
	assert_int_equal(content_has_repository(fixture->content, HERE, NULL), BW_OK);
	lose_index(fixture, true);
	assert_int_equal(linked_at(fixture, HERE), BW_OK);
}

static void nothing_is_left_of_a_mount_of_nothing(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(mount(fixture, HERE), BW_ABSENT);
	assert_int_equal(linked_at(fixture, HERE), BW_ABSENT);
	assert_int_equal(count_keys(fixture, ""), 0);
}

/* ---- removals ---- */

static void an_unlinked_blob_stays_elsewhere(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(push_bytes(fixture, HERE, BYTES, LENGTH, NULL), BW_OK);
	assert_int_equal(mount(fixture, ELSEWHERE), BW_OK);
	assert_int_equal(unlink_here(fixture), BW_OK);
	assert_int_equal(linked_at(fixture, HERE), BW_ABSENT);
	assert_int_equal(linked_at(fixture, ELSEWHERE), BW_OK);
	assert_int_equal(content_has_repository(fixture->content, HERE, NULL), BW_ABSENT);
	assert_int_equal(unlink_here(fixture), BW_OK);
	lose_index(fixture, true);
	assert_int_equal(linked_at(fixture, HERE), BW_ABSENT);
	assert_int_equal(linked_at(fixture, ELSEWHERE), BW_OK);
}

static bool append_name(void *context, const char *repository)
{
	struct buf *names = context;

	buf_append_string(names, repository);
	buf_append_char(names, ' ');
	return true;
}

static void links_of_a_blob_are_listed(void **state)
{
	struct fixture *fixture = *state;
	struct digest digest = digest_of_bytes();
	struct buf names = BUF_INIT(1000);

	assert_int_equal(push_bytes(fixture, HERE, BYTES, LENGTH, NULL), BW_OK);
	assert_int_equal(mount(fixture, ELSEWHERE), BW_OK);
	assert_int_equal(
		content_list_links_of(fixture->content, &digest, 10, append_name, &names, NULL),
		BW_OK);
	assert_string_equal(buf_string(&names), HERE " " ELSEWHERE " ");
	buf_reset(&names);
	assert_int_equal(
		content_list_links_of(fixture->content, &digest, 1, append_name, &names, NULL),
		BW_OK);
	assert_string_equal(buf_string(&names), HERE " ");
	buf_release(&names);
}

/* ---- any call may fail ---- */

/* Linked means: readable now and, through either store alone, later. */
static void assert_whole(struct fixture *fixture, const char *repository)
{
	assert_int_equal(linked_at(fixture, repository), BW_OK);
	lose_index(fixture, false);
	assert_int_equal(linked_at(fixture, repository), BW_OK);
	assert_int_equal(content_has_repository(fixture->content, repository, NULL), BW_OK);
}

static struct fault_plan *failing; /* the plan of the store whose turn it is */

static void push_with_a_failure(struct fixture *fixture)
{
	unsigned every;
	struct object_part part = {0};
	struct digest digest = digest_of_bytes();
	enum status status;

	every = rest(failing);
	remove_link(fixture);
	remove_bytes(fixture);
	lose_index(fixture, false);
	upload_bytes(fixture, "abc", BYTES, LENGTH, &part);
	atomic_store(&failing->calls, 0);
	atomic_store(&failing->every, every);
	status = content_push_blob(fixture->content, HERE, &digest, LENGTH, "abc", &part, 1, NULL);
	rest(failing);
	if (status != BW_OK) {
		enum status seen = linked_at(fixture, HERE);

		assert_true(seen == BW_OK || seen == BW_ABSENT);
		assert_int_equal(content_push_blob(fixture->content, HERE, &digest, LENGTH, "abc",
						   &part, 1, NULL),
				 BW_OK);
	}
	assert_whole(fixture, HERE);
}

static void mount_with_a_failure(struct fixture *fixture)
{
	unsigned every = rest(failing);
	enum status status;

	remove_link(fixture);
	store_bytes(fixture);
	lose_index(fixture, false);
	atomic_store(&failing->calls, 0);
	atomic_store(&failing->every, every);
	status = mount(fixture, HERE);
	rest(failing);
	if (status != BW_OK) {
		assert_int_equal(status, BW_IO);
		assert_int_equal(mount(fixture, HERE), BW_OK);
	}
	assert_whole(fixture, HERE);
}

static void unlink_with_a_failure(struct fixture *fixture)
{
	unsigned every = rest(failing);
	enum status status;

	assert_int_equal(push_bytes(fixture, HERE, BYTES, LENGTH, NULL), BW_OK);
	atomic_store(&failing->calls, 0);
	atomic_store(&failing->every, every);
	status = unlink_here(fixture);
	rest(failing);
	if (status != BW_OK) {
		enum status seen = linked_at(fixture, HERE);

		assert_true(seen == BW_OK || seen == BW_ABSENT);
		assert_int_equal(unlink_here(fixture), BW_OK);
	}
	assert_int_equal(linked_at(fixture, HERE), BW_ABSENT);
	assert_int_equal(content_has_repository(fixture->content, HERE, NULL), BW_ABSENT);
	lose_index(fixture, true);
	assert_int_equal(linked_at(fixture, HERE), BW_ABSENT);
}

static void with_every_failure(struct fixture *fixture, void (*body)(struct fixture *fixture))
{
	failing = &fixture->object_faults;
	with_each_call_failing(fixture, failing, body);
	failing = &fixture->metadata_faults;
	with_each_call_failing(fixture, failing, body);
}

static void a_push_may_fail_anywhere(void **state)
{
	with_every_failure(*state, push_with_a_failure);
}

static void a_mount_may_fail_anywhere(void **state)
{
	with_every_failure(*state, mount_with_a_failure);
}

static void an_unlink_may_fail_anywhere(void **state)
{
	with_every_failure(*state, unlink_with_a_failure);
}

/* ---- somebody else in between ---- */

static void unlink_it(struct fixture *fixture)
{
	assert_int_equal(unlink_here(fixture), BW_OK);
}

static void a_repair_does_not_undo_a_removal(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "stat", "blobs/", unlink_it, 1};

	assert_int_equal(push_bytes(fixture, HERE, BYTES, LENGTH, NULL), BW_OK);
	lose_index(fixture, true);
	fixture->hooks = (struct hooks){.after = intrude, .context = &intrusion};
	assert_int_equal(linked_at(fixture, HERE), BW_OK); /* it was there when asked */
	assert_int_equal(intrusion.times, 0);
	assert_false(index_has_link(fixture));
	assert_int_equal(linked_at(fixture, HERE), BW_ABSENT);
}

/* The push comes after every removal that it meets. */
static void a_push_outlives_a_removal(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "parts_commit", "", unlink_it, 3};

	fixture->hooks = (struct hooks){.after = intrude, .context = &intrusion};
	assert_int_equal(push_bytes(fixture, HERE, BYTES, LENGTH, NULL), BW_OK);
	assert_int_equal(intrusion.times, 0);
	assert_true(index_has_link(fixture));
	assert_whole(fixture, HERE);
}

static void a_push_gives_up_at_last(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "parts_commit", "", unlink_it, 1000};

	fixture->hooks = (struct hooks){.after = intrude, .context = &intrusion};
	assert_int_equal(push_bytes(fixture, HERE, BYTES, LENGTH, NULL), BW_UNAVAILABLE);
	assert_false(index_has_link(fixture));
}

static void push_them(struct fixture *fixture)
{
	assert_int_equal(push_bytes(fixture, HERE, BYTES, LENGTH, NULL), BW_OK);
}

/* A reader finds the object cut; by the time it knows, a push has put it right. */
static void a_reader_of_damaged_bytes_spares_those_pushed_since(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "open", "blobs/", push_them, 1};
	struct digest digest = digest_of_bytes();
	const uint64_t size = LENGTH;
	struct object_reader *reader;
	char key[KEY_SIZE];

	key_of_blob(key, &digest);
	assert_int_equal(object_put(fixture->objects, key, BYTES, LENGTH - 1, PUT_REPLACE, NULL),
			 BW_OK);
	fixture->hooks = (struct hooks){.after = intrude, .context = &intrusion};
	lose_index(fixture, false);
	assert_int_equal(content_open_blob(fixture->content, &digest, &size, &reader, NULL),
			 BW_UNAVAILABLE);
	assert_int_equal(intrusion.times, 0);
	assert_whole(fixture, HERE);
}

static void collect_it(struct fixture *fixture)
{
	struct digest digest = digest_of_bytes();

	remove_bytes(fixture);
	metadata_remove_blob(fixture->metadata, &digest, NULL);
}

/* The bytes go between the first look and the link. */
static void a_mount_that_comes_too_late_is_absent(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "put", "_layers", collect_it, 1};

	store_bytes(fixture);
	fixture->hooks = (struct hooks){.before = intrude, .context = &intrusion};
	assert_int_equal(mount(fixture, HERE), BW_ABSENT);
	assert_int_equal(linked_at(fixture, HERE), BW_ABSENT);
	assert_false(index_has_link(fixture));
}

/* A mount that found nothing must not take away the link of a push that was
 * acknowledged meanwhile. */
static void push_and_lose_bytes(struct fixture *fixture)
{
	remove_bytes(fixture);
	assert_int_equal(push_bytes(fixture, HERE, BYTES, LENGTH, NULL), BW_OK);
	remove_bytes(fixture); /* so that the mount's look finds nothing */
}

static void a_failed_mount_leaves_a_push_alone(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "put", "_layers", push_and_lose_bytes, 1};

	store_bytes(fixture);
	fixture->hooks = (struct hooks){.after = intrude, .context = &intrusion};
	assert_int_equal(mount(fixture, HERE), BW_ABSENT);
	store_bytes(fixture);
	lose_index(fixture, true);
	assert_int_equal(linked_at(fixture, HERE), BW_OK);
}

/* What the index says of bytes is taken back when they went meanwhile. */
static void a_repair_does_not_promise_what_is_gone(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "stat", "blobs/", collect_it, 1};
	struct digest digest = digest_of_bytes();
	uint64_t size;

	store_bytes(fixture);
	fixture->hooks = (struct hooks){.after = intrude, .context = &intrusion};
	assert_int_equal(content_stat_blob(fixture->content, &digest, &size, NULL), BW_OK);
	assert_int_equal(content_stat_blob(fixture->content, &digest, &size, NULL), BW_ABSENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pushed_blob_is_linked_and_stored),
		TEST(the_empty_blob_needs_no_parts),
		TEST(a_push_costs_one_flush),
		TEST(a_link_outlives_its_index),
		TEST(a_store_that_fails_is_not_absence),
		TEST(what_a_manifest_lists_is_no_link),
		TEST(a_link_without_bytes_does_not_count),
		TEST(bytes_without_a_link_do_not_count),
		TEST(a_push_heals_bytes_of_another_size),
		TEST(a_mounted_blob_is_linked),
		TEST(nothing_is_left_of_a_mount_of_nothing),
		TEST(an_unlinked_blob_stays_elsewhere),
		TEST(links_of_a_blob_are_listed),
		TEST(a_push_may_fail_anywhere),
		TEST(a_mount_may_fail_anywhere),
		TEST(an_unlink_may_fail_anywhere),
		TEST(a_repair_does_not_undo_a_removal),
		TEST(a_push_outlives_a_removal),
		TEST(a_push_gives_up_at_last),
		TEST(a_reader_of_damaged_bytes_spares_those_pushed_since),
		TEST(a_mount_that_comes_too_late_is_absent),
		TEST(a_failed_mount_leaves_a_push_alone),
		TEST(a_repair_does_not_promise_what_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
