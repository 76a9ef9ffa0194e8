/*
 * What the files of the Redis index share.
 *
 * A *session* is one server for as long as it is the same one in the same epoch. The
 * supervisor, a thread of ours, finds the server, begins the session, and watches it;
 * every other thread only uses what it has found:
 *
 *   BEGINNING  the supervisor is about to begin a session; callers wait for it within
 *              their deadline. At first, and when the epoch or the server has changed
 *   UP         there is one
 *   DOWN       the last try failed, or a command got no answer: callers fail at once
 *              until the supervisor has begun a session
 *
 * Locks: `lock` covers what is marked so, `watch_lock` the watcher. Neither is taken
 * under the other, and no I/O is done under either; the watcher is called under
 * watch_lock.
 */
#ifndef BACKENDS_REDIS_REDIS_INTERNAL_H
#define BACKENDS_REDIS_REDIS_INTERNAL_H

#include "backends/redis/redis_keys.h"
#include "backends/redis/redis_store.h"
#include "backends/redis/redis_stream.h"
#include "server/base/buf.h"
#include "server/base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define REDIS_IDENTITY_SIZE 64

struct redis_host {
	char *name;
	char port[6];
};

/* The options, copied and checked. */
struct redis_settings {
	char *prefix;
	struct redis_host *hosts; /* the server, or the sentinels */
	size_t host_count;
	char *master; /* NULL: no sentinels */
	char *title; /* for messages: what is looked for, as it was configured */
	char *username;
	char *password;
	char *password_file;
	unsigned database;
	struct redis_tls *tls; /* NULL: plain */
	int64_t connect_ms;
	int64_t command_ms;
	unsigned max_connections;
	void (*on_session)(const struct redis_status *status);
};

/* Who a server says it is. */
struct redis_identity {
	char run_id[REDIS_IDENTITY_SIZE];
	char replid2[REDIS_IDENTITY_SIZE]; /* other than zeros: it became master after another */
	char version[REDIS_IDENTITY_SIZE];
	char policy[REDIS_IDENTITY_SIZE]; /* maxmemory-policy; "" when not asked */
	bool has_limit; /* maxmemory is set */
	bool is_master;
};

struct redis_session {
	uint64_t generation; /* each has one of its own, which grows */
	struct redis_peer peer;
	char run_id[REDIS_IDENTITY_SIZE];
	char epoch[REDIS_EPOCH_SIZE];
};

enum redis_state { REDIS_BEGINNING, REDIS_UP, REDIS_DOWN };

struct redis_connection {
	struct redis_stream *stream;
	struct redis_session session; /* that it was made in */
	struct redis_connection *next;
};

struct redis {
	struct redis_settings settings;
	atomic_uint users; /* the metadata store and the coordination */

	pthread_mutex_t lock;
	pthread_cond_t changed; /* state, or a connection was given back */
	enum redis_state state; /* lock; this and all up to watch_lock */
	struct redis_session session; /* the last that was begun */
	char known_run_id[REDIS_IDENTITY_SIZE]; /* the supervisor's; "": none yet */
	int64_t answered_at; /* lock; monotonic: when a call was last answered */
	struct error problem; /* why DOWN */
	struct redis_connection *idle;
	unsigned connections; /* idle and lent */
	unsigned resets; /* in a row, without an answer in between */
	bool stopping;
	char server_version[REDIS_IDENTITY_SIZE];
	char warning[REDIS_WARNING_SIZE];

	pthread_mutex_t watch_lock; /* covers watcher and has_watcher */
	struct metadata_watcher watcher;
	bool has_watcher;
	atomic_bool watched;
	/* What others changed waits here until the supervisor reads it. -1: none. A reader
	 * that looks while it is being closed learns nothing, and the session is over. */
	atomic_int watch_fd;
	/* The supervisor may be reading it: set before, and taken back when the watcher has
	 * been told of all that was read. */
	atomic_bool hearing;

	int wake_fd; /* eventfd: the state has changed, or we are stopping */
	pthread_t supervisor;
};

struct redis *redis_of(struct metadata_store *store);
void redis_describe(struct redis *redis, struct redis_status *ret);

/* ---- redis_settings.c ---- */
enum status redis_settings_init(struct redis_settings *settings,
				const struct redis_options *options, struct error *error);
void redis_settings_release(struct redis_settings *settings);

/* ---- redis_pool.c ---- */
enum status redis_pool_take(struct redis *redis, deadline_ms deadline,
			    struct redis_connection **ret, struct error *error);
/* Answered, and nothing is under way on it. */
void redis_pool_give(struct redis *redis, struct redis_connection *connection);
/* It is of no use any more. */
void redis_pool_drop(struct redis *redis, struct redis_connection *connection);
void redis_pool_drop_idle(struct redis *redis);

/* The session is over, if it still is that one: the supervisor begins another. `state`
 * is what others find until then; *why is kept for them when that is DOWN. */
void redis_session_over(struct redis *redis, uint64_t generation, enum redis_state state,
			const struct error *why);

/* ---- redis_greeting.c: what a new connection begins with ---- */
enum status redis_greet(const struct redis_settings *settings, struct redis_stream *stream,
			bool ask_memory, deadline_ms deadline, struct redis_identity *ret,
			struct error *error);
/* *ret_epoch is that of the server, which may have begun just now. For `quiet_ms` no other
 * server has answered us; -1: none ever did. */
enum status redis_begin_epoch(const struct redis_settings *settings, struct redis_stream *stream,
			      const struct redis_identity *identity, int64_t quiet_ms,
			      deadline_ms deadline, char ret_epoch[REDIS_EPOCH_SIZE],
			      struct error *error);

/* ---- redis_discovery.c: names become addresses; sentinels are asked ---- */
enum status redis_discover(const struct redis_settings *settings, struct redis_peer *ret,
			   struct error *error);
/* Do the sentinels that answer still name that master? True when none answers. */
bool redis_is_still_master(const struct redis_settings *settings, const struct redis_peer *peer);

/* ---- redis_supervisor.c ---- */
void redis_supervisor_start(struct redis *redis);
void redis_supervisor_stop(struct redis *redis);

/* ---- redis_watch.c: what others have changed ---- */
struct redis_watch {
	struct redis_stream *stream; /* subscribed; NULL: there is none */
	char epoch[REDIS_EPOCH_SIZE];
	bool doubtful; /* the epoch may have changed: the server is to be asked */
};
/* `control` makes the server tell, and must stay open. BW_UNSUPPORTED, and no stream,
 * where the server refuses. */
enum status redis_watch_begin(struct redis *redis, struct redis_watch *watch,
			      const struct redis_peer *peer, const char *epoch,
			      struct redis_stream *control, struct error *error);
/* Hands on what has come. */
enum status redis_watch_hear(struct redis *redis, struct redis_watch *watch, struct error *error);
enum status redis_watch_ping(struct redis *redis, struct redis_watch *watch, struct error *error);
void redis_watch_end(struct redis *redis, struct redis_watch *watch);
/* Is it watched, and has the watcher heard of all that was acknowledged before now? */
bool redis_watch_is_current(struct redis *redis);
void redis_tell_lost(struct redis *redis);

/* ---- redis_sweep.c: what old epochs have left ---- */
struct redis_sweep {
	bool done;
	bool ours; /* the lease */
	int64_t next_at; /* monotonic */
	uint64_t fence;
	char cursor[24];
};
/* One small step. False: nothing to do before next_at. */
enum status redis_sweep_step(const struct redis_settings *settings, struct redis_sweep *sweep,
			     struct redis_stream *control, const char *epoch, struct error *error);

#endif
