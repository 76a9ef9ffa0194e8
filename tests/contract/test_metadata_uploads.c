/* What backends/metadata_store.h promises of uploads in progress and of marks,
 * asked of every index. */
#include "tests/support/metadata_stores.h"

#define ID_A "00000000000000000000000000000001"
#define ID_B "00000000000000000000000000000002"
#define ID_C "ffffffffffffffffffffffffffffffff"

static struct upload_entry upload(const char *state, int64_t touched_at)
{
	return (struct upload_entry){
		.repository = (char *)"a/b",
		.caller = (char *)"alice",
		.state = (char *)state,
		.state_length = strlen(state),
		.started_at = 1700000000000,
		.touched_at = touched_at,
	};
}

static void create(struct metadata_store *store, const char *id, const char *state,
		   int64_t touched_at)
{
	struct upload_entry entry = upload(state, touched_at);
	struct error error = {0};

	if (metadata_create_upload(store, id, &entry, &error))
		fail_msg("create upload: %s", error.message);
}

static enum status advance(struct metadata_store *store, const char *id, uint64_t revision,
			   const char *state, int64_t touched_at)
{
	struct upload_entry entry = upload(state, touched_at);

	entry.revision = revision;
	return metadata_advance_upload(store, id, &entry, NULL);
}

static void assert_upload(struct metadata_store *store, const char *id, uint64_t revision,
			  const char *state, int64_t touched_at)
{
	struct upload_entry got = {0};

	assert_int_equal(metadata_get_upload(store, id, &got, NULL), BW_OK);
	assert_string_equal(got.repository, "a/b");
	assert_string_equal(got.caller, "alice");
	assert_int_equal(got.state_length, strlen(state));
	assert_memory_equal(got.state, state, got.state_length);
	assert_int_equal(got.revision, revision);
	assert_int_equal(got.started_at, 1700000000000);
	assert_int_equal(got.touched_at, touched_at);
	upload_entry_release(&got);
	assert_null(got.repository);
	assert_null(got.caller);
	assert_null(got.state);
}

static void assert_no_upload(struct metadata_store *store, const char *id)
{
	struct upload_entry got = {.touched_at = 77};
	struct error error = {0};

	assert_int_equal(metadata_get_upload(store, id, &got, &error), BW_ABSENT);
	assert_int_equal(error.code, BW_ABSENT);
	assert_true(error.message[0]);
	assert_null(got.repository);
	assert_null(got.state);
	assert_int_equal(got.touched_at, 77);
}

static void an_upload_is_read_back(void **state)
{
	struct metadata_store *store = store_of(state);

	assert_no_upload(store, ID_A);
	create(store, ID_A, "one", 5);
	assert_upload(store, ID_A, 1, "one", 5);
	assert_no_upload(store, ID_B);
}

static void a_revision_begins_at_one_whatever_is_given(void **state)
{
	struct metadata_store *store = store_of(state);
	struct upload_entry entry = upload("one", 5);

	entry.revision = 9;
	assert_int_equal(metadata_create_upload(store, ID_A, &entry, NULL), BW_OK);
	assert_upload(store, ID_A, 1, "one", 5);
}

static void an_id_is_taken_once(void **state)
{
	struct metadata_store *store = store_of(state);
	struct upload_entry other = upload("other", 6);
	struct error error = {0};

	create(store, ID_A, "one", 5);
	assert_int_equal(metadata_create_upload(store, ID_A, &other, &error), BW_CONFLICT);
	assert_int_equal(error.code, BW_CONFLICT);
	assert_upload(store, ID_A, 1, "one", 5);
}

static void an_upload_of_anybody_has_an_empty_caller(void **state)
{
	struct metadata_store *store = store_of(state);
	struct upload_entry entry = upload("", 5);
	struct upload_entry got = {0};

	entry.caller = (char *)"";
	entry.state = NULL;
	assert_int_equal(metadata_create_upload(store, ID_A, &entry, NULL), BW_OK);
	assert_int_equal(metadata_get_upload(store, ID_A, &got, NULL), BW_OK);
	assert_string_equal(got.caller, "");
	assert_int_equal(got.state_length, 0);
	upload_entry_release(&got);
}

static void advancing_needs_the_revision(void **state)
{
	struct metadata_store *store = store_of(state);
	struct upload_entry stale = upload("stale", 9);
	struct error error = {0};

	assert_int_equal(advance(store, ID_A, 1, "none", 9), BW_ABSENT);
	assert_no_upload(store, ID_A);
	create(store, ID_A, "one", 5);
	assert_int_equal(advance(store, ID_A, 0, "wrong", 9), BW_CONFLICT);
	assert_int_equal(advance(store, ID_A, 2, "wrong", 9), BW_CONFLICT);
	assert_upload(store, ID_A, 1, "one", 5);
	assert_int_equal(advance(store, ID_A, 1, "two", 6), BW_OK);
	assert_upload(store, ID_A, 2, "two", 6);
	stale.revision = 1;
	assert_int_equal(metadata_advance_upload(store, ID_A, &stale, &error), BW_CONFLICT);
	assert_int_equal(error.code, BW_CONFLICT);
	assert_int_equal(advance(store, ID_A, 2, "", 7), BW_OK);
	assert_upload(store, ID_A, 3, "", 7);
	assert_int_equal(advance(store, ID_A, (uint64_t)INT64_MAX + 1, "", 7), BW_INVALID);
	assert_upload(store, ID_A, 3, "", 7);
}

/* Whose an upload is, and where, is settled when it begins. */
static void advancing_changes_nothing_else(void **state)
{
	struct metadata_store *store = store_of(state);
	struct upload_entry entry = upload("two", 6);

	create(store, ID_A, "one", 5);
	create(store, ID_B, "bystander", 5);
	entry.revision = 1;
	entry.repository = (char *)"elsewhere";
	entry.caller = (char *)"mallory";
	entry.started_at = 1;
	assert_int_equal(metadata_advance_upload(store, ID_A, &entry, NULL), BW_OK);
	assert_upload(store, ID_A, 2, "two", 6);
	assert_upload(store, ID_B, 1, "bystander", 5);
}

static void an_upload_is_removed_once(void **state)
{
	struct metadata_store *store = store_of(state);
	struct error error = {0};

	create(store, ID_A, "one", 5);
	create(store, ID_B, "two", 5);
	assert_int_equal(metadata_remove_upload(store, ID_A, NULL), BW_OK);
	assert_int_equal(metadata_remove_upload(store, ID_A, &error), BW_ABSENT);
	assert_int_equal(error.code, BW_ABSENT);
	assert_no_upload(store, ID_A);
	assert_int_equal(advance(store, ID_A, 1, "late", 9), BW_ABSENT);
	assert_upload(store, ID_B, 1, "two", 5);
}

static char *any_bytes(size_t length)
{
	char *bytes = xmalloc(length);

	for (size_t i = 0; i < length; i++)
		bytes[i] = (char)(i * 2654435761u >> 13); /* begins with NUL bytes */
	return bytes;
}

static void a_state_is_any_bytes_up_to_the_limit(void **state)
{
	struct metadata_store *store = store_of(state);
	struct upload_entry entry = upload("", 5);
	struct upload_entry got = {0};

	entry.state = any_bytes(UPLOAD_STATE_MAX);
	entry.state_length = UPLOAD_STATE_MAX;
	assert_int_equal(metadata_create_upload(store, ID_A, &entry, NULL), BW_OK);
	assert_int_equal(metadata_get_upload(store, ID_A, &got, NULL), BW_OK);
	assert_int_equal(got.state_length, UPLOAD_STATE_MAX);
	assert_memory_equal(got.state, entry.state, UPLOAD_STATE_MAX);
	upload_entry_release(&got);

	entry.revision = 1;
	entry.state_length = 4; /* NUL bytes alone */
	memset(entry.state, 0, 4);
	assert_int_equal(metadata_advance_upload(store, ID_A, &entry, NULL), BW_OK);
	assert_int_equal(metadata_get_upload(store, ID_A, &got, NULL), BW_OK);
	assert_int_equal(got.state_length, 4);
	assert_memory_equal(got.state, "\0\0\0\0", 4);
	upload_entry_release(&got);
	free(entry.state);
}

static void a_state_over_the_limit_is_refused(void **state)
{
	struct metadata_store *store = store_of(state);
	struct upload_entry entry = upload("", 9);
	struct error error = {0};

	create(store, ID_B, "one", 5);
	entry.state = any_bytes(UPLOAD_STATE_MAX + 1);
	entry.state_length = UPLOAD_STATE_MAX + 1;
	entry.revision = 1;
	assert_int_equal(metadata_create_upload(store, ID_A, &entry, &error), BW_TOO_LARGE);
	assert_true(error.message[0]);
	assert_no_upload(store, ID_A);
	assert_int_equal(metadata_advance_upload(store, ID_B, &entry, NULL), BW_TOO_LARGE);
	assert_upload(store, ID_B, 1, "one", 5);
	free(entry.state);
}

static void long_names_and_odd_callers_are_kept(void **state)
{
	struct metadata_store *store = store_of(state);
	struct upload_entry entry = upload("x", 5);
	struct upload_entry got = {0};

	entry.repository = longest_repository();
	entry.caller = (char *)"o'\"Brien; -- \xc3\xa4\x01%";
	assert_int_equal(metadata_create_upload(store, ID_A, &entry, NULL), BW_OK);
	assert_int_equal(metadata_get_upload(store, ID_A, &got, NULL), BW_OK);
	assert_string_equal(got.repository, entry.repository);
	assert_string_equal(got.caller, entry.caller);
	upload_entry_release(&got);
	free(entry.repository);
}

static void assert_uploads(struct metadata_store *store, int64_t touched_before, unsigned limit,
			   const char *expected)
{
	struct name_list list = {0};

	assert_int_equal(
		metadata_list_uploads(store, touched_before, limit, collect_name, &list, NULL),
		BW_OK);
	assert_string_equal(list.text, expected);
}

static void the_longest_untouched_come_first(void **state)
{
	struct metadata_store *store = store_of(state);
	struct name_list list = {.stop_after = 1};

	assert_uploads(store, INT64_MAX, 10, "");
	create(store, ID_C, "x", 10);
	create(store, ID_A, "x", 20);
	create(store, ID_B, "x", 20);
	assert_uploads(store, INT64_MAX, 10, ID_C " " ID_A " " ID_B " ");
	assert_uploads(store, INT64_MAX, 2, ID_C " " ID_A " ");
	assert_uploads(store, INT64_MAX, 0, "");
	assert_uploads(store, 21, 10, ID_C " " ID_A " " ID_B " ");
	assert_uploads(store, 20, 10, ID_C " ");
	assert_uploads(store, 10, 10, "");
	assert_int_equal(metadata_list_uploads(store, 21, 10, collect_name, &list, NULL), BW_OK);
	assert_string_equal(list.text, ID_C " ");

	assert_int_equal(advance(store, ID_C, 1, "y", 30), BW_OK);
	assert_uploads(store, INT64_MAX, 10, ID_A " " ID_B " " ID_C " ");
	assert_int_equal(metadata_remove_upload(store, ID_A, NULL), BW_OK);
	assert_uploads(store, INT64_MAX, 10, ID_B " " ID_C " ");
}

/* ---- marks ---- */

static void a_mark_is_kept_by_name(void **state)
{
	struct metadata_store *store = store_of(state);
	struct error error = {0};
	int64_t value = 77;

	assert_int_equal(metadata_get_mark(store, "complete", &value, &error), BW_ABSENT);
	assert_true(error.message[0]);
	assert_int_equal(value, 77);
	assert_int_equal(metadata_put_mark(store, "complete", INT64_MIN, NULL), BW_OK);
	assert_int_equal(metadata_put_mark(store, "complet", 3, NULL), BW_OK);
	assert_int_equal(metadata_get_mark(store, "complete", &value, NULL), BW_OK);
	assert_true(value == INT64_MIN);
	assert_int_equal(metadata_put_mark(store, "complete", 0, NULL), BW_OK);
	assert_int_equal(metadata_get_mark(store, "complete", &value, NULL), BW_OK);
	assert_int_equal(value, 0);
	assert_int_equal(metadata_get_mark(store, "complet", &value, NULL), BW_OK);
	assert_int_equal(value, 3);
}

int main(void)
{
	static const struct metadata_case cases[] = {
		METADATA_CASE(an_upload_is_read_back),
		METADATA_CASE(a_revision_begins_at_one_whatever_is_given),
		METADATA_CASE(an_id_is_taken_once),
		METADATA_CASE(an_upload_of_anybody_has_an_empty_caller),
		METADATA_CASE(advancing_needs_the_revision),
		METADATA_CASE(advancing_changes_nothing_else),
		METADATA_CASE(an_upload_is_removed_once),
		METADATA_CASE(a_state_is_any_bytes_up_to_the_limit),
		METADATA_CASE(a_state_over_the_limit_is_refused),
		METADATA_CASE(long_names_and_odd_callers_are_kept),
		METADATA_CASE(the_longest_untouched_come_first),
		METADATA_CASE(a_mark_is_kept_by_name),
	};

	return run_over_metadata_stores("metadata_uploads", cases, array_size(cases));
}
