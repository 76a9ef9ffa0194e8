#include "backends/redis/redis_ops.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdlib.h>

static void add_key(struct redis_call *call, const char *repository, const char *kind,
		    const char *key)
{
	char *rest = xasprintf("%s:%s", kind, key);

	redis_call_key_of(call, KEY_DOCUMENT, repository, rest);
	free(rest);
}

enum status redis_get_document(struct metadata_store *base, const char *repository,
			       const char *kind, const char *key, struct document_entry *ret,
			       struct error *error)
{
	struct document_entry entry = {0};
	struct redis_call call;
	const redisReply *row;
	enum status status;

	redis_call_init(&call, redis_of(base), CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_command(&call, "HMGET");
	add_key(&call, repository, kind, key);
	redis_call_string(&call, "m");
	redis_call_string(&call, "c");
	redis_call_string(&call, "b");
	status = redis_call_run(&call);
	row = status ? NULL : redis_call_reply(&call, 0);
	if (row && (row->type != REDIS_REPLY_ARRAY || row->elements != 3 ||
		    row->element[2]->type == REDIS_REPLY_NIL))
		status = error_set(error, BW_ABSENT, "the %s of %s are not in the index", kind,
				   repository);
	else if (row && (!redis_reply_is_string(row->element[0]) ||
			 !str_copy(entry.media_type, MEDIA_TYPE_MAX, row->element[0]->str) ||
			 !redis_reply_number(row->element[1], &entry.validated_at)))
		status = redis_nonsense(&call);
	if (!status) {
		entry.body = redis_copy_bytes(row->element[2]);
		entry.body_length = row->element[2]->len;
		*ret = entry;
	}
	redis_call_release(&call);
	return status;
}

enum status redis_put_document(struct metadata_store *base, const char *repository,
			       const char *kind, const char *key,
			       const struct document_entry *entry, struct error *error)
{
	struct redis_call call;
	enum status status;

	redis_call_init(&call, redis_of(base), CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_command(&call, "HSET");
	add_key(&call, repository, kind, key);
	redis_call_string(&call, "m");
	redis_call_string(&call, entry->media_type);
	redis_call_string(&call, "c");
	redis_call_number(&call, entry->validated_at);
	redis_call_string(&call, "b");
	redis_call_bytes(&call, entry->body, entry->body_length);
	status = redis_call_run(&call);
	redis_call_release(&call);
	return status;
}
