#include "server/http/access_log.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/base/str.h"
#include "server/http/exchange.h"
#include "server/http/handlers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A target may be 16 KiB, and a line of the log holds 4 KiB. */
#define URI_LOGGED_MAX 512
#define FIELD_LOGGED_MAX 256

static const char *or_null(const char *text)
{
	return text && *text ? text : NULL;
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static const char *upstream_of(const struct exchange *exchange)
{
	return exchange->has_target ? target_namespace(&exchange->target) : NULL;
}

/* Of our own making, not an upstream's (502 to 504) or the client's (505). */
static bool is_own_failure(int status)
{
	return status >= 500 && status < 502;
}

static bool is_gateway_failure(int status)
{
	return status >= 502 && status <= 504;
}

static enum log_level level_of(const struct exchange *exchange)
{
	bool client_left = exchange->outcome == BW_CANCELLED;

	if (is_own_failure(exchange->status))
		return LOG_ERROR;
	if (is_gateway_failure(exchange->status) || (exchange->outcome != BW_OK && !client_left))
		return LOG_WARNING;
	return LOG_INFO;
}

static const char *message_of(const struct exchange *exchange)
{
	if (exchange->receiver.outcome == BW_CANCELLED)
		return "request cut short";
	if (exchange->outcome != BW_OK)
		return "response cut short";
	return exchange->status >= 400 ? "response completed with error" : "response completed";
}

/* Whoever has an upload's handle may write to it. */
static void hide_handle(char *uri)
{
	char *handle = strstr(uri, UPLOAD_TOKEN_PARAMETER "=");
	char *end;

	if (!handle)
		return;
	handle += strlen(UPLOAD_TOKEN_PARAMETER "=");
	end = handle + strcspn(handle, "&");
	memmove(handle, end, strlen(end) + 1);
}

/* Left out of requests that have no body. */
static struct log_field received_field(const struct exchange *exchange)
{
	if (exchange->request.has_body)
		return LOG_I("http.request.received", exchange->receiver.received);
	return LOG_S("http.request.received", NULL);
}

void access_log(const struct exchange *exchange)
{
	const struct request *request = &exchange->request;
	enum log_level level = level_of(exchange);
	int64_t us = clock_monotonic_us() - exchange->started_us;
	struct connection_peer peer;
	char uri[URI_LOGGED_MAX];
	char agent[FIELD_LOGGED_MAX];
	char host[FIELD_LOGGED_MAX];
	char duration[32];

	if (!log_enabled(level))
		return;
	connection_peer(exchange->connection, &peer);
	snprintf(duration, sizeof(duration), "%" PRId64 ".%03dms", us / 1000, (int)(us % 1000));
	str_copy(uri, sizeof(uri), or_empty(request->head->target));
	hide_handle(uri);
	str_copy(agent, sizeof(agent), or_empty(request_header(request, "User-Agent")));
	str_copy(host, sizeof(host), or_empty(request->host));
	log_event(level, message_of(exchange), LOG_S("http.request.id", request->id),
		  LOG_S("http.request.method", or_null(request->head->method)),
		  LOG_S("http.request.host", or_null(host)),
		  LOG_S("http.request.uri", or_null(uri)),
		  LOG_S("http.request.remoteaddr", peer.address),
		  LOG_S("http.request.useragent", or_null(agent)), received_field(exchange),
		  LOG_I("http.response.status", exchange->status),
		  LOG_I("http.response.written", exchange_body_sent(exchange)),
		  LOG_S("http.response.duration", duration),
		  LOG_S("http.response.contenttype", exchange->content_type),
		  LOG_S("vars.name", or_null(exchange->match.name)),
		  LOG_S("vars.reference", or_null(exchange->match.last)),
		  LOG_S("upstream", upstream_of(exchange)),
		  LOG_S("cache",
			exchange->has_verdict ? cache_verdict_name(exchange->verdict) : NULL),
		  LOG_S("err.message", or_null(exchange->message)));
}

void access_count(const struct exchange *exchange)
{
	const char *handler = exchange->match.route ? exchange->match.route->name : "none";
	const char *method = method_name(exchange->request.method);
	const char *upstream = upstream_of(exchange);
	uint64_t body = exchange_body_sent(exchange);
	int64_t us = clock_monotonic_us() - exchange->started_us;
	char code[16];

	snprintf(code, sizeof(code), "%d", exchange->status);
	metric_inc(M_HTTP_REQUESTS, handler, method, code);
	metric_add(M_HTTP_DURATION, (double)us / 1e6, handler, method);
	if (exchange->receiver.received > 0)
		metric_add(M_HTTP_RECEIVED_BYTES, exchange->receiver.received, handler);
	if (body > 0)
		metric_add(M_HTTP_SENT_BYTES, body, handler);
	if (body > 0 && exchange->pushed_type && upstream)
		metric_add(M_PROXY_PUSHED_BYTES, body, exchange->pushed_type, upstream);
}
