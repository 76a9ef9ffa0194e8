/*
 * HEAD, and GETs whose bytes wait in a buffer until they are read. libs3 hands over what
 * a step of the transfer brought, and between steps nothing is taken from the socket:
 * that is what bounds the buffer. A body that ends early looks whole to libs3, so bytes
 * are counted here.
 */
#include "backends/s3/libs3/libs3_internal.h"
#include "server/base/str.h"

#include <stdlib.h>
#include <string.h>

#define BODY_MAX ((size_t)8 << 20) /* one step brings less than two */

struct libs3_body {
	struct s3_body base;
	struct libs3_transport *transport;
	S3RequestContext *context; /* NULL: none, or it is over */
	struct libs3_call call;
	char *key;
	char if_match[S3_ETAG_MAX];
	uint64_t offset; /* of the first byte asked for */
	uint64_t wanted; /* told to the server; 0: to the end */
	uint64_t length; /* that the reader gets */
	uint64_t given; /* bytes that were read */
	struct buf bytes; /* that came and were not read yet, from `taken` on */
	size_t taken;
};

static void start_head(struct libs3_call *call, const S3BucketContext *bucket,
		       S3RequestContext *context)
{
	S3_head_object(bucket, call->key, context, &libs3_response_handler, call);
}

/* A HEAD's 404 may be the bucket's. */
static enum status tell_absent(struct libs3_transport *transport, const char *key,
			       struct error *error)
{
	enum status status = BW_OK;

	if (clock_monotonic_ms() - transport->bucket_seen_ms > 1000)
		status = transport->base.ops->check(&transport->base, error);
	return status ? status
		      : error_set(error, BW_ABSENT,
				  "HEAD of %s in bucket %s at http://%s: not there", key,
				  transport->bucket, transport->host);
}

enum status libs3_head(struct s3_transport *base, const char *key, struct s3_head *ret_head,
		       struct error *error)
{
	struct libs3_transport *transport = libs3_of(base);
	struct libs3_call call = {.what = "HEAD", .key = key, .start = start_head};
	enum status status = libs3_ask(transport, &call, NULL, error);

	if (status == BW_ABSENT)
		return tell_absent(transport, key, error);
	if (!status)
		*ret_head = call.head;
	return status;
}

/* ---- the body ---- */

static S3Status take_bytes(int size, const char *bytes, void *data)
{
	struct libs3_call *call = data;
	struct libs3_body *body = call->context;

	libs3_moved(call);
	buf_append(&body->bytes, bytes, (size_t)size);
	return body->bytes.overflow ? S3StatusAbortedByCallback : S3StatusOK;
}

static void start_get(struct libs3_call *call, const S3BucketContext *bucket,
		      S3RequestContext *context)
{
	struct libs3_body *body = call->context;
	S3GetConditions conditions = {-1, -1, body->if_match[0] ? body->if_match : NULL, NULL};
	S3GetObjectHandler handler = {libs3_response_handler, take_bytes};

	buf_reset(&body->bytes);
	S3_get_object(bucket, call->key, &conditions, body->offset, body->wanted, context, &handler,
		      call);
}

static size_t waiting(const struct libs3_body *body)
{
	return body->bytes.length - body->taken;
}

static void end_transfer(struct libs3_body *body)
{
	if (body->context)
		libs3_context_put(body->transport, &body->call, body->context);
	body->context = NULL;
}

/* Until there is a byte, or the transfer is over. */
static enum status await_bytes(struct libs3_body *body, deadline_ms deadline, struct error *error)
{
	deadline_ms until = deadline_earlier(deadline, deadline_in(body->transport->stall_ms));

	while (!waiting(body) && body->context && !body->call.done) {
		if (deadline_passed(until))
			return error_set(error, BW_TIMEOUT, "GET of %s: no byte came in time",
					 body->key);
		libs3_step(body->context, until);
	}
	if (body->call.done)
		end_transfer(body);
	return BW_OK;
}

static enum status ended_early(struct libs3_body *body, struct error *error)
{
	struct s3_verdict verdict = {BW_UNREACHABLE, S3_FAILED, true, ""};

	if (body->call.done && body->call.status != S3StatusOK)
		return libs3_tell(body->transport, &body->call, &verdict, error);
	return error_set(error, BW_UNREACHABLE, "GET of %s: the answer ended %llu bytes early",
			 body->key, (unsigned long long)(body->length - body->given));
}

static enum status body_read(struct s3_body *base, void *target, size_t length,
			     deadline_ms deadline, size_t *ret_length, struct error *error)
{
	struct libs3_body *body = container_of(base, struct libs3_body, base);
	enum status status = BW_OK;
	size_t ready;

	if (body->given < body->length)
		status = await_bytes(body, deadline, error);
	if (status)
		return status;
	ready = waiting(body);
	if (ready > body->length - body->given)
		ready = (size_t)(body->length - body->given);
	if (ready == 0 && body->given < body->length)
		return ended_early(body, error);
	if (ready > length)
		ready = length;
	if (ready)
		memcpy(target, body->bytes.data + body->taken, ready);
	body->taken += ready;
	body->given += ready;
	if (!waiting(body)) {
		buf_reset(&body->bytes);
		body->taken = 0;
	}
	*ret_length = ready;
	return BW_OK;
}

/* A transfer whose last byte has come is as good as over; its connection can be kept. */
static void body_close(struct s3_body *base)
{
	struct libs3_body *body = container_of(base, struct libs3_body, base);

	if (body->context && body->given == body->length)
		libs3_step(body->context, 0);
	end_transfer(body);
	buf_release(&body->bytes);
	free(body->key);
	free(body);
}

static const struct s3_body_ops body_ops = {.read = body_read, .close = body_close};

static struct libs3_body *body_new(struct libs3_transport *transport, const struct s3_get *get,
				   const char *if_match)
{
	struct libs3_body *body = xcalloc(1, sizeof(*body));

	body->base.ops = &body_ops;
	body->transport = transport;
	body->key = xstrdup(get->key);
	str_copy(body->if_match, sizeof(body->if_match), if_match ? if_match : "");
	body->offset = get->offset;
	body->bytes = BUF_INIT(BODY_MAX);
	body->call = (struct libs3_call){.what = "GET",
					 .key = body->key,
					 .start = start_get,
					 .context = body,
					 .streams = true};
	return body;
}

/* From its beginning an object is asked for as a whole, for only then its size comes
 * with it; what lies behind the wanted bytes is left unread. */
static enum status get_from_start(struct libs3_body *body, const struct s3_get *get,
				  struct s3_head *ret_head, struct error *error)
{
	enum status status = libs3_ask(body->transport, &body->call, &body->context, error);

	if (status == BW_ABSENT)
		return tell_absent(body->transport, get->key, error);
	if (status)
		return status;
	body->length = body->call.content_length;
	if (body->length == 0 && waiting(body))
		return error_set(error, BW_UNREACHABLE, "GET of %s: the answer tells no size",
				 get->key);
	if (get->length && get->length < body->length)
		body->length = get->length;
	*ret_head = body->call.head;
	return BW_OK;
}

static enum status get_from_within(struct libs3_body *body, const struct s3_get *get,
				   struct s3_head *ret_head, struct error *error)
{
	struct s3_head head;
	enum status status = libs3_head(&body->transport->base, get->key, &head, error);
	uint64_t left;

	if (status)
		return status;
	if (get->if_match && strcmp(get->if_match, head.etag) != 0)
		return error_set(error, BW_CONFLICT, "GET of %s: it was replaced", get->key);
	memcpy(body->if_match, head.etag, sizeof(body->if_match));
	left = get->offset < head.size ? head.size - get->offset : 0;
	body->length = body->wanted = get->length && get->length < left ? get->length : left;
	if (body->length)
		status = libs3_ask(body->transport, &body->call, &body->context, error);
	if (!status && body->length && body->call.content_length != body->length)
		status = error_set(error, BW_UNREACHABLE,
				   "GET of %s: %llu bytes instead of the %llu asked for", get->key,
				   (unsigned long long)body->call.content_length,
				   (unsigned long long)body->length);
	if (!status)
		*ret_head = head;
	return status;
}

enum status libs3_get(struct s3_transport *base, const struct s3_get *get, struct s3_head *ret_head,
		      struct s3_body **ret_body, struct error *error)
{
	struct libs3_body *body = body_new(libs3_of(base), get, get->if_match);
	enum status status = get->offset ? get_from_within(body, get, ret_head, error)
					 : get_from_start(body, get, ret_head, error);

	if (status)
		body_close(&body->base);
	else
		*ret_body = &body->base;
	return status;
}
