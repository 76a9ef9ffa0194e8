#include "backends/s3/s3_store.h"

#include "backends/s3/s3_internal.h"
#include "backends/s3/sigv4_transport.h"
#include "server/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_MAX 256

/* ---- keys ---- */

enum status s3_full_key(const struct s3_store *store, const char *key, char target[S3_KEY_SIZE],
			struct error *error)
{
	int length = snprintf(target, S3_KEY_SIZE, "%s%s", store->prefix, key);

	if (length < 0 || (size_t)length >= S3_KEY_SIZE)
		return error_set(error, BW_INVALID,
				 "object %s: with its prefix the key is longer than S3 takes", key);
	if (str_starts_with(key, S3_DATA))
		return error_set(error, BW_INVALID, "object %s: " S3_DATA " is the store's own",
				 key);
	return BW_OK;
}

void s3_data_key(const struct s3_store *store, const char *upload, const char *name,
		 char target[S3_KEY_SIZE])
{
	snprintf(target, S3_KEY_SIZE, "%.256s" S3_DATA "%.64s/%.200s", store->prefix, upload, name);
}

/* ---- small things that the others need ---- */

static enum status read_to_end(struct s3_body *body, const char *full_key, struct buf *target,
			       struct error *error)
{
	deadline_ms deadline = deadline_in(OBJECT_GET_TIMEOUT_MS);
	enum status status;
	char piece[8192];
	size_t got = 0;

	do {
		status = body->ops->read(body, piece, sizeof(piece), deadline, &got, error);
		if (!status)
			buf_append(target, piece, got);
	} while (!status && got > 0 && !target->overflow);
	if (!status && target->overflow)
		status = error_set(error, BW_TOO_LARGE, "%s has more than %zu bytes", full_key,
				   target->max);
	return status;
}

enum status s3_read_small(struct s3_store *store, const char *full_key, struct buf *target,
			  struct s3_head *ret_head, struct error *error)
{
	struct s3_get get = {.key = full_key};
	struct s3_body *body = NULL;
	enum status status =
		store->transport->ops->get(store->transport, &get, ret_head, &body, error);

	if (status)
		return status;
	status = read_to_end(body, full_key, target, error);
	body->ops->close(body);
	return status;
}

enum status s3_read_record_body(struct s3_body *body, const char *full_key,
				struct s3_record *ret_record, struct error *error)
{
	struct buf text = BUF_INIT(S3_RECORD_MAX);
	enum status status = read_to_end(body, full_key, &text, error);

	if (!status) {
		status = s3_record_parse(buf_string(&text), text.length, ret_record, error);
		if (status)
			error_prefix(error, "%s", full_key);
	}
	buf_release(&text);
	return status;
}

enum status s3_read_record(struct s3_store *store, const char *full_key,
			   struct s3_record *ret_record, struct error *error)
{
	struct s3_get get = {.key = full_key};
	struct s3_body *body = NULL;
	struct s3_head head;
	enum status status = store->transport->ops->head(store->transport, full_key, &head, error);

	if (!status && !head.is_record)
		status = error_set(error, BW_ABSENT, "%s is no record", full_key);
	if (!status)
		status = store->transport->ops->get(store->transport, &get, &head, &body, error);
	if (status)
		return status;
	status = s3_read_record_body(body, full_key, ret_record, error);
	body->ops->close(body);
	return status;
}

enum status s3_remove_names(struct s3_store *store, const char *upload, char *const *names,
			    size_t count, struct error *error)
{
	char(*keys)[S3_KEY_SIZE] = xcalloc(S3_DELETE_MAX, sizeof(*keys));
	const char **pointers = xcalloc(S3_DELETE_MAX, sizeof(*pointers));
	enum status status = BW_OK;

	while (count > 0 && !status) {
		size_t batch = 0;

		bool is_marker = names[count - 1][0] == '-';

		/* from the end, and markers in a request of their own after the parts */
		while (count > 0 && batch < S3_DELETE_MAX &&
		       (names[count - 1][0] == '-') == is_marker) {
			s3_data_key(store, upload, names[--count], keys[batch]);
			pointers[batch] = keys[batch];
			batch++;
		}
		status = store->transport->ops->remove(store->transport, pointers, batch, error);
	}
	free(pointers);
	free(keys);
	return status;
}

/* ---- the table's short ones ---- */

static enum status s3_stat(struct object_store *base, const char *key, struct object_info *ret_info,
			   struct error *error)
{
	struct s3_store *store = s3_store_of(base);
	char full[S3_KEY_SIZE];
	struct s3_head head;
	enum status status = s3_full_key(store, key, full, error);

	if (!status)
		status = store->transport->ops->head(store->transport, full, &head, error);
	if (!status)
		*ret_info = (struct object_info){head.is_record ? head.record_size : head.size,
						 head.stored_at};
	return status;
}

/* The client's GET goes to one object: a record has a URL only when it is one extent. */
static enum status s3_presign(struct object_store *base, const char *key, unsigned seconds,
			      char **ret_url, struct error *error)
{
	struct s3_store *store = s3_store_of(base);
	struct s3_transport *transport = store->transport;
	struct s3_record record = {0};
	char full[S3_KEY_SIZE];
	struct s3_head head = {0};
	enum status status = s3_full_key(store, key, full, error);

	if (!status && !transport->ops->presign)
		status = error_set(error, BW_UNSUPPORTED, "this store's URLs cannot be signed");
	if (!status)
		status = transport->ops->head(transport, full, &head, error);
	if (!status && head.is_record) {
		status = s3_read_record(store, full, &record, error);
		if (!status && record.count != 1)
			status = error_set(error, BW_UNSUPPORTED, "object %s lies in %zu pieces",
					   key, record.count);
		else if (!status)
			s3_data_key(store, record.upload, record.extents[0].name, full);
	}
	s3_record_release(&record);
	return status ? status : transport->ops->presign(transport, full, seconds, ret_url, error);
}

static enum status s3_check(struct object_store *base, struct error *error)
{
	struct s3_transport *transport = s3_store_of(base)->transport;

	return transport->ops->check(transport, error);
}

static void s3_free(struct object_store *base)
{
	struct s3_store *store = s3_store_of(base);

	work_pool_free(store->senders);
	store->transport->ops->free(store->transport);
	free(store->prefix);
	free(store);
}

static const struct object_store_ops s3_ops = {
	.stat = s3_stat,
	.open = s3_open,
	.put = s3_put,
	.create = s3_create,
	.adopt = s3_adopt,
	.part_create = s3_part_create,
	.part_open = s3_part_open,
	.part_remove = s3_part_remove,
	.parts_commit = s3_parts_commit,
	.parts_discard = s3_parts_discard,
	.parts_list = s3_parts_list,
	.remove = s3_remove,
	.list = s3_list,
	.presign = s3_presign,
	.check = s3_check,
	.free = s3_free,
};

/* ---- opening ---- */

static bool prefix_valid(const char *prefix)
{
	size_t length = strlen(prefix);
	char *key = xstrndup(prefix, length && prefix[length - 1] == '/' ? length - 1 : length);
	bool valid = length <= PREFIX_MAX - 1 && (length == 0 || object_key_valid(key));

	free(key);
	return valid;
}

/* Asks, and writes: a read-only key or a full store is told at start, not by the first
 * push. */
static enum status try_out(struct s3_store *store, struct error *error)
{
	struct s3_transport *transport = store->transport;
	unsigned char random[16];
	char name[33];
	char key[S3_KEY_SIZE];
	const char *keys[1] = {key};
	struct s3_put put = {.key = key, .bytes = "ready", .length = 5};
	enum status status = transport->ops->check(transport, error);

	random_bytes(random, sizeof(random));
	str_hex(random, sizeof(random), name);
	s3_data_key(store, "health", name, key);
	if (!status)
		status = transport->ops->put(transport, &put, error);
	if (!status)
		status = transport->ops->remove(transport, keys, 1, error);
	return status;
}

/* Nobody answered, or with an error of the server's own; not, say, with a 404. */
static bool is_away(enum status status, const struct error *error)
{
	bool silent = error->http_status == 0 || error->http_status >= 500;

	return silent &&
	       (status == BW_UNREACHABLE || status == BW_TIMEOUT || status == BW_UNAVAILABLE);
}

enum status s3_store_over(struct s3_transport *transport, const struct s3_layout *layout,
			  struct object_store **ret_store, struct error *error)
{
	const char *prefix = layout->prefix ? layout->prefix : "";
	struct s3_store *store;
	struct error trouble = {0};
	enum status status;

	if (!prefix_valid(prefix) || (layout->part_size && layout->part_size < S3_PART_MIN)) {
		transport->ops->free(transport);
		return error_set(error, BW_INVALID, "storage.s3: %s",
				 prefix_valid(prefix) ? "partSize must be at least 5MiB"
						      : "prefix is none that a key can have");
	}
	store = xcalloc(1, sizeof(*store));
	store->ops = s3_ops;
	store->ops.name = transport->name;
	store->base.ops = &store->ops;
	store->transport = transport;
	store->prefix =
		xasprintf("%s%s", prefix, *prefix && !str_ends_with(prefix, "/") ? "/" : "");
	store->part_size = layout->part_size ? layout->part_size : S3_PART_SIZE;
	store->parts_in_flight =
		layout->parts_in_flight ? layout->parts_in_flight : S3_PARTS_IN_FLIGHT;
	store->senders = work_pool_new("s3-parts", store->parts_in_flight, store->parts_in_flight);
	status = try_out(store, &trouble);
	if (status && !(layout->may_be_away && is_away(status, &trouble))) {
		s3_free(&store->base);
		if (error)
			*error = trouble;
		return status;
	}
	*ret_store = &store->base;
	return BW_OK;
}

enum status s3_store_new(const struct s3_options *options, struct object_store **ret_store,
			 struct error *error)
{
	struct s3_layout layout = {
		.prefix = options->prefix,
		.part_size = options->part_size,
		.parts_in_flight = options->parts_in_flight,
		.may_be_away = options->may_be_away,
	};
	struct s3_transport *transport = NULL;
	enum status status = sigv4_transport_new(options, &transport, error);

	return status ? status : s3_store_over(transport, &layout, ret_store, error);
}
