#include "server/http/admin.h"

#include "server/base/buf.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/base/str.h"
#include "server/http/health.h"
#include "server/http/response.h"

#include <stdlib.h>
#include <string.h>

#define CHECK_EVERY_MS 1000
/* A check that does not return is a store that does not answer. */
#define CHECK_HANGS_MS 10000

#define TEXT_PLAIN "text/plain; charset=utf-8"
#define JSON_TYPE "application/json"
#define READY_MAX ((size_t)16 << 10)
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_MAX ((size_t)64 << 20)

struct admin {
	const _Atomic enum server_phase *phase;
	struct health *health;
};

static enum status check_objects(void *registry, struct error *error)
{
	return registry_check_objects(registry, error);
}

static enum status check_index(void *registry, struct error *error)
{
	return registry_check_index(registry, error);
}

enum status admin_new(struct registry *registry, bool objects_shared,
		      const _Atomic enum server_phase *phase, struct admin **ret_admin,
		      struct error *error)
{
	const struct health_options options = {
		.checks = {[STORE_OBJECTS] = check_objects, [STORE_INDEX] = check_index},
		.context = registry,
		.objects_shared = objects_shared,
		.every_ms = CHECK_EVERY_MS,
		.hangs_ms = CHECK_HANGS_MS,
	};
	struct health *health;
	struct admin *admin;
	enum status status = health_new(&options, &health, error);

	if (status != BW_OK)
		return status;
	admin = xcalloc(1, sizeof(*admin));
	admin->phase = phase;
	admin->health = health;
	*ret_admin = admin;
	return BW_OK;
}

void admin_free(struct admin *admin)
{
	if (!admin)
		return;
	health_free(admin->health);
	free(admin);
}

static void handle_livez(struct admin *admin, struct exchange *exchange)
{
	(void)admin;
	respond_text(exchange, 200, TEXT_PLAIN, "ok\n", 3);
}

static void append_member(struct buf *buf, const char *name, const char *value)
{
	buf_append_string(buf, buf->length > 0 ? ", \"" : "{\"");
	buf_append_string(buf, name);
	buf_append_string(buf, "\": ");
	buf_append_json(buf, value, strlen(value));
}

static void respond_ready(struct exchange *exchange, int status, struct buf *members)
{
	buf_append_string(members, "}\n");
	respond_text(exchange, status, JSON_TYPE, buf_string(members), members->length);
	buf_release(members);
}

static void respond_phase(struct exchange *exchange, const char *phase)
{
	struct buf members = BUF_INIT(READY_MAX);

	append_member(&members, "status", phase);
	respond_ready(exchange, 503, &members);
}

static void handle_readyz(struct admin *admin, struct exchange *exchange)
{
	static const char *const words[] = {
		[READY] = "ready", [DEGRADED] = "degraded", [UNREADY] = "unready"};
	enum server_phase phase = atomic_load(admin->phase);
	struct buf members = BUF_INIT(READY_MAX);
	struct health_report report;

	if (phase != SERVER_SERVING) {
		respond_phase(exchange, phase == SERVER_STARTING ? "starting" : "draining");
		return;
	}
	health_get(admin->health, &report);
	append_member(&members, "status", words[report.readiness]);
	for (size_t i = 0; i < STORE_ROLES; i++)
		append_member(&members, store_role_name((enum store_role)i),
			      report.stores[i].up ? "ok" : report.stores[i].reason);
	respond_ready(exchange, report.readiness == UNREADY ? 503 : 200, &members);
}

static void handle_metrics(struct admin *admin, struct exchange *exchange)
{
	struct buf text = BUF_INIT(METRICS_MAX);
	struct health_report unused;

	health_get(admin->health, &unused); /* sets registry_store_up */
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
