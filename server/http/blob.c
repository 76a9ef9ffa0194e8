#include "server/http/blob_body.h"
#include "server/http/handlers.h"

#include "server/base/str.h"
#include "server/http/response.h"
#include "server/registry/failure.h"

#include <stdio.h>

struct blob_answer {
	struct exchange *exchange;
	struct blob_source source;
	struct byte_range range; /* what is sent */
	bool partial;
	char etag[DIGEST_TEXT_SIZE + 2];
	const char *digest;
};

static void respond_blob(struct blob_answer *answer, uint64_t available)
{
	bool has_body = answer->range.length > 0;
	const struct response response = {
		.status = answer->partial ? 206 : 200,
		.content_type = "application/octet-stream",
		.has_length = true,
		.content_length = answer->range.length,
		.digest = answer->digest,
		.accepts_ranges = true,
		.part = answer->partial ? &answer->range : NULL,
		.full_size = answer->source.size,
	};

	answer->exchange->pushed_type = "blob";
	if (response_begin(answer->exchange, &response, NULL, 0, has_body) && has_body)
		blob_body_send(answer->exchange, &answer->source, &answer->range, available);
}

static void respond_not_modified(struct blob_answer *answer)
{
	const struct response response = {.status = 304, .digest = answer->digest};

	respond(answer->exchange, &response, NULL);
}

/* The URL is as good as a key: it goes to the client and nowhere else. */
static void respond_redirect(struct blob_answer *answer)
{
	const struct response response = {
		.status = 307,
		.has_length = true,
		.digest = answer->digest,
		.location = answer->source.redirect,
	};

	respond(answer->exchange, &response, NULL);
}

static void respond_unsatisfiable(struct blob_answer *answer)
{
	const struct response extra = {
		.accepts_ranges = true,
		.unsatisfiable = true,
		.full_size = answer->source.size,
	};
	struct api_failure failure = {.http_status = 416, .code = API_RANGE_INVALID};

	snprintf(failure.message, sizeof(failure.message), "the blob has no byte in that range");
	respond_failure_with(answer->exchange, &failure, &extra);
}

/* True when there is something to send. */
static bool choose_range(struct blob_answer *answer)
{
	const struct request *request = &answer->exchange->request;
	const char *range = request_header(request, "Range");

	answer->range = (struct byte_range){.length = answer->source.size};
	if (!etag_allows_range(request_header(request, "If-Range"), answer->etag))
		range = NULL;
	switch (range_parse(range, answer->source.size, &answer->range)) {
	case RANGE_UNSATISFIABLE:
		respond_unsatisfiable(answer);
		return false;
	case RANGE_PART:
		answer->partial = true;
		return true;
	case RANGE_WHOLE:
		break;
	}
	return true;
}

/* The first bytes are waited for before the head goes out, so that a fill that
 * fails at once becomes an error and not a broken 200. */
static void stream_blob(struct blob_answer *answer)
{
	struct error error = {0};
	struct api_failure failure;
	enum status status = BW_OK;
	uint64_t available = 0;

	if (!choose_range(answer))
		return;
	if (answer->range.length > 0)
		status = blob_body_wait(answer->exchange, &answer->source, answer->range.first,
					&available, &error);
	if (status == BW_OK) {
		respond_blob(answer, available);
		return;
	}
	if (!connection_is_open(answer->exchange->connection)) {
		answer->exchange->status = STATUS_CLIENT_LEFT;
		exchange_cut(answer->exchange, BW_CANCELLED, CLIENT_LEFT);
		return;
	}
	failure_from_error(&failure, status, &error, API_BLOB_UNKNOWN);
	respond_failure(answer->exchange, &failure);
}

static void head_blob(struct blob_answer *answer)
{
	struct exchange *exchange = answer->exchange;
	struct response response = {
		.status = 200,
		.content_type = "application/octet-stream",
		.has_length = true,
		.digest = answer->digest,
		.accepts_ranges = true,
	};
	struct api_failure failure;

	if (!registry_stat_blob(exchange->registry, &exchange->target, answer->digest,
				&response.content_length, &exchange->verdict, &failure)) {
		respond_failure(exchange, &failure);
		return;
	}
	exchange->has_verdict = true;
	if (etag_listed(request_header(&exchange->request, "If-None-Match"), answer->etag))
		respond_not_modified(answer);
	else
		respond(exchange, &response, NULL);
}

static void get_blob(struct blob_answer *answer)
{
	struct exchange *exchange = answer->exchange;
	struct api_failure failure;

	if (!registry_open_blob(exchange->registry, &exchange->target, answer->digest,
				&answer->source, &failure)) {
		respond_failure(exchange, &failure);
		return;
	}
	exchange->verdict = answer->source.verdict;
	exchange->has_verdict = true;
	if (etag_listed(request_header(&exchange->request, "If-None-Match"), answer->etag))
		respond_not_modified(answer);
	else if (answer->source.redirect)
		respond_redirect(answer);
	else
		stream_blob(answer);
	blob_source_release(&answer->source);
}

void handle_blob(struct exchange *exchange)
{
	struct blob_answer answer = {.exchange = exchange, .digest = exchange->match.last};

	if (!handler_resolve(exchange))
		return;
	snprintf(answer.etag, sizeof(answer.etag), "\"%s\"", answer.digest);
	if (exchange_is_head(exchange))
		head_blob(&answer);
	else
		get_blob(&answer);
}

void handle_delete_blob(struct exchange *exchange)
{
	struct api_failure failure;

	if (!handler_resolve(exchange))
		return;
	if (registry_delete_blob(exchange->registry, &exchange->target, exchange->match.last,
				 &failure)) {
		handler_deleted(exchange);
		return;
	}
	/* 405 of a cached one */
	respond_failure_with(exchange, &failure,
			     &(struct response){
				     .allow = failure.http_status == 405 ? "GET, HEAD" : NULL,
			     });
}
