/*
 * One mirror's answer to an ask. A redirect is followed here, hop by hop; once
 * it has left the mirror's own origin, no credential goes with it any more, and
 * what is answered there says nothing about the credential.
 */
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/base/str.h"
#include "server/upstream/upstream_private.h"

#include <stdlib.h>
#include <string.h>

#define MAX_HOPS 5
/* Bodies of errors and redirects are read to their end, to keep the connection,
 * unless they are longer than this. */
#define MAX_DISCARDED ((size_t)64 << 10)
#define AUTHORIZE_MS 60000
/* No credential can have this name. */
#define REDIRECT_KEY "redirect:"

struct exchange {
	struct ask *ask;
	struct mirror *mirror;
	deadline_ms deadline;
	char *url;
	struct authorization authorization;
	struct transfer_response response;
	bool away; /* redirected to another origin */
	bool answered; /* ever */
	bool headed; /* by the request that runs */
	bool passing; /* and the asker gets to see it */
	size_t discarded;
};

static bool on_headers(void *context, const struct transfer_response *response)
{
	struct exchange *exchange = context;
	struct ask *ask = exchange->ask;

	exchange->headed = true;
	exchange->answered = true;
	exchange->passing = response->status == 200 || response->status == 206;
	if (!exchange->away)
		authorization_answered(ask, exchange->mirror, response->status,
				       &exchange->authorization);
	return !exchange->passing || !ask->on_headers || ask->on_headers(ask, response);
}

static bool on_body(void *context, const void *bytes, size_t length)
{
	struct exchange *exchange = context;
	struct ask *ask = exchange->ask;

	if (exchange->passing)
		return !ask->on_body || ask->on_body(ask, bytes, length);
	exchange->discarded += length;
	return exchange->discarded <= MAX_DISCARDED;
}

static void count(const struct exchange *exchange, enum status status)
{
	const struct ask *ask = exchange->ask;
	char code[16];

	snprintf(code, sizeof(code), "%d", exchange->response.status);
	metric_inc(M_UPSTREAM_REQUESTS, ask->upstream->config->name,
		   transfer_method_name(ask->method), status == BW_OK ? code : status_name(status));
}

/* Docker Hub's "ratelimit-remaining: 76;w=21600". */
static void note_ratelimit(const struct exchange *exchange)
{
	const char *value = exchange->response.headers.ratelimit_remaining;
	uint64_t remaining;

	if (!value || exchange->away || !str_parse_u64(value, strcspn(value, ";, "), &remaining))
		return;
	upstream_note_remaining(exchange->ask->upstream->state, exchange->ask->account, remaining,
				clock_monotonic_ms(), false);
}

static bool is_cancelled(const struct ask *ask)
{
	return ask->cancelled && *ask->cancelled;
}

/* One request. BW_OK: there is a status to go by. */
static enum status request(struct exchange *exchange, struct error *error)
{
	const struct ask *ask = exchange->ask;
	struct transfer_request transfer = {
		.method = ask->method,
		.url = exchange->url,
		.connection_key = exchange->away ? REDIRECT_KEY : ask->account->name,
		.authorization = exchange->away ? NULL : exchange->authorization.value,
		.accept = ask->accept,
		.range = ask->range,
		.redirected = exchange->away,
		.deadline = exchange->deadline,
		.cancelled = ask->cancelled,
		.on_headers = on_headers,
		.on_body = on_body,
		.context = exchange,
	};
	enum status status;

	transfer_response_release(&exchange->response);
	exchange->headed = exchange->passing = false;
	exchange->discarded = 0;
	status = transfer_run(ask->upstream->state->pool, &transfer, &exchange->response, error);
	/* an error's status tells more than that its body was broken or endless */
	if (status != BW_OK && exchange->headed && !exchange->passing && !is_cancelled(ask))
		status = BW_OK;
	count(exchange, status);
	note_ratelimit(exchange);
	if (!exchange->headed)
		authorization_answered(ask, exchange->mirror, 0, &exchange->authorization);
	return status;
}

static bool is_redirect(const struct transfer_response *response)
{
	int status = response->status;

	return (status == 301 || status == 302 || status == 303 || status == 307 ||
		status == 308) &&
	       response->headers.location;
}

static enum status follow(struct exchange *exchange, struct error *error)
{
	char from[256];
	char *url = NULL;
	enum status status =
		url_resolve(exchange->url, exchange->response.headers.location, &url, error);

	if (status != BW_OK) {
		url_for_people(exchange->url, from, sizeof(from));
		error_prefix(error, "%s answered with", from);
		if (error)
			error->code = BW_UNREACHABLE;
		return BW_UNREACHABLE;
	}
	free(exchange->url);
	exchange->url = url;
	if (!url_same_origin(url, exchange->mirror->url)) {
		exchange->away = true;
		authorization_release(&exchange->authorization);
	}
	return BW_OK;
}

static enum status fail_with_status(enum status status, int http_status, struct error *error)
{
	error_set(error, status, "answered %d", http_status);
	if (error)
		error->http_status = http_status;
	return status;
}

/* What the final status means. */
static enum status judge_status(const struct exchange *exchange, struct error *error)
{
	const struct transfer_response *response = &exchange->response;
	enum status status;

	switch (response->status) {
	case 200:
	case 206:
		return BW_OK;
	case 404:
		return fail_with_status(BW_ABSENT, 404, error);
	case 401:
	case 403:
		/* a blob store that does not know its own signature denies us nothing */
		return fail_with_status(exchange->away ? BW_UNREACHABLE : BW_DENIED,
					response->status, error);
	case 416:
		return fail_with_status(exchange->ask->range ? BW_CORRUPT : BW_UNREACHABLE, 416,
					error);
	case 429:
		status = fail_with_status(BW_UNAVAILABLE, 429, error);
		break;
	default:
		status = fail_with_status(BW_UNREACHABLE, response->status, error);
		break;
	}
	if (error && (response->status == 429 || response->headers.retry_after))
		error->retry_after = transfer_retry_after(response);
	return status;
}

static enum status redirects_without_end(struct error *error)
{
	return error_set(error, BW_UNREACHABLE, "redirected more than %d times", MAX_HOPS);
}

static enum status run(struct exchange *exchange, struct error *error)
{
	struct ask *ask = exchange->ask;
	deadline_ms authorize_by = deadline_earlier(exchange->deadline, deadline_in(AUTHORIZE_MS));
	enum status status = authorize_ahead(ask, exchange->mirror, authorize_by,
					     &exchange->authorization, error);
	bool retried = false;
	unsigned hops = 0;

	while (status == BW_OK) {
		status = request(exchange, error);
		if (status != BW_OK)
			return status;
		if (exchange->response.status == 401 && !exchange->away && !retried) {
			retried = true;
			status = authorize_again(ask, exchange->mirror, &exchange->response.headers,
						 authorize_by, &exchange->authorization, error);
		} else if (is_redirect(&exchange->response)) {
			status = ++hops > MAX_HOPS ? redirects_without_end(error)
						   : follow(exchange, error);
		} else {
			return judge_status(exchange, error);
		}
	}
	return status;
}

/* Says who failed: the upstream, which of its mirrors, with which credential,
 * and where it had sent us. */
static void sign(const struct exchange *exchange, struct error *error)
{
	const struct ask *ask = exchange->ask;
	const char *name = ask->upstream->config->name;
	const char *said = str_starts_with(error->message, "answered ") ? " " : ": ";
	char where[URL_ORIGIN_SIZE + 64] = "";

	if (exchange->away) {
		char url[256];

		url_for_people(exchange->url, url, sizeof(url));
		snprintf(where, sizeof(where), " (redirected to %s)", url);
	} else if (ask->upstream->state->mirror_count > 1) {
		snprintf(where, sizeof(where), " at %s", exchange->mirror->origin);
	}
	if (*said == ' ') {
		char *message = xasprintf("upstream \"%s\"%s %s (credential \"%s\")", name, where,
					  error->message, ask->account->name);

		str_copy(error->message, sizeof(error->message), message);
		free(message);
	} else {
		error_prefix(error, "upstream \"%s\"%s (credential \"%s\")", name, where,
			     ask->account->name);
	}
}

enum status upstream_exchange(struct ask *ask, struct mirror *mirror, bool *ret_answered,
			      struct error *error)
{
	struct exchange exchange = {
		.ask = ask,
		.mirror = mirror,
		.deadline = ask->limit_ms ? deadline_in(ask->limit_ms) : DEADLINE_NEVER,
		.url = xasprintf("%s/v2/%s/%s", mirror->url, ask->repository, ask->path),
	};
	struct error failure = {0};
	enum status status;

	ask->refusal = (struct error){0};
	status = run(&exchange, &failure);
	if (ask->refusal.code != BW_OK) {
		failure = ask->refusal;
		status = failure.code;
	} else if (status == BW_OK && ask->finish) {
		status = ask->finish(ask, &exchange.response, &failure);
	}
	if (status != BW_OK) {
		failure.code = status;
		sign(&exchange, &failure);
		*error = failure;
	}
	*ret_answered = exchange.answered;
	transfer_response_release(&exchange.response);
	authorization_release(&exchange.authorization);
	free(exchange.url);
	return status;
}
