#include "server/http/admin.h"

#include "server/base/buf.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/base/str.h"
#include "server/http/response.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Probes come from every side; the stores are asked once for all of them. */
#define CHECK_EVERY_MS 1000
/* A check that does not return is a store that does not answer. */
#define CHECK_HANGS_MS 10000

#define TEXT_PLAIN "text/plain; charset=utf-8"
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_MAX ((size_t)64 << 20)

struct admin {
	struct registry *registry;
	const _Atomic enum server_phase *phase;

	pthread_mutex_t lock; /* covers what follows; a leaf, not held over a check */
	pthread_cond_t first_result;
	bool checking;
	bool has_result;
	int64_t began_at; /* of the check that runs or ran last */
	enum status status; /* of the last one that ended */
	struct error error;
};

struct admin *admin_new(struct registry *registry, const _Atomic enum server_phase *phase)
{
	struct admin *admin = xcalloc(1, sizeof(*admin));

	admin->registry = registry;
	admin->phase = phase;
	pthread_mutex_init(&admin->lock, NULL);
	cond_init(&admin->first_result);
	return admin;
}

void admin_free(struct admin *admin)
{
	if (!admin)
		return;
	pthread_cond_destroy(&admin->first_result);
	pthread_mutex_destroy(&admin->lock);
	free(admin);
}

/* The probe that learns it keeps the answer to itself, and then pods are gone. */
static void log_turn(bool was_ready, enum status status, const struct error *error)
{
	if (was_ready && status != BW_OK)
		log_event(LOG_ERROR, "not ready", LOG_S("err.message", error->message));
	else if (!was_ready && status == BW_OK)
		log_event(LOG_INFO, "ready again");
}

static void run_check(struct admin *admin)
{
	struct error error = {0};
	enum status status = registry_check(admin->registry, &error);
	bool was_ready;

	pthread_mutex_lock(&admin->lock);
	was_ready = !admin->has_result || admin->status == BW_OK;
	admin->status = status;
	admin->error = error;
	admin->checking = false;
	admin->has_result = true;
	pthread_cond_broadcast(&admin->first_result);
	pthread_mutex_unlock(&admin->lock);
	log_turn(was_ready, status, &error);
}

/* True: it is this thread's turn to check. */
static bool begin_check(struct admin *admin)
{
	int64_t now = clock_monotonic_ms();
	bool begins;

	pthread_mutex_lock(&admin->lock);
	begins =
		!admin->checking && (!admin->has_result || now - admin->began_at >= CHECK_EVERY_MS);
	if (begins) {
		admin->checking = true;
		admin->began_at = now;
	}
	pthread_mutex_unlock(&admin->lock);
	return begins;
}

/* The last result; before there is one, the first is waited for. */
static enum status last_result(struct admin *admin, struct error *error)
{
	deadline_ms deadline = deadline_in(CHECK_HANGS_MS);
	enum status status;

	pthread_mutex_lock(&admin->lock);
	while (!admin->has_result && cond_wait_until(&admin->first_result, &admin->lock, deadline))
		continue;
	status = admin->status;
	*error = admin->error;
	if (admin->checking && clock_monotonic_ms() - admin->began_at >= CHECK_HANGS_MS)
		status = error_set(error, BW_TIMEOUT, "a store has not answered for %d s",
				   CHECK_HANGS_MS / 1000);
	pthread_mutex_unlock(&admin->lock);
	return status;
}

static void respond_line(struct exchange *exchange, int status, const char *line)
{
	char text[sizeof(((struct error *)NULL)->message) + 2];

	snprintf(text, sizeof(text), "%s\n", line);
	respond_text(exchange, status, TEXT_PLAIN, text, strlen(text));
}

static void respond_not_ready(struct exchange *exchange, const char *reason)
{
	str_copy(exchange->message, sizeof(exchange->message), reason);
	respond_line(exchange, 503, reason);
}

static void handle_livez(struct admin *admin, struct exchange *exchange)
{
	(void)admin;
	respond_line(exchange, 200, "ok");
}

static void handle_readyz(struct admin *admin, struct exchange *exchange)
{
	enum server_phase phase = atomic_load(admin->phase);
	struct error error;

	if (phase != SERVER_SERVING) {
		respond_not_ready(exchange, phase == SERVER_STARTING ? "starting" : "draining");
		return;
	}
	if (begin_check(admin))
		run_check(admin);
	if (last_result(admin, &error) == BW_OK)
		respond_line(exchange, 200, "ok");
	else
		respond_not_ready(exchange, error.message);
}

static void handle_metrics(struct admin *admin, struct exchange *exchange)
{
	struct buf text = BUF_INIT(METRICS_MAX);

	(void)admin;
	metrics_write(&text);
	respond_text(exchange, 200, METRICS_TYPE, buf_string(&text), text.length);
	buf_release(&text);
}

static const struct {
	const char *path;
	void (*handle)(struct admin *admin, struct exchange *exchange);
} endpoints[] = {
	{"/livez", handle_livez},
	{"/readyz", handle_readyz},
	{"/metrics", handle_metrics},
};

void admin_handle(struct admin *admin, struct exchange *exchange)
{
	enum method method = exchange->request.method;
	const struct response extra = {.allow = "GET, HEAD"};
	const struct api_failure not_allowed = {
		.http_status = 405,
		.code = API_UNSUPPORTED,
		.message = "only GET and HEAD are answered here",
	};
	const struct api_failure unknown = {
		.http_status = 404,
		.code = API_UNSUPPORTED,
		.message = "no such endpoint; there are /livez, /readyz and /metrics",
	};

	for (size_t i = 0; i < array_size(endpoints); i++) {
		if (strcmp(exchange->request.path, endpoints[i].path) != 0)
			continue;
		if (method == METHOD_GET || method == METHOD_HEAD)
			endpoints[i].handle(admin, exchange);
		else
			respond_failure_with(exchange, &not_allowed, &extra);
		return;
	}
	respond_failure(exchange, &unknown);
}
