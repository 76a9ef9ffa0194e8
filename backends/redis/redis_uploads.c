#include "backends/redis/redis_ops.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdlib.h>

#define UPLOADS_PAGE 500u

static void add_row_key(struct redis_call *call, const char *id)
{
	redis_call_plain_key(call, KEY_UPLOAD, id);
}

/* `how`: NX adds what is not there, XX changes what is. */
static void add_listing(struct redis_call *call, const char *id, int64_t touched_at,
			const char *how)
{
	redis_call_command(call, "ZADD");
	redis_call_plain_key(call, KEY_UPLOADS, NULL);
	redis_call_string(call, how);
	redis_call_number(call, touched_at);
	redis_call_string(call, id);
}

static enum status is_absent(struct error *error)
{
	return error_set(error, BW_ABSENT, "the upload is not in the index");
}

enum status redis_create_upload(struct metadata_store *base, const char *id,
				const struct upload_entry *entry, struct error *error)
{
	struct redis_call call;
	enum status status = upload_entry_check(entry, error);

	if (status)
		return status;
	redis_call_init(&call, redis_of(base), 0, error);
	add_listing(&call, id, entry->touched_at, "NX");
	redis_call_script(&call, SCRIPT_CREATE_UPLOAD, 1);
	add_row_key(&call, id);
	redis_call_string(&call, entry->repository);
	redis_call_string(&call, entry->caller);
	redis_call_bytes(&call, entry->state, entry->state_length);
	redis_call_number(&call, entry->started_at);
	redis_call_number(&call, entry->touched_at);
	status = redis_call_run(&call);
	if (!status && redis_reply_integer(redis_call_reply(&call, 1)) != 1)
		status = error_set(error, BW_CONFLICT,
				   "an upload of this id is in the index already");
	redis_call_release(&call);
	return status;
}

static bool read_upload(const redisReply *row, struct upload_entry *ret)
{
	redisReply **field = row->element;
	int64_t revision;

	for (int i = 0; i < 3; i++)
		if (!redis_reply_is_string(field[i]))
			return false;
	if (!redis_reply_number(field[3], &revision) ||
	    !redis_reply_number(field[4], &ret->started_at) ||
	    !redis_reply_number(field[5], &ret->touched_at))
		return false;
	ret->revision = (uint64_t)revision;
	ret->repository = redis_copy_bytes(field[0]);
	ret->caller = redis_copy_bytes(field[1]);
	ret->state = redis_copy_bytes(field[2]);
	ret->state_length = field[2]->len;
	return true;
}

enum status redis_get_upload(struct metadata_store *base, const char *id, struct upload_entry *ret,
			     struct error *error)
{
	struct upload_entry entry = {0};
	struct redis_call call;
	const redisReply *row;
	enum status status;

	redis_call_init(&call, redis_of(base), CALL_REPEATABLE, error);
	redis_call_command(&call, "HMGET");
	add_row_key(&call, id);
	for (const char *const *field = (const char *const[]){"r", "c", "x", "n", "b", "a", NULL};
	     *field; field++)
		redis_call_string(&call, *field);
	status = redis_call_run(&call);
	row = status ? NULL : redis_call_reply(&call, 0);
	if (row && (row->type != REDIS_REPLY_ARRAY || row->elements != 6 ||
		    row->element[0]->type == REDIS_REPLY_NIL))
		status = is_absent(error);
	else if (row && !read_upload(row, &entry))
		status = redis_nonsense(&call);
	if (!status)
		*ret = entry;
	redis_call_release(&call);
	return status;
}

enum status redis_advance_upload(struct metadata_store *base, const char *id,
				 const struct upload_entry *entry, struct error *error)
{
	struct redis_call call;
	struct error ignored;
	enum status status = upload_entry_check(entry, error);
	int64_t done = 0;

	if (status)
		return status;
	redis_call_init(&call, redis_of(base), 0, error);
	redis_call_script(&call, SCRIPT_ADVANCE_UPLOAD, 1);
	add_row_key(&call, id);
	redis_call_printf(&call, "%llu", (unsigned long long)entry->revision);
	redis_call_bytes(&call, entry->state, entry->state_length);
	redis_call_number(&call, entry->touched_at);
	redis_call_printf(&call, "%llu", (unsigned long long)entry->revision + 1);
	status = redis_call_run(&call);
	if (!status)
		done = redis_reply_integer(redis_call_reply(&call, 0));
	if (!status && done < 0)
		status = is_absent(error);
	else if (!status && done == 0)
		status = error_set(error, BW_CONFLICT, "the upload has another revision by now");
	if (!status) {
		/* listed as older than it is, it is looked at before it is expired */
		redis_call_again(&call, CALL_REPEATABLE);
		call.error = &ignored;
		add_listing(&call, id, entry->touched_at, "XX");
		redis_call_run(&call);
	}
	redis_call_release(&call);
	return status;
}

enum status redis_remove_upload(struct metadata_store *base, const char *id, struct error *error)
{
	struct redis_call call;
	enum status status;

	redis_call_init(&call, redis_of(base), 0, error);
	redis_call_command(&call, "DEL");
	add_row_key(&call, id);
	redis_call_command(&call, "ZREM");
	redis_call_plain_key(&call, KEY_UPLOADS, NULL);
	redis_call_string(&call, id);
	status = redis_call_run(&call);
	if (!status && redis_reply_integer(redis_call_reply(&call, 0)) != 1)
		status = is_absent(error);
	redis_call_release(&call);
	return status;
}

/* ---- listing ---- */

struct upload_page {
	char ids[UPLOADS_PAGE][UPLOAD_ID_SIZE];
	unsigned count;
};

static enum status read_page(struct redis_call *call, int64_t touched_before, unsigned offset,
			     unsigned limit, struct upload_page *page)
{
	const redisReply *reply;
	enum status status;

	redis_call_again(call, CALL_REPEATABLE);
	redis_call_command(call, "ZRANGEBYSCORE");
	redis_call_plain_key(call, KEY_UPLOADS, NULL);
	redis_call_string(call, "-inf");
	redis_call_printf(call, "(%lld", (long long)touched_before);
	redis_call_string(call, "LIMIT");
	redis_call_number(call, offset);
	redis_call_number(call, limit < UPLOADS_PAGE ? limit : UPLOADS_PAGE);
	status = redis_call_run(call);
	if (status)
		return status;
	reply = redis_call_reply(call, 0);
	page->count = 0;
	for (size_t i = 0; i < reply->elements && i < UPLOADS_PAGE; i++)
		if (redis_reply_is_string(reply->element[i]))
			str_copy(page->ids[page->count++], UPLOAD_ID_SIZE, reply->element[i]->str);
	return BW_OK;
}

/* Takes those without a row out of the page: whoever made or removed them died in
 * between. *ret_removed of them there were, and the call is ready to take them out of the
 * list. */
static enum status leave_out_rowless(struct redis_call *call, struct upload_page *page,
				     unsigned *ret_removed)
{
	bool there[UPLOADS_PAGE];
	unsigned kept = 0;
	enum status status;

	*ret_removed = 0;
	redis_call_again(call, CALL_REPEATABLE);
	for (unsigned i = 0; i < page->count; i++) {
		redis_call_command(call, "EXISTS");
		add_row_key(call, page->ids[i]);
	}
	status = page->count ? redis_call_run(call) : BW_OK;
	for (unsigned i = 0; i < page->count && !status; i++)
		there[i] = redis_reply_integer(redis_call_reply(call, i)) == 1;
	if (status)
		return status;
	redis_call_again(call, CALL_REPEATABLE);
	for (unsigned i = 0; i < page->count; i++) {
		if (there[i]) {
			if (kept != i)
				str_copy(page->ids[kept], UPLOAD_ID_SIZE, page->ids[i]);
			kept++;
			continue;
		}
		redis_call_command(call, "ZREM");
		redis_call_plain_key(call, KEY_UPLOADS, NULL);
		redis_call_string(call, page->ids[i]);
	}
	*ret_removed = page->count - kept;
	page->count = kept;
	return status;
}

enum status redis_list_uploads(struct metadata_store *base, int64_t touched_before, unsigned limit,
			       upload_list_fn fn, void *context, struct error *error)
{
	struct upload_page *page = xcalloc(1, sizeof(*page));
	struct redis_call call;
	enum status status = BW_OK;
	unsigned told = 0;
	bool more = limit > 0;

	redis_call_init(&call, redis_of(base), 0, error);
	while (!status && more) {
		unsigned removed = 0;
		unsigned found;

		status = read_page(&call, touched_before, told, limit - told, page);
		if (status)
			break;
		found = page->count;
		status = leave_out_rowless(&call, page, &removed);
		if (!status && removed)
			status = redis_call_run(&call);
		for (unsigned i = 0; i < page->count && !status && more; i++)
			more = fn(context, page->ids[i]);
		told += page->count;
		more = more && found > 0 && told < limit;
	}
	redis_call_release(&call);
	free(page);
	return status;
}
