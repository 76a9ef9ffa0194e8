#include "backends/redis/redis_ops.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdlib.h>

/* A version that was given or removed is remembered for a day while the tag is not
 * there: longer than any write of it may take, and than clocks are apart. */
#define VERSION_KEPT_MS 86400000

#define TAG_FIELDS 5

static void add_tag_key(struct redis_call *call, const char *repository, const char *tag)
{
	redis_call_key_of(call, KEY_TAG, repository, tag);
}

/* 19 digits, or nil. */
static bool read_version(const redisReply *reply, uint64_t *ret)
{
	return redis_reply_is_string(reply) && str_parse_u64(reply->str, reply->len, ret);
}

static bool read_tag(const redisReply *reply, struct tag_entry *ret)
{
	redisReply **field = reply->element;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != TAG_FIELDS)
		return false;
	if (field[4]->type != REDIS_REPLY_NIL && !read_version(field[4], &ret->pending))
		return false;
	return redis_reply_digest(field[0], &ret->digest) &&
	       read_version(field[1], &ret->version) &&
	       redis_reply_number(field[2], &ret->stored_at) &&
	       redis_reply_number(field[3], &ret->validated_at);
}

static bool is_nothing(const redisReply *fields)
{
	for (size_t i = 0; i < fields->elements; i++)
		if (fields->element[i]->type != REDIS_REPLY_NIL)
			return false;
	return true;
}

enum status redis_get_tag(struct metadata_store *base, const char *repository, const char *tag,
			  struct tag_entry *ret, struct error *error)
{
	struct redis_call call;
	struct tag_entry entry = {0};
	enum status status;

	redis_call_init(&call, redis_of(base), CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_command(&call, "HMGET");
	add_tag_key(&call, repository, tag);
	for (const char *const *field = (const char *const[]){"d", "v", "s", "c", "p", NULL};
	     *field; field++)
		redis_call_string(&call, *field);
	status = redis_call_run(&call);
	if (!status && is_nothing(redis_call_reply(&call, 0)))
		status = error_set(error, BW_ABSENT, "tag %s:%s is not in the index", repository,
				   tag);
	else if (!status && !read_tag(redis_call_reply(&call, 0), &entry))
		status = redis_nonsense(&call);
	if (!status)
		*ret = entry;
	redis_call_release(&call);
	return status;
}

/* Runs a call of one script that answers 0 or 1. */
static enum status run_flag(struct redis_call *call, bool *ret)
{
	enum status status = redis_call_run(call);

	if (!status)
		*ret = redis_reply_integer(redis_call_reply(call, 0)) == 1;
	redis_call_release(call);
	return status;
}

enum status redis_put_tag(struct metadata_store *base, const char *repository, const char *tag,
			  const struct tag_entry *entry, struct error *error)
{
	struct redis_call call;
	bool taken = false;
	enum status status = redis_number_check(entry->version, error);

	if (status)
		return status;
	redis_call_init(&call, redis_of(base), CALL_OF_EPOCH, error);
	redis_call_script(&call, SCRIPT_PUT_TAG, 3);
	add_tag_key(&call, repository, tag);
	redis_call_key_of(&call, KEY_TAGS, repository, NULL);
	redis_call_key_of(&call, KEY_TAGS_OF, repository, NULL);
	redis_call_string(&call, tag);
	redis_call_digest(&call, &entry->digest);
	redis_call_version(&call, entry->version);
	redis_call_number(&call, entry->stored_at);
	redis_call_number(&call, entry->validated_at);
	status = run_flag(&call, &taken);
	if (!status && !taken)
		status = error_set(error, BW_CONFLICT,
				   "tag %s:%s has a version in the index that is not older than "
				   "%llu",
				   repository, tag, (unsigned long long)entry->version);
	return status;
}

enum status redis_begin_tag(struct metadata_store *base, const char *repository, const char *tag,
			    uint64_t version, struct error *error)
{
	struct redis_call call;
	bool ignored;
	enum status status = redis_number_check(version, error);

	if (status)
		return status;
	redis_call_init(&call, redis_of(base), CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_script(&call, SCRIPT_BEGIN_TAG, 1);
	add_tag_key(&call, repository, tag);
	redis_call_version(&call, version);
	return run_flag(&call, &ignored);
}

enum status redis_next_version(struct metadata_store *base, const char *repository, const char *tag,
			       uint64_t at_least, uint64_t *ret_version, struct error *error)
{
	struct redis_call call;
	enum status status = redis_number_check(at_least, error);

	if (status)
		return status;
	redis_call_init(&call, redis_of(base), CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_script(&call, SCRIPT_NEXT_VERSION, 2);
	redis_call_key_of(&call, KEY_VERSION, repository, tag);
	add_tag_key(&call, repository, tag);
	redis_call_version(&call, at_least);
	redis_call_number(&call, VERSION_KEPT_MS);
	status = redis_call_run(&call);
	if (!status && redis_call_reply(&call, 0)->type == REDIS_REPLY_NIL)
		status = error_set(error, BW_INVALID, "tag %s:%s has the highest version there is",
				   repository, tag);
	else if (!status && !read_version(redis_call_reply(&call, 0), ret_version))
		status = redis_nonsense(&call);
	redis_call_release(&call);
	return status;
}

enum status redis_touch_tag(struct metadata_store *base, const char *repository, const char *tag,
			    uint64_t version, int64_t validated_at, struct error *error)
{
	struct redis_call call;
	bool same = false;
	enum status status = redis_number_check(version, error);

	if (status)
		return status;
	redis_call_init(&call, redis_of(base), CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_script(&call, SCRIPT_TOUCH_TAG, 1);
	add_tag_key(&call, repository, tag);
	redis_call_version(&call, version);
	redis_call_number(&call, validated_at);
	status = run_flag(&call, &same);
	if (!status && !same)
		status = error_set(error, BW_CONFLICT,
				   "tag %s:%s is not at version %llu in the index", repository, tag,
				   (unsigned long long)version);
	return status;
}

enum status redis_remove_tag(struct metadata_store *base, const char *repository, const char *tag,
			     uint64_t version, struct error *error)
{
	struct redis_call call;
	bool ignored;

	redis_call_init(&call, redis_of(base), CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_script(&call, SCRIPT_REMOVE_TAG, 4);
	add_tag_key(&call, repository, tag);
	redis_call_key_of(&call, KEY_TAGS, repository, NULL);
	redis_call_key_of(&call, KEY_TAGS_OF, repository, NULL);
	redis_call_key_of(&call, KEY_VERSION, repository, tag);
	redis_call_string(&call, tag);
	redis_call_version(&call, version > INT64_MAX ? INT64_MAX : version);
	redis_call_number(&call, VERSION_KEPT_MS);
	return run_flag(&call, &ignored);
}

enum status redis_list_tags(struct metadata_store *base, const char *repository, const char *after,
			    unsigned limit, tag_list_fn fn, void *context, struct error *error)
{
	char *min = *after ? xasprintf("(%s", after) : xstrdup("-");
	struct redis_range range = {
		.kind = KEY_TAGS, .tagged = repository, .min = min, .max = "+", .limit = limit};
	enum status status = redis_each_name(redis_of(base), &range, fn, context, error);

	free(min);
	return status;
}

enum status redis_list_tags_of(struct metadata_store *base, const char *repository,
			       const struct digest *digest, unsigned limit, tag_list_fn fn,
			       void *context, struct error *error)
{
	char text[DIGEST_TEXT_SIZE];
	char min[DIGEST_TEXT_SIZE + 2];
	char max[DIGEST_TEXT_SIZE + 2];
	struct redis_range range = {
		.kind = KEY_TAGS_OF, .tagged = repository, .min = min, .max = max, .limit = limit};

	digest_format(digest, text);
	snprintf(min, sizeof(min), "[%s ", text);
	snprintf(max, sizeof(max), "(%s!", text);
	range.skip = strlen(text) + 1;
	return redis_each_name(redis_of(base), &range, fn, context, error);
}
