#include "backends/redis/redis_ops.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdlib.h>
#include <string.h>

#define REFERRERS_PAGE_BYTES ((int64_t)1 << 20)

char *redis_copy_bytes(const redisReply *reply)
{
	char *copy = xmalloc(reply->len + 1);

	memcpy(copy, reply->str, reply->len);
	copy[reply->len] = '\0';
	return copy;
}

enum status redis_get_manifest(struct metadata_store *base, const char *repository,
			       const struct digest *digest, struct manifest_entry *ret,
			       struct error *error)
{
	struct manifest_entry entry = {.digest = *digest};
	char text[DIGEST_TEXT_SIZE];
	struct redis_call call;
	const redisReply *row;
	enum status status;

	digest_format(digest, text);
	redis_call_init(&call, redis_of(base), CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_command(&call, "HMGET");
	redis_call_key_of(&call, KEY_MANIFEST, repository, text);
	redis_call_string(&call, "m");
	redis_call_string(&call, "s");
	redis_call_string(&call, "b");
	status = redis_call_run(&call);
	if (status)
		goto out;
	row = redis_call_reply(&call, 0);
	if (row->type != REDIS_REPLY_ARRAY || row->elements != 3 ||
	    row->element[2]->type == REDIS_REPLY_NIL) {
		status = error_set(error, BW_ABSENT, "manifest %s@%s is not in the index",
				   repository, text);
		goto out;
	}
	if (!redis_reply_is_string(row->element[0]) ||
	    !str_copy(entry.media_type, sizeof(entry.media_type), row->element[0]->str) ||
	    !redis_reply_number(row->element[1], &entry.stored_at)) {
		status = redis_nonsense(&call);
		goto out;
	}
	entry.body = redis_copy_bytes(row->element[2]);
	entry.body_length = row->element[2]->len;
	*ret = entry;
out:
	redis_call_release(&call);
	return status;
}

static void add_manifest(struct redis_call *call, const char *repository,
			 const struct manifest_entry *entry, const struct listed_content *listed,
			 size_t listed_count)
{
	bool refers = entry->subject.algorithm != DIGEST_NONE;

	redis_call_script(call, SCRIPT_PUT_MANIFEST, 3);
	redis_call_repository_digest(call, KEY_MANIFEST, repository, &entry->digest);
	redis_call_key_of(call, KEY_MANIFESTS, repository, NULL);
	redis_call_repository_digest(call, KEY_MANIFEST_LISTS, repository, &entry->digest);
	redis_call_digest(call, &entry->digest);
	redis_call_string(call, entry->media_type);
	redis_call_number(call, entry->stored_at);
	redis_call_bytes(call, entry->body, entry->body_length);
	redis_call_key_of(call, KEY_LISTED, repository, "");
	if (refers) {
		redis_call_repository_digest(call, KEY_REFERRERS, repository, &entry->subject);
		redis_call_repository_digest(call, KEY_REFERRERS_ORDER, repository,
					     &entry->subject);
		redis_call_digest(call, &entry->subject);
		redis_call_string(call, entry->referrer);
	}
	for (int i = 0; i < 4 && !refers; i++)
		redis_call_string(call, "");
	for (size_t i = 0; i < listed_count; i++) {
		redis_call_digest(call, &listed[i].digest);
		redis_call_number(call, (int64_t)listed[i].size);
	}
}

enum status redis_put_manifest(struct metadata_store *base, const char *repository,
			       const struct manifest_entry *entry,
			       const struct listed_content *listed, size_t listed_count,
			       struct error *error)
{
	struct redis_call call;
	enum status status = manifest_entry_check(entry, error);

	for (size_t i = 0; i < listed_count && !status; i++)
		status = redis_number_check(listed[i].size, error);
	if (status)
		return status;
	redis_call_init(&call, redis_of(base), CALL_OF_EPOCH | CALL_REPEATABLE, error);
	add_manifest(&call, repository, entry, listed, listed_count);
	redis_call_holder(&call, repository, &entry->digest);
	for (size_t i = 0; i < listed_count; i++)
		redis_call_holder(&call, repository, &listed[i].digest);
	status = redis_call_run(&call);
	redis_call_release(&call);
	return status;
}

/* The digests that a script returned. */
static size_t read_digests(const redisReply *reply, struct digest *ret)
{
	size_t count = 0;

	for (size_t i = 0; i < reply->elements; i++)
		count += redis_reply_digest(reply->element[i], &ret[count]);
	return count;
}

static enum status forget_use(struct redis *redis, const char *repository,
			      const struct digest *digest, struct error *error)
{
	char text[DIGEST_TEXT_SIZE];
	struct redis_call call;
	enum status status;

	digest_format(digest, text);
	redis_call_init(&call, redis, CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_command(&call, "ZREM");
	redis_call_key_of(&call, KEY_IDLE, NULL, NULL);
	redis_call_printf(&call, "%s %s", repository, text);
	status = redis_call_run(&call);
	redis_call_release(&call);
	return status;
}

enum status redis_remove_manifest(struct metadata_store *base, const char *repository,
				  const struct digest *digest, struct error *error)
{
	struct redis *redis = redis_of(base);
	struct digest *freed = NULL;
	struct redis_call call;
	size_t count = 0;
	enum status status;

	redis_call_init(&call, redis, CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_script(&call, SCRIPT_REMOVE_MANIFEST, 3);
	redis_call_repository_digest(&call, KEY_MANIFEST, repository, digest);
	redis_call_key_of(&call, KEY_MANIFESTS, repository, NULL);
	redis_call_repository_digest(&call, KEY_MANIFEST_LISTS, repository, digest);
	redis_call_digest(&call, digest);
	redis_call_key_of(&call, KEY_MANIFEST, repository, "");
	redis_call_key_of(&call, KEY_LISTED, repository, "");
	redis_call_key_of(&call, KEY_REFERRERS, repository, "");
	redis_call_key_of(&call, KEY_REFERRERS_ORDER, repository, "");
	status = redis_call_run(&call);
	if (!status && redis_call_reply(&call, 0)->elements > 0) {
		const redisReply *reply = redis_call_reply(&call, 0);

		freed = xcalloc(reply->elements, sizeof(*freed));
		count = read_digests(reply, freed);
	}
	redis_call_release(&call);
	if (!status && count)
		status = redis_let_go(redis, repository, freed, count, error);
	if (!status)
		status = forget_use(redis, repository, digest, error);
	free(freed);
	return status;
}

/* ---- referrers ---- */

static enum status ask_referrers(struct redis_call *call, const char *repository,
				 const struct digest *subject, const char *from)
{
	redis_call_again(call, CALL_OF_EPOCH | CALL_REPEATABLE);
	redis_call_script(call, SCRIPT_LIST_REFERRERS, 2);
	redis_call_repository_digest(call, KEY_REFERRERS_ORDER, repository, subject);
	redis_call_repository_digest(call, KEY_REFERRERS, repository, subject);
	redis_call_string(call, from);
	redis_call_number(call, REFERRERS_PAGE_BYTES);
	return redis_call_run(call);
}

/* False: no more is wanted, or there is no more. */
static bool tell_referrers(const redisReply *page, referrer_list_fn fn, void *context,
			   char from[DIGEST_TEXT_SIZE + 1])
{
	struct digest digest;
	size_t i;

	for (i = 0; i + 1 < page->elements; i += 2) {
		if (!redis_reply_digest(page->element[i], &digest))
			continue;
		if (!fn(context, &digest, page->element[i + 1]->str))
			return false;
		from[0] = '(';
		digest_format(&digest, from + 1);
	}
	return i > 0;
}

enum status redis_list_referrers(struct metadata_store *base, const char *repository,
				 const struct digest *subject, const struct digest *after,
				 referrer_list_fn fn, void *context, struct error *error)
{
	char from[DIGEST_TEXT_SIZE + 1] = "-";
	struct redis_call call;
	enum status status;

	if (after) {
		from[0] = '(';
		digest_format(after, from + 1);
	}
	redis_call_init(&call, redis_of(base), 0, error);
	do {
		status = ask_referrers(&call, repository, subject, from);
	} while (!status && tell_referrers(redis_call_reply(&call, 0), fn, context, from));
	redis_call_release(&call);
	return status;
}
