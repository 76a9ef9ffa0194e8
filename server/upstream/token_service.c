#include "server/upstream/token_service.h"

#include "server/base/buf.h"
#include "server/base/json.h"
#include "server/base/memory.h"
#include "server/upstream/credential.h"
#include "server/upstream/transfer.h"
#include "server/upstream/url.h"

#include <stdlib.h>
#include <string.h>

#define MAX_REPLY ((size_t)256 << 10)
#define MAX_TOKEN ((size_t)32 << 10)
#define ASK_MS 30000
#define DEFAULT_EXPIRY_S 60
#define LONGEST_EXPIRY_S 3600

static char *make_url(const struct token_request *request)
{
	struct buf url = BUF_INIT(URL_MAX);

	buf_append(&url, request->realm, strcspn(request->realm, "#"));
	buf_append_char(&url, strchr(buf_string(&url), '?') ? '&' : '?');
	if (*request->service) {
		buf_append_string(&url, "service=");
		buf_append_percent(&url, request->service, NULL);
		buf_append_char(&url, '&');
	}
	buf_append_string(&url, "scope=");
	buf_append_percent(&url, request->scope, ":/");
	return buf_detach(&url, NULL);
}

/* What may stand in an Authorization header; anything else would let a token
 * service write headers of our requests. */
static bool is_token(const char *token)
{
	size_t length = strnlen(token, MAX_TOKEN + 1);

	for (size_t i = 0; i < length; i++) {
		if (token[i] <= ' ' || token[i] >= 0x7f)
			return false;
	}
	return length > 0 && length <= MAX_TOKEN;
}

/* Our own clock counts from now: issued_at may be missing, or from a clock that
 * is wrong. */
static int64_t lifetime_ms(const cJSON *reply)
{
	uint64_t seconds;

	if (!json_u64(reply, "expires_in", &seconds) || seconds == 0)
		seconds = DEFAULT_EXPIRY_S;
	if (seconds > LONGEST_EXPIRY_S)
		seconds = LONGEST_EXPIRY_S;
	return (int64_t)seconds * 1000;
}

static enum status read_reply(const struct buf *body, char **ret_token, int64_t *ret_lifetime_ms,
			      struct error *error)
{
	enum status status = BW_UNREACHABLE;
	const char *token;
	cJSON *reply = NULL;

	if (json_parse(buf_string(body), body->length, &reply, NULL) != BW_OK) {
		error_set(error, status, "its reply is not JSON");
		goto out;
	}
	token = json_string(reply, "token");
	if (!token || !*token)
		token = json_string(reply, "access_token");
	if (!token || !is_token(token)) {
		error_set(error, status, "its reply has no usable token");
		goto out;
	}
	*ret_token = xstrdup(token);
	*ret_lifetime_ms = lifetime_ms(reply);
	status = BW_OK;
out:
	cJSON_Delete(reply);
	return status;
}

static enum status status_of(int http_status)
{
	switch (http_status) {
	case 200:
		return BW_OK;
	case 401:
	case 403:
		return BW_DENIED;
	case 429:
		return BW_UNAVAILABLE;
	default:
		return BW_UNREACHABLE;
	}
}

static enum status judge_answer(const struct transfer_response *response, struct error *error)
{
	enum status status = status_of(response->status);

	if (status == BW_OK)
		return BW_OK;
	error_set(error, status, "answered %d", response->status);
	if (error)
		error->http_status = response->status;
	if (error && status == BW_UNAVAILABLE)
		error->retry_after = transfer_retry_after(response);
	return status;
}

static bool on_body(void *context, const void *bytes, size_t length)
{
	struct buf *body = context;

	buf_append(body, bytes, length);
	return !body->overflow;
}

static enum status exchange(struct transfer_pool *pool, const struct token_request *request,
			    const char *url, int *ret_http_status, struct buf *body,
			    struct error *error)
{
	char *basic = request->credential ? credential_basic(request->credential) : NULL;
	struct transfer_request ask = {
		.method = TRANSFER_GET,
		.url = url,
		.connection_key = credential_name(request->credential),
		.authorization = basic,
		.accept = "application/json",
		.deadline = deadline_earlier(request->deadline, deadline_in(ASK_MS)),
		.on_body = on_body,
		.context = body,
	};
	struct transfer_response response;
	enum status status = transfer_run(pool, &ask, &response, error);

	if (status == BW_CANCELLED)
		status = error_set(error, BW_UNREACHABLE, "its reply is over %zu bytes", MAX_REPLY);
	*ret_http_status = response.status;
	if (status == BW_OK)
		status = judge_answer(&response, error);
	transfer_response_release(&response);
	secret_free(basic);
	return status;
}

static enum login_outcome outcome_of(int http_status)
{
	if (http_status == 200)
		return LOGIN_ACCEPTED;
	return http_status == 401 ? LOGIN_REFUSED : LOGIN_UNKNOWN;
}

/* The exchange, with the memory of failed logins around it. */
static enum status log_in(struct transfer_pool *pool, struct login_memory *logins,
			  const struct token_request *request, const char *url, struct buf *body,
			  struct error *error)
{
	char origin[URL_ORIGIN_SIZE];
	enum status status;
	int http_status = 0;

	if (!url_origin(url, origin, sizeof(origin)))
		return error_set(error, BW_UNREACHABLE, "its URL is malformed");
	if (request->credential) {
		status = login_begin(logins, origin, request->credential, request->deadline, error);
		if (status != BW_OK)
			return status;
	}
	status = exchange(pool, request, url, &http_status, body, error);
	if (request->credential)
		login_end(logins, origin, request->credential, outcome_of(http_status));
	return status;
}

enum status token_service_ask(struct transfer_pool *pool, struct login_memory *logins,
			      const struct token_request *request, char **ret_token,
			      int64_t *ret_lifetime_ms, struct error *error)
{
	struct buf body = BUF_INIT(MAX_REPLY);
	char *url = make_url(request);
	char realm[256];
	enum status status;

	if (url)
		status = log_in(pool, logins, request, url, &body, error);
	else
		status = error_set(error, BW_UNREACHABLE, "its URL is too long");
	if (status == BW_OK)
		status = read_reply(&body, ret_token, ret_lifetime_ms, error);
	if (status != BW_OK) {
		url_for_people(request->realm, realm, sizeof(realm));
		error_prefix(error, "token service %s", realm);
	}
	if (body.data)
		explicit_bzero(body.data, body.length);
	buf_release(&body);
	free(url);
	return status;
}
