#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/upstream/upstream_private.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DOCUMENT ((size_t)4 << 20)
#define MAX_QUERY 2048

struct document_ask {
	struct collecting_ask collecting; /* first */
	struct upstream_document document; /* made by finish */
};

void upstream_document_release(struct upstream_document *document)
{
	free(document->body);
	free(document->next);
	*document = (struct upstream_document){0};
}

static bool is_next(struct slice params)
{
	static const char *const spellings[] = {"rel=\"next\"", "rel=next"};

	for (size_t i = 0; i < array_size(spellings); i++) {
		size_t length = strlen(spellings[i]);

		for (size_t at = 0; at + length <= params.length; at++) {
			if (strncasecmp(params.data + at, spellings[i], length) == 0)
				return true;
		}
	}
	return false;
}

/* The target of a Link (RFC 8288) to the next page; empty: there is none. */
static struct slice find_next(const char *link)
{
	const char *open;

	while ((open = strchr(link, '<'))) {
		const char *close = strchr(open, '>');
		struct slice params;

		if (!close)
			break;
		params = (struct slice){close + 1, strcspn(close + 1, "<")};
		if (is_next(params))
			return (struct slice){open + 1, (size_t)(close - open - 1)};
		link = params.data + params.length;
	}
	return (struct slice){"", 0};
}

static bool is_query(struct slice query)
{
	for (size_t i = 0; i < query.length; i++) {
		unsigned char c = (unsigned char)query.data[i];

		if (c <= ' ' || c >= 0x7f || c == '#' || c == '\\')
			return false;
	}
	return query.length > 0 && query.length <= MAX_QUERY;
}

/* Only the link's query is used: the next page is of the same list, wherever a
 * registry behind somebody's proxy believes that it lives. */
static enum status next_page(const char *path, const char *link, char **ret_next,
			     struct error *error)
{
	struct slice target = link ? find_next(link) : (struct slice){"", 0};
	const char *mark;
	struct slice query;

	if (target.length == 0)
		return BW_OK;
	mark = memchr(target.data, '?', target.length);
	if (!mark)
		return error_set(error, BW_UNREACHABLE, "sent a Link to a next page without query");
	query = (struct slice){mark + 1, target.length - (size_t)(mark + 1 - target.data)};
	if (!is_query(query))
		return error_set(error, BW_UNREACHABLE, "sent a malformed Link to the next page");
	*ret_next = xasprintf("%.*s?%.*s", (int)strcspn(path, "?"), path, (int)query.length,
			      query.data);
	return BW_OK;
}

static enum status finish(struct ask *ask, const struct transfer_response *response,
			  struct error *error)
{
	struct document_ask *asked = (struct document_ask *)ask;
	struct upstream_document *document = &asked->document;
	struct buf *body = &asked->collecting.body;
	enum status status = next_page(ask->path, response->headers.link, &document->next, error);

	if (status != BW_OK)
		return status;
	document->body_length = body->length;
	document->body = body->length ? buf_detach(body, NULL) : xstrdup("");
	return BW_OK;
}

enum status upstream_get_document(struct upstream *upstream, const char *repository,
				  const char *path, const char *accept,
				  struct upstream_document *ret, struct error *error)
{
	struct document_ask asked = {0};
	struct ask *ask = &asked.collecting.ask;
	enum status status;

	collecting_ask_init(&asked.collecting, MAX_DOCUMENT);
	ask->upstream = upstream;
	ask->repository = repository;
	ask->method = TRANSFER_GET;
	ask->path = path;
	ask->accept = accept;
	ask->limit_ms = upstream_small_limit_ms(upstream);
	ask->finish = finish;
	status = upstream_ask(ask, error);
	if (status == BW_OK)
		*ret = asked.document;
	collecting_ask_release(&asked.collecting);
	return status;
}
