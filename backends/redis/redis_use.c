#include "backends/redis/redis_ops.h"

#include "server/base/memory.h"

#include <stdlib.h>
#include <string.h>

#define TOUCHED_AT_ONCE 500u
#define IDLE_PAGE 500u

static enum status touch_some(struct redis *redis, const char *repository,
			      const struct digest *digests, size_t count, int64_t used_at,
			      struct error *error)
{
	struct redis_call call;
	bool there[TOUCHED_AT_ONCE];
	bool any = false;
	enum status status;

	redis_call_init(&call, redis, CALL_OF_EPOCH | CALL_REPEATABLE, error);
	for (size_t i = 0; i < count; i++) {
		redis_call_command(&call, "EXISTS");
		redis_call_repository_digest(&call, KEY_MANIFEST, repository, &digests[i]);
	}
	status = redis_call_run(&call);
	for (size_t i = 0; i < count && !status; i++)
		there[i] = redis_reply_integer(redis_call_reply(&call, i)) == 1;
	redis_call_again(&call, CALL_OF_EPOCH | CALL_REPEATABLE);
	for (size_t i = 0; i < count && !status; i++) {
		char text[DIGEST_TEXT_SIZE];

		if (!there[i])
			continue;
		any = true;
		digest_format(&digests[i], text);
		redis_call_command(&call, "ZADD");
		redis_call_key_of(&call, KEY_IDLE, NULL, NULL);
		redis_call_string(&call, "GT");
		redis_call_number(&call, used_at);
		redis_call_printf(&call, "%s %s", repository, text);
	}
	if (any)
		status = redis_call_run(&call);
	redis_call_release(&call);
	return status;
}

enum status redis_touch_manifests(struct metadata_store *base, const char *repository,
				  const struct digest *digests, size_t count, int64_t used_at,
				  struct error *error)
{
	enum status status = BW_OK;

	while (count > 0 && !status) {
		size_t some = count < TOUCHED_AT_ONCE ? count : TOUCHED_AT_ONCE;

		status = touch_some(redis_of(base), repository, digests, some, used_at, error);
		digests += some;
		count -= some;
	}
	return status;
}

static enum status read_page(struct redis_call *call, int64_t used_before, unsigned offset,
			     unsigned limit)
{
	redis_call_again(call, CALL_OF_EPOCH | CALL_REPEATABLE);
	redis_call_command(call, "ZRANGEBYSCORE");
	redis_call_key_of(call, KEY_IDLE, NULL, NULL);
	redis_call_string(call, "-inf");
	redis_call_printf(call, "(%lld", (long long)used_before);
	redis_call_string(call, "WITHSCORES");
	redis_call_string(call, "LIMIT");
	redis_call_number(call, offset);
	redis_call_number(call, limit < IDLE_PAGE ? limit : IDLE_PAGE);
	return redis_call_run(call);
}

/* "<repository> <digest>", and the time. */
static bool tell_one(const redisReply *name, const redisReply *score, idle_list_fn fn,
		     void *context)
{
	char *copy = redis_reply_is_string(name) ? redis_copy_bytes(name) : xstrdup("");
	char *space = strrchr(copy, ' ');
	struct digest digest;
	bool more = true;

	if (space && redis_reply_is_string(score) &&
	    digest_parse(space + 1, strlen(space + 1), &digest)) {
		*space = '\0';
		more = fn(context, copy, &digest, (int64_t)strtod(score->str, NULL));
	}
	free(copy);
	return more;
}

enum status redis_list_idle_manifests(struct metadata_store *base, int64_t used_before,
				      unsigned limit, idle_list_fn fn, void *context,
				      struct error *error)
{
	struct redis_call call;
	enum status status = BW_OK;
	unsigned told = 0;
	bool more = limit > 0;

	redis_call_init(&call, redis_of(base), 0, error);
	while (!status && more) {
		const redisReply *page;

		status = read_page(&call, used_before, told, limit - told);
		if (status)
			break;
		page = redis_call_reply(&call, 0);
		for (size_t i = 0; i + 1 < page->elements && more; i += 2)
			more = tell_one(page->element[i], page->element[i + 1], fn, context);
		told += (unsigned)(page->elements / 2);
		more = more && page->elements > 0 && told < limit;
	}
	redis_call_release(&call);
	return status;
}
