/*
 * Commits and discards of one upload's parts, against each other and against failures
 * at each of their requests. Whatever happens, what a commit has acknowledged stays
 * whole.
 */
#include "backends/s3/s3_internal.h"
#include "backends/s3/s3_store.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

#define UPLOAD "00112233445566778899aabbccddeeff"
#define KEY "blobs/sha256/ab/abcd"
#define OTHER_KEY "blobs/sha512/cd/cdef"
#define BYTES "the first part and the second"
#define OBJECTS_MAX 64
#define HOUR_MS ((int64_t)3600 * 1000)

struct object {
	char *key; /* NULL: free */
	char *bytes;
	struct s3_head head;
};

enum fault {
	FAULT_NONE,
	FAULT_REFUSED, /* it is not carried out */
	FAULT_LOST, /* it is, and nobody hears of it */
	FAULT_DEAD, /* nor is anything after it */
};

struct bucket {
	struct s3_transport base;
	struct object objects[OBJECTS_MAX];
	int64_t now;
	unsigned requests;
	unsigned at; /* the request at which something happens; 0: none */
	enum fault fault;
	void (*meanwhile)(struct bucket *bucket); /* just before it */
	struct object_store *store;
	struct object_part parts[2];
	enum status other; /* of what went on meanwhile */
};

static struct bucket *bucket_of(struct s3_transport *transport)
{
	return container_of(transport, struct bucket, base);
}

static struct object *find(struct bucket *bucket, const char *key)
{
	for (size_t i = 0; i < OBJECTS_MAX; i++)
		if (bucket->objects[i].key && strcmp(bucket->objects[i].key, key) == 0)
			return &bucket->objects[i];
	return NULL;
}

static void forget(struct object *object)
{
	free(object->key);
	free(object->bytes);
	*object = (struct object){0};
}

/* What becomes of the request that begins now. */
static enum fault next(struct bucket *bucket)
{
	void (*meanwhile)(struct bucket *) = bucket->meanwhile;

	bucket->requests++;
	if (!bucket->at || bucket->requests < bucket->at ||
	    (bucket->requests > bucket->at && bucket->fault != FAULT_DEAD))
		return FAULT_NONE;
	if (meanwhile) {
		unsigned at = bucket->at;

		bucket->at = 0;
		bucket->meanwhile = NULL;
		meanwhile(bucket);
		bucket->at = at;
	}
	return bucket->fault;
}

#define BEGIN(bucket, error) \
	enum fault fault_ = next(bucket); \
	if (fault_ == FAULT_REFUSED || fault_ == FAULT_DEAD) \
		return error_set(error, BW_UNREACHABLE, "no answer");

#define END(status, error) \
	return fault_ == FAULT_LOST ? error_set(error, BW_UNREACHABLE, "lost") : (status)

static enum status bucket_head(struct s3_transport *transport, const char *key,
			       struct s3_head *ret_head, struct error *error)
{
	struct bucket *bucket = bucket_of(transport);
	struct object *object;
	BEGIN(bucket, error)

	object = find(bucket, key);
	if (!object)
		return error_set(error, BW_ABSENT, "%s", key);
	*ret_head = object->head;
	END(BW_OK, error);
}

struct body {
	struct s3_body base;
	char *bytes;
	size_t length;
	size_t at;
};

static enum status body_read(struct s3_body *base, void *target, size_t length,
			     deadline_ms deadline, size_t *ret_length, struct error *error)
{
	struct body *body = container_of(base, struct body, base);

	(void)deadline;
	(void)error;
	if (length > body->length - body->at)
		length = body->length - body->at;
	memcpy(target, body->bytes + body->at, length);
	body->at += length;
	*ret_length = length;
	return BW_OK;
}

static void body_close(struct s3_body *base)
{
	struct body *body = container_of(base, struct body, base);

	free(body->bytes);
	free(body);
}

static enum status bucket_get(struct s3_transport *transport, const struct s3_get *get,
			      struct s3_head *ret_head, struct s3_body **ret_body,
			      struct error *error)
{
	static const struct s3_body_ops ops = {.read = body_read, .close = body_close};
	struct bucket *bucket = bucket_of(transport);
	struct object *object;
	struct body *body;
	BEGIN(bucket, error)

	object = find(bucket, get->key);
	if (!object)
		return error_set(error, BW_ABSENT, "%s", get->key);
	if (fault_ == FAULT_LOST)
		return error_set(error, BW_UNREACHABLE, "lost");
	body = xcalloc(1, sizeof(*body));
	body->base.ops = &ops;
	body->bytes = xstrdup(object->bytes);
	body->length = (size_t)object->head.size;
	body->at = (size_t)get->offset;
	*ret_head = object->head;
	*ret_body = &body->base;
	return BW_OK;
}

static enum status bucket_put(struct s3_transport *transport, const struct s3_put *put,
			      struct error *error)
{
	struct bucket *bucket = bucket_of(transport);
	struct object *object;
	BEGIN(bucket, error)

	object = find(bucket, put->key);
	if (object && put->if_absent)
		return error_set(error, BW_CONFLICT, "%s", put->key);
	for (size_t i = 0; !object && i < OBJECTS_MAX; i++)
		object = bucket->objects[i].key ? NULL : &bucket->objects[i];
	assert_non_null(object);
	forget(object);
	object->key = xstrdup(put->key);
	object->bytes = xstrndup(put->length ? put->bytes : "", put->length);
	object->head = (struct s3_head){.size = put->length,
					.stored_at = bucket->now,
					.is_record = put->is_record,
					.record_size = put->record_size};
	END(BW_OK, error);
}

static enum status bucket_remove(struct s3_transport *transport, const char *const *keys,
				 size_t count, struct error *error)
{
	struct bucket *bucket = bucket_of(transport);
	BEGIN(bucket, error)

	for (size_t i = 0; i < count; i++) {
		struct object *object = find(bucket, keys[i]);

		if (object)
			forget(object);
	}
	END(BW_OK, error);
}

static struct object *after(struct bucket *bucket, const char *prefix, const char *start_after)
{
	struct object *first = NULL;

	for (size_t i = 0; i < OBJECTS_MAX; i++) {
		struct object *object = &bucket->objects[i];

		if (object->key && strncmp(object->key, prefix, strlen(prefix)) == 0 &&
		    strcmp(object->key, start_after) > 0 &&
		    (!first || strcmp(object->key, first->key) < 0))
			first = object;
	}
	return first;
}

static enum status bucket_list(struct s3_transport *transport, const char *prefix,
			       const char *start_after, unsigned max, s3_list_fn fn, void *context,
			       bool *ret_more, struct error *error)
{
	struct bucket *bucket = bucket_of(transport);
	struct object *object;
	bool wanted = true;
	BEGIN(bucket, error)

	(void)max;
	while (wanted && (object = after(bucket, prefix, start_after))) {
		struct s3_entry entry = {object->key, object->head.size, object->head.stored_at};

		start_after = object->key;
		wanted = fn(context, &entry);
	}
	*ret_more = false;
	END(BW_OK, error);
}

static enum status bucket_check(struct s3_transport *transport, struct error *error)
{
	(void)transport;
	(void)error;
	return BW_OK;
}

static void bucket_free(struct s3_transport *transport)
{
	struct bucket *bucket = bucket_of(transport);

	for (size_t i = 0; i < OBJECTS_MAX; i++)
		forget(&bucket->objects[i]);
	free(bucket);
}

/* ---- one upload of two parts ---- */

static struct object_part part_of(struct object_store *store, unsigned number, const char *bytes)
{
	struct object_part part = {0};
	struct part_writer *writer = NULL;

	assert_int_equal(object_part_create(store, UPLOAD, number, &writer, NULL), BW_OK);
	assert_int_equal(object_part_write(writer, bytes, strlen(bytes), NULL), BW_OK);
	assert_int_equal(object_part_finish(writer, &part, NULL), BW_OK);
	return part;
}

static struct bucket *uploaded(void)
{
	static const struct s3_transport_ops ops = {
		.head = bucket_head,
		.get = bucket_get,
		.put = bucket_put,
		.remove = bucket_remove,
		.list = bucket_list,
		.check = bucket_check,
		.free = bucket_free,
	};
	struct bucket *bucket = xcalloc(1, sizeof(*bucket));
	struct s3_layout layout = {0};

	bucket->base = (struct s3_transport){.ops = &ops, .name = "test"};
	bucket->now = 100 * HOUR_MS;
	assert_int_equal(s3_store_over(&bucket->base, &layout, &bucket->store, NULL), BW_OK);
	bucket->parts[0] = part_of(bucket->store, 1, "the first part ");
	bucket->parts[1] = part_of(bucket->store, 2, "and the second");
	part_of(bucket->store, 2, "nobody's");
	bucket->requests = 0;
	return bucket;
}

static enum status commit_as(struct bucket *bucket, const char *key)
{
	return object_parts_commit(bucket->store, UPLOAD, bucket->parts, 2, key, NULL);
}

static bool is_whole(struct bucket *bucket, const char *key)
{
	size_t length = 0;
	char *bytes = NULL;
	enum status status = object_get(bucket->store, key, 1000, &bytes, &length, NULL);
	bool whole = status == BW_OK && strcmp(bytes, BYTES) == 0;

	free(bytes);
	return whole;
}

/* A client repeats its request, and what is left over goes when it is old. */
static void assert_kept_for_good(struct bucket *bucket, bool acknowledged)
{
	bucket->at = 0;
	if (acknowledged)
		assert_true(is_whole(bucket, KEY));
	acknowledged |= commit_as(bucket, KEY) == BW_OK;
	if (acknowledged)
		assert_true(is_whole(bucket, KEY));
	for (int i = 0; i < 2; i++, bucket->now += 2 * HOUR_MS)
		object_parts_discard(bucket->store, UPLOAD, NULL);
	if (acknowledged)
		assert_true(is_whole(bucket, KEY));
}

static unsigned requests_of(enum status (*act)(struct bucket *))
{
	struct bucket *bucket = uploaded();
	unsigned requests;

	assert_int_equal(act(bucket), BW_OK);
	requests = bucket->requests;
	object_store_free(bucket->store);
	assert_in_range(requests, 3, 30);
	return requests;
}

static enum status commit(struct bucket *bucket)
{
	return commit_as(bucket, KEY);
}

static enum status discard(struct bucket *bucket)
{
	return object_parts_discard(bucket->store, UPLOAD, NULL);
}

/* ---- what reading costs ---- */

static void a_record_is_read_with_one_request_and_each_extent_with_one(void **state)
{
	struct bucket *bucket = uploaded();

	(void)state;
	assert_int_equal(commit(bucket), BW_OK);
	bucket->requests = 0;
	assert_true(is_whole(bucket, KEY));
	assert_int_equal(bucket->requests, 3);
	object_store_free(bucket->store);
}

/* ---- failures at each request ---- */

/* `acknowledges`: its BW_OK is what a client counts on. */
static void fail_at_each_request(enum status (*act)(struct bucket *), bool acknowledges)
{
	unsigned requests = requests_of(act);

	for (unsigned at = 1; at <= requests; at++) {
		for (int fault = FAULT_REFUSED; fault <= FAULT_DEAD; fault++) {
			struct bucket *bucket = uploaded();
			enum status status;

			bucket->at = at;
			bucket->fault = (enum fault)fault;
			status = act(bucket);
			assert_kept_for_good(bucket, acknowledges && status == BW_OK);
			object_store_free(bucket->store);
		}
	}
}

static void no_failure_of_a_commit_loses_what_was_acknowledged(void **state)
{
	(void)state;
	fail_at_each_request(commit, true);
}

static void no_failure_of_a_discard_loses_what_was_acknowledged(void **state)
{
	(void)state;
	fail_at_each_request(discard, false);
}

/* ---- two at once ---- */

static void discard_meanwhile(struct bucket *bucket)
{
	bucket->other = discard(bucket);
}

static void commit_meanwhile(struct bucket *bucket)
{
	bucket->other = commit(bucket);
}

static void commit_other_meanwhile(struct bucket *bucket)
{
	bucket->other = commit_as(bucket, OTHER_KEY);
}

static void a_discard_at_any_time_leaves_what_a_commit_acknowledges(void **state)
{
	unsigned requests = requests_of(commit);

	(void)state;
	for (unsigned at = 1; at <= requests; at++) {
		struct bucket *bucket = uploaded();

		bucket->at = at;
		bucket->meanwhile = discard_meanwhile;
		assert_kept_for_good(bucket, commit(bucket) == BW_OK);
		object_store_free(bucket->store);
	}
}

static void a_commit_at_any_time_of_a_discard_is_whole_or_refused(void **state)
{
	unsigned requests = requests_of(discard);

	(void)state;
	for (unsigned at = 1; at <= requests; at++) {
		struct bucket *bucket = uploaded();

		bucket->at = at;
		bucket->meanwhile = commit_meanwhile;
		discard(bucket);
		assert_kept_for_good(bucket, bucket->other == BW_OK);
		object_store_free(bucket->store);
	}
}

static void two_commits_are_one_object(void **state)
{
	unsigned requests = requests_of(commit);

	(void)state;
	for (unsigned at = 1; at <= requests; at++) {
		struct bucket *bucket = uploaded();

		bucket->at = at;
		bucket->meanwhile = commit_meanwhile;
		assert_int_equal(commit(bucket), BW_OK);
		assert_int_equal(bucket->other, BW_OK);
		assert_kept_for_good(bucket, true);
		object_store_free(bucket->store);
	}
}

/* A client that finishes one upload twice, under a digest by each algorithm. */
static void no_two_objects_share_their_bytes(void **state)
{
	unsigned requests = requests_of(commit);

	(void)state;
	for (unsigned at = 1; at <= requests; at++) {
		struct bucket *bucket = uploaded();
		bool acknowledged;

		bucket->at = at;
		bucket->other = BW_ABSENT;
		bucket->meanwhile = commit_other_meanwhile;
		acknowledged = commit(bucket) == BW_OK;
		assert_int_equal(object_remove(bucket->store, OTHER_KEY, NULL), BW_OK);
		assert_true(!acknowledged || is_whole(bucket, KEY));
		object_store_free(bucket->store);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_read_with_one_request_and_each_extent_with_one),
		cmocka_unit_test(no_failure_of_a_commit_loses_what_was_acknowledged),
		cmocka_unit_test(no_failure_of_a_discard_loses_what_was_acknowledged),
		cmocka_unit_test(a_discard_at_any_time_leaves_what_a_commit_acknowledges),
		cmocka_unit_test(a_commit_at_any_time_of_a_discard_is_whole_or_refused),
		cmocka_unit_test(two_commits_are_one_object),
		cmocka_unit_test(no_two_objects_share_their_bytes),
	};

	return cmocka_run_group_tests_name("s3_commit", tests, NULL, NULL);
}
