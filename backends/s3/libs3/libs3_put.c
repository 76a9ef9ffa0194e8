/*
 * PUTs that can be believed.
 *
 * libs3 looks at the status of an answer when it begins to send the body. Behind
 * "100 Continue" that is 100, which it takes for success unless an error's XML follows;
 * without it, 0, which it takes for a broken connection. So what it says of a PUT says
 * little. Each PUT carries a mark of its own, and a HEAD that shows the mark is the only
 * proof. That is also how an attempt is known whose answer was lost.
 *
 * A key is written by one thread at a time (a claim), so that no other thread's mark is
 * found in place of ours, and so that nothing comes between the HEAD that found a key
 * absent and its PUT. Claims are this process's own: see the header.
 *
 * Somebody may remove the object before we have seen it. To write it again then would
 * bring back what they were told is gone; so removals leave word in the claim, and an
 * object that was taken and is not there any more counts as stored.
 */
#include "backends/s3/libs3/libs3_internal.h"
#include "server/base/str.h"

#include <inttypes.h>
#include <nettle/md5.h>
#include <stdio.h>
#include <string.h>

#define PUT_TRIES 3u

/* Lives on the writer's stack while it writes. */
struct libs3_claim {
	const char *key;
	bool removed; /* a removal of the key has begun since */
	struct libs3_claim *next;
};

static bool is_claimed(const struct libs3_transport *transport, const char *key)
{
	for (const struct libs3_claim *claim = transport->claims; claim; claim = claim->next)
		if (strcmp(claim->key, key) == 0)
			return true;
	return false;
}

/* Writers are bounded by their own deadlines, and so is the wait for them; there may
 * be several before us, so it is given up at our own. */
static enum status claim_key(struct libs3_transport *transport, struct libs3_claim *claim,
			     struct error *error)
{
	deadline_ms deadline = deadline_in(transport->operation_ms);
	enum status status = BW_OK;

	pthread_mutex_lock(&transport->lock);
	while (!status && is_claimed(transport, claim->key))
		if (!cond_wait_until(&transport->claim_over, &transport->lock, deadline))
			status = BW_TIMEOUT;
	if (!status) {
		claim->next = transport->claims;
		transport->claims = claim;
	}
	pthread_mutex_unlock(&transport->lock);
	return status ? error_set(error, status,
				  "PUT of %s: others have been writing it all the time", claim->key)
		      : BW_OK;
}

static void release_key(struct libs3_transport *transport, struct libs3_claim *claim)
{
	struct libs3_claim **at = &transport->claims;

	pthread_mutex_lock(&transport->lock);
	while (*at != claim)
		at = &(*at)->next;
	*at = claim->next;
	pthread_cond_broadcast(&transport->claim_over);
	pthread_mutex_unlock(&transport->lock);
}

void libs3_note_removal(struct libs3_transport *transport, const char *key)
{
	pthread_mutex_lock(&transport->lock);
	for (struct libs3_claim *claim = transport->claims; claim; claim = claim->next)
		claim->removed |= strcmp(claim->key, key) == 0;
	pthread_mutex_unlock(&transport->lock);
}

static bool was_removed(struct libs3_transport *transport, const struct libs3_claim *claim)
{
	bool removed;

	pthread_mutex_lock(&transport->lock);
	removed = claim->removed;
	pthread_mutex_unlock(&transport->lock);
	return removed;
}

/* ---- the request ---- */

struct putting {
	const struct s3_put *put;
	size_t sent;
	char writer[LIBS3_WRITER_SIZE];
	char size[24];
	char md5[32];
};

static int give_bytes(int size, char *target, void *data)
{
	struct libs3_call *call = data;
	struct putting *putting = call->context;
	size_t length = putting->put->length - putting->sent;

	if (length > (size_t)size)
		length = (size_t)size;
	if (length)
		memcpy(target, (const char *)putting->put->bytes + putting->sent, length);
	putting->sent += length;
	libs3_moved(call);
	return (int)length;
}

/* An answer to a PUT has no body that anybody needs. */
static void start_put(struct libs3_call *call, const S3BucketContext *bucket,
		      S3RequestContext *context)
{
	struct putting *putting = call->context;
	S3NameValue meta[] = {{"breakwater-writer", putting->writer},
			      {"breakwater-size", putting->size}};
	S3PutProperties properties = {
		.md5 = putting->md5,
		.expires = -1,
		.metaDataCount = putting->put->is_record ? 2 : 1,
		.metaData = meta,
	};
	S3PutObjectHandler handler = {libs3_response_handler, give_bytes};

	putting->sent = 0;
	S3_put_object(bucket, call->key, putting->put->length, &properties, context, &handler,
		      call);
}

static void prepare(struct putting *putting, const struct s3_put *put)
{
	unsigned char random[(LIBS3_WRITER_SIZE - 1) / 2];
	unsigned char hash[MD5_DIGEST_SIZE];
	struct md5_ctx md5;

	putting->put = put;
	random_bytes(random, sizeof(random));
	str_hex(random, sizeof(random), putting->writer);
	snprintf(putting->size, sizeof(putting->size), "%" PRIu64, put->record_size);
	md5_init(&md5);
	md5_update(&md5, put->length, put->bytes);
	md5_digest(&md5, sizeof(hash), hash);
	str_base64(hash, sizeof(hash), putting->md5);
}

static void start_head(struct libs3_call *call, const S3BucketContext *bucket,
		       S3RequestContext *context)
{
	S3_head_object(bucket, call->key, context, &libs3_response_handler, call);
}

/* BW_OK: our bytes are there. BW_ABSENT: they are not. */
static enum status look_for_ours(struct libs3_transport *transport, const struct putting *putting,
				 struct error *error)
{
	struct libs3_call call = {.what = "HEAD", .key = putting->put->key, .start = start_head};
	enum status status = libs3_ask(transport, &call, NULL, error);

	if (!status &&
	    (strcmp(call.writer, putting->writer) != 0 || call.head.size != putting->put->length))
		return BW_ABSENT;
	return status;
}

/* A refusal that came with words is one; everything else is looked at. */
static bool is_refusal(enum status status)
{
	return status == BW_DENIED || status == BW_CORRUPT || status == BW_INVALID ||
	       status == BW_NO_SPACE || status == BW_UNAVAILABLE;
}

static enum status put_until_seen(struct libs3_transport *transport, const struct s3_put *put,
				  const struct libs3_claim *claim, struct error *error)
{
	struct putting putting;
	enum status seen = BW_ABSENT;
	enum status status = BW_OK;

	prepare(&putting, put);
	for (unsigned try = 0; try < PUT_TRIES && seen == BW_ABSENT; try++) {
		struct libs3_call call = {
			.what = "PUT", .key = put->key, .start = start_put, .context = &putting};

		status = libs3_ask(transport, &call, NULL, error);
		if (is_refusal(status))
			return status;
		/* when both fail, the PUT's failure is the one to tell */
		seen = look_for_ours(transport, &putting, status ? NULL : error);
		if (seen == BW_ABSENT && !status && was_removed(transport, claim))
			seen = BW_OK;
		if (seen != BW_ABSENT || status)
			break;
	}
	if (!seen)
		return BW_OK;
	if (status)
		return status == BW_ABSENT ? error_set(error, BW_UNAVAILABLE,
						       "PUT of %s: there is no bucket %s", put->key,
						       transport->bucket)
					   : status;
	if (seen == BW_ABSENT)
		return error_set(error, BW_UNREACHABLE,
				 "PUT of %s in bucket %s at http://%s: it was not stored", put->key,
				 transport->bucket, transport->host);
	return seen;
}

static enum status must_be_absent(struct s3_transport *transport, const char *key,
				  struct error *error)
{
	struct s3_head head;
	enum status status = libs3_head(transport, key, &head, error);

	if (status == BW_OK)
		return error_set(error, BW_CONFLICT, "object %s exists already", key);
	return status == BW_ABSENT ? BW_OK : status;
}

enum status libs3_put(struct s3_transport *base, const struct s3_put *put, struct error *error)
{
	struct libs3_transport *transport = libs3_of(base);
	struct libs3_claim claim = {.key = put->key};
	enum status status = claim_key(transport, &claim, error);

	if (status)
		return status;
	if (put->if_absent)
		status = must_be_absent(base, put->key, error);
	if (!status)
		status = put_until_seen(transport, put, &claim, error);
	release_key(transport, &claim);
	return status;
}
