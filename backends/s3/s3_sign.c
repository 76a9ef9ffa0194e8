#include "backends/s3/s3_sign.h"

#include "server/base/buf.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <nettle/hmac.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define CANONICAL_MAX ((size_t)64 << 10)
#define DAY_LENGTH 8 /* of a date's text */

const char s3_sha256_of_nothing[S3_HEX_SIZE] =
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

void s3_sign_date(int64_t wall_ms, char target[S3_DATE_SIZE])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm parts = {0};

	gmtime_r(&seconds, &parts);
	strftime(target, S3_DATE_SIZE, "%Y%m%dT%H%M%SZ", &parts);
}

static void hmac(const void *key, size_t key_length, const char *text, size_t length,
		 unsigned char ret[SHA256_DIGEST_SIZE])
{
	struct hmac_sha256_ctx context;

	hmac_sha256_set_key(&context, key_length, key);
	hmac_sha256_update(&context, length, (const uint8_t *)text);
	hmac_sha256_digest(&context, SHA256_DIGEST_SIZE, ret);
	explicit_bzero(&context, sizeof(context));
}

/* Each step narrows what the key is good for: a day, a region, a service. */
static void signing_key(const struct s3_scope *scope, const struct s3_keys *keys, const char *date,
			unsigned char ret[SHA256_DIGEST_SIZE])
{
	char *secret = xasprintf("AWS4%s", keys->secret_key);
	unsigned char key[SHA256_DIGEST_SIZE];

	hmac(secret, strlen(secret), date, DAY_LENGTH, key);
	hmac(key, sizeof(key), scope->region, strlen(scope->region), key);
	hmac(key, sizeof(key), scope->service, strlen(scope->service), key);
	hmac(key, sizeof(key), "aws4_request", strlen("aws4_request"), ret);
	explicit_bzero(secret, strlen(secret));
	explicit_bzero(key, sizeof(key));
	free(secret);
}

static void append_scope(struct buf *buf, const struct s3_scope *scope, const char *date)
{
	buf_printf(buf, "%.8s/%s/%s/aws4_request", date, scope->region, scope->service);
}

/* Spaces around a value do not count, and a run of them counts as one. */
static void append_value(struct buf *buf, const char *value)
{
	bool pending = false;

	while (*value == ' ')
		value++;
	for (; *value; value++) {
		if (*value == ' ') {
			pending = true;
			continue;
		}
		if (pending)
			buf_append_char(buf, ' ');
		pending = false;
		buf_append_char(buf, *value);
	}
}

static void append_names(struct buf *buf, const struct s3_signed *request)
{
	for (size_t i = 0; i < request->header_count; i++)
		buf_printf(buf, "%s%s", i ? ";" : "", request->headers[i].name);
}

static void append_canonical(struct buf *buf, const struct s3_signed *request)
{
	buf_printf(buf, "%s\n%s\n%s\n", request->method, request->path, request->query);
	for (size_t i = 0; i < request->header_count; i++) {
		buf_printf(buf, "%s:", request->headers[i].name);
		append_value(buf, request->headers[i].value);
		buf_append_char(buf, '\n');
	}
	buf_append_char(buf, '\n');
	append_names(buf, request);
	buf_printf(buf, "\n%s", request->payload);
}

static void hash_of(const struct buf *buf, char ret_hex[S3_HEX_SIZE])
{
	struct sha256_ctx context;
	unsigned char hash[SHA256_DIGEST_SIZE];

	sha256_init(&context);
	sha256_update(&context, buf->length, (const uint8_t *)buf_string(buf));
	sha256_digest(&context, sizeof(hash), hash);
	str_hex(hash, sizeof(hash), ret_hex);
}

static void signature(const struct s3_signed *request, const struct s3_scope *scope,
		      const struct s3_keys *keys, char ret_hex[S3_HEX_SIZE])
{
	struct buf canonical = BUF_INIT(CANONICAL_MAX);
	struct buf text = BUF_INIT(CANONICAL_MAX);
	unsigned char key[SHA256_DIGEST_SIZE];
	unsigned char code[SHA256_DIGEST_SIZE];
	char date[S3_DATE_SIZE];
	char hash[S3_HEX_SIZE];

	s3_sign_date(scope->wall_ms, date);
	append_canonical(&canonical, request);
	hash_of(&canonical, hash);
	buf_printf(&text, ALGORITHM "\n%s\n", date);
	append_scope(&text, scope, date);
	buf_printf(&text, "\n%s", hash);
	signing_key(scope, keys, date, key);
	hmac(key, sizeof(key), buf_string(&text), text.length, code);
	str_hex(code, sizeof(code), ret_hex);
	explicit_bzero(key, sizeof(key));
	buf_release(&canonical);
	buf_release(&text);
}

void s3_sign(const struct s3_signed *request, const struct s3_scope *scope,
	     const struct s3_keys *keys, struct buf *ret_authorization)
{
	char date[S3_DATE_SIZE];
	char hex[S3_HEX_SIZE];

	s3_sign_date(scope->wall_ms, date);
	signature(request, scope, keys, hex);
	buf_printf(ret_authorization, ALGORITHM " Credential=%s/", keys->access_key);
	append_scope(ret_authorization, scope, date);
	buf_append_string(ret_authorization, ",SignedHeaders=");
	append_names(ret_authorization, request);
	buf_printf(ret_authorization, ",Signature=%s", hex);
}

/* The parameters in their sorted order, all but the signature itself. */
static void append_query(struct buf *buf, unsigned seconds, const struct s3_scope *scope,
			 const struct s3_keys *keys)
{
	struct buf credential = BUF_INIT(CANONICAL_MAX);
	char date[S3_DATE_SIZE];

	s3_sign_date(scope->wall_ms, date);
	buf_printf(&credential, "%s/", keys->access_key);
	append_scope(&credential, scope, date);
	buf_append_string(buf, "X-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential=");
	buf_append_percent(buf, buf_string(&credential), NULL);
	buf_printf(buf, "&X-Amz-Date=%s&X-Amz-Expires=%u", date, seconds);
	if (keys->session_token && *keys->session_token) {
		buf_append_string(buf, "&X-Amz-Security-Token=");
		buf_append_percent(buf, keys->session_token, NULL);
	}
	buf_append_string(buf, "&X-Amz-SignedHeaders=host");
	buf_release(&credential);
}

void s3_sign_query(const char *host, const char *path, unsigned seconds,
		   const struct s3_scope *scope, const struct s3_keys *keys, struct buf *ret_query)
{
	struct buf query = BUF_INIT(CANONICAL_MAX);
	struct s3_header header = {"host", host};
	struct s3_signed request = {
		.method = "GET",
		.path = path,
		.headers = &header,
		.header_count = 1,
		.payload = "UNSIGNED-PAYLOAD",
	};
	char hex[S3_HEX_SIZE];

	append_query(&query, seconds, scope, keys);
	request.query = buf_string(&query);
	signature(&request, scope, keys, hex);
	buf_printf(ret_query, "%s&X-Amz-Signature=%s", buf_string(&query), hex);
	buf_release(&query);
}
