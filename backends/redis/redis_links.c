#include "backends/redis/redis_ops.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <string.h>

/* Digests that go in one call. */
#define LET_GO_AT_ONCE 200u

/* The size is what follows the space. */
static enum status read_size(const struct redis_call *call, const char *what, uint64_t *ret)
{
	const redisReply *reply = redis_call_reply(call, 0);
	const char *space;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
		return error_set(call->error, BW_ABSENT, "%s is not in the index", what);
	space = redis_reply_is_string(reply->element[0]) ? strchr(reply->element[0]->str, ' ')
							 : NULL;
	if (!space || !str_parse_u64(space + 1, strlen(space + 1), ret))
		return redis_nonsense(call);
	return BW_OK;
}

/* The first of those who list the blob; links sort before manifests. */
static enum status get_size(struct metadata_store *base, const char *repository,
			    const struct digest *digest, bool link, uint64_t *ret_size,
			    struct error *error)
{
	struct redis_call call;
	enum status status;

	redis_call_init(&call, redis_of(base), CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_command(&call, "ZRANGEBYLEX");
	redis_call_repository_digest(&call, KEY_LISTED, repository, digest);
	redis_call_string(&call, link ? "[ " : "-");
	redis_call_string(&call, link ? "(!" : "+");
	redis_call_string(&call, "LIMIT");
	redis_call_string(&call, "0");
	redis_call_string(&call, "1");
	status = redis_call_run(&call);
	if (!status)
		status = read_size(&call, link ? "a link to the blob" : "a listing of the blob",
				   ret_size);
	redis_call_release(&call);
	return status;
}

enum status redis_get_listed(struct metadata_store *base, const char *repository,
			     const struct digest *digest, uint64_t *ret_size, struct error *error)
{
	return get_size(base, repository, digest, false, ret_size, error);
}

enum status redis_get_link(struct metadata_store *base, const char *repository,
			   const struct digest *digest, uint64_t *ret_size, struct error *error)
{
	return get_size(base, repository, digest, true, ret_size, error);
}

void redis_call_holder(struct redis_call *call, const char *repository, const struct digest *digest)
{
	redis_call_command(call, "ZADD");
	redis_call_key_of_digest(call, KEY_HELD_BY, digest);
	redis_call_string(call, "0");
	redis_call_string(call, repository);
}

enum status redis_put_link(struct metadata_store *base, const char *repository,
			   const struct listed_content *link, struct error *error)
{
	struct redis *redis = redis_of(base);
	struct redis_call call;
	enum status status = redis_number_check(link->size, error);

	if (status)
		return status;
	redis_call_init(&call, redis, CALL_OF_EPOCH | CALL_REPEATABLE, error);
	/* before the link as well: it is believed from when it is there, and an eviction
	 * goes by the holders alone */
	redis_call_holder(&call, repository, &link->digest);
	redis_call_script(&call, SCRIPT_PUT_LINK, 2);
	redis_call_repository_digest(&call, KEY_LISTED, repository, &link->digest);
	redis_call_key_of(&call, KEY_LINKS, repository, NULL);
	redis_call_digest(&call, &link->digest);
	redis_call_number(&call, (int64_t)link->size);
	status = redis_call_run(&call);
	redis_call_release(&call);
	return status ? status : redis_change_blob(redis, &link->digest, "link", repository, error);
}

/* Which of them does the repository hold, and which does it link? Two numbers each. */
static enum status ask_held(struct redis_call *call, const char *repository,
			    const struct digest *digests, size_t count)
{
	redis_call_again(call, CALL_OF_EPOCH | CALL_REPEATABLE);
	redis_call_script(call, SCRIPT_STILL_HELD, 1);
	redis_call_key_of(call, KEY_LINKS, repository, NULL);
	redis_call_key_of(call, KEY_MANIFEST, repository, "");
	redis_call_key_of(call, KEY_LISTED, repository, "");
	for (size_t i = 0; i < count; i++)
		redis_call_digest(call, &digests[i]);
	return redis_call_run(call);
}

static enum status let_go_some(struct redis *redis, const char *repository,
			       const struct digest *digests, size_t count, struct error *error)
{
	struct redis_call call;
	enum status status = BW_OK;

	for (size_t i = 0; i < count && !status; i++)
		status = redis_change_blob(redis, &digests[i], "let go", repository, error);
	if (status)
		return status;
	redis_call_init(&call, redis, 0, error);
	status = ask_held(&call, repository, digests, count);
	for (size_t i = 0; i < count && !status; i++) {
		const redisReply *reply = redis_call_reply(&call, 0);

		if (reply->elements != 2 * count)
			status = redis_nonsense(&call);
		else if (redis_reply_integer(reply->element[2 * i + 1]))
			status = redis_change_blob(redis, &digests[i], "link", repository, error);
		else if (redis_reply_integer(reply->element[2 * i]))
			status = redis_change_blob(redis, &digests[i], "hold", repository, error);
	}
	redis_call_release(&call);
	return status;
}

enum status redis_let_go(struct redis *redis, const char *repository, const struct digest *digests,
			 size_t count, struct error *error)
{
	enum status status = BW_OK;

	while (count > 0 && !status) {
		size_t some = count < LET_GO_AT_ONCE ? count : LET_GO_AT_ONCE;

		status = let_go_some(redis, repository, digests, some, error);
		digests += some;
		count -= some;
	}
	return status;
}

enum status redis_remove_link(struct metadata_store *base, const char *repository,
			      const struct digest *digest, struct error *error)
{
	struct redis *redis = redis_of(base);
	struct redis_call call;
	enum status status;

	redis_call_init(&call, redis, CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_script(&call, SCRIPT_REMOVE_LINK, 2);
	redis_call_repository_digest(&call, KEY_LISTED, repository, digest);
	redis_call_key_of(&call, KEY_LINKS, repository, NULL);
	redis_call_digest(&call, digest);
	status = redis_call_run(&call);
	redis_call_release(&call);
	/* what a manifest still lists is held again at once */
	return status ? status : redis_let_go(redis, repository, digest, 1, error);
}

static enum status list_of(struct metadata_store *base, const char *kind,
			   const struct digest *digest, unsigned limit, repository_list_fn fn,
			   void *context, struct error *error)
{
	char text[DIGEST_TEXT_SIZE];
	struct redis_range range = {
		.kind = kind, .tagged = text, .min = "-", .max = "+", .limit = limit};

	digest_format(digest, text);
	return redis_each_name(redis_of(base), &range, fn, context, error);
}

enum status redis_list_links_of(struct metadata_store *base, const struct digest *digest,
				unsigned limit, repository_list_fn fn, void *context,
				struct error *error)
{
	return list_of(base, KEY_LINKED_BY, digest, limit, fn, context, error);
}

enum status redis_list_holders_of(struct metadata_store *base, const struct digest *digest,
				  unsigned limit, repository_list_fn fn, void *context,
				  struct error *error)
{
	return list_of(base, KEY_HELD_BY, digest, limit, fn, context, error);
}
