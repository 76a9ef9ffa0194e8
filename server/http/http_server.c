#include "server/http/http_server.h"

#include "server/base/buf.h"
#include "server/base/clock.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/base/str.h"
#include "server/http/access_log.h"
#include "server/http/admin.h"
#include "server/http/handlers.h"
#include "server/http/listener.h"
#include "server/http/response.h"
#include "server/http/router.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Far more than a head of 16 KiB can need. */
#define ARENA_MAX ((size_t)256 * 1024)

#define HEAD_TIMEOUT_MS 20000
#define IDLE_TIMEOUT_MS 75000
#define ADMIN_THREADS 4
#define ADMIN_HEAD_TIMEOUT_MS 5000

struct http_server {
	struct registry *registry;
	char *external_url;
	struct listener *listener;
	struct listener *admin_listener;
	struct admin *admin;
	_Atomic enum server_phase phase;
	_Atomic unsigned in_flight;
	_Atomic unsigned receiving; /* requests whose bodies are being read */
};

/* Idle connections hold a worker each: when most workers are taken, nobody
 * keeps one. */
bool http_server_may_keep(const struct http_server *server, const struct connection *connection)
{
	const struct listener *listener = connection_listener(connection);
	unsigned threads = listener_threads(listener);

	return connection_may_stay(connection) && atomic_load(&server->phase) < SERVER_LEAVING &&
	       listener_connections(listener) <= threads - threads / 4;
}

static void exchange_begin(struct exchange *exchange, struct http_server *server,
			   struct connection *connection)
{
	*exchange = (struct exchange){
		.connection = connection,
		.server = server,
		.registry = server->registry,
		.external_url = server->external_url,
		.sender = {.connection = connection},
		.receiver = {.connection = connection},
		.started_us = clock_monotonic_us(),
		.match = {.name = "", .last = ""},
	};
	arena_init(&exchange->arena, ARENA_MAX);
}

static void exchange_end(struct exchange *exchange)
{
	if (exchange->has_target)
		target_release(&exchange->target);
	arena_release(&exchange->arena);
}

static void respond_not_allowed(struct exchange *exchange)
{
	struct buf allow = BUF_INIT((size_t)128);
	struct api_failure failure = {.http_status = 405, .code = API_UNSUPPORTED};

	request_format_methods(route_methods(exchange->match.route), &allow);
	snprintf(failure.message, sizeof(failure.message), "this endpoint takes %s only",
		 buf_string(&allow));
	respond_failure_with(exchange, &failure, &(struct response){.allow = buf_string(&allow)});
	buf_release(&allow);
}

/* After an answer: leaves the connection in a state that is true to what the
 * answer said about it. */
static void settle_connection(struct exchange *exchange)
{
	if (exchange->outcome != BW_OK || exchange->keep_alive)
		return; /* reset already, or nothing to do */
	if (exchange->malformed || receive_is_expected(&exchange->receiver))
		connection_close_lingering(exchange->connection);
	else
		connection_close_after(exchange->connection);
}

/* A body is read at its sender's pace, however slow that is. Not all workers may
 * wait for senders, or whoever has some dozens of connections keeps everybody from
 * pulling. */
static bool begin_receiving(struct http_server *server)
{
	unsigned threads = listener_threads(server->listener);
	unsigned most = threads < 4 ? threads - 1 : threads - threads / 4;

	if (atomic_fetch_add(&server->receiving, 1) < most)
		return true;
	atomic_fetch_sub(&server->receiving, 1);
	return false;
}

static void respond_too_many_senders(struct exchange *exchange)
{
	static const struct api_failure failure = {
		.http_status = 503,
		.code = API_UNAVAILABLE,
		.retry_after = 1,
		.message = "too many clients are sending at once; http.threads says how many there "
			   "may be",
	};

	respond_failure(exchange, &failure);
}

static void act(struct exchange *exchange, const struct route_action *action)
{
	if (!exchange->request.has_body) {
		action->handle(exchange);
	} else if (begin_receiving(exchange->server)) {
		action->handle(exchange);
		atomic_fetch_sub(&exchange->server->receiving, 1);
	} else {
		respond_too_many_senders(exchange);
	}
}

static void answer(struct exchange *exchange)
{
	const struct route *route = router_match(routes, route_count, exchange->request.path,
						 &exchange->arena, &exchange->match);
	const struct route_action *action =
		route ? route_action_for(route, exchange->request.method) : NULL;

	if (!route)
		handler_unknown_path(exchange);
	else if (!action)
		respond_not_allowed(exchange);
	else
		act(exchange, action);
}

static void refuse_malformed(struct exchange *exchange, const struct api_failure *failure)
{
	exchange->keep_alive = false;
	exchange->malformed = true;
	respond_failure(exchange, failure);
}

/* A request for the registry. */
static void handle(void *context, struct connection *connection, const struct request_head *head)
{
	struct http_server *server = context;
	struct api_failure failure;
	struct exchange exchange;

	exchange_begin(&exchange, server, connection);
	atomic_fetch_add(&server->in_flight, 1);
	metric_add(M_HTTP_IN_FLIGHT, 1, NULL);
	if (request_parse(head, &exchange.arena, &exchange.request, &failure)) {
		exchange.keep_alive = true;
		exchange.receiver.owes_continue = exchange.request.expects_continue;
		answer(&exchange);
	} else {
		refuse_malformed(&exchange, &failure);
	}
	settle_connection(&exchange);
	access_count(&exchange);
	access_log(&exchange);
	exchange_end(&exchange);
	metric_add(M_HTTP_IN_FLIGHT, -1, NULL);
	atomic_fetch_sub(&server->in_flight, 1);
}

/* Admin requests are not in the access log: probes and scrapes would be most
 * of it. */
static void handle_admin(void *context, struct connection *connection,
			 const struct request_head *head)
{
	struct http_server *server = context;
	struct api_failure failure;
	struct exchange exchange;

	exchange_begin(&exchange, server, connection);
	if (request_parse(head, &exchange.arena, &exchange.request, &failure))
		admin_handle(server->admin, &exchange);
	else
		refuse_malformed(&exchange, &failure);
	settle_connection(&exchange);
	exchange_end(&exchange);
}

static void answer_malformed(struct exchange *exchange, int status, const char *reason)
{
	static const struct request_head empty = {.method = "", .target = "", .version = "1.1"};
	struct api_failure failure = {.http_status = status, .code = API_UNSUPPORTED};

	request_init_malformed(&exchange->request, &empty);
	str_copy(failure.message, sizeof(failure.message), reason);
	refuse_malformed(exchange, &failure);
	settle_connection(exchange);
}

static void handle_malformed(void *context, struct connection *connection, int status,
			     const char *reason)
{
	struct exchange exchange;

	exchange_begin(&exchange, context, connection);
	answer_malformed(&exchange, status, reason);
	access_count(&exchange);
	access_log(&exchange);
	exchange_end(&exchange);
}

static void handle_malformed_admin(void *context, struct connection *connection, int status,
				   const char *reason)
{
	struct exchange exchange;

	exchange_begin(&exchange, context, connection);
	answer_malformed(&exchange, status, reason);
	exchange_end(&exchange);
}

static void count_connection(void *context, int change)
{
	(void)context;
	metric_add(M_HTTP_CONNECTIONS, change, NULL);
}

enum status http_server_start(const struct http_server_options *options,
			      struct http_server **ret_server, struct error *error)
{
	struct http_server *server = xcalloc(1, sizeof(*server));
	const struct listener_options admin_options = {
		.key = "http.adminAddress",
		.address = options->admin_address,
		.threads = ADMIN_THREADS,
		.head_timeout_ms = ADMIN_HEAD_TIMEOUT_MS,
		.context = server,
		.handle = handle_admin,
		.handle_malformed = handle_malformed_admin,
	};
	const struct listener_options registry_options = {
		.key = "http.address",
		.address = options->address,
		.threads = options->threads,
		.keep_alive = true,
		.head_timeout_ms = HEAD_TIMEOUT_MS,
		.idle_timeout_ms = IDLE_TIMEOUT_MS,
		.context = server,
		.handle = handle,
		.handle_malformed = handle_malformed,
		.count_connection = count_connection,
	};
	enum status status;

	server->registry = options->registry;
	server->external_url = xstrdup(options->external_url ? options->external_url : "");
	status = admin_new(options->registry, options->objects_shared, &server->phase,
			   &server->admin, error);
	if (status == BW_OK)
		status = listener_start(&admin_options, &server->admin_listener, error);
	if (status == BW_OK)
		status = listener_start(&registry_options, &server->listener, error);
	if (status != BW_OK) {
		http_server_free(server);
		return status;
	}
	*ret_server = server;
	return BW_OK;
}

const char *http_server_address(const struct http_server *server)
{
	return listener_address(server->listener);
}

const char *http_server_admin_address(const struct http_server *server)
{
	return listener_address(server->admin_listener);
}

void http_server_is_up(struct http_server *server)
{
	atomic_store(&server->phase, SERVER_SERVING);
}

void http_server_leave(struct http_server *server)
{
	atomic_store(&server->phase, SERVER_LEAVING);
}

void http_server_drain(struct http_server *server)
{
	atomic_store(&server->phase, SERVER_DRAINING);
	listener_stop_accepting(server->listener);
	listener_close_idle(server->listener);
}

bool http_server_is_quiet(struct http_server *server)
{
	listener_close_idle(server->listener);
	return listener_is_quiet(server->listener);
}

unsigned http_server_in_flight(const struct http_server *server)
{
	return atomic_load(&server->in_flight);
}

void http_server_cut(struct http_server *server)
{
	listener_cut(server->listener);
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	listener_free(server->listener);
	listener_free(server->admin_listener);
	admin_free(server->admin);
	free(server->external_url);
	free(server);
}
