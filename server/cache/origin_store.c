/*
 * Bytes from our own object store, when that is elsewhere.
 */
#include "server/base/memory.h"
#include "server/cache/origin.h"
#include "server/content/content.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Reads from the store at once; one of them costs a client of the store no more
 * than a connection. */
#define STORE_READS 32
#define PIECE_BYTES ((size_t)256 << 10)
/* How long the store may take for a piece; it retries by itself within that. */
#define PIECE_MS 10000

struct store_origin {
	struct origin base;
	struct content *content;
	struct digest digest;
	bool has_listed_size;
	uint64_t listed_size;
};

static enum status cannot_tell(struct error *error, enum status code, const struct error *why)
{
	int retry_after = why->retry_after;

	error_set(error, code, "object store: %s",
		  why->message[0] ? why->message : status_name(why->code));
	if (error)
		error->retry_after = retry_after;
	return code;
}

static enum status copy(struct object_reader *reader, uint64_t offset, const struct blob_sink *sink,
			const _Atomic bool *cancelled, struct error *error)
{
	char *piece = xmalloc(PIECE_BYTES);
	struct error why = {0};
	enum status status = BW_OK;
	size_t length = 1;

	while (status == BW_OK && offset < reader->info.size) {
		if (atomic_load(cancelled)) {
			status = error_set(error, BW_CANCELLED, "stopping");
			break;
		}
		status = object_read(reader, offset, piece, PIECE_BYTES, deadline_in(PIECE_MS),
				     &length, &why);
		if (status == BW_OK && length == 0)
			status = error_set(&why, BW_UNREACHABLE, "the stored blob ended early");
		if (status != BW_OK)
			status = cannot_tell(
				error, status == BW_CORRUPT ? BW_CORRUPT : BW_UNREACHABLE, &why);
		else if (!sink->write(sink->context, piece, length))
			status = error_set(error, BW_CANCELLED, "not wanted any more");
		offset += length;
	}
	free(piece);
	return status;
}

static enum status store_read(struct origin *base, uint64_t offset, const struct blob_sink *sink,
			      const _Atomic bool *cancelled, struct error *error)
{
	struct store_origin *origin = container_of(base, struct store_origin, base);
	struct object_reader *reader;
	struct error why = {0};
	enum status status = content_open_blob(
		origin->content, &origin->digest,
		origin->has_listed_size ? &origin->listed_size : NULL, &reader, &why);

	if (status != BW_OK && status != BW_ABSENT)
		status = offset > 0 ? BW_UNREACHABLE : BW_UNAVAILABLE;
	if (status != BW_OK)
		return cannot_tell(error, status, &why);
	if (sink->begin(sink->context, offset, true, reader->info.size))
		status = copy(reader, offset, sink, cancelled, error);
	else
		status = error_set(error, BW_CANCELLED, "not wanted any more");
	object_close(reader);
	return status;
}

static enum status store_is_at_fault(const struct origin *origin, struct error *error,
				     enum status code, const char *what)
{
	(void)origin;
	return error_set(error, code, "object store: %s", what);
}

static void store_origin_free(struct origin *base)
{
	free(container_of(base, struct store_origin, base));
}

struct origin *origin_store_new(struct content *content, const struct digest *digest,
				const uint64_t *listed_size)
{
	static const struct origin_ops ops = {
		.read = store_read,
		.fault = store_is_at_fault,
		.free = store_origin_free,
	};
	struct store_origin *origin = xcalloc(1, sizeof(*origin));

	origin->base = (struct origin){.ops = &ops, .concurrency = STORE_READS};
	origin->content = content;
	origin->digest = *digest;
	origin->has_listed_size = listed_size != NULL;
	origin->listed_size = listed_size ? *listed_size : 0;
	return &origin->base;
}
