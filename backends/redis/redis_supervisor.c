/*
 * The one thread that looks after the server: finds it, begins a session, hears what
 * others change, notices that the session is over, and begins the next one. Other
 * threads learn of it through `state` alone, and never wait for a server that is known
 * to be away.
 */
#include "backends/redis/redis_call.h"

#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/base/thread.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BEAT_MS 500
#define SENTINELS_MS 2000 /* how often they are asked who the master is */
#define PAUSE_MS 50
#define PAUSE_MAX_MS 1000

/* What the supervisor has in hand while a session lasts. */
struct watchman {
	struct redis *redis;
	struct redis_session session;
	struct redis_stream *control; /* makes the server tell; asks how it is */
	struct redis_watch watch;
	struct redis_sweep sweep;
	int64_t beat_at;
	int64_t sentinels_at;
};

static bool is_over(struct redis *redis, bool *ret_stopping)
{
	bool over;

	pthread_mutex_lock(&redis->lock);
	*ret_stopping = redis->stopping;
	over = redis->stopping || redis->state != REDIS_UP;
	pthread_mutex_unlock(&redis->lock);
	return over;
}

/* ---- a session begins ---- */

static void describe(struct redis *redis, const struct redis_identity *identity,
		     const struct error *unwatched)
{
	bool drops = identity->has_limit && str_starts_with(identity->policy, "allkeys");

	pthread_mutex_lock(&redis->lock);
	str_copy(redis->server_version, sizeof(redis->server_version), identity->version);
	redis->warning[0] = '\0';
	if (drops)
		snprintf(redis->warning, sizeof(redis->warning),
			 "maxmemory-policy %s may take single keys of the index away, and lists "
			 "would then lack entries: set noeviction or a volatile- policy",
			 identity->policy);
	else if (unwatched->message[0])
		snprintf(redis->warning, sizeof(redis->warning),
			 "copies in memory are kept for seconds only: %.180s", unwatched->message);
	pthread_mutex_unlock(&redis->lock);
}

/* When we come from another server, the epoch that others have begun on this one will not
 * do if we were answered there after that: what we have written and acknowledged is not in
 * it, and what they have read since may be older. Sentinels name a new master while some
 * still reach the old one. A server that was restarted had answered nobody meanwhile. */
static enum status begin_epoch(struct watchman *watchman, const struct redis_identity *identity,
			       deadline_ms deadline, struct error *error)
{
	struct redis *redis = watchman->redis;
	bool comes_from_another =
		redis->known_run_id[0] && strcmp(redis->known_run_id, identity->run_id) != 0;
	int64_t quiet_ms = -1;
	enum status status;

	pthread_mutex_lock(&redis->lock);
	if (comes_from_another)
		quiet_ms = clock_monotonic_ms() - redis->answered_at;
	pthread_mutex_unlock(&redis->lock);
	status = redis_begin_epoch(&redis->settings, watchman->control, identity, quiet_ms,
				   deadline, watchman->session.epoch, error);
	if (!status)
		str_copy(redis->known_run_id, sizeof(redis->known_run_id), identity->run_id);
	return status;
}

static enum status begin_on(struct watchman *watchman, struct redis_identity *identity,
			    struct error *error)
{
	const struct redis_settings *settings = &watchman->redis->settings;
	deadline_ms deadline = deadline_in(settings->connect_ms);
	enum status status = redis_stream_open(&watchman->session.peer, settings->tls, deadline,
					       &watchman->control, error);

	if (!status)
		status = redis_greet(settings, watchman->control, true, deadline, identity, error);
	if (!status && !identity->is_master)
		status = error_set(error, BW_UNAVAILABLE, "it is a replica; the master is needed");
	deadline = deadline_in(settings->command_ms);
	if (!status)
		status = redis_scripts_load(watchman->control, deadline, error);
	if (!status)
		status = begin_epoch(watchman, identity, deadline, error);
	if (status && settings->master) /* without sentinels its address is told anyhow */
		error_prefix(error, "Redis at %s:%s", watchman->session.peer.ip,
			     watchman->session.peer.port);
	return status;
}

/* Copies that were made unheard are told to be lost before anybody is told that
 * changes are heard. */
static void publish(struct watchman *watchman)
{
	struct redis *redis = watchman->redis;

	redis_tell_lost(redis);
	pthread_mutex_lock(&redis->lock);
	atomic_store(&redis->watched, watchman->watch.stream != NULL);
	watchman->session.generation = redis->session.generation + 1;
	redis->session = watchman->session;
	redis->state = REDIS_UP;
	redis->problem = (struct error){0};
	redis->resets = 0;
	pthread_cond_broadcast(&redis->changed);
	pthread_mutex_unlock(&redis->lock);
}

static enum status begin(struct watchman *watchman, struct error *error)
{
	struct redis *redis = watchman->redis;
	struct redis_identity identity = {0};
	struct error unwatched = {0};
	enum status status = redis_discover(&redis->settings, &watchman->session.peer, error);

	if (!status)
		status = begin_on(watchman, &identity, error);
	if (status)
		return status;
	str_copy(watchman->session.run_id, sizeof(watchman->session.run_id), identity.run_id);
	status = redis_watch_begin(redis, &watchman->watch, &watchman->session.peer,
				   watchman->session.epoch, watchman->control, &unwatched);
	if (status && status != BW_UNSUPPORTED) {
		if (error)
			*error = unwatched;
		return status;
	}
	describe(redis, &identity, &unwatched);
	publish(watchman);
	if (redis->settings.on_session) {
		struct redis_status now;

		redis_describe(redis, &now);
		redis->settings.on_session(&now);
	}
	return BW_OK;
}

static void end(struct watchman *watchman)
{
	struct redis *redis = watchman->redis;

	if (watchman->watch.stream)
		redis_tell_lost(redis);
	redis_watch_end(redis, &watchman->watch);
	redis_stream_free(watchman->control);
	watchman->control = NULL;
	redis_pool_drop_idle(redis);
}

/* ---- while it lasts ---- */

/* Is it the same server, the master still, and in the same epoch? */
static enum status check_server(struct watchman *watchman, struct error *error)
{
	const struct redis_settings *settings = &watchman->redis->settings;
	deadline_ms deadline = deadline_in(settings->command_ms);
	char *key = xasprintf("%s%s", settings->prefix, KEY_EPOCH);
	redisReply *epoch = NULL;
	redisReply *role = NULL;
	enum status status = REDIS_ASK(watchman->control, deadline, &epoch, error, "GET", key);

	if (!status)
		status = REDIS_ASK(watchman->control, deadline, &role, error, "ROLE");
	if (!status && epoch->type == REDIS_REPLY_ERROR)
		status = redis_reply_status(epoch, error);
	if (!status && (!redis_reply_is_string(epoch) ||
			!str_starts_with(epoch->str, watchman->session.epoch)))
		status = error_set(error, BW_CONFLICT, "Redis was emptied");
	if (!status && role->type == REDIS_REPLY_ARRAY && role->elements > 0 &&
	    redis_reply_is_string(role->element[0]) && strcmp(role->element[0]->str, "master") != 0)
		status = error_set(error, BW_UNAVAILABLE, "Redis became a replica");
	if (epoch)
		freeReplyObject(epoch);
	if (role)
		freeReplyObject(role);
	free(key);
	return status;
}

static enum status beat(struct watchman *watchman, struct error *error)
{
	struct redis *redis = watchman->redis;
	int64_t now = clock_monotonic_ms();
	enum status status;

	if (now < watchman->beat_at && !watchman->watch.doubtful)
		return BW_OK;
	watchman->watch.doubtful = false;
	watchman->beat_at = now + BEAT_MS;
	status = check_server(watchman, error);
	if (!status && watchman->watch.stream)
		status = redis_watch_ping(redis, &watchman->watch, error);
	if (!status && redis->settings.master && now >= watchman->sentinels_at) {
		watchman->sentinels_at = now + SENTINELS_MS;
		if (!redis_is_still_master(&redis->settings, &watchman->session.peer))
			status = error_set(error, BW_UNAVAILABLE,
					   "the sentinels name another master");
	}
	return status;
}

static void rest(struct watchman *watchman)
{
	struct pollfd pollfds[3] = {
		{.fd = watchman->redis->wake_fd, .events = POLLIN},
		{.fd = redis_stream_fd(watchman->control), .events = POLLIN},
		{.fd = watchman->watch.stream ? redis_stream_fd(watchman->watch.stream) : -1,
		 .events = POLLIN},
	};
	int64_t until = watchman->beat_at;
	int64_t now = clock_monotonic_ms();

	if (!watchman->sweep.done && watchman->sweep.next_at < until)
		until = watchman->sweep.next_at;
	poll(pollfds, array_size(pollfds), until > now ? (int)(until - now) : 0);
}

/* The control connection is asked, and never tells anything by itself. */
static enum status hear(struct watchman *watchman, struct error *error)
{
	if (redis_stream_is_stale(watchman->control))
		return error_set(error, BW_UNREACHABLE, "Redis closed the connection");
	if (!watchman->watch.stream)
		return BW_OK;
	return redis_watch_hear(watchman->redis, &watchman->watch, error);
}

/* Until the session is over. BW_CONFLICT, or BW_OK: only its epoch is. */
static enum status attend(struct watchman *watchman, struct error *error)
{
	struct redis *redis = watchman->redis;
	enum status status = BW_OK;
	bool stopping;

	watchman->beat_at = clock_monotonic_ms() + BEAT_MS;
	watchman->sentinels_at = clock_monotonic_ms() + SENTINELS_MS;
	watchman->sweep = (struct redis_sweep){.cursor = "0"};
	while (!status && !is_over(redis, &stopping)) {
		rest(watchman);
		status = hear(watchman, error);
		if (!status)
			status = beat(watchman, error);
		if (!status && !watchman->sweep.done &&
		    clock_monotonic_ms() >= watchman->sweep.next_at)
			status =
				redis_sweep_step(&redis->settings, &watchman->sweep,
						 watchman->control, watchman->session.epoch, error);
	}
	return status;
}

/* ---- the thread ---- */

static void drain_wakes(struct redis *redis)
{
	uint64_t count;

	(void)!read(redis->wake_fd, &count, sizeof(count));
}

/* A pause that ends early when we are stopping; a little random, so that replicas do not
 * come all at once. */
static bool pause_before(struct redis *redis, unsigned failures)
{
	deadline_ms until;
	int64_t pause = failures > 4 ? PAUSE_MAX_MS : (int64_t)PAUSE_MS << failures;
	unsigned char random;
	bool stopping;

	random_bytes(&random, 1);
	until = deadline_in(pause * 3 / 4 + pause * random / 512);
	pthread_mutex_lock(&redis->lock);
	while (!redis->stopping && !deadline_passed(until))
		cond_wait_until(&redis->changed, &redis->lock, until);
	stopping = redis->stopping;
	pthread_mutex_unlock(&redis->lock);
	return !stopping;
}

static void set_state(struct redis *redis, enum redis_state state, const struct error *problem)
{
	pthread_mutex_lock(&redis->lock);
	redis->state = state;
	if (problem)
		redis->problem = *problem;
	pthread_cond_broadcast(&redis->changed);
	pthread_mutex_unlock(&redis->lock);
}

/* One session, or one try. True: it has been UP. */
static bool live_once(struct redis *redis)
{
	struct watchman watchman = {.redis = redis};
	struct error error = {0};
	enum status status = begin(&watchman, &error);
	bool was_up = status == BW_OK;

	if (was_up)
		status = attend(&watchman, &error);
	if (status && status != BW_CONFLICT)
		redis_session_over(redis, watchman.session.generation, REDIS_DOWN, &error);
	else if (was_up)
		redis_session_over(redis, watchman.session.generation, REDIS_BEGINNING, NULL);
	if (!was_up)
		set_state(redis, REDIS_DOWN, &error);
	end(&watchman);
	return was_up;
}

static void *supervise(void *argument)
{
	struct redis *redis = argument;
	unsigned failures = 0;
	bool stopping = false;

	do {
		drain_wakes(redis);
		failures = live_once(redis) ? 0 : failures + 1;
		is_over(redis, &stopping);
	} while (!stopping && (failures == 0 || pause_before(redis, failures - 1)));
	return NULL;
}

void redis_supervisor_start(struct redis *redis)
{
	atomic_store(&redis->watch_fd, -1);
	redis->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (redis->wake_fd < 0 || thread_start(&redis->supervisor, "redis", 0, supervise, redis)) {
		perror("breakwater: no thread to look after Redis");
		abort();
	}
}

void redis_supervisor_stop(struct redis *redis)
{
	uint64_t one = 1;

	pthread_mutex_lock(&redis->lock);
	redis->stopping = true;
	pthread_cond_broadcast(&redis->changed);
	pthread_mutex_unlock(&redis->lock);
	(void)!write(redis->wake_fd, &one, sizeof(one));
	pthread_join(redis->supervisor, NULL);
	close(redis->wake_fd);
}
