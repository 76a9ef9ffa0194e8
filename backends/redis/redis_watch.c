/*
 * What others have changed, by Redis' client-side caching over RESP2: one connection
 * subscribes to a channel, another one (the supervisor's) has the server send the names
 * of changed keys there. In BCAST mode the server keeps no list of who read what.
 */
#include "backends/redis/redis_call.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHANNEL "__redis__:invalidate"

/* A reader waits 50 ms at most until the supervisor has read what lies there. */
#define STEP_NS (100 * 1000)
#define STEPS_MAX 500

/* The rows that callers keep copies of. */
enum watched { WATCHED_TAG, WATCHED_MANIFEST, WATCHED_LISTED, WATCHED_COUNT };
static const char *const kinds[WATCHED_COUNT] = {KEY_TAG, KEY_MANIFEST, KEY_LISTED};

/* Where the epoch itself is. */
static char *epoch_key(const struct redis *redis)
{
	return xasprintf("%s%s", redis->settings.prefix, KEY_EPOCH);
}

static char *prefix_of(const struct redis *redis, enum watched what, const char *epoch)
{
	return xasprintf("%s%s:{%s:", redis->settings.prefix, kinds[what], epoch);
}

/* The server says no: an older one, or a managed one that has not all commands. */
static enum status refused(const redisReply *reply, struct error *error)
{
	return error_set(error, BW_UNSUPPORTED, "Redis does not tell of changes: %.160s",
			 reply->str);
}

static enum status expect_no_error(enum status status, redisReply *reply, struct error *error)
{
	if (!status && reply->type == REDIS_REPLY_ERROR)
		status = refused(reply, error);
	if (reply)
		freeReplyObject(reply);
	return status;
}

static enum status subscribe(struct redis_stream *stream, deadline_ms deadline, char ret_id[24],
			     struct error *error)
{
	redisReply *reply = NULL;
	enum status status = REDIS_ASK(stream, deadline, &reply, error, "CLIENT", "ID");

	if (!status)
		snprintf(ret_id, 24, "%lld", (long long)redis_reply_integer(reply));
	status = expect_no_error(status, reply, error);
	if (status)
		return status;
	reply = NULL;
	status = REDIS_ASK(stream, deadline, &reply, error, "SUBSCRIBE", CHANNEL);
	return expect_no_error(status, reply, error);
}

static enum status track(const struct redis *redis, struct redis_stream *control, const char *id,
			 const char *epoch, deadline_ms deadline, struct error *error)
{
	char *prefixes[WATCHED_COUNT];
	char *epoch_at = epoch_key(redis);
	redisReply *reply = NULL;
	enum status status;

	for (int i = 0; i < WATCHED_COUNT; i++)
		prefixes[i] = prefix_of(redis, (enum watched)i, epoch);
	status = REDIS_ASK(control, deadline, &reply, error, "CLIENT", "TRACKING", "ON", "REDIRECT",
			   id, "BCAST", "PREFIX", prefixes[WATCHED_TAG], "PREFIX",
			   prefixes[WATCHED_MANIFEST], "PREFIX", prefixes[WATCHED_LISTED], "PREFIX",
			   epoch_at);
	free(epoch_at);
	for (int i = 0; i < WATCHED_COUNT; i++)
		free(prefixes[i]);
	return expect_no_error(status, reply, error);
}

enum status redis_watch_begin(struct redis *redis, struct redis_watch *watch,
			      const struct redis_peer *peer, const char *epoch,
			      struct redis_stream *control, struct error *error)
{
	deadline_ms deadline = deadline_in(redis->settings.connect_ms);
	struct redis_identity identity;
	char id[24];
	enum status status =
		redis_stream_open(peer, redis->settings.tls, deadline, &watch->stream, error);

	str_copy(watch->epoch, sizeof(watch->epoch), epoch);
	if (!status)
		status = redis_greet(&redis->settings, watch->stream, false, deadline, &identity,
				     error);
	if (!status)
		status = subscribe(watch->stream, deadline, id, error);
	if (!status)
		status = track(redis, control, id, epoch, deadline, error);
	if (status)
		redis_watch_end(redis, watch);
	else
		atomic_store(&redis->watch_fd, redis_stream_fd(watch->stream));
	return status;
}

void redis_watch_end(struct redis *redis, struct redis_watch *watch)
{
	atomic_store(&redis->watch_fd, -1);
	redis_stream_free(watch->stream);
	watch->stream = NULL;
}

void redis_tell_lost(struct redis *redis)
{
	pthread_mutex_lock(&redis->watch_lock);
	if (redis->has_watcher && redis->watcher.lost)
		redis->watcher.lost(redis->watcher.context);
	pthread_mutex_unlock(&redis->watch_lock);
}

static void tell_row(struct redis *redis, enum watched what, const char *repository,
		     const char *name)
{
	const struct metadata_watcher *watcher = &redis->watcher;
	struct digest digest;

	pthread_mutex_lock(&redis->watch_lock);
	if (!redis->has_watcher)
		;
	else if (what == WATCHED_TAG)
		watcher->tag_changed(watcher->context, repository, name);
	else if (digest_parse(name, strlen(name), &digest))
		watcher->digest_changed(watcher->context, repository, &digest);
	pthread_mutex_unlock(&redis->watch_lock);
}

/* "<prefix>t:{<epoch>:<repository>}:<tag>" */
static void tell_key(struct redis *redis, struct redis_watch *watch, const char *key)
{
	char *epoch_at = epoch_key(redis);

	watch->doubtful |= strcmp(key, epoch_at) == 0;
	free(epoch_at);
	for (int i = 0; i < WATCHED_COUNT; i++) {
		char *prefix = prefix_of(redis, (enum watched)i, watch->epoch);
		bool ours = str_starts_with(key, prefix);
		const char *repository = key + strlen(prefix);
		const char *end = ours ? strstr(repository, "}:") : NULL;

		free(prefix);
		if (end) {
			char *name = xstrndup(repository, (size_t)(end - repository));

			tell_row(redis, (enum watched)i, name, end + 2);
			free(name);
			return;
		}
	}
}

/* ["message", CHANNEL, [key, ...]]; nil instead of the keys: all of them. */
static void tell_message(struct redis *redis, struct redis_watch *watch, const redisReply *message)
{
	const redisReply *keys;

	if (message->type != REDIS_REPLY_ARRAY || message->elements != 3 ||
	    !redis_reply_is_string(message->element[0]) ||
	    strcmp(message->element[0]->str, "message") != 0)
		return;
	keys = message->element[2];
	if (keys->type != REDIS_REPLY_ARRAY) {
		watch->doubtful = true;
		redis_tell_lost(redis);
		return;
	}
	for (size_t i = 0; i < keys->elements; i++)
		if (redis_reply_is_string(keys->element[i]))
			tell_key(redis, watch, keys->element[i]->str);
}

static enum status hear_all(struct redis *redis, struct redis_watch *watch, struct error *error)
{
	for (;;) {
		redisReply *message = NULL;
		enum status status = redis_stream_poll(watch->stream, &message, error);

		if (status || !message)
			return status;
		tell_message(redis, watch, message);
		freeReplyObject(message);
	}
}

enum status redis_watch_hear(struct redis *redis, struct redis_watch *watch, struct error *error)
{
	enum status status;

	atomic_store(&redis->hearing, true);
	status = hear_all(redis, watch, error);
	atomic_store(&redis->hearing, false);
	return status;
}

/* Redis writes the news of a change in the same turn as its answer to who made it, so
 * what was acknowledged has been read, or lies in the socket. In this order: what is read
 * between the two looks is seen by the second. */
static bool has_heard_all(struct redis *redis)
{
	struct pollfd pollfd = {.fd = atomic_load(&redis->watch_fd), .events = POLLIN};

	return poll(&pollfd, 1, 0) == 0 && !atomic_load(&redis->hearing);
}

bool redis_watch_is_current(struct redis *redis)
{
	static const struct timespec step = {.tv_nsec = STEP_NS};

	for (unsigned steps = 0; steps < STEPS_MAX && atomic_load(&redis->watched); steps++) {
		if (has_heard_all(redis))
			return atomic_load(&redis->watched);
		nanosleep(&step, NULL);
	}
	return false;
}

/* Messages may come before the answer. */
static enum status ping(struct redis *redis, struct redis_watch *watch, struct error *error)
{
	deadline_ms deadline = deadline_in(redis->settings.command_ms);
	redisReply *reply = NULL;
	enum status status = REDIS_ASK(watch->stream, deadline, &reply, error, "PING");

	while (!status) {
		bool pong = reply->type != REDIS_REPLY_ARRAY || reply->elements != 3;

		if (!pong)
			tell_message(redis, watch, reply);
		freeReplyObject(reply);
		reply = NULL;
		if (pong)
			return BW_OK;
		status = redis_stream_receive(watch->stream, deadline, &reply, error);
	}
	return status;
}

enum status redis_watch_ping(struct redis *redis, struct redis_watch *watch, struct error *error)
{
	enum status status;

	atomic_store(&redis->hearing, true);
	status = ping(redis, watch, error);
	atomic_store(&redis->hearing, false);
	return status;
}
