/*
 * Abandoned uploads go, and no others.
 */
#include "server/maintenance/expiry.h"
#include "tests/support/content_fixture.h"

#define AGE_MS 60000
#define OLD "0123456789abcdef0123456789abcdef"
#define YOUNG "fedcba9876543210fedcba9876543210"

static enum status expire(struct fixture *fixture, bool remove, struct expired_uploads *expired)
{
	struct task task = {0};

	return expire_uploads(fixture->content, AGE_MS, remove, &task, expired, NULL);
}

static void begin(struct fixture *fixture, const char *id, int64_t touched_at)
{
	char repository[] = HERE, caller[] = "", notes[] = "notes";
	struct upload_entry entry = {
		.repository = repository,
		.caller = caller,
		.state = notes,
		.state_length = 5,
		.started_at = touched_at,
		.touched_at = touched_at,
	};
	struct object_part part;

	assert_int_equal(metadata_create_upload(fixture->metadata, id, &entry, NULL), BW_OK);
	upload_bytes(fixture, id, "bytes", 5, &part);
}

static enum status session(struct fixture *fixture, const char *id)
{
	struct upload_entry entry = {0};
	enum status status = metadata_get_upload(fixture->metadata, id, &entry, NULL);

	upload_entry_release(&entry);
	return status;
}

static bool count_upload(void *context, const char *upload, int64_t newest_at)
{
	(void)upload;
	(void)newest_at;
	++*(unsigned *)context;
	return true;
}

static unsigned uploads_with_parts(struct fixture *fixture)
{
	unsigned count = 0;

	assert_int_equal(object_parts_list(fixture->objects, count_upload, &count, NULL), BW_OK);
	return count;
}

static void the_old_one_goes_and_the_young_one_stays(void **state)
{
	struct fixture *fixture = *state;
	struct expired_uploads expired;

	begin(fixture, OLD, clock_wall_ms() - AGE_MS - 1000);
	begin(fixture, YOUNG, clock_wall_ms());
	assert_int_equal(expire(fixture, false, &expired), BW_OK);
	assert_int_equal(expired.sessions, 1);
	assert_int_equal(session(fixture, OLD), BW_OK);
	assert_int_equal(expire(fixture, true, &expired), BW_OK);
	assert_int_equal(expired.sessions, 1);
	assert_int_equal(session(fixture, OLD), BW_ABSENT);
	assert_int_equal(session(fixture, YOUNG), BW_OK);
	assert_int_equal(uploads_with_parts(fixture), 1);
}

/* Parts of an upload that no session knows are as young as their last byte. */
static void young_parts_without_a_session_stay(void **state)
{
	struct fixture *fixture = *state;
	struct expired_uploads expired;
	struct object_part part;
	struct task task = {0};

	upload_bytes(fixture, "abc", "bytes", 5, &part);
	assert_int_equal(expire(fixture, true, &expired), BW_OK);
	assert_int_equal(uploads_with_parts(fixture), 1);
	/* an age that lies in the future makes them old */
	assert_int_equal(expire_uploads(fixture->content, -AGE_MS, true, &task, &expired, NULL),
			 BW_OK);
	assert_int_equal(expired.parts, 1);
	assert_int_equal(uploads_with_parts(fixture), 0);
}

static void parts_stay_while_the_index_cannot_tell(void **state)
{
	struct fixture *fixture = *state;
	struct expired_uploads expired;
	struct object_part part;
	struct task task = {0};

	upload_bytes(fixture, "abc", "bytes", 5, &part);
	make_fail(&fixture->metadata_faults, "get_upload", BW_UNAVAILABLE);
	assert_int_equal(expire_uploads(fixture->content, -AGE_MS, true, &task, &expired, NULL),
			 BW_UNAVAILABLE);
	assert_int_equal(uploads_with_parts(fixture), 1);
}

static void expire_all(struct fixture *fixture)
{
	struct expired_uploads expired;
	unsigned plan;

	expire(fixture, true, &expired);
	plan = rest(&fixture->metadata_faults);
	/* whatever failed, parts never go before their session */
	if (session(fixture, OLD) == BW_OK)
		assert_int_equal(uploads_with_parts(fixture), 2);
	else
		begin(fixture, OLD, clock_wall_ms() - AGE_MS - 1000);
	assert_int_equal(session(fixture, YOUNG), BW_OK);
	atomic_store(&fixture->metadata_faults.every, plan);
}

static void each_failure_leaves_a_session_with_its_parts(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, OLD, clock_wall_ms() - AGE_MS - 1000);
	begin(fixture, YOUNG, clock_wall_ms());
	with_each_call_failing(fixture, &fixture->metadata_faults, expire_all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_old_one_goes_and_the_young_one_stays),
		TEST(young_parts_without_a_session_stay),
		TEST(parts_stay_while_the_index_cannot_tell),
		TEST(each_failure_leaves_a_session_with_its_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
