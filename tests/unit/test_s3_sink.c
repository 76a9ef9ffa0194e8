/* Large objects, over a transport that keeps parts and lies about the end. */
#include "backends/s3/s3_internal.h"
#include "backends/s3/s3_store.h"
#include "tests/support/support.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PART ((size_t)5 << 20)

struct liar {
	struct s3_transport base;
	atomic_uint sent; /* parts */
	atomic_uint sending; /* now */
	atomic_uint most; /* at once */
	_Atomic uint64_t bytes; /* of all parts */
	unsigned completes;
	unsigned aborts;
	unsigned swallow; /* so many Completes say 200 and store nothing */
	bool loses_answer; /* Complete stores it, and fails */
	unsigned fail_part; /* 0: none */
	uint64_t stored; /* 0: not there */
	uint64_t short_by;
};

static struct liar *liar(struct s3_transport *transport)
{
	return container_of(transport, struct liar, base);
}

static enum status liar_check(struct s3_transport *transport, struct error *error)
{
	(void)transport;
	(void)error;
	return BW_OK;
}

static enum status liar_put(struct s3_transport *transport, const struct s3_put *put_,
			    struct error *error)
{
	(void)transport;
	(void)put_;
	(void)error;
	return BW_OK;
}

static enum status liar_remove(struct s3_transport *transport, const char *const *keys,
			       size_t count, struct error *error)
{
	(void)transport;
	(void)keys;
	(void)count;
	(void)error;
	return BW_OK;
}

static enum status liar_head(struct s3_transport *transport, const char *key,
			     struct s3_head *ret_head, struct error *error)
{
	if (!liar(transport)->stored)
		return error_set(error, BW_ABSENT, "%s is not there", key);
	*ret_head = (struct s3_head){.size = liar(transport)->stored};
	return BW_OK;
}

static enum status liar_create(struct s3_transport *transport, const char *key,
			       char ret_upload_id[S3_UPLOAD_ID_MAX], struct error *error)
{
	(void)transport;
	(void)key;
	(void)error;
	memcpy(ret_upload_id, "u", 2);
	return BW_OK;
}

static enum status liar_send(struct s3_transport *transport, const char *key, const char *upload_id,
			     unsigned number, const void *bytes, size_t length,
			     char ret_etag[S3_ETAG_MAX], struct error *error)
{
	struct liar *self = liar(transport);
	unsigned now = atomic_fetch_add(&self->sending, 1) + 1;
	unsigned most = atomic_load(&self->most);

	(void)key;
	(void)upload_id;
	(void)bytes;
	while (now > most && !atomic_compare_exchange_weak(&self->most, &most, now))
		;
	atomic_fetch_add(&self->bytes, length);
	atomic_fetch_add(&self->sent, 1);
	atomic_fetch_sub(&self->sending, 1);
	if (number == self->fail_part)
		return error_set(error, BW_UNREACHABLE, "part %u was lost", number);
	snprintf(ret_etag, S3_ETAG_MAX, "\"%u\"", number);
	return BW_OK;
}

static enum status liar_complete(struct s3_transport *transport, const char *key,
				 const char *upload_id, const char (*etags)[S3_ETAG_MAX],
				 size_t count, struct error *error)
{
	struct liar *self = liar(transport);

	(void)key;
	(void)upload_id;
	for (size_t i = 0; i < count; i++) {
		char etag[S3_ETAG_MAX];

		snprintf(etag, sizeof(etag), "\"%zu\"", i + 1);
		assert_string_equal(etags[i], etag);
	}
	if (self->completes++ >= self->swallow)
		self->stored = self->bytes - self->short_by;
	return self->loses_answer ? error_set(error, BW_UNREACHABLE, "the answer was lost") : BW_OK;
}

static enum status liar_abort(struct s3_transport *transport, const char *key,
			      const char *upload_id, struct error *error)
{
	(void)key;
	(void)upload_id;
	(void)error;
	liar(transport)->aborts++;
	return BW_OK;
}

static void liar_free(struct s3_transport *transport)
{
	(void)transport;
}

static const struct s3_transport_ops liar_ops = {
	.head = liar_head,
	.put = liar_put,
	.remove = liar_remove,
	.check = liar_check,
	.multipart_create = liar_create,
	.multipart_send = liar_send,
	.multipart_complete = liar_complete,
	.multipart_abort = liar_abort,
	.free = liar_free,
};

static enum status write_parts(struct liar *transport, const char *key, unsigned parts,
			       struct error *error)
{
	struct s3_layout layout = {.part_size = PART, .parts_in_flight = 3};
	struct object_store *store = NULL;
	struct object_writer *writer = NULL;
	char *bytes = xcalloc(1, PART);
	enum status status = BW_OK;

	transport->base.ops = &liar_ops;
	assert_int_equal(s3_store_over(&transport->base, &layout, &store, NULL), BW_OK);
	assert_int_equal(object_create(store, key, &writer, NULL), BW_OK);
	for (unsigned i = 0; i < parts && !status; i++)
		status = object_write(writer, bytes, i + 1 < parts ? PART : 1000, error);
	if (status)
		object_abort(writer);
	else
		status = object_commit(writer, error);
	object_store_free(store);
	free(bytes);
	return status;
}

static void parts_are_sent_at_once_and_in_order(void **state)
{
	struct liar transport = {0};

	(void)state;
	assert_int_equal(write_parts(&transport, "blobs/x", 12, NULL), BW_OK);
	assert_int_equal(transport.sent, 12);
	assert_int_equal(transport.stored, 11 * PART + 1000);
	assert_in_range(transport.most, 1, 4); /* three senders and the writer itself */
	assert_int_equal(transport.completes, 1);
	assert_int_equal(transport.aborts, 0);
}

static void a_complete_that_stored_nothing_is_asked_again(void **state)
{
	struct liar transport = {.swallow = 1};

	(void)state;
	assert_int_equal(write_parts(&transport, "blobs/x", 2, NULL), BW_OK);
	assert_int_equal(transport.completes, 2);
	assert_int_equal(transport.stored, PART + 1000);
}

static void a_complete_that_never_stores_is_a_failure(void **state)
{
	struct liar transport = {.swallow = 99};
	struct error error = {0};

	(void)state;
	assert_int_equal(write_parts(&transport, "blobs/x", 2, &error), BW_UNREACHABLE);
	assert_non_null(strstr(error.message, "0 of 5243880 bytes"));
	assert_int_equal(transport.aborts, 1);
}

static void a_complete_that_stores_too_little_is_a_failure(void **state)
{
	struct liar transport = {.short_by = 1};

	(void)state;
	assert_int_equal(write_parts(&transport, "blobs/x", 2, NULL), BW_UNREACHABLE);
	assert_int_equal(transport.aborts, 1);
}

static void a_complete_whose_answer_is_lost_is_looked_up(void **state)
{
	struct liar transport = {.loses_answer = true};

	(void)state;
	assert_int_equal(write_parts(&transport, "blobs/x", 2, NULL), BW_OK);
	/* under a key that others may write, their object could have this size */
	transport = (struct liar){.loses_answer = true};
	assert_int_equal(write_parts(&transport, "other/x", 2, NULL), BW_UNREACHABLE);
}

static void a_lost_part_fails_the_whole(void **state)
{
	(void)state;
	for (unsigned part = 1; part <= 4; part++) {
		struct liar transport = {.fail_part = part};
		struct error error = {0};

		assert_int_equal(write_parts(&transport, "blobs/x", 4, &error), BW_UNREACHABLE);
		assert_non_null(strstr(error.message, "was lost"));
		assert_int_equal(transport.completes, 0);
		assert_int_equal(transport.aborts, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_sent_at_once_and_in_order),
		cmocka_unit_test(a_complete_that_stored_nothing_is_asked_again),
		cmocka_unit_test(a_complete_that_never_stores_is_a_failure),
		cmocka_unit_test(a_complete_that_stores_too_little_is_a_failure),
		cmocka_unit_test(a_complete_whose_answer_is_lost_is_looked_up),
		cmocka_unit_test(a_lost_part_fails_the_whole),
	};

	return cmocka_run_group_tests_name("s3_sink", tests, NULL, NULL);
}
