#include "backends/redis/redis_ops.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdlib.h>
#include <string.h>

struct redis_coordination {
	struct coordination base;
	struct redis *redis;
};

static struct redis *redis_of_coordination(struct coordination *base)
{
	return container_of(base, struct redis_coordination, base)->redis;
}

/* ---- leases ---- */

static void begin_lease(struct redis_call *call, struct coordination *base, unsigned flags,
			enum redis_script script, const char *name, struct error *error)
{
	redis_call_init(call, redis_of_coordination(base), flags, error);
	redis_call_script(call, script, 2);
	redis_call_plain_key(call, KEY_LEASE, name);
	redis_call_plain_key(call, KEY_FENCE, name);
}

static bool read_lease(const redisReply *reply, struct lease *ret)
{
	return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
	       redis_reply_is_string(reply->element[1]) &&
	       str_parse_u64(reply->element[1]->str, reply->element[1]->len, &ret->fence) &&
	       redis_reply_is_string(reply->element[2]) &&
	       str_copy(ret->holder, sizeof(ret->holder), reply->element[2]->str);
}

static enum status redis_take_lease(struct coordination *base, const char *name, const char *holder,
				    int64_t ttl_ms, struct lease *ret, struct error *error)
{
	struct redis_call call;
	struct lease lease;
	enum status status;

	begin_lease(&call, base, 0, SCRIPT_TAKE_LEASE, name, error);
	redis_call_string(&call, holder);
	redis_call_number(&call, ttl_ms);
	status = redis_call_run(&call);
	if (!status && !read_lease(redis_call_reply(&call, 0), &lease))
		status = redis_nonsense(&call);
	if (!status) {
		*ret = lease;
		if (redis_reply_integer(redis_call_reply(&call, 0)->element[0]) != 1)
			status = error_set(error, BW_CONFLICT, "%s has \"%s\"", lease.holder, name);
	}
	redis_call_release(&call);
	return status;
}

static enum status redis_renew_lease(struct coordination *base, const char *name, uint64_t fence,
				     int64_t ttl_ms, struct error *error)
{
	struct redis_call call;
	enum status status;

	begin_lease(&call, base, CALL_REPEATABLE, SCRIPT_RENEW_LEASE, name, error);
	redis_call_printf(&call, "%llu", (unsigned long long)fence);
	redis_call_number(&call, ttl_ms);
	status = redis_call_run(&call);
	if (!status && redis_reply_integer(redis_call_reply(&call, 0)) != 1)
		status = error_set(error, BW_CONFLICT, "the lease \"%s\" is not ours any more",
				   name);
	redis_call_release(&call);
	return status;
}

static enum status redis_drop_lease(struct coordination *base, const char *name, uint64_t fence,
				    struct error *error)
{
	struct redis_call call;
	enum status status;

	begin_lease(&call, base, CALL_REPEATABLE, SCRIPT_DROP_LEASE, name, error);
	redis_call_printf(&call, "%llu", (unsigned long long)fence);
	status = redis_call_run(&call);
	redis_call_release(&call);
	return status;
}

/* ---- notes ---- */

static enum status redis_put_note(struct coordination *base, const char *group, const char *name,
				  const char *value, int64_t ttl_ms, struct error *error)
{
	struct redis_call call;
	enum status status;

	redis_call_init(&call, redis_of_coordination(base), CALL_REPEATABLE, error);
	redis_call_script(&call, SCRIPT_PUT_NOTE, 1);
	redis_call_plain_key(&call, KEY_NOTES, group);
	redis_call_string(&call, name);
	redis_call_number(&call, ttl_ms);
	redis_call_string(&call, value);
	status = redis_call_run(&call);
	redis_call_release(&call);
	return status;
}

static enum status redis_list_notes(struct coordination *base, const char *group, note_list_fn fn,
				    void *context, struct error *error)
{
	struct redis_call call;
	const redisReply *notes;
	enum status status;
	bool more = true;

	redis_call_init(&call, redis_of_coordination(base), CALL_REPEATABLE, error);
	redis_call_script(&call, SCRIPT_LIST_NOTES, 1);
	redis_call_plain_key(&call, KEY_NOTES, group);
	status = redis_call_run(&call);
	notes = status ? NULL : redis_call_reply(&call, 0);
	for (size_t i = 0; notes && i + 2 < notes->elements && more; i += 3) {
		int64_t age;

		if (redis_reply_is_string(notes->element[i]) &&
		    redis_reply_is_string(notes->element[i + 1]) &&
		    redis_reply_number(notes->element[i + 2], &age))
			more = fn(context, notes->element[i]->str, notes->element[i + 1]->str, age);
	}
	redis_call_release(&call);
	return status;
}

static void redis_coordination_free(struct coordination *base)
{
	struct redis_coordination *coordination =
		container_of(base, struct redis_coordination, base);

	redis_unref(coordination->redis);
	free(coordination);
}

static const struct coordination_ops ops = {
	.name = "redis",
	.take_lease = redis_take_lease,
	.renew_lease = redis_renew_lease,
	.drop_lease = redis_drop_lease,
	.put_note = redis_put_note,
	.list_notes = redis_list_notes,
	.free = redis_coordination_free,
};

struct coordination *redis_coordination_new(struct redis *redis)
{
	struct redis_coordination *coordination = xcalloc(1, sizeof(*coordination));

	coordination->base.ops = &ops;
	coordination->redis = redis;
	return &coordination->base;
}
