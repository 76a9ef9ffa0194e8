#include "backends/redis/redis_ops.h"

#include "server/base/memory.h"

#include <stdlib.h>

static void begin(struct redis_call *call, struct metadata_store *base, struct error *error)
{
	redis_call_init(call, redis_of(base), CALL_OF_EPOCH | CALL_REPEATABLE, error);
}

static void add_catalog(struct redis_call *call, const char *repository)
{
	redis_call_command(call, "ZADD");
	redis_call_key_of(call, KEY_CATALOG, NULL, NULL);
	redis_call_string(call, "0");
	redis_call_string(call, repository);
}

static void add_exists(struct redis_call *call, const char *repository)
{
	redis_call_command(call, "EXISTS");
	redis_call_key_of(call, KEY_REPOSITORY, repository, NULL);
}

enum status redis_get_repository(struct metadata_store *base, const char *repository,
				 struct error *error)
{
	struct redis_call call;
	enum status status;

	begin(&call, base, error);
	add_exists(&call, repository);
	status = redis_call_run(&call);
	if (!status && !redis_reply_integer(redis_call_reply(&call, 0)))
		status = error_set(error, BW_ABSENT, "repository %s is not in the index",
				   repository);
	redis_call_release(&call);
	return status;
}

/* Listed before it says so, and once more after: redis_keys.h. */
enum status redis_put_repository(struct metadata_store *base, const char *repository,
				 struct error *error)
{
	struct redis_call call;
	enum status status;

	begin(&call, base, error);
	add_catalog(&call, repository);
	redis_call_command(&call, "SET");
	redis_call_key_of(&call, KEY_REPOSITORY, repository, NULL);
	redis_call_string(&call, "1");
	add_catalog(&call, repository);
	status = redis_call_run(&call);
	redis_call_release(&call);
	return status;
}

static enum status leave_catalog(struct redis_call *call, const char *repository)
{
	enum status status;

	redis_call_again(call, CALL_OF_EPOCH | CALL_REPEATABLE);
	redis_call_command(call, "ZREM");
	redis_call_key_of(call, KEY_CATALOG, NULL, NULL);
	redis_call_string(call, repository);
	add_exists(call, repository);
	status = redis_call_run(call);
	if (status || !redis_reply_integer(redis_call_reply(call, 1)))
		return status;
	redis_call_again(call, CALL_OF_EPOCH | CALL_REPEATABLE);
	add_catalog(call, repository);
	return redis_call_run(call);
}

enum status redis_remove_repository(struct metadata_store *base, const char *repository,
				    struct error *error)
{
	struct redis_call call;
	enum status status;

	begin(&call, base, error);
	redis_call_script(&call, SCRIPT_LEAVE_CATALOG, 4);
	redis_call_key_of(&call, KEY_REPOSITORY, repository, NULL);
	redis_call_key_of(&call, KEY_TAGS, repository, NULL);
	redis_call_key_of(&call, KEY_MANIFESTS, repository, NULL);
	redis_call_key_of(&call, KEY_LINKS, repository, NULL);
	status = redis_call_run(&call);
	if (!status && !redis_reply_integer(redis_call_reply(&call, 0)))
		status = error_set(error, BW_CONFLICT,
				   "the repository still has a tag, a manifest or a blob");
	if (!status)
		status = leave_catalog(&call, repository);
	redis_call_release(&call);
	return status;
}

enum status redis_list_repositories(struct metadata_store *base, const char *after, unsigned limit,
				    repository_list_fn fn, void *context, struct error *error)
{
	char *min = *after ? xasprintf("(%s", after) : xstrdup("-");
	struct redis_range range = {.kind = KEY_CATALOG, .min = min, .max = "+", .limit = limit};
	enum status status = redis_each_name(redis_of(base), &range, fn, context, error);

	free(min);
	return status;
}

/* ---- marks ---- */

enum status redis_get_mark(struct metadata_store *base, const char *name, int64_t *ret_value,
			   struct error *error)
{
	struct redis_call call;
	enum status status;

	begin(&call, base, error);
	redis_call_command(&call, "GET");
	redis_call_key_of(&call, KEY_MARK, NULL, name);
	status = redis_call_run(&call);
	if (!status && redis_call_reply(&call, 0)->type == REDIS_REPLY_NIL)
		status = error_set(error, BW_ABSENT, "the mark is not in the index");
	else if (!status && !redis_reply_number(redis_call_reply(&call, 0), ret_value))
		status = redis_nonsense(&call);
	redis_call_release(&call);
	return status;
}

enum status redis_put_mark(struct metadata_store *base, const char *name, int64_t value,
			   struct error *error)
{
	struct redis_call call;
	enum status status;

	begin(&call, base, error);
	redis_call_command(&call, "SET");
	redis_call_key_of(&call, KEY_MARK, NULL, name);
	redis_call_number(&call, value);
	status = redis_call_run(&call);
	redis_call_release(&call);
	return status;
}
