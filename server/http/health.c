#include "server/http/health.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/base/str.h"
#include "server/base/thread.h"

#include <pthread.h>
#include <stdlib.h>

const char *store_role_name(enum store_role role)
{
	return role == STORE_OBJECTS ? "objects" : "index";
}

struct prober {
	struct health *health;
	enum store_role role;
	pthread_t thread;
	bool runs; /* the thread does */

	/* under health->lock */
	bool has_result;
	bool checking;
	int64_t began_at; /* of the check that runs */
	enum status status; /* of the last one that ended */
	struct error error;
};

struct health {
	struct health_options options;
	struct prober probers[STORE_ROLES];

	pthread_mutex_t lock; /* a leaf; not held over a check */
	pthread_cond_t turned; /* a first result, or the end */
	bool stopping;
};

/* Who probes keeps the answer to itself, and then pods are gone. */
static void tell_turn(enum store_role role, bool was_up, enum status status,
		      const struct error *error)
{
	if (was_up && status != BW_OK)
		log_event(LOG_ERROR, "store away", LOG_S("store", store_role_name(role)),
			  LOG_S("err.message", error->message));
	else if (!was_up && status == BW_OK)
		log_event(LOG_INFO, "store back", LOG_S("store", store_role_name(role)));
}

static void begin_check(struct prober *prober)
{
	pthread_mutex_lock(&prober->health->lock);
	prober->checking = true;
	prober->began_at = clock_monotonic_ms();
	pthread_mutex_unlock(&prober->health->lock);
}

static void end_check(struct prober *prober, enum status status, const struct error *error)
{
	struct health *health = prober->health;
	bool was_up;

	pthread_mutex_lock(&health->lock);
	was_up = !prober->has_result || prober->status == BW_OK;
	prober->has_result = true;
	prober->checking = false;
	prober->status = status;
	prober->error = *error;
	pthread_cond_broadcast(&health->turned);
	pthread_mutex_unlock(&health->lock);
	tell_turn(prober->role, was_up, status, error);
}

/* False: it is over. */
static bool wait_for_next(struct health *health)
{
	deadline_ms next = deadline_in(health->options.every_ms);
	bool stopping;

	pthread_mutex_lock(&health->lock);
	while (!health->stopping && cond_wait_until(&health->turned, &health->lock, next))
		continue;
	stopping = health->stopping;
	pthread_mutex_unlock(&health->lock);
	return !stopping;
}

static void *run(void *argument)
{
	struct prober *prober = argument;
	const struct health_options *options = &prober->health->options;

	do {
		struct error error = {0};
		enum status status;

		begin_check(prober);
		status = options->checks[prober->role](options->context, &error);
		end_check(prober, status, &error);
	} while (wait_for_next(prober->health));
	return NULL;
}

enum status health_new(const struct health_options *options, struct health **ret_health,
		       struct error *error)
{
	struct health *health = xcalloc(1, sizeof(*health));

	health->options = *options;
	pthread_mutex_init(&health->lock, NULL);
	cond_init(&health->turned);
	for (size_t i = 0; i < STORE_ROLES; i++) {
		struct prober *prober = &health->probers[i];
		int failed;

		prober->health = health;
		prober->role = (enum store_role)i;
		failed = thread_start(&prober->thread, "health", 0, run, prober);
		if (failed) {
			health_free(health);
			return error_set_errno(error, BW_IO, failed, "start a thread");
		}
		prober->runs = true;
	}
	*ret_health = health;
	return BW_OK;
}

void health_free(struct health *health)
{
	if (!health)
		return;
	pthread_mutex_lock(&health->lock);
	health->stopping = true;
	pthread_cond_broadcast(&health->turned);
	pthread_mutex_unlock(&health->lock);
	for (size_t i = 0; i < STORE_ROLES; i++) {
		if (health->probers[i].runs)
			pthread_join(health->probers[i].thread, NULL);
	}
	pthread_cond_destroy(&health->turned);
	pthread_mutex_destroy(&health->lock);
	free(health);
}

static bool has_all(const struct health *health)
{
	for (size_t i = 0; i < STORE_ROLES; i++) {
		if (!health->probers[i].has_result)
			return false;
	}
	return true;
}

static enum status status_of(const struct prober *prober, struct error *error)
{
	int64_t hangs_ms = prober->health->options.hangs_ms;
	bool hangs = prober->checking && clock_monotonic_ms() - prober->began_at >= hangs_ms;

	if (prober->has_result && !hangs) {
		*error = prober->error;
		return prober->status;
	}
	return error_set(error, BW_TIMEOUT, "it has not answered for %lld s",
			 (long long)(hangs_ms / 1000));
}

static enum readiness readiness_of(const struct health *health, const struct health_report *report)
{
	bool objects = report->stores[STORE_OBJECTS].up;
	bool index = report->stores[STORE_INDEX].up;

	if (objects && index)
		return READY;
	if (objects || (index && health->options.objects_shared))
		return DEGRADED;
	return UNREADY;
}

static void report_store(struct prober *prober, struct health_report *report)
{
	struct error error = {0};
	enum status status = status_of(prober, &error);

	report->stores[prober->role].up = status == BW_OK;
	if (status != BW_OK)
		str_copy(report->stores[prober->role].reason,
			 sizeof(report->stores[prober->role].reason),
			 error.message[0] ? error.message : status_name(status));
	metric_set(M_STORE_UP, status == BW_OK, store_role_name(prober->role));
}

void health_get(struct health *health, struct health_report *ret_report)
{
	deadline_ms deadline = deadline_in(health->options.hangs_ms);

	*ret_report = (struct health_report){0};
	pthread_mutex_lock(&health->lock);
	while (!has_all(health) && cond_wait_until(&health->turned, &health->lock, deadline))
		continue;
	for (size_t i = 0; i < STORE_ROLES; i++)
		report_store(&health->probers[i], ret_report);
	pthread_mutex_unlock(&health->lock);
	ret_report->readiness = readiness_of(health, ret_report);
}
