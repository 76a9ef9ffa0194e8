#include "server/http/response.h"

#include "server/base/buf.h"
#include "server/base/clock.h"
#include "server/base/digest.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/http/http_server.h"

#include <string.h>

#define HEAD_MAX ((size_t)16 * 1024)
#define ERROR_BODY_MAX ((size_t)8 * 1024)

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{204, "No Content"},
	{206, "Partial Content"},
	{304, "Not Modified"},
	{307, "Temporary Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{408, "Request Timeout"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{416, "Range Not Satisfiable"},
	{417, "Expectation Failed"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
};

static const char *reason_of(int status)
{
	for (size_t i = 0; i < array_size(reasons); i++) {
		if (reasons[i].status == status)
			return reasons[i].reason;
	}
	return "Unknown";
}

/* Formatting a date costs more than the rest of a head together. */
static const char *current_date(void)
{
	static _Thread_local char text[CLOCK_TEXT_SIZE];
	static _Thread_local int64_t second = -1;
	int64_t now = clock_wall_ms();

	if (now / 1000 != second) {
		second = now / 1000;
		clock_format_http(now, text);
	}
	return text;
}

static void append_field(struct buf *buf, const char *name_and_colon, const char *value)
{
	buf_append_string(buf, name_and_colon);
	buf_append_string(buf, value);
	buf_append(buf, "\r\n", 2);
}

static void append_number(struct buf *buf, const char *name_and_colon, uint64_t number)
{
	buf_append_string(buf, name_and_colon);
	buf_append_u64(buf, number);
	buf_append(buf, "\r\n", 2);
}

static void append_content_range(struct buf *buf, const struct response *response)
{
	buf_append_string(buf, "Content-Range: bytes ");
	if (response->part) {
		buf_append_u64(buf, response->part->first);
		buf_append_char(buf, '-');
		buf_append_u64(buf, response->part->first + response->part->length - 1);
	} else {
		buf_append_char(buf, '*');
	}
	append_number(buf, "/", response->full_size);
}

/* What the answer says about its content. */
static void append_content(struct buf *buf, const struct response *response)
{
	if (response->content_type)
		append_field(buf, "Content-Type: ", response->content_type);
	if (response->has_length)
		append_number(buf, "Content-Length: ", response->content_length);
	if (response->digest) {
		append_field(buf, "Docker-Content-Digest: ", response->digest);
		buf_append_string(buf, "ETag: \"");
		append_field(buf, response->digest, "\"");
	}
	if (response->accepts_ranges)
		buf_append_string(buf, "Accept-Ranges: bytes\r\n");
	if (response->part || response->unsatisfiable)
		append_content_range(buf, response);
	if (response->filters_applied)
		buf_append_string(buf, "OCI-Filters-Applied: artifactType\r\n");
	if (response->link) {
		buf_append_string(buf, "Link: <");
		append_field(buf, response->link, ">; rel=\"next\"");
	}
}

/* What the answer says about what was pushed. "0-0" is said of an upload without a
 * byte as well, since that is what clients can read. */
static void append_pushed(struct buf *buf, const struct response *response)
{
	const struct upload_status *upload = response->upload;

	if (response->location)
		append_field(buf, "Location: ", response->location);
	if (upload) {
		append_number(buf, "Range: 0-", upload->offset > 0 ? upload->offset - 1 : 0);
		append_field(buf, "Docker-Upload-UUID: ", upload->id);
	}
	if (upload && upload->min_chunk > 0)
		append_number(buf, "OCI-Chunk-Min-Length: ", upload->min_chunk);
	if (response->subject)
		append_field(buf, "OCI-Subject: ", response->subject);
	for (size_t i = 0; i < response->tag_count; i++)
		append_field(buf, "OCI-Tag: ", response->tags[i]);
}

/* What the answer says about how it came about. */
static void append_origin(struct buf *buf, const struct exchange *exchange)
{
	const char *namespace = exchange->has_target ? target_namespace(&exchange->target) : NULL;

	if (namespace)
		append_field(buf, "OCI-Namespace: ", namespace);
	if (!exchange->has_verdict)
		return;
	append_field(buf, "X-Breakwater-Cache: ", cache_verdict_name(exchange->verdict));
	if (exchange->verdict == CACHE_STALE)
		buf_append_string(buf, "Warning: 110 breakwater \"Response is Stale\"\r\n");
}

static void append_connection(struct buf *buf, const struct exchange *exchange)
{
	bool is_http_1_0 = strcmp(exchange->request.head->version, "1.0") == 0;

	if (!exchange->keep_alive)
		buf_append_string(buf, "Connection: close\r\n");
	else if (is_http_1_0)
		buf_append_string(buf, "Connection: keep-alive\r\n");
}

static void write_head(struct exchange *exchange, const struct response *response, struct buf *buf)
{
	buf_append_string(buf, "HTTP/1.1 ");
	buf_append_u64(buf, (uint64_t)response->status);
	buf_append_char(buf, ' ');
	append_field(buf, reason_of(response->status), "");
	append_field(buf, "Date: ", current_date());
	append_content(buf, response);
	append_pushed(buf, response);
	buf_append_string(buf, "Docker-Distribution-Api-Version: registry/2.0\r\n"
			       "X-Content-Type-Options: nosniff\r\n");
	append_field(buf, "X-Request-Id: ", exchange->request.id);
	append_origin(buf, exchange);
	if (response->replica_answer)
		append_field(buf, "X-Breakwater-Answer: ", response->replica_answer);
	if (response->allow)
		append_field(buf, "Allow: ", response->allow);
	if (response->retry_after > 0)
		append_number(buf, "Retry-After: ", (uint64_t)response->retry_after);
	append_connection(buf, exchange);
	buf_append(buf, "\r\n", 2);
	exchange->status = response->status;
	/* the log outlives what the answer was made of */
	if (response->content_type)
		exchange->content_type = arena_strndup(&exchange->arena, response->content_type,
						       strlen(response->content_type));
	exchange->head_length = buf->length;
}

void exchange_cut(struct exchange *exchange, enum status outcome, const char *why)
{
	if (outcome == BW_OK)
		return;
	exchange->outcome = outcome;
	exchange->keep_alive = false;
	if (why)
		str_copy(exchange->message, sizeof(exchange->message), why);
	connection_reset(exchange->connection);
}

/* One that is too slow has been told to go, so it counts as gone: BW_TIMEOUT is
 * left to say that an upstream was. */
void exchange_cut_sending(struct exchange *exchange, enum status outcome)
{
	if (outcome == BW_TIMEOUT)
		exchange_cut(exchange, BW_CANCELLED, "the client was too slow");
	else
		exchange_cut(exchange, outcome, "the client went away");
}

/* Not earlier: while a body came, the server may have begun to drain. A body that
 * is not read to its end leaves nowhere for the next request to begin. */
static void settle_keep_alive(struct exchange *exchange)
{
	if (!exchange->keep_alive)
		return;
	exchange->keep_alive = http_server_may_keep(exchange->server, exchange->connection);
	if (exchange->keep_alive && exchange->request.has_body)
		exchange->keep_alive =
			exchange_takes_body(exchange) && receive_rest(&exchange->receiver);
}

bool response_begin(struct exchange *exchange, const struct response *response, const void *body,
		    size_t length, bool more)
{
	struct buf head = BUF_INIT(HEAD_MAX);

	settle_keep_alive(exchange);
	write_head(exchange, response, &head);
	if (head.overflow)
		exchange_cut(exchange, BW_INTERNAL, "the head of the answer is too long");
	else
		exchange_cut_sending(exchange, send_head(&exchange->sender, head.data, head.length,
							 body, length, more, &exchange->sent));
	buf_release(&head);
	return exchange->outcome == BW_OK;
}

void respond(struct exchange *exchange, const struct response *response, const void *body)
{
	bool sends_body = !exchange_is_head(exchange) && response->status != 304;

	response_begin(exchange, response, body, sends_body ? (size_t)response->content_length : 0,
		       false);
}

static void note(struct exchange *exchange, const char *message)
{
	str_copy(exchange->message, sizeof(exchange->message), message);
}

void respond_failure_with(struct exchange *exchange, const struct api_failure *failure,
			  const struct response *extra)
{
	struct buf body = BUF_INIT(ERROR_BODY_MAX);
	struct response response = *extra;

	note(exchange, failure->message);
	exchange->has_verdict = false;
	api_error_body(&body, failure->code, failure->message, NULL);
	response.status = failure->http_status;
	response.content_type = "application/json";
	response.has_length = true;
	response.content_length = body.length;
	response.retry_after = failure->retry_after;
	respond(exchange, &response, buf_string(&body));
	buf_release(&body);
}

void respond_failure(struct exchange *exchange, const struct api_failure *failure)
{
	respond_failure_with(exchange, failure, &(struct response){0});
}

void respond_text(struct exchange *exchange, int status, const char *content_type, const char *body,
		  size_t length)
{
	const struct response response = {
		.status = status,
		.content_type = content_type,
		.has_length = true,
		.content_length = length,
	};

	respond(exchange, &response, body);
}
