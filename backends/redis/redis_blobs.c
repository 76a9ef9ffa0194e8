#include "backends/redis/redis_ops.h"

#include "server/base/str.h"

#include <inttypes.h>
#include <string.h>

enum status redis_get_blob(struct metadata_store *base, const struct digest *digest,
			   uint64_t *ret_size, struct error *error)
{
	struct redis_call call;
	const redisReply *reply;
	enum status status;

	redis_call_init(&call, redis_of(base), CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_command(&call, "GET");
	redis_call_key_of_digest(&call, KEY_BLOB, digest);
	status = redis_call_run(&call);
	reply = status ? NULL : redis_call_reply(&call, 0);
	if (reply && reply->type == REDIS_REPLY_NIL)
		status = error_set(error, BW_ABSENT, "the blob is not in the index");
	else if (reply && (!redis_reply_is_string(reply) ||
			   !str_parse_u64(reply->str, strcspn(reply->str, " "), ret_size)))
		status = redis_nonsense(&call);
	redis_call_release(&call);
	return status;
}

/* ---- usage ---- */

/* Bytes that count, of a size ('' when not stored). */
static int64_t counted(const redisReply *size)
{
	int64_t bytes;

	return redis_reply_number(size, &bytes) ? bytes : 0;
}

static enum status add_usage(struct redis *redis, int64_t bytes, int64_t linked_bytes,
			     struct error *error)
{
	struct redis_call call;
	enum status status;

	if (bytes == 0 && linked_bytes == 0)
		return BW_OK;
	redis_call_init(&call, redis, CALL_OF_EPOCH, error);
	redis_call_command(&call, "HINCRBY");
	redis_call_key_of(&call, KEY_USAGE, NULL, NULL);
	redis_call_string(&call, "bytes");
	redis_call_number(&call, bytes);
	redis_call_command(&call, "HINCRBY");
	redis_call_key_of(&call, KEY_USAGE, NULL, NULL);
	redis_call_string(&call, "linked");
	redis_call_number(&call, linked_bytes);
	status = redis_call_run(&call);
	redis_call_release(&call);
	return status;
}

/* The row is changed by now; that the usage could not be is no failure of that. */
static void note_usage(struct redis *redis, const redisReply *change)
{
	int64_t before, after;
	struct error ignored;

	if (change->type != REDIS_REPLY_ARRAY || change->elements != 4)
		return;
	before = counted(change->element[0]);
	after = counted(change->element[2]);
	add_usage(redis, after - before,
		  after * redis_reply_integer(change->element[3]) -
			  before * redis_reply_integer(change->element[1]),
		  &ignored);
}

enum status redis_change_blob(struct redis *redis, const struct digest *digest, const char *what,
			      const char *argument, struct error *error)
{
	struct redis_call call;
	enum status status;

	redis_call_init(&call, redis, CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_script(&call, SCRIPT_CHANGE_BLOB, 3);
	redis_call_key_of_digest(&call, KEY_BLOB, digest);
	redis_call_key_of_digest(&call, KEY_LINKED_BY, digest);
	redis_call_key_of_digest(&call, KEY_HELD_BY, digest);
	redis_call_string(&call, what);
	redis_call_string(&call, argument);
	status = redis_call_run(&call);
	if (!status)
		note_usage(redis, redis_call_reply(&call, 0));
	redis_call_release(&call);
	return status;
}

static uint64_t at_least_nothing(const redisReply *reply)
{
	int64_t number;

	return redis_reply_number(reply, &number) && number > 0 ? (uint64_t)number : 0;
}

enum status redis_get_usage(struct metadata_store *base, struct usage *ret, struct error *error)
{
	struct redis_call call;
	const redisReply *reply;
	enum status status;

	redis_call_init(&call, redis_of(base), CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_command(&call, "HMGET");
	redis_call_key_of(&call, KEY_USAGE, NULL, NULL);
	redis_call_string(&call, "bytes");
	redis_call_string(&call, "linked");
	status = redis_call_run(&call);
	reply = status ? NULL : redis_call_reply(&call, 0);
	if (reply && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2))
		status = redis_nonsense(&call);
	if (!status)
		*ret = (struct usage){.bytes = at_least_nothing(reply->element[0]),
				      .linked_bytes = at_least_nothing(reply->element[1])};
	redis_call_release(&call);
	return status;
}

/* ---- blobs ---- */

enum status redis_put_blob(struct metadata_store *base, const struct digest *digest, uint64_t size,
			   int64_t stored_at, struct error *error)
{
	char row[64];
	enum status status = redis_number_check(size, error);

	if (status)
		return status;
	snprintf(row, sizeof(row), "%" PRIu64 " %" PRId64, size, stored_at);
	return redis_change_blob(redis_of(base), digest, "put", row, error);
}

enum status redis_remove_blob(struct metadata_store *base, const struct digest *digest,
			      struct error *error)
{
	return redis_change_blob(redis_of(base), digest, "remove", "", error);
}
