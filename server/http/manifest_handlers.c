#include "server/base/memory.h"
#include "server/http/handlers.h"
#include "server/http/response.h"
#include "server/oci/manifest.h"
#include "server/registry/failure.h"

#include <stdio.h>
#include <stdlib.h>

#define READ_AT_FIRST ((size_t)16 * 1024)

/* Sent as it is stored, whatever Accept says: another form of it would have
 * another digest. */
static void respond_manifest(struct exchange *exchange, const struct manifest_view *view)
{
	char etag[DIGEST_TEXT_SIZE + 2];
	struct response response = {
		.status = 200,
		.content_type = view->media_type,
		.has_length = true,
		.content_length = view->body_length,
		.digest = view->digest_text,
	};

	snprintf(etag, sizeof(etag), "\"%s\"", view->digest_text);
	if (etag_listed(request_header(&exchange->request, "If-None-Match"), etag)) {
		response.status = 304;
		response.has_length = false;
	}
	exchange->pushed_type = "manifest";
	respond(exchange, &response, view->body);
}

void handle_manifest(struct exchange *exchange)
{
	struct manifest_view *view;
	struct api_failure failure;

	if (!handler_resolve(exchange))
		return;
	if (!registry_get_manifest(exchange->registry, &exchange->target, exchange->match.last,
				   exchange_is_head(exchange), &view, &exchange->verdict,
				   &failure)) {
		respond_failure(exchange, &failure);
		return;
	}
	exchange->has_verdict = true;
	respond_manifest(exchange, view);
	manifest_view_unref(view);
}

static bool fail_too_large(struct exchange *exchange)
{
	struct api_failure failure;

	failure_set(&failure, 413, API_SIZE_INVALID, "a manifest may have %zu bytes at most",
		    MANIFEST_MAX_BYTES);
	respond_failure(exchange, &failure);
	return false;
}

/* Memory grows with what has come, not with what the client says will come. False:
 * answered. *ret_body is the caller's in any case. */
static bool read_manifest(struct exchange *exchange, char **ret_body, size_t *ret_length)
{
	const struct request *request = &exchange->request;
	size_t capacity = 0;
	size_t length = 0;
	size_t piece;

	if (request->has_length && request->length > MANIFEST_MAX_BYTES)
		return fail_too_large(exchange);
	do {
		if (length == capacity) {
			capacity = capacity ? 2 * capacity : READ_AT_FIRST;
			if (capacity > MANIFEST_MAX_BYTES)
				capacity = MANIFEST_MAX_BYTES + 1;
			*ret_body = xrealloc(*ret_body, capacity);
		}
		if (receive(&exchange->receiver, *ret_body + length, capacity - length, &piece) !=
		    BW_OK) {
			handler_fail_push(exchange, NULL, NULL);
			return false;
		}
		length += piece;
		if (length > MANIFEST_MAX_BYTES)
			return fail_too_large(exchange);
	} while (piece > 0);
	*ret_length = length;
	return true;
}

static void respond_pushed(struct exchange *exchange, const struct manifest_push *push,
			   const struct pushed_manifest *pushed)
{
	const struct response response = {
		.status = 201,
		.has_length = true,
		.location = handler_location(exchange, "/manifests/%s", pushed->digest),
		.digest = pushed->digest,
		.subject = pushed->subject[0] ? pushed->subject : NULL,
		.tags = push->tags,
		.tag_count = push->tag_count,
	};

	respond(exchange, &response, NULL);
}

static bool take_tags(struct exchange *exchange, const char **tags, struct manifest_push *push)
{
	struct api_failure failure;

	push->tags = tags;
	push->tag_count = request_parameters(&exchange->request, "tag", tags, PUSH_MAX_TAGS);
	if (push->tag_count <= PUSH_MAX_TAGS)
		return true;
	failure_set(&failure, 414, API_TAG_INVALID, "a push may have %d tags at most",
		    PUSH_MAX_TAGS);
	respond_failure(exchange, &failure);
	return false;
}

void handle_put_manifest(struct exchange *exchange)
{
	const char *tags[PUSH_MAX_TAGS];
	struct manifest_push push = {
		.reference = exchange->match.last,
		.content_type = request_header(&exchange->request, "Content-Type"),
	};
	struct pushed_manifest pushed;
	struct api_failure failure;
	char *body = NULL;

	if (!handler_resolve_push(exchange) || !take_tags(exchange, tags, &push))
		return;
	if (read_manifest(exchange, &body, &push.length)) {
		push.body = body;
		if (registry_put_manifest(exchange->registry, &exchange->target, &push, &pushed,
					  &failure))
			respond_pushed(exchange, &push, &pushed);
		else
			respond_failure(exchange, &failure);
	}
	free(body);
}

void handle_delete_manifest(struct exchange *exchange)
{
	struct api_failure failure;

	if (!handler_resolve(exchange))
		return;
	if (registry_delete_manifest(exchange->registry, &exchange->target, exchange->match.last,
				     &failure))
		handler_deleted(exchange);
	else
		respond_failure(exchange, &failure);
}
