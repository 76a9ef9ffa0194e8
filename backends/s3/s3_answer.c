#include "backends/s3/s3_answer.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdio.h>
#include <string.h>

#define VALUE_MAX 512

static void take_length(struct s3_answer *answer, const char *value)
{
	answer->has_length = str_parse_u64(value, strlen(value), &answer->content_length);
}

/* "bytes 0-9/1234" (RFC 9110, 14.4), and "bytes *" + "/1234" where nothing lies */
static void take_range(struct s3_answer *answer, const char *value)
{
	const char *first = value + strlen("bytes ");
	const char *slash = strchr(value, '/');

	if (!str_starts_with(value, "bytes ") || !slash)
		return;
	answer->has_total = str_parse_u64(slash + 1, strlen(slash + 1), &answer->total);
	answer->has_first = str_parse_u64(first, strcspn(first, "-"), &answer->first);
}

static void take_etag(struct s3_answer *answer, const char *value)
{
	if (!str_copy(answer->head.etag, sizeof(answer->head.etag), value))
		answer->head.etag[0] = '\0';
}

static void take_modified(struct s3_answer *answer, const char *value)
{
	clock_parse_http(value, &answer->head.stored_at);
}

static void take_date(struct s3_answer *answer, const char *value)
{
	clock_parse_http(value, &answer->date);
}

static void take_record(struct s3_answer *answer, const char *value)
{
	answer->head.is_record = str_parse_u64(value, strlen(value), &answer->head.record_size);
}

static void take_retry(struct s3_answer *answer, const char *value)
{
	uint64_t seconds;

	if (str_parse_u64(value, strlen(value), &seconds))
		answer->retry_after = seconds < 3600 ? (int)seconds : 3600;
}

static void take_region(struct s3_answer *answer, const char *value)
{
	str_copy(answer->region, sizeof(answer->region), value);
}

static void take_writer(struct s3_answer *answer, const char *value)
{
	str_copy(answer->writer, sizeof(answer->writer), value);
}

static void take_code(struct s3_answer *answer, const char *value)
{
	str_copy(answer->error_code, sizeof(answer->error_code), value);
}

static const struct {
	const char *name;
	void (*take)(struct s3_answer *answer, const char *value);
} fields[] = {
	{"Content-Length", take_length},
	{"Content-Range", take_range},
	{"ETag", take_etag},
	{"Last-Modified", take_modified},
	{"Date", take_date},
	{"Retry-After", take_retry},
	{S3_META_SIZE, take_record},
	{S3_META_WRITER, take_writer},
	{"x-amz-bucket-region", take_region},
	{"x-minio-error-code", take_code},
};

/* "HTTP/1.1 200 OK" */
static void take_status(struct s3_answer *answer, const char *line, size_t length)
{
	const char *space = memchr(line, ' ', length);
	uint64_t status = 0;

	*answer = (struct s3_answer){0};
	if (space && (size_t)(line + length - space) >= 4)
		str_parse_u64(space + 1, 3, &status);
	answer->status = (int)status;
}

void s3_answer_take(struct s3_answer *answer, const char *line, size_t length)
{
	const char *colon;
	char name[64];
	char value[VALUE_MAX];

	while (length &&
	       (line[length - 1] == '\r' || line[length - 1] == '\n' || line[length - 1] == ' '))
		length--;
	if (length >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		take_status(answer, line, length);
		return;
	}
	colon = memchr(line, ':', length);
	if (!colon || (size_t)(colon - line) >= sizeof(name))
		return;
	snprintf(name, sizeof(name), "%.*s", (int)(colon - line), line);
	for (colon++; colon < line + length && *colon == ' '; colon++)
		;
	if ((size_t)(line + length - colon) >= sizeof(value))
		return;
	snprintf(value, sizeof(value), "%.*s", (int)(line + length - colon), colon);
	for (size_t i = 0; i < array_size(fields); i++)
		if (str_equals_ignore_case(name, fields[i].name))
			fields[i].take(answer, value);
}
