/*
 * Uploads of blobs (OCI distribution-spec, "Pushing blobs"): from requests to the
 * calls of push.h and back.
 */
#include "server/base/digest.h"
#include "server/base/str.h"
#include "server/http/handlers.h"
#include "server/http/response.h"
#include "server/registry/failure.h"

#include <stdio.h>
#include <string.h>

/* Nobody is told apart yet. */
#define CALLER ""

static const char *upload_location(struct exchange *exchange, const struct upload_status *status)
{
	return handler_location(exchange, "/blobs/uploads/%s?" UPLOAD_TOKEN_PARAMETER "=%s",
				status->id, status->token);
}

static void respond_upload(struct exchange *exchange, int http_status,
			   const struct upload_status *status)
{
	const struct response response = {
		.status = http_status,
		.has_length = http_status != 204,
		.location = upload_location(exchange, status),
		.upload = status,
	};

	respond(exchange, &response, NULL);
}

/* `status` is only filled in where it helps the client to go on. */
static void fail_upload(struct exchange *exchange, const struct api_failure *failure,
			const struct upload_status *status)
{
	struct response extra = {0};

	if (failure->http_status == 416 && status->id[0]) {
		extra.location = upload_location(exchange, status);
		extra.upload = status;
	}
	handler_fail_push(exchange, failure, &extra);
}

static void respond_created(struct exchange *exchange, const char *digest)
{
	const struct response response = {
		.status = 201,
		.has_length = true,
		.location = handler_location(exchange, "/blobs/%s", digest),
		.digest = digest,
	};

	respond(exchange, &response, NULL);
}

/* True: answered. Whatever keeps us from finding `from` looks to the client as if
 * the blob were not there. */
static bool try_mount(struct exchange *exchange, const char *digest)
{
	const char *name = request_parameter(&exchange->request, "from");
	struct api_failure failure;
	struct target from;
	bool mounted = false;
	bool ok;

	if (name && !registry_resolve(exchange->registry, name, NULL, exchange->request.host, &from,
				      &failure))
		return false;
	ok = registry_mount_blob(exchange->registry, &exchange->target, digest, name ? &from : NULL,
				 &mounted, &failure);
	if (name)
		target_release(&from);
	if (!ok)
		respond_failure(exchange, &failure);
	else if (mounted)
		respond_created(exchange, digest);
	return !ok || mounted;
}

/* A POST that names a digest but has no body begins an upload, unless nothing is
 * what it means to push. */
static bool is_whole_blob(const struct exchange *exchange, const char *digest_text)
{
	struct digest digest, of_nothing;

	if (exchange->request.has_body)
		return true;
	if (!digest_parse(digest_text, strlen(digest_text), &digest))
		return true; /* to be refused */
	digest_of(digest.algorithm, "", 0, &of_nothing);
	return digest_equals(&digest, &of_nothing);
}

static void push_whole_blob(struct exchange *exchange, const char *digest)
{
	struct request_body body;
	struct api_failure failure;

	handler_body(exchange, &body);
	if (registry_push_blob(exchange->registry, &exchange->target, digest, &body, &failure))
		respond_created(exchange, digest);
	else
		handler_fail_push(exchange, &failure, &(struct response){0});
}

static void begin_session(struct exchange *exchange)
{
	const char *algorithm = request_parameter(&exchange->request, "digest-algorithm");
	struct upload_status status;
	struct api_failure failure;

	if (registry_begin_upload(exchange->registry, &exchange->target, CALLER, algorithm, &status,
				  &failure))
		respond_upload(exchange, 202, &status);
	else
		respond_failure(exchange, &failure);
}

void handle_begin_upload(struct exchange *exchange)
{
	const char *mount = request_parameter(&exchange->request, "mount");
	const char *digest = request_parameter(&exchange->request, "digest");

	if (!handler_resolve_push(exchange))
		return;
	if (mount && try_mount(exchange, mount))
		return;
	if (digest && is_whole_blob(exchange, digest))
		push_whole_blob(exchange, digest);
	else
		begin_session(exchange);
}

static void handle_of(const struct exchange *exchange, struct upload_handle *ret)
{
	*ret = (struct upload_handle){
		.id = exchange->match.last,
		.token = request_parameter(&exchange->request, UPLOAD_TOKEN_PARAMETER),
		.caller = CALLER,
	};
}

void handle_upload_status(struct exchange *exchange)
{
	struct upload_handle handle;
	struct upload_status status;
	struct api_failure failure;

	if (!handler_resolve_push(exchange))
		return;
	handle_of(exchange, &handle);
	if (registry_get_upload(exchange->registry, &exchange->target, &handle, &status, &failure))
		respond_upload(exchange, 204, &status);
	else
		respond_failure(exchange, &failure);
}

/* "<first>-<last>" and nothing else: the specification's form is not RFC 9110's
 * ("bytes 0-9/10"), and whoever sends the latter expects a partial PUT of the
 * latter's meaning. False: answered. */
static bool take_range(struct exchange *exchange, struct chunk_range *range,
		       const struct chunk_range **ret_range)
{
	const char *text = request_header(&exchange->request, "Content-Range");
	const char *dash = text ? strchr(text, '-') : NULL;
	struct api_failure failure;

	*ret_range = NULL;
	if (!text)
		return true;
	*ret_range = range;
	if (dash && str_parse_u64(text, (size_t)(dash - text), &range->first) &&
	    str_parse_u64(dash + 1, strlen(dash + 1), &range->last) && range->first <= range->last)
		return true;
	failure_set(&failure, 400, API_BLOB_UPLOAD_INVALID,
		    "Content-Range of a chunk is \"<first>-<last>\", both inclusive");
	respond_failure(exchange, &failure);
	return false;
}

void handle_append_upload(struct exchange *exchange)
{
	const struct chunk_range *range;
	struct chunk_range range_given;
	struct upload_status status = {.id = ""};
	struct upload_handle handle;
	struct request_body body;
	struct api_failure failure;

	if (!handler_resolve_push(exchange) || !take_range(exchange, &range_given, &range))
		return;
	handle_of(exchange, &handle);
	handler_body(exchange, &body);
	if (registry_append_upload(exchange->registry, &exchange->target, &handle, range, &body,
				   &status, &failure))
		respond_upload(exchange, 202, &status);
	else
		fail_upload(exchange, &failure, &status);
}

void handle_finish_upload(struct exchange *exchange)
{
	const char *digest = request_parameter(&exchange->request, "digest");
	const struct chunk_range *range;
	struct chunk_range range_given;
	struct upload_status status = {.id = ""};
	struct upload_handle handle;
	struct request_body body;
	struct api_failure failure;

	if (!handler_resolve_push(exchange) || !take_range(exchange, &range_given, &range))
		return;
	if (!digest) {
		failure_set(&failure, 400, API_DIGEST_INVALID, "the parameter digest is missing");
		respond_failure(exchange, &failure);
		return;
	}
	handle_of(exchange, &handle);
	handler_body(exchange, &body);
	if (registry_finish_upload(exchange->registry, &exchange->target, &handle, digest, range,
				   &body, &status, &failure))
		respond_created(exchange, digest);
	else
		fail_upload(exchange, &failure, &status);
}

void handle_cancel_upload(struct exchange *exchange)
{
	const struct response response = {.status = 204};
	struct upload_handle handle;
	struct api_failure failure;

	if (!handler_resolve_push(exchange))
		return;
	handle_of(exchange, &handle);
	if (registry_cancel_upload(exchange->registry, &exchange->target, &handle, &failure))
		respond(exchange, &response, NULL);
	else
		respond_failure(exchange, &failure);
}
