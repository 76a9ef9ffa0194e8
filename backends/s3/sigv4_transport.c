#include "backends/s3/sigv4_transport.h"

#include "backends/s3/s3_store.h"
#include "backends/s3/s3_xml.h"
#include "backends/s3/sigv4_internal.h"
#include "server/base/str.h"

#include <inttypes.h>
#include <nettle/md5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DELETE_BODY_MAX ((size_t)4 << 20)

struct sigv4_body {
	struct s3_body base;
	struct s3_exchange *exchange; /* NULL: at its end from the beginning */
};

enum status sigv4_ask(struct s3_client *client, const struct s3_request *request,
		      struct s3_answer *ret_answer, struct error *error)
{
	struct s3_reply reply;
	enum status status =
		s3_client_ask(client, request, s3_client_deadline(client), &reply, error);

	buf_release(&reply.body);
	if (ret_answer)
		*ret_answer = reply.answer;
	return status;
}

void sigv4_query_add(struct buf *query, const char *name, const char *value)
{
	if (query->length)
		buf_append_char(query, '&');
	buf_append_percent(query, name, NULL);
	buf_append_char(query, '=');
	buf_append_percent(query, value, NULL);
}

void sigv4_append_xml(struct buf *buf, const char *text)
{
	for (; *text; text++) {
		if (*text == '&')
			buf_append_string(buf, "&amp;");
		else if (*text == '<')
			buf_append_string(buf, "&lt;");
		else if (*text == '>')
			buf_append_string(buf, "&gt;");
		else
			buf_append_char(buf, *text);
	}
}

static enum status sigv4_head(struct s3_transport *transport, const char *key,
			      struct s3_head *ret_head, struct error *error)
{
	struct s3_request request = {.what = "HEAD", .method = "HEAD", .key = key, .query = ""};
	struct s3_answer answer;
	enum status status = sigv4_ask(client_of(transport), &request, &answer, error);

	if (status)
		return status;
	if (!answer.has_length)
		return error_set(error, BW_UNREACHABLE, "HEAD of %s: the answer tells no size",
				 key);
	*ret_head = answer.head;
	ret_head->size = answer.content_length;
	return BW_OK;
}

/* ---- GET ---- */

static enum status body_read(struct s3_body *base, void *target, size_t length,
			     deadline_ms deadline, size_t *ret_length, struct error *error)
{
	struct sigv4_body *body = container_of(base, struct sigv4_body, base);

	if (body->exchange)
		return s3_exchange_read(body->exchange, target, length, deadline, ret_length,
					error);
	*ret_length = 0;
	return BW_OK;
}

static void body_close(struct s3_body *base)
{
	struct sigv4_body *body = container_of(base, struct sigv4_body, base);

	s3_exchange_end(body->exchange);
	free(body);
}

static const struct s3_body_ops body_ops = {.read = body_read, .close = body_close};

static void make_body(struct s3_exchange *exchange, struct s3_body **ret_body)
{
	struct sigv4_body *body = xmalloc(sizeof(*body));

	*body = (struct sigv4_body){.base = {.ops = &body_ops}, .exchange = exchange};
	*ret_body = &body->base;
}

/* Nothing lies at the offset: HEAD tells what the object is, and that it still is. */
static enum status get_nothing(struct s3_transport *transport, const struct s3_get *get,
			       struct s3_head *ret_head, struct s3_body **ret_body,
			       struct error *error)
{
	struct s3_head head;
	enum status status = sigv4_head(transport, get->key, &head, error);

	if (status)
		return status;
	if (get->if_match && strcmp(get->if_match, head.etag) != 0)
		return error_set(error, BW_CONFLICT, "GET of %s: it was replaced", get->key);
	if (get->offset < head.size)
		return error_set(error, BW_UNREACHABLE,
				 "GET of %s: the store refuses a range that it has", get->key);
	*ret_head = head;
	make_body(NULL, ret_body);
	return BW_OK;
}

/* A server that does not know ranges sends all of it, which is right only where all of
 * it was wanted; the rest is left unread then. */
static bool range_honoured(const struct s3_get *get, struct s3_answer *answer)
{
	if (answer->status == 206)
		return answer->has_total && answer->has_first && answer->first == get->offset;
	answer->total = answer->content_length;
	return answer->has_length && get->offset == 0 &&
	       (get->length == 0 || get->length >= answer->content_length);
}

static enum status sigv4_get(struct s3_transport *transport, const struct s3_get *get,
			     struct s3_head *ret_head, struct s3_body **ret_body,
			     struct error *error)
{
	struct s3_client *client = client_of(transport);
	struct s3_request request = {
		.what = "GET", .method = "GET", .key = get->key, .query = "", .streams = true};
	struct s3_reply reply;
	char range[64];
	enum status status;

	snprintf(range, sizeof(range), "bytes=%" PRIu64 "-", get->offset);
	if (get->length)
		snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, get->offset,
			 get->offset + get->length - 1);
	if (get->offset || get->length)
		request.extra[request.extra_count++] = (struct s3_header){"range", range};
	if (get->if_match)
		request.extra[request.extra_count++] =
			(struct s3_header){"if-match", get->if_match};
	status = s3_client_ask(client, &request, s3_client_deadline(client), &reply, error);
	buf_release(&reply.body);
	if (status && reply.answer.status == 416)
		return get_nothing(transport, get, ret_head, ret_body, error);
	if (status)
		return status;
	if (!range_honoured(get, &reply.answer)) {
		s3_exchange_end(reply.exchange);
		return error_set(error, BW_UNREACHABLE, "GET of %s: the store sends another range",
				 get->key);
	}
	*ret_head = reply.answer.head;
	ret_head->size = reply.answer.total;
	make_body(reply.exchange, ret_body);
	return BW_OK;
}

/* ---- PUT ---- */

static void add_header(struct s3_request *request, const char *name, const char *value)
{
	request->extra[request->extra_count++] = (struct s3_header){name, value};
}

/* Is it our own earlier attempt that is in the way of this one? BW_CONFLICT: it is not.
 * Anything else is not known, and never a conflict: whoever is told of one takes what he
 * meant to put for superfluous, and what it was made of for garbage. */
static enum status is_ours(struct s3_client *client, const char *key, const char *writer,
			   struct error *error)
{
	struct s3_request request = {.what = "HEAD", .method = "HEAD", .key = key, .query = ""};
	struct s3_answer answer;
	enum status status = sigv4_ask(client, &request, &answer, error);

	if (status == BW_ABSENT)
		return error_set(error, BW_UNAVAILABLE, "PUT of %s: what was there is gone", key);
	return status || strcmp(answer.writer, writer) == 0 ? status : BW_CONFLICT;
}

static enum status sigv4_put(struct s3_transport *transport, const struct s3_put *put,
			     struct error *error)
{
	struct s3_client *client = client_of(transport);
	struct s3_request request = {
		.what = "PUT",
		.method = "PUT",
		.key = put->key,
		.query = "",
		.body = put->bytes,
		.length = put->length,
		.sha256 = put->sha256,
	};
	unsigned char random[S3_WRITER_SIZE / 2];
	char writer[S3_WRITER_SIZE];
	struct s3_reply reply;
	char size[32];
	enum status status;

	snprintf(size, sizeof(size), "%" PRIu64, put->record_size);
	random_bytes(random, sizeof(random));
	str_hex(random, sizeof(random), writer);
	if (put->is_record)
		add_header(&request, S3_META_SIZE, size);
	if (put->if_absent) {
		add_header(&request, "if-none-match", "*");
		add_header(&request, S3_META_WRITER, writer);
	}
	status = s3_client_ask(client, &request, s3_client_deadline(client), &reply, error);
	buf_release(&reply.body);
	if (status == BW_CONFLICT && reply.unsure)
		status = is_ours(client, put->key, writer, error);
	if (status != BW_CONFLICT)
		return status;
	return error_set(error, BW_CONFLICT, "object %s exists already", put->key);
}

/* ---- DELETE ---- */

static enum status remove_one(struct s3_client *client, const char *key, struct error *error)
{
	struct s3_request request = {.what = "DELETE", .method = "DELETE", .key = key, .query = ""};
	enum status status = sigv4_ask(client, &request, NULL, error);

	return status == BW_ABSENT ? BW_OK : status;
}

struct refused {
	char key[S3_KEY_MAX + 1];
	char code[64];
	bool any; /* one that counts */
	char why[256];
};

/* DeleteResult/Error/{Key,Code,Message}; in quiet mode nothing else is told. */
static bool take_refusal(void *context, const char *path, const char *text)
{
	struct refused *refused = context;

	if (text && strcmp(path, "DeleteResult/Error/Key") == 0)
		str_copy(refused->key, sizeof(refused->key), text);
	if (text && strcmp(path, "DeleteResult/Error/Code") == 0)
		str_copy(refused->code, sizeof(refused->code), text);
	if (strcmp(path, "DeleteResult/Error") == 0 && strcmp(refused->code, "NoSuchKey") != 0) {
		refused->any = true;
		snprintf(refused->why, sizeof(refused->why), "%.160s: %.60s", refused->key,
			 refused->code);
	}
	return str_starts_with(path, "DeleteResult");
}

static void write_keys(struct buf *body, const char *const *keys, size_t count)
{
	buf_append_string(body, "<Delete><Quiet>true</Quiet>");
	for (size_t i = 0; i < count; i++) {
		buf_append_string(body, "<Object><Key>");
		sigv4_append_xml(body, keys[i]);
		buf_append_string(body, "</Key></Object>");
	}
	buf_append_string(body, "</Delete>");
}

static void md5_base64(const struct buf *body, char target[32])
{
	unsigned char hash[MD5_DIGEST_SIZE];
	struct md5_ctx context;

	md5_init(&context);
	md5_update(&context, body->length, (const uint8_t *)buf_string(body));
	md5_digest(&context, sizeof(hash), hash);
	str_base64(hash, sizeof(hash), target);
}

static enum status remove_many(struct s3_client *client, const char *const *keys, size_t count,
			       struct error *error)
{
	struct s3_request request = {.what = "DeleteObjects", .method = "POST", .query = "delete="};
	struct refused *refused = xcalloc(1, sizeof(*refused));
	struct buf body = BUF_INIT(DELETE_BODY_MAX);
	struct s3_reply reply = {0};
	char md5[32];
	enum status status;

	write_keys(&body, keys, count);
	md5_base64(&body, md5);
	add_header(&request, "content-md5", md5); /* S3 insists */
	request.body = buf_string(&body);
	request.length = body.length;
	status = s3_client_ask(client, &request, s3_client_deadline(client), &reply, error);
	if (!status &&
	    !s3_xml_parse(buf_string(&reply.body), reply.body.length, take_refusal, refused))
		status = error_set(error, BW_UNREACHABLE,
				   "DeleteObjects at %s: the answer is none of S3's", client->url);
	if (!status && refused->any)
		status = error_set(error, BW_UNREACHABLE, "DeleteObjects at %s: %s", client->url,
				   refused->why);
	buf_release(&reply.body);
	buf_release(&body);
	free(refused);
	return status;
}

static enum status sigv4_remove(struct s3_transport *transport, const char *const *keys,
				size_t count, struct error *error)
{
	return count == 1 ? remove_one(client_of(transport), keys[0], error)
			  : remove_many(client_of(transport), keys, count, error);
}

/* ---- the rest ---- */

static enum status sigv4_check(struct s3_transport *transport, struct error *error)
{
	struct s3_request request = {.what = "HEAD", .method = "HEAD", .query = ""};

	return sigv4_ask(client_of(transport), &request, NULL, error);
}

static enum status sigv4_presign(struct s3_transport *transport, const char *key, unsigned seconds,
				 char **ret_url, struct error *error)
{
	struct s3_client *client = client_of(transport);
	struct s3_scope scope = {client->region, "s3", clock_wall_ms()};
	struct buf path = BUF_INIT(QUERY_MAX);
	struct buf query = BUF_INIT(QUERY_MAX);
	struct s3_secret secret;
	enum status status = BW_OK;

	s3_client_path(client, key, &path);
	s3_secrets_get(client->secrets, &secret);
	if (secret.access_key) {
		struct s3_keys keys = {secret.access_key, secret.secret_key, secret.session_token};

		s3_sign_query(client->host, buf_string(&path), seconds, &scope, &keys, &query);
	}
	if (path.overflow || query.overflow)
		status = error_set(error, BW_TOO_LARGE, "the signed URL would be too long");
	else
		*ret_url = xasprintf("%s%s%s%s", client->url, buf_string(&path),
				     query.length ? "?" : "", buf_string(&query));
	s3_secret_release(&secret);
	buf_release(&path);
	buf_release(&query);
	return status;
}

static void sigv4_free(struct s3_transport *transport)
{
	s3_client_free(client_of(transport));
	free(container_of(transport, struct sigv4_transport, base));
}

static const struct s3_transport_ops sigv4_ops = {
	.head = sigv4_head,
	.get = sigv4_get,
	.put = sigv4_put,
	.remove = sigv4_remove,
	.list = sigv4_list,
	.check = sigv4_check,
	.multipart_create = sigv4_multipart_create,
	.multipart_send = sigv4_multipart_send,
	.multipart_complete = sigv4_multipart_complete,
	.multipart_abort = sigv4_multipart_abort,
	.multipart_list = sigv4_multipart_list,
	.presign = sigv4_presign,
	.free = sigv4_free,
};

enum status sigv4_transport_new(const struct s3_options *options,
				struct s3_transport **ret_transport, struct error *error)
{
	struct sigv4_transport *transport = xcalloc(1, sizeof(*transport));
	enum status status = s3_client_new(options, &transport->client, error);

	if (status) {
		free(transport);
		return status;
	}
	transport->base.ops = &sigv4_ops;
	transport->base.name = "s3";
	*ret_transport = &transport->base;
	return BW_OK;
}
