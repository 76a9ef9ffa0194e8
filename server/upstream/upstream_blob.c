#include "server/base/memory.h"
#include "server/upstream/content_range.h"
#include "server/upstream/upstream_private.h"

#include <inttypes.h>
#include <stdlib.h>

struct blob_ask {
	struct ask ask; /* first */
	uint64_t offset;
	const struct blob_sink *sink;
};

static bool refuse(struct ask *ask, enum status status, const char *why)
{
	error_set(&ask->refusal, status, "%s", why);
	return false;
}

/* Where the bytes of this reply belong. A 200 to a ranged request begins at 0. */
static bool locate(struct blob_ask *blob, const struct transfer_response *response,
		   struct content_range *ret)
{
	const struct transfer_headers *headers = &response->headers;

	if (response->status == 200) {
		*ret = (struct content_range){.has_total = headers->has_content_length,
					      .total = headers->content_length};
		return true;
	}
	if (!blob->ask.range)
		return refuse(&blob->ask, BW_UNREACHABLE, "answered 206 unasked");
	if (!headers->content_range || !content_range_parse(headers->content_range, ret))
		return refuse(&blob->ask, BW_UNREACHABLE,
			      "answered 206 without a usable Content-Range");
	if (ret->first != blob->offset)
		return refuse(&blob->ask, BW_UNREACHABLE, "answered with another range than asked");
	if (headers->has_content_length && headers->content_length != ret->last - ret->first + 1)
		return refuse(&blob->ask, BW_UNREACHABLE,
			      "answered with a range that is not as long as it says");
	return true;
}

static bool blob_headers(struct ask *ask, const struct transfer_response *response)
{
	struct blob_ask *blob = (struct blob_ask *)ask;
	struct content_range range = {0};

	if (!locate(blob, response, &range))
		return false;
	if (!blob->sink->begin(blob->sink->context, range.first, range.has_total, range.total))
		return refuse(ask, BW_CANCELLED, "the blob is not wanted");
	return true;
}

static bool blob_body(struct ask *ask, const void *bytes, size_t length)
{
	struct blob_ask *blob = (struct blob_ask *)ask;

	/* another mirror would have to go on from here: that is for the caller */
	ask->committed = true;
	if (!blob->sink->write(blob->sink->context, bytes, length))
		return refuse(ask, BW_CANCELLED, "the rest of the blob is not wanted");
	return true;
}

static char *blob_path(const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	return xasprintf("blobs/%s", text);
}

enum status upstream_get_blob(struct upstream *upstream, const char *repository,
			      const struct digest *digest, uint64_t offset,
			      const struct blob_sink *sink, const _Atomic bool *cancelled,
			      struct error *error)
{
	char *path = blob_path(digest);
	char range[40];
	struct blob_ask blob = {
		.ask = {.upstream = upstream,
			.repository = repository,
			.method = TRANSFER_GET,
			.path = path,
			.range = offset ? range : NULL,
			.cancelled = cancelled,
			.on_headers = blob_headers,
			.on_body = blob_body},
		.offset = offset,
		.sink = sink,
	};
	enum status status;

	snprintf(range, sizeof(range), "bytes=%" PRIu64 "-", offset);
	status = upstream_ask(&blob.ask, error);
	free(path);
	return status;
}

struct probe_ask {
	struct ask ask; /* first */
	bool has_size;
	uint64_t size;
};

static bool probe_headers(struct ask *ask, const struct transfer_response *response)
{
	struct probe_ask *probe = (struct probe_ask *)ask;
	const struct transfer_headers *headers = &response->headers;
	struct content_range range;

	probe->has_size = false;
	if (response->status == 200) {
		probe->has_size = headers->has_content_length;
		probe->size = headers->content_length;
	} else if (headers->content_range && content_range_parse(headers->content_range, &range)) {
		probe->has_size = range.has_total;
		probe->size = range.total;
	}
	/* a server that ignores Range sends the whole blob now */
	return response->status == 206 || ask->method == TRANSFER_HEAD;
}

static enum status ask_for_probe(struct probe_ask *probe, enum transfer_method method,
				 struct error *error)
{
	probe->ask.method = method;
	probe->ask.range = method == TRANSFER_GET ? "bytes=0-0" : NULL;
	probe->ask.on_headers = probe_headers;
	probe->ask.limit_ms = upstream_small_limit_ms(probe->ask.upstream);
	return upstream_ask(&probe->ask, error);
}

/* Refused as a HEAD, which says nothing of the blob: public ECR answers 401,
 * and a blob store's signed URL is good for GET only. */
static bool may_be_the_method(enum status status, const struct error *error)
{
	return status == BW_DENIED || (status == BW_UNREACHABLE && error->http_status / 100 == 4) ||
	       error->http_status == 501;
}

enum status upstream_probe_blob(struct upstream *upstream, const char *repository,
				const struct digest *digest, uint64_t *ret_size,
				struct error *error)
{
	char *path = blob_path(digest);
	struct probe_ask probe = {
		.ask = {.upstream = upstream, .repository = repository, .path = path}};
	struct error failure = {0};
	enum status status = ask_for_probe(&probe, TRANSFER_HEAD, &failure);

	if (status != BW_OK && may_be_the_method(status, &failure))
		status = ask_for_probe(&probe, TRANSFER_GET, &failure);
	if (status == BW_OK && probe.has_size)
		*ret_size = probe.size;
	if (status != BW_OK && error)
		*error = failure;
	free(path);
	return status;
}
