#include "backends/redis/redis_internal.h"

#include "server/base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void redis_session_over(struct redis *redis, uint64_t generation, enum redis_state state,
			const struct error *why)
{
	uint64_t one = 1;

	pthread_mutex_lock(&redis->lock);
	if (redis->state == REDIS_UP && redis->session.generation == generation) {
		redis->state = state;
		atomic_store(&redis->watched, false);
		if (why)
			redis->problem = *why;
		pthread_cond_broadcast(&redis->changed);
	}
	pthread_mutex_unlock(&redis->lock);
	(void)!write(redis->wake_fd, &one, sizeof(one));
}

static enum status is_down(const struct redis *redis, struct error *error)
{
	error_set(error, BW_UNAVAILABLE, "the index (%s) is away: %s", redis->settings.title,
		  redis->problem.message);
	if (error)
		error->retry_after = 1;
	return BW_UNAVAILABLE;
}

/* A server that closed an idle connection, or a session that is over. */
static bool is_usable(const struct redis *redis, const struct redis_connection *connection)
{
	return connection->session.generation == redis->session.generation &&
	       redis->state == REDIS_UP && !redis_stream_is_stale(connection->stream);
}

static void free_connection(struct redis_connection *connection)
{
	redis_stream_free(connection->stream);
	free(connection);
}

/* With the lock held: an idle one that is usable; those that are not go to *dead. */
static struct redis_connection *take_idle(struct redis *redis, struct redis_connection **dead)
{
	while (redis->idle) {
		struct redis_connection *connection = redis->idle;

		redis->idle = connection->next;
		connection->next = NULL;
		if (is_usable(redis, connection))
			return connection;
		connection->next = *dead;
		*dead = connection;
		redis->connections--;
	}
	return NULL;
}

/* Waits for the right to a connection. BW_OK with *ret NULL: to make one, in *session. */
static enum status reserve(struct redis *redis, deadline_ms deadline, struct redis_connection **ret,
			   struct redis_connection **dead, struct redis_session *session,
			   struct error *error)
{
	for (;;) {
		if (redis->state == REDIS_DOWN)
			return is_down(redis, error);
		*ret = redis->state == REDIS_UP ? take_idle(redis, dead) : NULL;
		if (*ret)
			return BW_OK;
		if (redis->state == REDIS_UP &&
		    redis->connections < redis->settings.max_connections) {
			redis->connections++;
			*session = redis->session;
			return BW_OK;
		}
		if (!cond_wait_until(&redis->changed, &redis->lock, deadline) &&
		    deadline_passed(deadline))
			return error_set(error, BW_UNAVAILABLE,
					 redis->state == REDIS_UP
						 ? "all connections to Redis are busy"
						 : "no connection to Redis in time");
	}
}

/* The server must be the one that the session was begun with: one that was restarted
 * may have read the session's epoch from an old snapshot. */
static enum status greet(struct redis *redis, struct redis_connection *connection,
			 deadline_ms deadline, struct error *error)
{
	struct redis_identity identity = {0};
	enum status status = redis_greet(&redis->settings, connection->stream, false, deadline,
					 &identity, error);

	if (status)
		return status;
	if (identity.is_master && strcmp(identity.run_id, connection->session.run_id) == 0)
		return BW_OK;
	redis_session_over(redis, connection->session.generation, REDIS_BEGINNING, NULL);
	error_set(error, BW_UNAVAILABLE, "Redis was restarted or replaced just now");
	if (error)
		error->retry_after = 1;
	return BW_UNAVAILABLE;
}

static enum status make(struct redis *redis, const struct redis_session *session,
			deadline_ms deadline, struct redis_connection **ret, struct error *error)
{
	struct redis_connection *connection = xcalloc(1, sizeof(*connection));
	enum status status;

	deadline = deadline_earlier(deadline, deadline_in(redis->settings.connect_ms));
	connection->session = *session;
	status = redis_stream_open(&session->peer, redis->settings.tls, deadline,
				   &connection->stream, error);
	if (!status)
		status = greet(redis, connection, deadline, error);
	if (status)
		free_connection(connection);
	else
		*ret = connection;
	return status;
}

enum status redis_pool_take(struct redis *redis, deadline_ms deadline,
			    struct redis_connection **ret, struct error *error)
{
	struct redis_connection *dead = NULL;
	struct redis_connection *connection = NULL;
	struct redis_session session;
	struct error trouble = {0};
	enum status status;

	pthread_mutex_lock(&redis->lock);
	status = reserve(redis, deadline, &connection, &dead, &session, error);
	pthread_mutex_unlock(&redis->lock);
	while (dead) {
		struct redis_connection *next = dead->next;

		free_connection(dead);
		dead = next;
	}
	if (status || connection) {
		if (!status)
			*ret = connection;
		return status;
	}
	status = make(redis, &session, deadline, ret, &trouble);
	if (!status)
		return BW_OK;
	redis_session_over(redis, session.generation, REDIS_DOWN, &trouble);
	pthread_mutex_lock(&redis->lock);
	redis->connections--;
	pthread_cond_signal(&redis->changed);
	pthread_mutex_unlock(&redis->lock);
	if (error)
		*error = trouble;
	return status;
}

void redis_pool_give(struct redis *redis, struct redis_connection *connection)
{
	pthread_mutex_lock(&redis->lock);
	redis->resets = 0;
	connection->next = redis->idle;
	redis->idle = connection;
	pthread_cond_signal(&redis->changed);
	pthread_mutex_unlock(&redis->lock);
}

void redis_pool_drop(struct redis *redis, struct redis_connection *connection)
{
	pthread_mutex_lock(&redis->lock);
	redis->connections--;
	pthread_cond_signal(&redis->changed);
	pthread_mutex_unlock(&redis->lock);
	free_connection(connection);
}

void redis_pool_drop_idle(struct redis *redis)
{
	struct redis_connection *list;

	pthread_mutex_lock(&redis->lock);
	list = redis->idle;
	redis->idle = NULL;
	for (struct redis_connection *one = list; one; one = one->next)
		redis->connections--;
	pthread_cond_broadcast(&redis->changed);
	pthread_mutex_unlock(&redis->lock);
	while (list) {
		struct redis_connection *next = list->next;

		free_connection(list);
		list = next;
	}
}
