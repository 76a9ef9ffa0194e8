#include "server/http/handlers.h"

#include "server/base/buf.h"
#include "server/http/response.h"

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
	exchange->has_verdict = true;
	respond(exchange, &response, buf_string(document->body));
	registry_document_release(document);
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
	if (registry_get_referrers(exchange->registry, &exchange->target, exchange->match.name,
				   exchange->match.last,
				   request_parameter(&exchange->request, "artifactType"),
				   request_parameter(&exchange->request, "last"), &document,
				   &failure))
		respond_document(exchange, &document);
	else
		respond_failure(exchange, &failure);
}
