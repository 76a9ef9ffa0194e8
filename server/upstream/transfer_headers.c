#include "server/upstream/transfer_headers.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdlib.h>
#include <string.h>

#define MAX_LINES 100
#define MAX_BYTES ((size_t)64 << 10)
#define RETRY_AFTER_DEFAULT_S 5
#define RETRY_AFTER_LONGEST_S 3600

static const struct {
	const char *name;
	size_t offset;
} kept[] = {
	{"content-type", offsetof(struct transfer_headers, content_type)},
	{"docker-content-digest", offsetof(struct transfer_headers, docker_content_digest)},
	{"location", offsetof(struct transfer_headers, location)},
	{"link", offsetof(struct transfer_headers, link)},
	{"content-range", offsetof(struct transfer_headers, content_range)},
	{"retry-after", offsetof(struct transfer_headers, retry_after)},
	{"ratelimit-remaining", offsetof(struct transfer_headers, ratelimit_remaining)},
	{"x-breakwater-answer", offsetof(struct transfer_headers, replica_answer)},
};

static char **kept_field(struct transfer_headers *headers, size_t index)
{
	return (char **)((char *)headers + kept[index].offset);
}

static void headers_release(struct transfer_headers *headers)
{
	for (size_t i = 0; i < array_size(kept); i++)
		free(*kept_field(headers, i));
	for (size_t i = 0; i < TRANSFER_MAX_CHALLENGES; i++)
		free(headers->www_authenticate[i]);
	*headers = (struct transfer_headers){0};
}

void transfer_response_release(struct transfer_response *response)
{
	headers_release(&response->headers);
	*response = (struct transfer_response){0};
}

int transfer_retry_after(const struct transfer_response *response)
{
	const char *value = response->headers.retry_after;
	int64_t seconds = RETRY_AFTER_DEFAULT_S;
	uint64_t number;
	int64_t when_ms;

	if (value && str_parse_u64(value, strlen(value), &number))
		seconds = number < RETRY_AFTER_LONGEST_S ? (int64_t)number : RETRY_AFTER_LONGEST_S;
	else if (value && clock_parse_http(value, &when_ms))
		seconds = (when_ms - clock_wall_ms() + 999) / 1000;
	if (seconds > RETRY_AFTER_LONGEST_S)
		seconds = RETRY_AFTER_LONGEST_S;
	return seconds < 1 ? 1 : (int)seconds;
}

static bool refuse(struct head_reader *reader, const char *why)
{
	reader->refusal = why;
	return false;
}

static bool read_status_line(struct head_reader *reader, struct slice line)
{
	const char *space = memchr(line.data, ' ', line.length);
	uint64_t status;

	if (!space || line.data + line.length - space < 4 ||
	    !str_parse_u64(space + 1, 3, &status) || status < 100 || status > 599)
		return refuse(reader, "sent a malformed status line");
	if (status == 101)
		return refuse(reader, "switched protocols unasked");
	headers_release(&reader->response->headers);
	reader->chunked = false;
	reader->response->status = (int)status;
	return true;
}

static bool is_name(struct slice name)
{
	for (size_t i = 0; i < name.length; i++) {
		if (!ascii_is_alnum(name.data[i]) && !strchr("!#$%&'*+-.^_`|~", name.data[i]))
			return false;
	}
	return name.length > 0;
}

static bool is_value(struct slice value)
{
	for (size_t i = 0; i < value.length; i++) {
		unsigned char c = (unsigned char)value.data[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static struct slice trim(struct slice text)
{
	while (text.length && (*text.data == ' ' || *text.data == '\t')) {
		text.data++;
		text.length--;
	}
	while (text.length &&
	       (text.data[text.length - 1] == ' ' || text.data[text.length - 1] == '\t'))
		text.length--;
	return text;
}

static bool named(struct slice name, const char *wanted)
{
	return name.length == strlen(wanted) && strncasecmp(name.data, wanted, name.length) == 0;
}

static bool keep_length(struct head_reader *reader, struct slice value)
{
	struct transfer_headers *headers = &reader->response->headers;
	uint64_t length;

	if (!str_parse_u64(value.data, value.length, &length))
		return refuse(reader, "sent a malformed Content-Length");
	if (headers->has_content_length && headers->content_length != length)
		return refuse(reader, "sent two different Content-Lengths");
	headers->has_content_length = true;
	headers->content_length = length;
	return true;
}

static void keep_challenge(struct transfer_headers *headers, struct slice value)
{
	for (size_t i = 0; i < TRANSFER_MAX_CHALLENGES; i++) {
		if (!headers->www_authenticate[i]) {
			headers->www_authenticate[i] = xstrndup(value.data, value.length);
			return;
		}
	}
}

static bool keep(struct head_reader *reader, struct slice name, struct slice value)
{
	struct transfer_headers *headers = &reader->response->headers;

	if (named(name, "content-length"))
		return keep_length(reader, value);
	if (named(name, "transfer-encoding"))
		reader->chunked = true;
	if (named(name, "www-authenticate"))
		keep_challenge(headers, value);
	for (size_t i = 0; i < array_size(kept); i++) {
		if (named(name, kept[i].name)) {
			char **field = kept_field(headers, i);

			free(*field);
			*field = xstrndup(value.data, value.length);
		}
	}
	return true;
}

static bool read_field(struct head_reader *reader, struct slice line)
{
	const char *colon = memchr(line.data, ':', line.length);
	struct slice name, value;

	/* a line that begins with a blank continues the one before (obs-fold) */
	if (!colon || *line.data == ' ' || *line.data == '\t')
		return refuse(reader, "sent a malformed header line");
	name = (struct slice){line.data, (size_t)(colon - line.data)};
	value = trim((struct slice){colon + 1, line.length - name.length - 1});
	if (!is_name(name))
		return refuse(reader, "sent a malformed header name");
	if (!is_value(value))
		return refuse(reader, "sent a header with control bytes");
	return keep(reader, name, value);
}

static void end_head(struct head_reader *reader)
{
	if (reader->response->status < 200)
		return;
	reader->complete = true;
	if (reader->chunked) {
		reader->response->headers.has_content_length = false;
		reader->response->headers.content_length = 0;
	}
}

bool head_reader_feed(struct head_reader *reader, const char *line, size_t length)
{
	struct slice text = {line, length};

	reader->bytes += length;
	if (++reader->lines > MAX_LINES || reader->bytes > MAX_BYTES)
		return refuse(reader, "sent too many headers");
	if (text.length && text.data[text.length - 1] == '\n')
		text.length--;
	if (text.length && text.data[text.length - 1] == '\r')
		text.length--;
	if (reader->complete)
		return true;
	if (text.length >= 5 && memcmp(text.data, "HTTP/", 5) == 0)
		return read_status_line(reader, text);
	if (text.length)
		return read_field(reader, text);
	end_head(reader);
	return true;
}
