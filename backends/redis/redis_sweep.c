/*
 * Removes what epochs that are over have left, a few keys at a time, by one replica:
 * who has the lease. Afterwards `swept` names the epoch, and nobody looks again.
 *
 * An epoch never comes back, and each look at keys is followed by one at the epoch: when
 * that is still ours, every key of another one was of one that is over.
 */
#include "backends/redis/redis_call.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <hiredis/sds.h>
#include <stdlib.h>
#include <string.h>

#define LEASE_MS "30000"
#define STEP_MS 20
#define OTHERS_MS 10000 /* until we look whether whoever has the lease is done */
#define KEYS_AT_ONCE "500"
#define STEP_DEADLINE_MS 300

static enum status no_error(enum status status, const redisReply *reply, struct error *error)
{
	if (!status && reply->type == REDIS_REPLY_ERROR)
		return redis_reply_status(reply, error);
	return status;
}

static char *key_of(const struct redis_settings *settings, const char *kind, const char *name)
{
	return name ? xasprintf("%s%s:{%s}", settings->prefix, kind, name)
		    : xasprintf("%s%s", settings->prefix, kind);
}

static enum status is_swept(const struct redis_settings *settings, struct redis_stream *control,
			    const char *epoch, deadline_ms deadline, bool *ret, struct error *error)
{
	char *key = key_of(settings, KEY_SWEPT, NULL);
	redisReply *reply = NULL;
	enum status status = REDIS_ASK(control, deadline, &reply, error, "GET", key);

	status = no_error(status, reply, error);
	if (!status)
		*ret = redis_reply_is_string(reply) && strcmp(reply->str, epoch) == 0;
	if (reply)
		freeReplyObject(reply);
	free(key);
	return status;
}

/* Takes the epoch's own lease, or has it for longer. An old snapshot may bring back that
 * of another epoch. */
static enum status lease(const struct redis_settings *settings, struct redis_sweep *sweep,
			 struct redis_stream *control, const char *epoch, deadline_ms deadline,
			 struct error *error)
{
	char *name = xasprintf("sweep %s", epoch);
	char *lease_key = key_of(settings, KEY_LEASE, name);
	char *fence_key = key_of(settings, KEY_FENCE, name);
	char fence[24];
	redisReply *reply = NULL;
	enum status status;

	snprintf(fence, sizeof(fence), "%llu", (unsigned long long)sweep->fence);
	if (sweep->ours)
		status = REDIS_ASK(control, deadline, &reply, error, "EVAL",
				   redis_script_text(SCRIPT_RENEW_LEASE), "2", lease_key, fence_key,
				   fence, LEASE_MS);
	else
		status = REDIS_ASK(control, deadline, &reply, error, "EVAL",
				   redis_script_text(SCRIPT_TAKE_LEASE), "2", lease_key, fence_key,
				   "sweep", LEASE_MS);
	status = no_error(status, reply, error);
	if (!status && sweep->ours)
		sweep->ours = redis_reply_integer(reply) == 1;
	else if (!status && reply->type == REDIS_REPLY_ARRAY && reply->elements == 3) {
		sweep->ours = redis_reply_integer(reply->element[0]) == 1;
		str_parse_u64(reply->element[1]->str, reply->element[1]->len, &sweep->fence);
	}
	if (reply)
		freeReplyObject(reply);
	free(lease_key);
	free(fence_key);
	free(name);
	return status;
}

static bool is_of_another_epoch(const redisReply *key, const char *epoch)
{
	const char *tag = redis_reply_is_string(key) ? strchr(key->str, '{') : NULL;
	unsigned char bytes[(REDIS_EPOCH_SIZE - 1) / 2];

	if (!tag || strlen(tag) < REDIS_EPOCH_SIZE + 1 ||
	    !str_unhex(tag + 1, REDIS_EPOCH_SIZE - 1, bytes) ||
	    (tag[REDIS_EPOCH_SIZE] != ':' && tag[REDIS_EPOCH_SIZE] != '}'))
		return false;
	return strncmp(tag + 1, epoch, REDIS_EPOCH_SIZE - 1) != 0;
}

static enum status unlink_old(struct redis_stream *control, const redisReply *keys,
			      const char *epoch, deadline_ms deadline, struct error *error)
{
	const char **words = xcalloc(keys->elements + 1, sizeof(*words));
	redisReply *reply = NULL;
	enum status status = BW_OK;
	int count = 1;

	words[0] = "UNLINK";
	for (size_t i = 0; i < keys->elements; i++)
		if (is_of_another_epoch(keys->element[i], epoch))
			words[count++] = keys->element[i]->str;
	if (count > 1)
		status = redis_ask(control, deadline, &reply, error, count, words);
	if (reply) {
		status = no_error(status, reply, error);
		freeReplyObject(reply);
	}
	free(words);
	return status;
}

static enum status still_in(const struct redis_settings *settings, struct redis_stream *control,
			    const char *epoch, deadline_ms deadline, struct error *error)
{
	char *key = key_of(settings, KEY_EPOCH, NULL);
	redisReply *reply = NULL;
	enum status status = REDIS_ASK(control, deadline, &reply, error, "GET", key);

	if (!status && (!redis_reply_is_string(reply) || !str_starts_with(reply->str, epoch)))
		status = error_set(error, BW_CONFLICT, "another epoch has begun");
	if (reply)
		freeReplyObject(reply);
	free(key);
	return status;
}

static enum status scan(const struct redis_settings *settings, struct redis_sweep *sweep,
			struct redis_stream *control, const char *epoch, deadline_ms deadline,
			struct error *error)
{
	char *pattern = xasprintf("%s*", settings->prefix);
	redisReply *reply = NULL;
	enum status status = REDIS_ASK(control, deadline, &reply, error, "SCAN", sweep->cursor,
				       "MATCH", pattern, "COUNT", KEYS_AT_ONCE);

	status = no_error(status, reply, error);
	if (!status && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
			!redis_reply_is_string(reply->element[0])))
		status = error_set(error, BW_UNREACHABLE, "Redis answered nonsense to SCAN");
	if (!status)
		status = still_in(settings, control, epoch, deadline, error);
	if (!status)
		status = unlink_old(control, reply->element[1], epoch, deadline, error);
	if (!status)
		str_copy(sweep->cursor, sizeof(sweep->cursor), reply->element[0]->str);
	if (reply)
		freeReplyObject(reply);
	free(pattern);
	return status;
}

static enum status finish(const struct redis_settings *settings, struct redis_sweep *sweep,
			  struct redis_stream *control, const char *epoch, deadline_ms deadline,
			  struct error *error)
{
	char *key = key_of(settings, KEY_SWEPT, NULL);
	redisReply *reply = NULL;
	enum status status = REDIS_ASK(control, deadline, &reply, error, "SET", key, epoch);

	status = no_error(status, reply, error);
	sweep->done = status == BW_OK;
	if (reply)
		freeReplyObject(reply);
	free(key);
	return status;
}

/* A Redis that cannot be written to now is no reason to end the session. */
static bool is_bearable(enum status status)
{
	return status == BW_NO_SPACE || status == BW_DENIED || status == BW_UNSUPPORTED;
}

enum status redis_sweep_step(const struct redis_settings *settings, struct redis_sweep *sweep,
			     struct redis_stream *control, const char *epoch, struct error *error)
{
	deadline_ms deadline = deadline_in(STEP_DEADLINE_MS);
	bool had = sweep->ours;
	enum status status = BW_OK;

	if (!had)
		status = is_swept(settings, control, epoch, deadline, &sweep->done, error);
	if (!status && !sweep->done)
		status = lease(settings, sweep, control, epoch, deadline, error);
	if (!status && sweep->ours && !sweep->done) {
		status = scan(settings, sweep, control, epoch, deadline, error);
		if (!status && strcmp(sweep->cursor, "0") == 0)
			status = finish(settings, sweep, control, epoch, deadline, error);
	}
	if (had && !sweep->ours)
		str_copy(sweep->cursor, sizeof(sweep->cursor), "0");
	sweep->next_at = clock_monotonic_ms() + (sweep->ours && !status ? STEP_MS : OTHERS_MS);
	return is_bearable(status) ? BW_OK : status;
}
