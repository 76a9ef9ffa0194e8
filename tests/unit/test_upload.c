/*
 * Uploads as a client sees them: where it may go on, what is refused, what is left.
 */
#include "server/base/buf.h"
#include "server/registry/upload_handle.h"
#include "server/registry/upload_receive.h"
#include "tests/support/push_world.h"

static struct push_world *push;
static struct upload_status at; /* where the upload is, as the client knows it */
static struct api_failure failure;

static int make(void **state)
{
	(void)state;
	push = push_world_new(CHECK_BLOBS);
	return 0;
}

static int forget(void **state)
{
	(void)state;
	push_world_free(push);
	return 0;
}

static struct upload_handle handle_of(const struct upload_status *status)
{
	return (struct upload_handle){.id = status->id, .token = status->token, .caller = ""};
}

static void begin(const char *algorithm)
{
	assert_true(
		registry_begin_upload(push->registry, &push->target, "", algorithm, &at, &failure));
	assert_int_equal(at.offset, 0);
}

static bool append_body(const struct upload_status *from, const struct chunk_range *range,
			struct request_body *body, struct upload_status *ret_status)
{
	struct upload_status known = *from;
	struct upload_handle handle = handle_of(&known);

	failure = (struct api_failure){0};
	return registry_append_upload(push->registry, &push->target, &handle, range, body,
				      ret_status, &failure);
}

static bool append(const char *bytes, size_t length)
{
	struct text_body text;
	struct upload_status next;
	bool appended = append_body(&at, NULL, text_body(&text, bytes, length), &next);

	if (appended)
		at = next;
	return appended;
}

static bool finish_body(struct registry *registry, const struct upload_status *from,
			const char *digest, struct request_body *body)
{
	struct upload_handle handle = handle_of(from);
	struct upload_status next;

	failure = (struct api_failure){0};
	return registry_finish_upload(registry, &push->target, &handle, digest, NULL, body, &next,
				      &failure);
}

static bool finish(const struct digest *digest, const char *bytes, size_t length)
{
	char text[DIGEST_TEXT_SIZE];
	struct text_body body;

	digest_format(digest, text);
	return finish_body(push->registry, &at, text, text_body(&body, bytes, length));
}

static bool get(const struct upload_status *from, struct upload_status *ret_status)
{
	struct upload_handle handle = handle_of(from);

	failure = (struct api_failure){0};
	return registry_get_upload(push->other, &push->target, &handle, ret_status, &failure);
}

static void assert_failed(int http_status, enum api_code code)
{
	assert_int_equal(failure.http_status, http_status);
	assert_string_equal(api_code_name(failure.code), api_code_name(code));
	assert_string_not_equal(failure.message, "");
}

static void assert_unknown(void)
{
	assert_failed(404, API_BLOB_UPLOAD_UNKNOWN);
}

static void assert_nothing_left(void)
{
	assert_int_equal(uploads_with_parts(push), 0);
	assert_int_equal(upload_rows(push), 0);
}

/* ---- the usual ways ---- */

static void chunks_become_the_blob(void **state)
{
	struct digest digest;
	char *bytes = some_bytes(700000, 1, &digest);
	struct upload_status seen;

	(void)state;
	begin(NULL);
	assert_true(append(bytes, 300000));
	assert_int_equal(at.offset, 300000);
	assert_true(append(bytes + 300000, 1));
	assert_true(get(&at, &seen));
	assert_int_equal(seen.offset, 300001);
	assert_string_equal(seen.token, at.token);
	assert_false(blob_reads_like(push->registry, &push->target, &digest, bytes, 700000));
	assert_true(finish(&digest, bytes + 300001, 399999));
	assert_true(blob_reads_like(push->registry, &push->target, &digest, bytes, 700000));
	assert_true(blob_reads_like(push->other, &push->target, &digest, bytes, 700000));
	assert_false(blob_reads_like(push->registry, &push->elsewhere, &digest, bytes, 700000));
	assert_nothing_left();
	free(bytes);
}

static void the_last_put_may_be_empty(void **state)
{
	struct digest digest;
	char *bytes = some_bytes(100, 2, &digest);

	(void)state;
	begin("sha256");
	assert_true(append(bytes, 100));
	assert_true(finish(&digest, "", 0));
	assert_true(blob_reads_like(push->registry, &push->target, &digest, bytes, 100));
	assert_nothing_left();
	free(bytes);
}

static void the_whole_blob_may_come_with_put(void **state)
{
	struct digest digest;
	char *bytes = some_bytes(262144 * 2, 3, &digest);

	(void)state;
	begin(NULL);
	assert_true(finish(&digest, bytes, 262144 * 2));
	assert_true(blob_reads_like(push->registry, &push->target, &digest, bytes, 262144 * 2));
	assert_nothing_left();
	free(bytes);
}

static void nothing_at_all_is_a_blob_too(void **state)
{
	struct digest digest;

	(void)state;
	free(some_bytes(0, 1, &digest));
	begin(NULL);
	assert_true(append("", 0));
	assert_int_equal(at.offset, 0);
	assert_true(finish(&digest, "", 0));
	assert_true(blob_reads_like(push->registry, &push->target, &digest, "", 0));
	assert_nothing_left();
}

static void sha512_with_and_without_saying_so(void **state)
{
	static const char *const said[] = {"sha512", "sha256", NULL};
	struct digest digest;
	char *bytes = some_bytes(1000000, 4, &digest);

	(void)state;
	for (size_t i = 0; i < array_size(said); i++) {
		size_t length = 900000 + i;

		digest_of(DIGEST_SHA512, bytes, length, &digest);
		begin(said[i]);
		assert_true(append(bytes, 500000));
		assert_true(append(bytes + 500000, 7));
		assert_true(finish(&digest, bytes + 500007, length - 500007));
		assert_true(blob_reads_like(push->registry, &push->target, &digest, bytes, length));
		assert_nothing_left();
	}
	free(bytes);
}

static void an_unknown_algorithm_is_refused(void **state)
{
	(void)state;
	assert_false(
		registry_begin_upload(push->registry, &push->target, "", "md5", &at, &failure));
	assert_failed(400, API_DIGEST_INVALID);
	assert_nothing_left();
}

static void cancelled_is_gone(void **state)
{
	struct upload_handle handle;
	struct upload_status seen;
	struct digest digest;
	char *bytes = some_bytes(100, 5, &digest);

	(void)state;
	begin(NULL);
	assert_true(append(bytes, 100));
	handle = handle_of(&at);
	assert_true(registry_cancel_upload(push->registry, &push->target, &handle, &failure));
	assert_nothing_left();
	assert_false(get(&at, &seen));
	assert_unknown();
	assert_false(append(bytes, 1));
	assert_unknown();
	assert_false(finish(&digest, "", 0));
	assert_unknown();
	assert_false(registry_cancel_upload(push->registry, &push->target, &handle, &failure));
	assert_unknown();
	free(bytes);
}

/* ---- digests ---- */

static void a_wrong_digest_leaves_nothing(void **state)
{
	struct digest digest, wrong;
	char *bytes = some_bytes(100, 6, &digest);

	(void)state;
	free(some_bytes(101, 6, &wrong));
	for (unsigned with_last = 0; with_last < 2; with_last++) {
		begin(NULL);
		assert_true(append(bytes, 60));
		assert_false(finish(&wrong, bytes + 60, with_last ? 40 : 0));
		assert_failed(400, API_DIGEST_INVALID);
		assert_nothing_left();
		assert_false(finish(&digest, bytes + 60, 40));
		assert_unknown();
	}
	assert_false(blob_reads_like(push->registry, &push->target, &digest, bytes, 100));
	assert_false(blob_reads_like(push->registry, &push->target, &wrong, bytes, 100));
	free(bytes);
}

/* What is no digest was no attempt: the upload is where it was. */
static void what_is_no_digest_ends_nothing(void **state)
{
	static const char *const odd[] = {"", "sha256:", "sha256:AB", "md5:00", "x"};
	struct digest digest;
	char *bytes = some_bytes(10, 7, &digest);

	(void)state;
	begin(NULL);
	for (size_t i = 0; i < array_size(odd); i++) {
		struct text_body body;

		assert_false(finish_body(push->registry, &at, odd[i], text_body(&body, bytes, 10)));
		assert_failed(400, API_DIGEST_INVALID);
	}
	assert_true(finish(&digest, bytes, 10));
	free(bytes);
}

/* A proxy, or a client below the level of uploads, repeats a PUT whose answer was
 * lost. */
static void a_put_whose_answer_was_lost_may_be_repeated(void **state)
{
	struct digest digest, other;
	char *bytes = some_bytes(100, 8, &digest);
	struct text_body body;
	char text[DIGEST_TEXT_SIZE];

	(void)state;
	free(some_bytes(100, 9, &other));
	begin(NULL);
	assert_true(finish(&digest, bytes, 100));
	digest_format(&digest, text);
	assert_true(finish_body(push->other, &at, text, text_body(&body, bytes, 100)));
	assert_int_equal(body.offset, 100); /* who still sends would not hear us */
	assert_nothing_left();
	assert_false(finish(&other, bytes, 100));
	assert_unknown();
	free(bytes);
}

/* ---- handles ---- */

static void a_handle_opens_one_session_to_one_caller(void **state)
{
	struct upload_status seen, forged;
	struct upload_handle handle;

	(void)state;
	begin(NULL);
	handle = handle_of(&at);
	handle.caller = "mallory";
	assert_false(registry_get_upload(push->registry, &push->target, &handle, &seen, &failure));
	assert_unknown();
	handle.caller = "";
	assert_false(
		registry_get_upload(push->registry, &push->elsewhere, &handle, &seen, &failure));
	assert_unknown();
	handle.token = NULL;
	assert_false(registry_get_upload(push->registry, &push->target, &handle, &seen, &failure));
	assert_unknown();
	handle.id = "../x";
	handle.token = at.token;
	assert_false(registry_get_upload(push->registry, &push->target, &handle, &seen, &failure));
	assert_unknown();
	forged = at;
	forged.token[strlen(forged.token) - 1] ^= 1;
	assert_false(get(&forged, &seen));
	assert_unknown();
	assert_false(append_body(&forged, NULL, &(struct request_body){0}, &seen));
	assert_unknown();
	assert_string_equal(seen.id, "");
	assert_true(get(&at, &seen));
}

static void an_earlier_handle_asks_but_does_not_write(void **state)
{
	struct upload_status earlier, seen;
	struct text_body body;
	struct digest digest;
	char *bytes = some_bytes(100, 10, &digest);
	char text[DIGEST_TEXT_SIZE];

	(void)state;
	digest_format(&digest, text);
	begin(NULL);
	earlier = at;
	assert_true(append(bytes, 60));
	assert_true(get(&earlier, &seen));
	assert_int_equal(seen.offset, 60);
	assert_false(append_body(&earlier, NULL, text_body(&body, bytes, 60), &seen));
	assert_failed(416, API_RANGE_INVALID);
	assert_int_equal(body.offset, 0);
	assert_string_equal(seen.id, at.id);
	assert_string_equal(seen.token, at.token);
	assert_int_equal(seen.offset, 60);
	assert_false(finish_body(push->registry, &earlier, text, text_body(&body, bytes, 100)));
	assert_failed(416, API_RANGE_INVALID);
	assert_false(finish_body(push->registry, &earlier, text, text_body(&body, "", 0)));
	assert_failed(416, API_RANGE_INVALID);
	assert_true(finish(&digest, bytes + 60, 40));
	free(bytes);
}

/* ---- ranges ---- */

static bool append_range(const char *bytes, size_t length, uint64_t first, uint64_t last,
			 bool has_length, struct upload_status *ret_status)
{
	const struct chunk_range range = {first, last};
	struct text_body body;

	text_body(&body, bytes, length)->has_length = has_length;
	return append_body(&at, &range, &body.body, ret_status);
}

static void a_chunk_goes_where_the_upload_is(void **state)
{
	struct upload_status seen;
	struct digest digest;
	char *bytes = some_bytes(100, 11, &digest);

	(void)state;
	begin(NULL);
	assert_true(append_range(bytes, 50, 0, 49, true, &at));
	assert_false(append_range(bytes, 50, 0, 49, true, &seen));
	assert_failed(416, API_RANGE_INVALID);
	assert_int_equal(seen.offset, 50);
	assert_false(append_range(bytes, 50, 51, 100, true, &seen));
	assert_failed(416, API_RANGE_INVALID);
	assert_false(append_range(bytes, 50, UINT64_MAX, UINT64_MAX, true, &seen));
	assert_failed(416, API_RANGE_INVALID);
	assert_true(append_range(bytes + 50, 50, 50, 99, false, &at));
	assert_int_equal(at.offset, 100);
	assert_true(finish(&digest, "", 0));
	free(bytes);
}

static void a_range_and_its_body_agree(void **state)
{
	struct upload_status seen;
	struct digest digest;
	char *bytes = some_bytes(100, 12, &digest);

	(void)state;
	begin(NULL);
	assert_false(append_range(bytes, 50, 0, 50, true, &seen));
	assert_failed(400, API_SIZE_INVALID);
	assert_false(append_range(bytes, 50, 0, 48, true, &seen));
	assert_failed(400, API_SIZE_INVALID);
	/* found out while reading, of a chunked body */
	assert_false(append_range(bytes, 50, 0, 50, false, &seen));
	assert_failed(400, API_SIZE_INVALID);
	assert_false(append_range(bytes, 50, 0, 48, false, &seen));
	assert_failed(400, API_SIZE_INVALID);
	assert_false(append_range(bytes, 0, 0, UINT64_MAX, false, &seen));
	assert_failed(400, API_SIZE_INVALID);
	assert_int_equal(uploads_with_parts(push), 0);
	assert_true(get(&at, &seen));
	assert_int_equal(seen.offset, 0);
	assert_true(finish(&digest, bytes, 100));
	free(bytes);
}

/* ---- how many, how small ---- */

#define MIN ((size_t)100000)
#define SMALL (UPLOAD_TAIL_MAX + 1)

/* For a store where every part but the last has a size at least. */
static void a_small_part_is_the_last_one(void **state)
{
	struct object_store *objects = push->world->objects;
	const struct object_store_ops *ops = objects->ops;
	struct object_store_ops choosy = *ops;
	struct text_body body;
	struct upload_status seen;
	struct digest digest;
	char *bytes = some_bytes(2 * MIN + SMALL, 18, &digest);

	(void)state;
	choosy.part_min_size = MIN;
	objects->ops = &choosy;
	begin(NULL);
	assert_int_equal(at.min_chunk, MIN);
	/* a torn one that is too small is not kept: nothing could come after it */
	text_body(&body, bytes, MIN);
	body.breaks_at = MIN - 1;
	body.breaks_with = BW_CANCELLED;
	assert_false(append_body(&at, NULL, &body.body, &seen));
	assert_true(get(&at, &seen));
	assert_int_equal(seen.offset, 0);
	assert_true(append(bytes, MIN));
	assert_true(append(bytes + MIN, SMALL));
	/* neither as a part nor as a tail, which would have to be one in the end */
	assert_false(append(bytes + MIN + SMALL, 1));
	assert_failed(400, API_BLOB_UPLOAD_INVALID);
	assert_non_null(strstr(failure.message, "OCI-Chunk-Min-Length"));
	assert_false(append(bytes + MIN + SMALL, MIN));
	assert_failed(400, API_BLOB_UPLOAD_INVALID);
	assert_true(append("", 0));
	digest_of(DIGEST_SHA256, bytes, MIN + SMALL, &digest);
	assert_true(finish(&digest, "", 0));
	assert_true(blob_reads_like(push->registry, &push->target, &digest, bytes, MIN + SMALL));
	objects->ops = ops;
	free(bytes);
}

/* ---- what is too little for a part ---- */

static size_t row_length(void)
{
	struct upload_entry entry;
	size_t length;

	assert_int_equal(metadata_get_upload(push->world->metadata, at.id, &entry, NULL), BW_OK);
	length = entry.state_length;
	upload_entry_release(&entry);
	return length;
}

static void few_bytes_cost_no_part(void **state)
{
	struct digest digest;
	char *bytes = some_bytes(UPLOAD_TAIL_MAX, 19, &digest);

	(void)state;
	make_fail(&push->world->object_faults, "part_create", BW_IO);
	begin(NULL);
	for (size_t i = 0; i < 10; i++)
		assert_true(append(bytes + i, 1));
	assert_true(append(bytes + 10, UPLOAD_TAIL_MAX - 10));
	assert_int_equal(uploads_with_parts(push), 0);
	assert_true(row_length() < UPLOAD_TAIL_MAX + 256);
	assert_true(finish(&digest, "", 0));
	assert_true(blob_reads_like(push->other, &push->target, &digest, bytes, UPLOAD_TAIL_MAX));
	assert_nothing_left();
	free(bytes);
}

/* Chunks of a few bytes come together in parts that are worth it. */
static void tiny_chunks_become_large_parts(void **state)
{
	const size_t length = 5 * UPLOAD_TAIL_MAX, chunk = 1000;
	struct upload_state parsed;
	struct upload_entry entry;
	struct digest digest;
	char *bytes = some_bytes(length, 20, &digest);

	(void)state;
	begin(NULL);
	for (size_t done = 0; done + chunk <= length; done += chunk)
		assert_true(append(bytes + done, chunk));
	assert_int_equal(metadata_get_upload(push->world->metadata, at.id, &entry, NULL), BW_OK);
	assert_int_equal(upload_state_parse(entry.state, entry.state_length, &parsed, NULL), BW_OK);
	assert_true(parsed.part_count >= 3 && parsed.part_count <= 5);
	for (size_t i = 0; i < parsed.part_count; i++)
		assert_true(parsed.parts[i].size > UPLOAD_TAIL_MAX);
	upload_state_release(&parsed);
	upload_entry_release(&entry);
	assert_true(finish(&digest, bytes + at.offset, length - at.offset));
	assert_true(blob_reads_like(push->other, &push->target, &digest, bytes, length));
	assert_nothing_left();
	free(bytes);
}

/* Around every size at which bytes go another way: tail, held, part, written under
 * their digest; with a tail before them or not, in one chunk or the last PUT. */
static void no_size_makes_a_difference(void **state)
{
	static const size_t sizes[] = {1,
				       UPLOAD_TAIL_MAX - 1,
				       UPLOAD_TAIL_MAX,
				       UPLOAD_TAIL_MAX + 1,
				       RECEIVE_HELD_MAX - 1,
				       RECEIVE_HELD_MAX,
				       RECEIVE_HELD_MAX + 1,
				       2 * RECEIVE_HELD_MAX};
	static const char *const said[] = {"sha256", "sha512"};
	struct digest digest;
	char *bytes = some_bytes(5 * RECEIVE_HELD_MAX, 21, &digest);

	(void)state;
	for (size_t i = 0; i < 4 * array_size(sizes) * array_size(sizes); i++) {
		size_t first = i & 1 ? sizes[i / 4 % array_size(sizes)] : 0;
		size_t second = i & 2 ? sizes[i / 4 / array_size(sizes)] : 0;

		begin(said[i % 3 == 0]);
		assert_true(append(bytes, first));
		assert_true(append(bytes + first, second));
		assert_int_equal(at.offset, first + second);
		digest_of(DIGEST_SHA256, bytes, first + second + i, &digest);
		assert_true(finish(&digest, bytes + first + second, i));
		assert_true(blob_reads_like(push->other, &push->target, &digest, bytes,
					    first + second + i));
		assert_nothing_left();
	}
	free(bytes);
}

/* All that came is told to be there, and may be gone on from, by any process. */
static void a_torn_tail_is_kept(void **state)
{
	struct upload_status seen;
	struct text_body body;
	struct digest digest;
	char *bytes = some_bytes(200, 22, &digest);

	(void)state;
	begin(NULL);
	assert_true(append(bytes, 50));
	text_body(&body, bytes + 50, 150);
	body.breaks_at = 60;
	body.breaks_with = BW_CANCELLED;
	assert_false(append_body(&at, NULL, &body.body, &seen));
	assert_true(get(&at, &at));
	assert_int_equal(at.offset, 110);
	text_body(&body, bytes + 110, 90);
	body.breaks_at = 0;
	body.breaks_with = BW_CANCELLED;
	assert_false(append_body(&at, NULL, &body.body, &seen));
	assert_true(get(&at, &at));
	assert_int_equal(at.offset, 110);
	assert_true(finish(&digest, bytes + 110, 90));
	assert_true(blob_reads_like(push->other, &push->target, &digest, bytes, 200));
	assert_nothing_left();
	free(bytes);
}

/* An upload of so many chunks, without sending them. */
static void pretend_chunks(unsigned count)
{
	struct buf text = BUF_INIT(UPLOAD_STATE_MAX);
	struct upload_binding binding;
	struct upload_entry entry;
	struct upload_state parsed;
	struct object_part part = {.size = 1, .name = "1-x"};
	struct hasher hasher;

	assert_int_equal(metadata_get_upload(push->world->metadata, at.id, &entry, NULL), BW_OK);
	assert_int_equal(upload_state_parse(entry.state, entry.state_length, &parsed, NULL), BW_OK);
	hasher = parsed.hasher;
	for (unsigned i = 0; i < count; i++) {
		hasher_update(&hasher, "x", 1);
		upload_state_append(&parsed, &part, &hasher);
	}
	upload_state_write(&parsed, &text);
	free(entry.state);
	entry.state = buf_detach(&text, &entry.state_length);
	assert_int_equal(metadata_advance_upload(push->world->metadata, at.id, &entry, NULL),
			 BW_OK);
	binding = (struct upload_binding){parsed.secret, at.id, entry.repository, ""};
	at.offset = count;
	upload_token_make(&binding, count, at.token);
	upload_state_release(&parsed);
	upload_entry_release(&entry);
}

static void chunks_are_not_without_number(void **state)
{
	char *bytes = some_bytes(SMALL, 23, &(struct digest){0});

	(void)state;
	begin(NULL);
	pretend_chunks(UPLOAD_PARTS_MAX - 1);
	assert_true(append("y", 1));
	assert_true(append(bytes, SMALL));
	assert_false(append("y", 1));
	assert_failed(400, API_BLOB_UPLOAD_INVALID);
	assert_non_null(strstr(failure.message, "10000"));
	assert_true(append("", 0));
	free(bytes);
}

/* ---- clients that go away ---- */

static void what_came_before_the_client_left_is_kept(void **state)
{
	struct upload_status seen;
	struct text_body body;
	struct digest digest;
	char *bytes = some_bytes(600000, 13, &digest);

	(void)state;
	begin(NULL);
	text_body(&body, bytes, 600000);
	body.breaks_at = 400000;
	body.breaks_with = BW_CANCELLED;
	body.piece = 1000;
	assert_false(append_body(&at, NULL, &body.body, &seen));
	assert_int_equal(failure.http_status, 408);
	assert_true(get(&at, &at));
	assert_int_equal(at.offset, 400000);
	assert_true(append(bytes + 400000, 100000));
	assert_true(finish(&digest, bytes + 500000, 100000));
	assert_true(blob_reads_like(push->registry, &push->target, &digest, bytes, 600000));
	free(bytes);
}

static void a_torn_put_may_be_repeated_as_it_was(void **state)
{
	struct text_body body;
	struct digest digest;
	char *bytes = some_bytes(600000, 14, &digest);
	char text[DIGEST_TEXT_SIZE];

	(void)state;
	digest_format(&digest, text);
	begin(NULL);
	assert_true(append(bytes, 1000));
	text_body(&body, bytes + 1000, 599000);
	body.breaks_at = 400000;
	body.breaks_with = BW_CANCELLED;
	assert_false(finish_body(push->registry, &at, text, &body.body));
	assert_int_equal(failure.http_status, 408);
	assert_true(finish(&digest, bytes + 1000, 599000));
	assert_true(blob_reads_like(push->registry, &push->target, &digest, bytes, 600000));
	assert_nothing_left();
	free(bytes);
}

static void a_malformed_body_leaves_the_upload_where_it_was(void **state)
{
	struct upload_status seen;
	struct text_body body;
	struct digest digest;
	char *bytes = some_bytes(600000, 15, &digest);

	(void)state;
	begin(NULL);
	text_body(&body, bytes, 600000);
	body.breaks_at = 400000;
	body.breaks_with = BW_INVALID;
	assert_false(append_body(&at, NULL, &body.body, &seen));
	assert_failed(400, API_BLOB_UPLOAD_INVALID);
	assert_int_equal(uploads_with_parts(push), 0);
	assert_true(get(&at, &seen));
	assert_int_equal(seen.offset, 0);
	free(bytes);
}

/* ---- two at once ---- */

struct rival {
	struct upload_status at;
	const char *bytes;
	size_t length;
	bool appended;
};

static void rival_appends(void *context)
{
	struct rival *rival = context;
	struct upload_status known = rival->at;
	struct upload_handle handle = handle_of(&known);
	struct api_failure ignored;
	struct text_body body;

	rival->appended = registry_append_upload(push->other, &push->target, &handle, NULL,
						 text_body(&body, rival->bytes, rival->length),
						 &rival->at, &ignored);
}

static void rival_cancels(void *context)
{
	struct rival *rival = context;
	struct upload_handle handle = handle_of(&rival->at);
	struct api_failure ignored;

	assert_true(registry_cancel_upload(push->other, &push->target, &handle, &ignored));
}

static void of_two_appends(size_t rivals, size_t ours)
{
	struct upload_status seen;
	struct rival rival;
	struct text_body body;
	struct digest digest, unused;
	size_t length = rivals + 70;
	char *bytes = some_bytes(length, 16, &digest);
	char *others = some_bytes(ours, 24, &unused);

	begin(NULL);
	rival = (struct rival){.at = at, .bytes = bytes, .length = rivals};
	text_body(&body, others, ours);
	body.before = rival_appends;
	body.context = &rival;
	assert_false(append_body(&at, NULL, &body.body, &seen));
	assert_failed(416, API_RANGE_INVALID);
	assert_true(rival.appended);
	assert_int_equal(seen.offset, rivals);
	assert_string_equal(seen.token, rival.at.token);
	at = seen;
	assert_true(finish(&digest, bytes + rivals, 70));
	assert_true(blob_reads_like(push->registry, &push->target, &digest, bytes, length));
	assert_nothing_left();
	free(bytes);
	free(others);
}

static void of_two_appends_at_one_place_one_gets_through(void **state)
{
	(void)state;
	of_two_appends(30, 28);
	of_two_appends(30, 2 * UPLOAD_TAIL_MAX);
	of_two_appends(2 * UPLOAD_TAIL_MAX, 28);
	of_two_appends(2 * UPLOAD_TAIL_MAX, 2 * UPLOAD_TAIL_MAX);
}

static void an_append_to_what_is_cancelled_meanwhile_leaves_nothing(void **state)
{
	struct upload_status seen;
	struct rival rival;
	struct text_body body;

	(void)state;
	begin(NULL);
	rival = (struct rival){.at = at};
	text_body(&body, "bytes", 5);
	body.before = rival_cancels;
	body.context = &rival;
	assert_false(append_body(&at, NULL, &body.body, &seen));
	assert_unknown();
	assert_nothing_left();
}

/* ---- single POST ---- */

static void one_post_is_enough(void **state)
{
	struct digest digest, wrong;
	char *bytes = some_bytes(300000, 17, &digest);
	struct text_body body;
	char text[DIGEST_TEXT_SIZE];

	(void)state;
	push_bytes(push, &push->target, bytes, 300000, &digest);
	assert_true(blob_reads_like(push->registry, &push->target, &digest, bytes, 300000));
	/* there already, and yet the bytes are looked at */
	free(some_bytes(5, 1, &wrong));
	digest_format(&digest, text);
	assert_false(registry_push_blob(push->registry, &push->target, text,
					text_body(&body, bytes, 299999), &failure));
	assert_failed(400, API_DIGEST_INVALID);
	digest_format(&wrong, text);
	assert_false(registry_push_blob(push->registry, &push->target, text,
					text_body(&body, bytes, 300000), &failure));
	assert_failed(400, API_DIGEST_INVALID);
	assert_false(blob_reads_like(push->registry, &push->target, &wrong, bytes, 5));
	text_body(&body, bytes, 300000);
	body.breaks_at = 299999;
	body.breaks_with = BW_CANCELLED;
	digest_format(&digest, text);
	assert_false(registry_push_blob(push->registry, &push->target, text, &body.body, &failure));
	assert_int_equal(failure.http_status, 408);
	assert_nothing_left();
	digest_of(DIGEST_SHA512, bytes, 300000, &digest);
	push_bytes(push, &push->target, bytes, 300000, &digest);
	assert_true(blob_reads_like(push->registry, &push->target, &digest, bytes, 300000));
	free(some_bytes(0, 1, &digest));
	push_bytes(push, &push->target, "", 0, &digest);
	assert_true(blob_reads_like(push->registry, &push->target, &digest, "", 0));
	assert_nothing_left();
	free(bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(chunks_become_the_blob),
		TEST(the_last_put_may_be_empty),
		TEST(the_whole_blob_may_come_with_put),
		TEST(nothing_at_all_is_a_blob_too),
		TEST(sha512_with_and_without_saying_so),
		TEST(an_unknown_algorithm_is_refused),
		TEST(cancelled_is_gone),
		TEST(a_wrong_digest_leaves_nothing),
		TEST(what_is_no_digest_ends_nothing),
		TEST(a_put_whose_answer_was_lost_may_be_repeated),
		TEST(a_handle_opens_one_session_to_one_caller),
		TEST(an_earlier_handle_asks_but_does_not_write),
		TEST(a_chunk_goes_where_the_upload_is),
		TEST(a_range_and_its_body_agree),
		TEST(a_small_part_is_the_last_one),
		TEST(few_bytes_cost_no_part),
		TEST(tiny_chunks_become_large_parts),
		TEST(no_size_makes_a_difference),
		TEST(a_torn_tail_is_kept),
		TEST(chunks_are_not_without_number),
		TEST(what_came_before_the_client_left_is_kept),
		TEST(a_torn_put_may_be_repeated_as_it_was),
		TEST(a_malformed_body_leaves_the_upload_where_it_was),
		TEST(of_two_appends_at_one_place_one_gets_through),
		TEST(an_append_to_what_is_cancelled_meanwhile_leaves_nothing),
		TEST(one_post_is_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
