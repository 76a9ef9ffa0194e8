#include "server/http/handlers.h"

#include "server/base/buf.h"
#include "server/http/response.h"
#include "server/registry/failure.h"

#include <stdio.h>

bool handler_resolve(struct exchange *exchange)
{
	struct api_failure failure;

	if (!registry_resolve(exchange->registry, exchange->match.name,
			      request_parameter(&exchange->request, "ns"), exchange->request.host,
			      &exchange->target, &failure)) {
		respond_failure(exchange, &failure);
		return false;
	}
	exchange->has_target = true;
	return true;
}

bool handler_resolve_push(struct exchange *exchange)
{
	struct api_failure failure;

	if (!registry_resolve_push(exchange->registry, exchange->match.name,
				   request_parameter(&exchange->request, "ns"),
				   exchange->request.host, &exchange->target, &failure)) {
		respond_failure(exchange, &failure);
		return false;
	}
	exchange->has_target = true;
	return true;
}

/* One that is too slow counts as gone: so does the registry see it. */
static enum status read_body(void *context, void *target, size_t size, size_t *ret_length,
			     struct error *error)
{
	struct exchange *exchange = context;

	switch (receive(&exchange->receiver, target, size, ret_length)) {
	case BW_OK:
		return BW_OK;
	case BW_INVALID:
		return error_set(error, BW_INVALID, "the body's chunked coding is malformed");
	case BW_TIMEOUT:
		return error_set(error, BW_CANCELLED, "the client was too slow");
	default:
		return error_set(error, BW_CANCELLED, CLIENT_LEFT);
	}
}

void handler_body(struct exchange *exchange, struct request_body *ret)
{
	*ret = (struct request_body){
		.read = read_body,
		.context = exchange,
		.has_length = exchange->request.has_length,
		.length = exchange->request.length,
	};
}

void handler_fail_push(struct exchange *exchange, const struct api_failure *failure,
		       const struct response *extra)
{
	struct api_failure sending;

	switch (exchange->receiver.outcome) {
	case BW_OK:
		respond_failure_with(exchange, failure, extra);
		return;
	case BW_INVALID:
		failure_set(&sending, 400, API_UNSUPPORTED,
			    "bad request: the body's chunked coding is malformed");
		break;
	case BW_TIMEOUT:
		failure_set(&sending, 408, API_UNSUPPORTED,
			    "the body came too slowly: %d bytes a second are the least",
			    PACE_MIN_BYTES_PER_S);
		break;
	default:
		exchange->status = STATUS_CLIENT_LEFT;
		exchange_cut(exchange, BW_CANCELLED, CLIENT_LEFT);
		return;
	}
	respond_failure(exchange, &sending);
}

void handler_unknown_path(struct exchange *exchange)
{
	static const struct api_failure failure = {
		.http_status = 404,
		.code = API_UNSUPPORTED,
		.message = "no such endpoint; the registry API is below /v2/",
	};

	respond_failure(exchange, &failure);
}

void handler_deleted(struct exchange *exchange)
{
	const struct response response = {.status = 202, .has_length = true};

	respond(exchange, &response, NULL);
}

const char *handler_location(struct exchange *exchange, const char *format, ...)
{
	struct buf url = BUF_INIT((size_t)4096);
	const char *copy;
	va_list arguments;
	char rest[512];

	va_start(arguments, format);
	vsnprintf(rest, sizeof(rest), format, arguments);
	va_end(arguments);
	buf_append_string(&url, exchange->external_url);
	buf_append_string(&url, "/v2/");
	buf_append_string(&url, exchange->match.name);
	buf_append_string(&url, rest);
	copy = arena_strndup(&exchange->arena, buf_string(&url), url.length);
	buf_release(&url);
	return copy;
}

void handle_base(struct exchange *exchange)
{
	const struct response response = {
		.status = 200,
		.content_type = "application/json",
		.has_length = true,
		.content_length = 2,
	};

	respond(exchange, &response, "{}");
}

static void respond_document(struct exchange *exchange, struct registry_document *document)
{
	const struct response response = {
		.status = 200,
		.content_type = document->content_type,
		.has_length = true,
		.content_length = document->body->length,
		.link = document->link,
		.filters_applied = document->filters_applied,
	};

	exchange->verdict = document->verdict;
	exchange->has_verdict = exchange->has_target;
	respond(exchange, &response, buf_string(document->body));
	registry_document_release(document);
}

/* Of all repositories, so no single verdict fits. */
void handle_catalog(struct exchange *exchange)
{
	struct registry_document document;
	struct api_failure failure;
	const struct request *request = &exchange->request;

	if (registry_list_repositories(exchange->registry, request_parameter(request, "n"),
				       request_parameter(request, "last"), &document, &failure))
		respond_document(exchange, &document);
	else
		respond_failure(exchange, &failure);
}

void handle_tags(struct exchange *exchange)
{
	struct registry_document document;
	struct api_failure failure;
	const struct request *request = &exchange->request;

	if (!handler_resolve(exchange))
		return;
	if (registry_list_tags(exchange->registry, &exchange->target, exchange->match.name,
			       request_parameter(request, "n"), request_parameter(request, "last"),
			       &document, &failure))
		respond_document(exchange, &document);
	else
		respond_failure(exchange, &failure);
}

void handle_referrers(struct exchange *exchange)
{
	struct registry_document document;
	struct api_failure failure;

	if (!handler_resolve(exchange))
		return;
	if (registry_get_referrers(
		    exchange->registry, &exchange->target, exchange->match.name,
		    exchange->match.last, request_parameter(&exchange->request, "artifactType"),
		    request_parameter(&exchange->request, "last"), &document, &failure))
		respond_document(exchange, &document);
	else
		respond_failure(exchange, &failure);
}
