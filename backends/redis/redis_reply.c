#include "backends/redis/redis_call.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <hiredis/sds.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 1000u

/* ---- replies ---- */

int64_t redis_reply_integer(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
}

bool redis_reply_is_string(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
}

bool redis_reply_number(const redisReply *reply, int64_t *ret)
{
	bool negative = redis_reply_is_string(reply) && reply->str[0] == '-';
	uint64_t number;

	if (!redis_reply_is_string(reply) ||
	    !str_parse_u64(reply->str + negative, reply->len - negative, &number) ||
	    number > (uint64_t)INT64_MAX + negative)
		return false;
	*ret = (int64_t)(negative ? 0 - number : number);
	return true;
}

bool redis_reply_digest(const redisReply *reply, struct digest *ret)
{
	return redis_reply_is_string(reply) && digest_parse(reply->str, reply->len, ret);
}

enum status redis_nonsense(const struct redis_call *call)
{
	return error_set(call->error, BW_CORRUPT,
			 "the index in Redis holds what was never written");
}

enum status redis_number_check(uint64_t number, struct error *error)
{
	if (number > INT64_MAX)
		return error_set(error, BW_INVALID, "%" PRIu64 " is more than the index can hold",
				 number);
	return BW_OK;
}

/* What the first word of an error means. */
static const struct {
	const char *code;
	enum status status;
	const char *meaning;
} meanings[] = {
	{"LOADING", BW_UNAVAILABLE, "it is still loading its data"},
	{"READONLY", BW_UNAVAILABLE, "it is a replica; the master is being looked for"},
	{"MASTERDOWN", BW_UNAVAILABLE, "it is a replica without its master"},
	{"BUSY", BW_UNAVAILABLE, "a script keeps it busy"},
	{"MISCONF", BW_UNAVAILABLE, "it cannot save its snapshots, and takes no writes"},
	{"NOREPLICAS", BW_UNAVAILABLE, "too few of its replicas are there"},
	{"OOM", BW_NO_SPACE, "its memory is full (maxmemory)"},
	{"MOVED", BW_UNSUPPORTED, "it is a node of a Redis Cluster, which is not supported"},
	{"ASK", BW_UNSUPPORTED, "it is a node of a Redis Cluster, which is not supported"},
	{"CROSSSLOT", BW_UNSUPPORTED, "it is a node of a Redis Cluster, which is not supported"},
	{"CLUSTERDOWN", BW_UNSUPPORTED, "it is a node of a Redis Cluster, which is not supported"},
	{"NOAUTH", BW_DENIED, "it wants a password, metadata.redis.passwordFile"},
	{"WRONGPASS", BW_DENIED, "metadata.redis.username or the password is wrong"},
	{"ERR DB index", BW_DENIED, "it has no such database, metadata.redis.database"},
	{"ERR unknown command 'SENTINEL'", BW_UNSUPPORTED, "it is no sentinel"},
	{"NOPERM", BW_DENIED, "the user may not run a command that is needed"},
};

enum status redis_reply_status(const redisReply *reply, struct error *error)
{
	for (size_t i = 0; i < array_size(meanings); i++) {
		if (!str_starts_with(reply->str, meanings[i].code))
			continue;
		error_set(error, meanings[i].status, "Redis refused: %s (%.200s)",
			  meanings[i].meaning, reply->str);
		if (error && meanings[i].status == BW_UNAVAILABLE)
			error->retry_after = 1;
		return meanings[i].status;
	}
	return error_set(error, BW_UNREACHABLE, "Redis refused: %.200s", reply->str);
}

/* ---- a command outside of the pool ---- */

enum status redis_ask(struct redis_stream *stream, deadline_ms deadline, redisReply **ret,
		      struct error *error, int count, const char *const *words)
{
	sds text = NULL;
	/* hiredis does not write to them, but does not say so */
	int length = redisFormatSdsCommandArgv(&text, count, (const char **)words, NULL);
	enum status status;

	if (length < 0)
		return error_set(error, BW_INTERNAL, "a command for Redis cannot be made");
	status = redis_stream_send(stream, text, (size_t)length, deadline, error);
	redisFreeSdsCommand(text);
	return status ? status : redis_stream_receive(stream, deadline, ret, error);
}

/* ---- listings ---- */

/* Tells a page. *ret_last is where the next one begins; NULL: there is none. */
static void tell(const redisReply *page, const struct redis_range *range, unsigned asked,
		 bool (*fn)(void *context, const char *name), void *context, unsigned *told,
		 char **ret_last)
{
	for (size_t i = 0; i < page->elements; i++) {
		const redisReply *name = page->element[i];

		if (!redis_reply_is_string(name) || name->len < range->skip)
			continue;
		++*told;
		if (!fn(context, name->str + range->skip))
			return;
	}
	if (page->elements == asked && *told < range->limit)
		*ret_last = xasprintf("(%s", page->element[asked - 1]->str);
}

enum status redis_each_name(struct redis *redis, const struct redis_range *range,
			    bool (*fn)(void *context, const char *name), void *context,
			    struct error *error)
{
	char *from = xstrdup(range->min);
	enum status status = BW_OK;
	unsigned told = 0;

	while (!status && from && told < range->limit) {
		unsigned asked = range->limit - told < PAGE ? range->limit - told : PAGE;
		struct redis_call call;
		char *last = NULL;

		redis_call_init(&call, redis, CALL_OF_EPOCH | CALL_REPEATABLE, error);
		redis_call_command(&call, "ZRANGEBYLEX");
		redis_call_key_of(&call, range->kind, range->tagged, NULL);
		redis_call_string(&call, from);
		redis_call_string(&call, range->max);
		redis_call_string(&call, "LIMIT");
		redis_call_number(&call, 0);
		redis_call_number(&call, asked);
		status = redis_call_run(&call);
		if (!status)
			tell(redis_call_reply(&call, 0), range, asked, fn, context, &told, &last);
		redis_call_release(&call);
		free(from);
		from = last;
	}
	free(from);
	return status;
}
