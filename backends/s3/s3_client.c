#include "backends/s3/s3_client.h"

#include "backends/s3/s3_attempts.h"
#include "backends/s3/s3_failure.h"
#include "backends/s3/s3_store.h"
#include "backends/s3/s3_xml.h"
#include "server/base/digest.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_MAX ((size_t)16 << 10)
#define WHAT_SIZE 320
#define HEADERS_MAX (S3_EXTRA_MAX + 4)
#define SIGNED_MAX ((size_t)16 << 10)

/* ---- set up ---- */

/* "https://host:port" and nothing behind it but one '/'. */
static bool split_endpoint(const char *endpoint, const char **ret_scheme, char **ret_host)
{
	bool tls = str_starts_with(endpoint, "https://");
	const char *host = endpoint + (tls ? strlen("https://") : strlen("http://"));
	size_t length;

	if (!tls && !str_starts_with(endpoint, "http://"))
		return false;
	length = strcspn(host, "/?#@ \t");
	if (length == 0 || (host[length] && strcmp(host + length, "/") != 0))
		return false;
	*ret_scheme = tls ? "https" : "http";
	*ret_host = xstrndup(host, length);
	if (str_ends_with(*ret_host, tls ? ":443" : ":80"))
		(*ret_host)[strlen(*ret_host) - (tls ? 4 : 3)] = '\0';
	return true;
}

/* As S3 has them, so that a bucket's name is safe in a URL and in a host. */
static bool bucket_valid(const char *bucket)
{
	size_t length = strlen(bucket);

	return length >= 3 && length <= 63 &&
	       strspn(bucket,
		      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") ==
		       length &&
	       ascii_is_alnum(bucket[0]) && ascii_is_alnum(bucket[length - 1]);
}

static enum status set_address(struct s3_client *client, const struct s3_options *options,
			       struct error *error)
{
	const char *scheme;
	char *host;

	if (!options->bucket || !bucket_valid(options->bucket))
		return error_set(error, BW_INVALID, "storage.s3.bucket is no bucket's name");
	if (!options->endpoint || !split_endpoint(options->endpoint, &scheme, &host))
		return error_set(
			error, BW_INVALID,
			"storage.s3.endpoint must be http://HOST:PORT or https://HOST:PORT");
	client->bucket = xstrdup(options->bucket);
	client->host =
		options->path_style ? xstrdup(host) : xasprintf("%s.%s", options->bucket, host);
	client->url = xasprintf("%s://%s", scheme, client->host);
	client->base = options->path_style ? xasprintf("/%s/", options->bucket) : xstrdup("/");
	client->region =
		xstrdup(options->region && *options->region ? options->region : "us-east-1");
	free(host);
	return BW_OK;
}

static int64_t or_default(int64_t value, int64_t standard)
{
	return value > 0 ? value : standard;
}

enum status s3_client_new(const struct s3_options *options, struct s3_client **ret_client,
			  struct error *error)
{
	struct s3_http_options http = {
		.ca_file = options->ca_file,
		.connect_ms = or_default(options->connect_ms, S3_CONNECT_MS),
		.first_byte_ms = or_default(options->first_byte_ms, S3_FIRST_BYTE_MS),
		.stall_ms = or_default(options->stall_ms, S3_STALL_MS),
	};
	struct s3_client *client = xcalloc(1, sizeof(*client));
	enum status status;

	s3_guard_init(&client->guard);
	client->operation_ms = or_default(options->operation_ms, S3_OPERATION_MS);
	client->bucket_seen_ms = INT64_MIN / 2;
	status = set_address(client, options, error);
	if (!status)
		status = s3_secrets_new(options, &client->secrets, error);
	if (!status)
		client->http = s3_http_new(&http);
	if (status)
		s3_client_free(client);
	else
		*ret_client = client;
	return status;
}

void s3_client_free(struct s3_client *client)
{
	if (!client)
		return;
	s3_http_free(client->http);
	s3_secrets_free(client->secrets);
	s3_guard_release(&client->guard);
	free(client->host);
	free(client->url);
	free(client->base);
	free(client->bucket);
	free(client->region);
	free(client);
}

deadline_ms s3_client_deadline(const struct s3_client *client)
{
	return deadline_in(client->operation_ms);
}

void s3_client_path(const struct s3_client *client, const char *key, struct buf *target)
{
	buf_append_string(target, client->base);
	if (key)
		buf_append_percent(target, key, "/");
}

/* ---- one attempt ---- */

struct attempt {
	struct buf path;
	struct buf url;
	struct buf line; /* of a header; holds secrets in its turn */
	struct s3_header headers[HEADERS_MAX];
	size_t header_count;
	struct curl_slist *list;
	char payload[S3_HEX_SIZE];
	char date[S3_DATE_SIZE];
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct s3_header *)a)->name, ((const struct s3_header *)b)->name);
}

static void hash_payload(const struct s3_request *request, char target[S3_HEX_SIZE])
{
	struct digest digest;

	if (request->length == 0) {
		memcpy(target, s3_sha256_of_nothing, S3_HEX_SIZE);
		return;
	}
	if (request->sha256) {
		str_hex(request->sha256, 32, target);
		return;
	}
	digest_of(DIGEST_SHA256, request->body, request->length, &digest);
	str_hex(digest.bytes, 32, target);
}

static void add(struct attempt *attempt, const char *name, const char *value)
{
	attempt->headers[attempt->header_count++] = (struct s3_header){name, value};
}

static bool send_line(struct attempt *attempt, const char *name, const char *value)
{
	struct curl_slist *longer;

	buf_reset(&attempt->line);
	buf_printf(&attempt->line, "%s:%s%s", name, *value ? " " : "", value);
	longer = curl_slist_append(attempt->list, buf_string(&attempt->line));
	if (longer)
		attempt->list = longer;
	return longer && !attempt->line.overflow;
}

static bool send_signature(struct s3_client *client, const struct s3_request *request,
			   const struct s3_secret *secret, int64_t now, struct attempt *attempt)
{
	struct s3_signed to_sign = {request->method,  buf_string(&attempt->path), request->query,
				    attempt->headers, attempt->header_count,      attempt->payload};
	struct s3_scope scope = {client->region, "s3", now};
	struct s3_keys keys = {secret->access_key, secret->secret_key, secret->session_token};
	struct buf authorization = BUF_INIT(SIGNED_MAX);
	bool sent;

	s3_sign(&to_sign, &scope, &keys, &authorization);
	sent = !authorization.overflow &&
	       send_line(attempt, "Authorization", buf_string(&authorization));
	buf_release(&authorization);
	return sent;
}

static bool make_attempt(struct s3_client *client, const struct s3_request *request,
			 const struct s3_secret *secret, struct attempt *attempt)
{
	int64_t now = clock_wall_ms();
	bool made = true;

	s3_client_path(client, request->key, &attempt->path);
	buf_printf(&attempt->url, "%s%s%s%s", client->url, buf_string(&attempt->path),
		   *request->query ? "?" : "", request->query);
	hash_payload(request, attempt->payload);
	s3_sign_date(now, attempt->date);
	add(attempt, "host", client->host);
	add(attempt, "x-amz-content-sha256", attempt->payload);
	add(attempt, "x-amz-date", attempt->date);
	if (*secret->session_token)
		add(attempt, "x-amz-security-token", secret->session_token);
	for (size_t i = 0; i < request->extra_count; i++)
		add(attempt, request->extra[i].name, request->extra[i].value);
	qsort(attempt->headers, attempt->header_count, sizeof(attempt->headers[0]), by_name);
	for (size_t i = 0; i < attempt->header_count && made; i++)
		made = send_line(attempt, attempt->headers[i].name, attempt->headers[i].value);
	if (made && secret->access_key)
		made = send_signature(client, request, secret, now, attempt);
	/* libcurl's own ideas: a wait for 100, and a form's type */
	return made && send_line(attempt, "Expect", "") && send_line(attempt, "Content-Type", "") &&
	       !attempt->url.overflow && !attempt->path.overflow;
}

static void attempt_release(struct attempt *attempt)
{
	curl_slist_free_all(attempt->list);
	buf_release(&attempt->path);
	buf_release(&attempt->url);
	buf_release(&attempt->line);
}

/* ---- what came of it ---- */

static void name_it(const struct s3_client *client, const struct s3_request *request,
		    char what[WHAT_SIZE])
{
	snprintf(what, WHAT_SIZE, "%s%s%.180s in bucket %s at %s", request->what,
		 request->key ? " of " : "", request->key ? request->key : "", client->bucket,
		 client->url);
}

static struct s3_verdict judge_silence(enum status status)
{
	if (status == BW_INTERNAL)
		return (struct s3_verdict){status, S3_NOTHING_LEARNED, false, ""};
	if (status == BW_TIMEOUT)
		/* a second wait of that length helps nobody */
		return (struct s3_verdict){status, S3_TIMED_OUT, false, ""};
	if (status == BW_DENIED) /* a certificate that is not trusted */
		return (struct s3_verdict){status, S3_FAILED, false, ""};
	return (struct s3_verdict){status, S3_FAILED, true, ""};
}

/* A HEAD's 404 may be the bucket's. A GET would say so; one of the bucket itself is
 * cheaper than that for every object, and is seldom needed. */
static enum status tell_absent(struct s3_client *client, const struct s3_request *request,
			       const char *what, struct error *error)
{
	struct s3_request bucket = {.what = "look", .method = "HEAD", .query = ""};
	struct s3_reply reply;
	enum status status = BW_OK;

	if (!request->key) {
		error_set(error, BW_UNAVAILABLE,
			  "%s: there is no such bucket; create it, or correct storage.s3.bucket",
			  what);
		if (error)
			error->http_status = 404;
		return BW_UNAVAILABLE;
	}
	if (clock_monotonic_ms() - client->bucket_seen_ms > 1000) {
		status = s3_client_ask(client, &bucket, s3_client_deadline(client), &reply, error);
		buf_release(&reply.body);
	}
	return status ? status : error_set(error, BW_ABSENT, "%s: not there", what);
}

/* Reads what the answer's body has to say. */
static struct s3_verdict judge_answer(struct s3_client *client, const struct s3_request *request,
				      struct s3_exchange *exchange, deadline_ms deadline,
				      struct s3_reply *reply, struct error *error)
{
	bool success = reply->answer.status / 100 == 2;
	struct s3_error_body body = {0};
	struct s3_verdict verdict = {BW_OK, S3_ANSWERED, false, ""};
	char what[WHAT_SIZE];
	enum status status;

	name_it(client, request, what);
	buf_reset(&reply->body);
	status = s3_exchange_read_all(exchange, &reply->body, deadline, error);
	if (status) {
		error_prefix(error, "%s", what);
		return judge_silence(status);
	}
	if (!s3_xml_error(buf_string(&reply->body), reply->body.length, &body) && success)
		return verdict;
	verdict = s3_failure_judge(&reply->answer, &body);
	if (verdict.status == BW_ABSENT && !body.code[0] && !reply->answer.error_code[0])
		verdict.status = tell_absent(client, request, what, error);
	else
		s3_failure_tell(&verdict, &reply->answer, &body, what, error);
	return verdict;
}

static struct s3_verdict try_once(struct s3_client *client, const struct s3_request *request,
				  const struct s3_secret *secret, deadline_ms deadline,
				  struct s3_reply *reply, struct error *error)
{
	struct attempt attempt = {
		.path = BUF_INIT(URL_MAX), .url = BUF_INIT(URL_MAX), .line = BUF_INIT(SIGNED_MAX)};
	struct s3_verdict verdict = {BW_OK, S3_ANSWERED, false, ""};
	struct s3_exchange *exchange = NULL;
	char what[WHAT_SIZE];
	bool sent = false;
	enum status status = BW_INTERNAL;

	reply->answer = (struct s3_answer){0};
	if (make_attempt(client, request, secret, &attempt)) {
		struct s3_http_request http = {request->method, buf_string(&attempt.url),
					       attempt.list, request->body, request->length};

		status = s3_exchange_begin(client->http, &http, deadline, &exchange, &reply->answer,
					   &sent, error);
	} else {
		error_set(error, BW_INTERNAL, "the request is too long");
	}
	attempt_release(&attempt);
	if (status) {
		name_it(client, request, what);
		error_prefix(error, "%s", what);
		verdict = judge_silence(status);
	} else if (request->streams && reply->answer.status / 100 == 2) {
		reply->exchange = exchange;
		exchange = NULL;
	} else {
		verdict = judge_answer(client, request, exchange, deadline, reply, error);
	}
	s3_exchange_end(exchange);
	reply->unsure |= verdict.status && verdict.outcome != S3_ANSWERED && sent;
	return verdict;
}

/* ---- as often as it takes ---- */

struct asking {
	struct s3_client *client;
	const struct s3_request *request;
	deadline_ms deadline;
	struct s3_reply *reply;
};

static struct s3_verdict attempt(void *context, const struct s3_secret *secret,
				 int *ret_retry_after, struct error *error)
{
	struct asking *asking = context;
	struct s3_verdict verdict = try_once(asking->client, asking->request, secret,
					     asking->deadline, asking->reply, error);

	*ret_retry_after = asking->reply->answer.retry_after;
	return verdict;
}

enum status s3_client_ask(struct s3_client *client, const struct s3_request *request,
			  deadline_ms deadline, struct s3_reply *ret_reply, struct error *error)
{
	struct asking asking = {client, request, deadline, ret_reply};
	const struct s3_attempts attempts = {
		.guard = &client->guard,
		.secrets = client->secrets,
		.where = client->url,
		.deadline = deadline,
		.is_put = request->key && request->method[0] == 'P',
		.attempt = attempt,
		.context = &asking,
	};
	enum status status;

	*ret_reply = (struct s3_reply){.body = BUF_INIT(S3_BODY_MAX)};
	status = s3_attempts_make(&attempts, error);
	if (status == BW_OK)
		client->bucket_seen_ms = clock_monotonic_ms();
	return status;
}
