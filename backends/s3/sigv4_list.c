/* Listings: what there is, and what multipart uploads are under way. */
#include "backends/s3/s3_xml.h"
#include "backends/s3/sigv4_internal.h"
#include "server/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGES_MAX 1000000u /* of one listing of uploads, so that none is endless */

struct listing {
	const char *prefix;
	const char *start_after;
	s3_list_fn fn;
	s3_pending_fn pending_fn;
	void *context;
	bool wanted; /* the callback has not said stop */
	bool truncated;
	bool advanced; /* something came that is behind start_after */
	bool malformed;
	/* of the entry that is being read */
	char key[S3_KEY_MAX + 1];
	bool has_key;
	uint64_t size;
	int64_t time;
	char upload_id[S3_UPLOAD_ID_MAX];
	/* where the next page of uploads begins */
	char next_key[S3_KEY_MAX + 1];
	char next_upload[S3_UPLOAD_ID_MAX];
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Keys come percent-encoded, since XML cannot carry all of them. */
static bool decode_key(const char *text, char *target)
{
	size_t length = 0;

	for (; *text; text++) {
		char c = *text == '+' ? ' ' : *text;

		if (c == '%') {
			int high = hex_digit(text[1]);
			int low = high < 0 ? -1 : hex_digit(text[2]);

			if (low < 0)
				return false;
			c = (char)(high * 16 + low);
			text += 2;
		}
		if (length >= S3_KEY_MAX)
			return false;
		target[length++] = c;
	}
	target[length] = '\0';
	return true;
}

/* "2026-01-31T08:05:09.123Z" */
static bool parse_time(const char *text, int64_t *ret_ms)
{
	static const unsigned short before[] = {0,   31,  59,  90,  120, 151,
						181, 212, 243, 273, 304, 334};
	int year, month, day, hour, minute, second, thousandth = 0;
	int64_t days;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3d", &year, &month, &day, &hour, &minute,
		   &second, &thousandth) < 6 ||
	    year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31)
		return false;
	days = (int64_t)(year - 1970) * 365 + (year - 1969) / 4 - (year - 1901) / 100 +
	       (year - 1601) / 400 + before[month - 1] + day - 1;
	if (month > 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
		days++;
	*ret_ms = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + thousandth;
	return true;
}

static void entry_reset(struct listing *listing)
{
	listing->has_key = false;
	listing->size = 0;
	listing->time = 0;
	listing->upload_id[0] = '\0';
}

/* The caller counts on the prefix, and cuts it off. */
static bool is_asked_for(const struct listing *listing)
{
	return listing->has_key && str_starts_with(listing->key, listing->prefix);
}

static void end_object(struct listing *listing)
{
	struct s3_entry entry = {listing->key, listing->size, listing->time};

	listing->malformed |= !is_asked_for(listing);
	listing->advanced |= strcmp(listing->key, listing->start_after) > 0;
	if (listing->wanted && !listing->malformed)
		listing->wanted = listing->fn(listing->context, &entry);
	entry_reset(listing);
}

static bool take_object(void *context, const char *path, const char *text)
{
	struct listing *listing = context;

	if (!str_starts_with(path, "ListBucketResult"))
		return false;
	path += strlen("ListBucketResult");
	if (strcmp(path, "/Contents") == 0)
		end_object(listing);
	if (!text)
		return !listing->malformed;
	if (strcmp(path, "/IsTruncated") == 0)
		listing->truncated = strcmp(text, "true") == 0;
	else if (strcmp(path, "/Contents/Key") == 0)
		listing->has_key = decode_key(text, listing->key);
	else if (strcmp(path, "/Contents/Size") == 0)
		listing->malformed |= !str_parse_u64(text, strlen(text), &listing->size);
	else if (strcmp(path, "/Contents/LastModified") == 0)
		listing->malformed |= !parse_time(text, &listing->time);
	return !listing->malformed;
}

static enum status ask_page(struct s3_client *client, const char *what, const struct buf *query,
			    s3_xml_fn take, struct listing *listing, struct error *error)
{
	struct s3_request request = {.what = what, .method = "GET", .query = buf_string(query)};
	struct s3_reply reply;
	enum status status =
		s3_client_ask(client, &request, s3_client_deadline(client), &reply, error);

	if (!status && !s3_xml_parse(buf_string(&reply.body), reply.body.length, take, listing))
		status = error_set(error, BW_UNREACHABLE, "%s at %s: the answer is none of S3's",
				   what, client->url);
	buf_release(&reply.body);
	return status;
}

enum status sigv4_list(struct s3_transport *transport, const char *prefix, const char *start_after,
		       unsigned max, s3_list_fn fn, void *context, bool *ret_more,
		       struct error *error)
{
	struct listing *listing = xcalloc(1, sizeof(*listing));
	struct buf query = BUF_INIT(QUERY_MAX);
	enum status status;
	char text[16];

	listing->prefix = prefix;
	listing->start_after = start_after;
	listing->fn = fn;
	listing->context = context;
	listing->wanted = true;
	snprintf(text, sizeof(text), "%u", max);
	sigv4_query_add(&query, "encoding-type", "url");
	sigv4_query_add(&query, "list-type", "2");
	sigv4_query_add(&query, "max-keys", text);
	sigv4_query_add(&query, "prefix", prefix);
	if (*start_after)
		sigv4_query_add(&query, "start-after", start_after);
	status = ask_page(client_of(transport), "ListObjectsV2", &query, take_object, listing,
			  error);
	if (!status && listing->truncated && !listing->advanced)
		status = error_set(error, BW_UNREACHABLE,
				   "ListObjectsV2 at %s: there is more, and the next page brings "
				   "nothing of it",
				   client_of(transport)->url);
	if (!status)
		*ret_more = listing->truncated;
	buf_release(&query);
	free(listing);
	return status;
}

/* ---- multipart uploads under way ---- */

static void end_upload(struct listing *listing)
{
	struct s3_pending pending = {listing->key, listing->upload_id, listing->time};

	listing->malformed |= !is_asked_for(listing) || !listing->upload_id[0];
	if (listing->wanted && !listing->malformed)
		listing->wanted = listing->pending_fn(listing->context, &pending);
	entry_reset(listing);
}

static bool take_upload(void *context, const char *path, const char *text)
{
	struct listing *listing = context;

	if (!str_starts_with(path, "ListMultipartUploadsResult"))
		return false;
	path += strlen("ListMultipartUploadsResult");
	if (strcmp(path, "/Upload") == 0)
		end_upload(listing);
	if (!text)
		return !listing->malformed;
	if (strcmp(path, "/IsTruncated") == 0)
		listing->truncated = strcmp(text, "true") == 0;
	else if (strcmp(path, "/NextKeyMarker") == 0)
		listing->malformed |= !decode_key(text, listing->next_key);
	else if (strcmp(path, "/NextUploadIdMarker") == 0)
		str_copy(listing->next_upload, sizeof(listing->next_upload), text);
	else if (strcmp(path, "/Upload/Key") == 0)
		listing->has_key = decode_key(text, listing->key);
	else if (strcmp(path, "/Upload/UploadId") == 0)
		str_copy(listing->upload_id, sizeof(listing->upload_id), text);
	else if (strcmp(path, "/Upload/Initiated") == 0)
		listing->malformed |= !parse_time(text, &listing->time);
	return !listing->malformed;
}

static enum status ask_uploads(struct s3_client *client, const char *prefix,
			       struct listing *listing, struct error *error)
{
	struct buf query = BUF_INIT(QUERY_MAX);
	enum status status;

	sigv4_query_add(&query, "encoding-type", "url");
	if (listing->next_key[0])
		sigv4_query_add(&query, "key-marker", listing->next_key);
	sigv4_query_add(&query, "max-uploads", "1000");
	sigv4_query_add(&query, "prefix", prefix);
	if (listing->next_key[0])
		sigv4_query_add(&query, "upload-id-marker", listing->next_upload);
	sigv4_query_add(&query, "uploads", "");
	listing->truncated = false;
	listing->next_key[0] = '\0';
	status = ask_page(client, "ListMultipartUploads", &query, take_upload, listing, error);
	buf_release(&query);
	return status;
}

enum status sigv4_multipart_list(struct s3_transport *transport, const char *prefix,
				 s3_pending_fn fn, void *context, struct error *error)
{
	struct listing *listing = xcalloc(1, sizeof(*listing));
	enum status status = BW_OK;

	listing->prefix = prefix;
	listing->pending_fn = fn;
	listing->context = context;
	listing->wanted = true;
	for (unsigned page = 0; page < PAGES_MAX; page++) {
		status = ask_uploads(client_of(transport), prefix, listing, error);
		if (status || !listing->wanted || !listing->truncated || !listing->next_key[0])
			break;
	}
	free(listing);
	return status;
}
