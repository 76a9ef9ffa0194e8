/*
 * Blobs whose bytes need no parts: few, in memory; or many, written under their digest
 * while they come. What is acknowledged is whole and linked, whatever fails or comes in
 * between, and what was there already is left as it was.
 */
#include "server/content/keys.h"
#include "tests/support/content_fixture.h"

#define BYTES "bytes of a layer"
#define OTHER "BYTES OF A LAYER" /* as many, to be told apart from them */
#define LENGTH (sizeof(BYTES) - 1)

static bool written; /* else in memory */
static struct digest digest;
static char key[KEY_SIZE];

static struct object_writer *write_bytes(struct fixture *fixture, enum status *ret_status)
{
	struct object_writer *writer = NULL;

	*ret_status = content_create_blob(fixture->content, &digest, &writer, NULL);
	if (*ret_status == BW_OK)
		*ret_status = object_write(writer, BYTES, LENGTH, NULL);
	return writer;
}

static enum status push(struct fixture *fixture)
{
	struct object_writer *writer;
	enum status status;

	if (!written)
		return content_push_blob_bytes(fixture->content, HERE, &digest, BYTES, LENGTH,
					       NULL);
	writer = write_bytes(fixture, &status);
	if (status != BW_OK) {
		object_abort(writer);
		return status;
	}
	status = content_push_blob_written(fixture->content, HERE, &digest, LENGTH, &writer, NULL);
	assert_null(writer);
	return status;
}

static void in_both_ways(struct fixture *fixture, void (*body)(struct fixture *fixture))
{
	digest_of(DIGEST_SHA256, BYTES, LENGTH, &digest);
	key_of_blob(key, &digest);
	for (unsigned way = 0; way < 2; way++) {
		written = way == 1;
		body(fixture);
		fixture->hooks = (struct hooks){0};
		content_unlink_blob(fixture->content, HERE, &digest, NULL);
		object_remove(fixture->objects, key, NULL);
		metadata_remove_blob(fixture->metadata, &digest, NULL);
	}
}

static void assert_stored(struct fixture *fixture, const char *bytes)
{
	char *found;
	size_t length;

	assert_int_equal(object_get(fixture->objects, key, 100, &found, &length, NULL), BW_OK);
	assert_int_equal(length, LENGTH);
	assert_memory_equal(found, bytes, LENGTH);
	free(found);
}

static void assert_whole(struct fixture *fixture)
{
	assert_stored(fixture, BYTES);
	assert_int_equal(linked(fixture, HERE, &digest), BW_OK);
	lose_index(fixture, false);
	assert_int_equal(linked(fixture, HERE, &digest), BW_OK);
	assert_int_equal(content_has_repository(fixture->content, HERE, NULL), BW_OK);
}

static void push_once(struct fixture *fixture)
{
	assert_int_equal(push(fixture), BW_OK);
	assert_whole(fixture);
	/* one of these takes the link along in its flush */
	assert_int_equal(fixture->hooks.puts[PUT_REPLACE], 0);
	assert_int_equal(fixture->hooks.puts[PUT_REPLACE_SOON], 1);
	assert_int_equal(fixture->hooks.puts[PUT_IF_ABSENT], written ? 0 : 1);
}

static void a_push_costs_one_flush(void **state)
{
	in_both_ways(*state, push_once);
}

/* An object store may keep more of a blob than its bytes, which would be left over. */
static void push_what_is_there(struct fixture *fixture)
{
	assert_int_equal(object_put(fixture->objects, key, OTHER, LENGTH, PUT_REPLACE, NULL),
			 BW_OK);
	fixture->hooks = (struct hooks){0};
	assert_int_equal(push(fixture), BW_OK);
	assert_stored(fixture, OTHER);
	assert_int_equal(linked(fixture, HERE, &digest), BW_OK);
	/* nothing durable came after the link, which is so itself then */
	assert_int_equal(fixture->hooks.puts[PUT_REPLACE], 1);
}

static void what_is_there_is_kept(void **state)
{
	in_both_ways(*state, push_what_is_there);
}

static void push_over_damage(struct fixture *fixture)
{
	assert_int_equal(object_put(fixture->objects, key, BYTES, LENGTH - 1, PUT_REPLACE, NULL),
			 BW_OK);
	assert_int_equal(push(fixture), BW_OK);
	assert_whole(fixture);
}

static void what_is_damaged_is_replaced(void **state)
{
	in_both_ways(*state, push_over_damage);
}

static void store_it(struct fixture *fixture)
{
	assert_int_equal(object_put(fixture->objects, key, BYTES, LENGTH, PUT_REPLACE, NULL),
			 BW_OK);
}

/* Somebody else's push of the same bytes ends between our look and our put. */
static void push_beside_another(struct fixture *fixture)
{
	struct intrusion intrusion = {fixture, "put", "blobs/", store_it, 1};

	fixture->hooks = (struct hooks){.before = intrude, .context = &intrusion};
	assert_int_equal(push(fixture), BW_OK);
	assert_int_equal(intrusion.times, written ? 1 : 0);
	assert_whole(fixture);
}

static void of_two_pushes_both_succeed(void **state)
{
	in_both_ways(*state, push_beside_another);
}

static void unlink_it(struct fixture *fixture)
{
	assert_int_equal(content_unlink_blob(fixture->content, HERE, &digest, NULL), BW_OK);
}

/* At the second look at the link, behind the bytes. */
static void push_despite_removals(struct fixture *fixture)
{
	struct intrusion intrusion = {fixture, "stat", "_layers", unlink_it, 2};

	fixture->hooks = (struct hooks){.before = intrude, .context = &intrusion};
	assert_int_equal(push(fixture), BW_OK);
	assert_int_equal(intrusion.times, 0);
	assert_whole(fixture);
}

static void a_push_outlives_removals(void **state)
{
	in_both_ways(*state, push_despite_removals);
}

static void unlink_and_collect(struct fixture *fixture)
{
	unlink_it(fixture);
	assert_int_equal(object_remove(fixture->objects, key, NULL), BW_OK);
}

/* What was written is used up then: the client sends it once more. */
static void push_despite_a_collection(struct fixture *fixture)
{
	struct intrusion intrusion = {fixture, "stat", "_layers", unlink_and_collect, 1};
	enum status status;

	fixture->hooks = (struct hooks){.before = intrude, .context = &intrusion};
	status = push(fixture);
	assert_int_equal(intrusion.times, 0);
	assert_int_equal(status, written ? BW_UNAVAILABLE : BW_OK);
	if (status != BW_OK)
		assert_int_equal(push(fixture), BW_OK);
	assert_whole(fixture);
}

static void bytes_that_were_collected_are_stored_again_or_asked_for(void **state)
{
	in_both_ways(*state, push_despite_a_collection);
}

static struct fault_plan *failing;

static void push_with_a_failure(struct fixture *fixture)
{
	unsigned every = rest(failing);
	enum status status;

	content_unlink_blob(fixture->content, HERE, &digest, NULL);
	object_remove(fixture->objects, key, NULL);
	lose_index(fixture, false);
	atomic_store(&failing->calls, 0);
	atomic_store(&failing->every, every);
	status = push(fixture);
	rest(failing);
	if (status != BW_OK)
		assert_int_equal(push(fixture), BW_OK);
	assert_whole(fixture);
}

static void push_with_each_failure(struct fixture *fixture)
{
	failing = &fixture->object_faults;
	with_each_call_failing(fixture, failing, push_with_a_failure);
	failing = &fixture->metadata_faults;
	with_each_call_failing(fixture, failing, push_with_a_failure);
}

static void a_push_may_fail_anywhere(void **state)
{
	in_both_ways(*state, push_with_each_failure);
}

static void what_is_written_and_given_up_leaves_nothing(void **state)
{
	struct fixture *fixture = *state;
	enum status status;

	digest_of(DIGEST_SHA256, BYTES, LENGTH, &digest);
	object_abort(write_bytes(fixture, &status));
	assert_int_equal(status, BW_OK);
	assert_int_equal(count_keys(fixture, "blobs/"), 0);
}

static void the_empty_blob_may_be_in_memory(void **state)
{
	struct fixture *fixture = *state;

	digest_of(DIGEST_SHA256, "", 0, &digest);
	assert_int_equal(content_push_blob_bytes(fixture->content, HERE, &digest, "", 0, NULL),
			 BW_OK);
	assert_int_equal(linked(fixture, HERE, &digest), BW_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_push_costs_one_flush),
		TEST(what_is_there_is_kept),
		TEST(what_is_damaged_is_replaced),
		TEST(of_two_pushes_both_succeed),
		TEST(a_push_outlives_removals),
		TEST(bytes_that_were_collected_are_stored_again_or_asked_for),
		TEST(a_push_may_fail_anywhere),
		TEST(what_is_written_and_given_up_leaves_nothing),
		TEST(the_empty_blob_may_be_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
