/*
 * A call: commands that are sent together, and their replies.
 *
 *   struct redis_call call;
 *   redis_call_init(&call, redis, CALL_OF_EPOCH | CALL_REPEATABLE, error);
 *   redis_call_command(&call, "GET");
 *   redis_call_key_of(&call, KEY_BLOB, text, NULL);
 *   status = redis_call_run(&call);
 *   ... redis_call_reply(&call, 0) ...
 *   redis_call_release(&call);
 *
 * Strings and bytes are not copied: they stay as they are until the call has run.
 */
#ifndef BACKENDS_REDIS_REDIS_CALL_H
#define BACKENDS_REDIS_REDIS_CALL_H

#include "backends/redis/redis_internal.h"
#include "backends/redis/redis_scripts.h"

enum redis_call_flags {
	/* Its keys carry the epoch. After the commands the server is asked for its
	 * epoch: when it is another one by then, what was read is not believed, what was
	 * written is lost, and the call runs again. An epoch never comes back, so one
	 * that is the same afterwards was the same all the while. */
	CALL_OF_EPOCH = 1,
	/* Running it twice is as good as once: it may be sent again when a connection
	 * broke before the answer. What is not is never sent again. */
	CALL_REPEATABLE = 2,
};

struct redis_argument {
	const char *data;
	size_t length;
	char *owned; /* NULL: the caller's */
	bool has_epoch; /* where the first '{' stands */
	bool begins; /* a command */
};

struct redis_call {
	struct redis *redis;
	struct error *error;
	unsigned flags;
	struct redis_argument *arguments;
	size_t count;
	size_t capacity;
	size_t commands;
	redisReply **replies; /* of each command */
};

void redis_call_init(struct redis_call *call, struct redis *redis, unsigned flags,
		     struct error *error);
void redis_call_release(struct redis_call *call);
/* Empties it for the next commands of the same kind. */
void redis_call_again(struct redis_call *call, unsigned flags);

void redis_call_command(struct redis_call *call, const char *name);
void redis_call_script(struct redis_call *call, enum redis_script script, unsigned key_count);
void redis_call_string(struct redis_call *call, const char *string);
void redis_call_bytes(struct redis_call *call, const char *bytes, size_t length);
void redis_call_number(struct redis_call *call, int64_t number);
void redis_call_version(struct redis_call *call, uint64_t version); /* 19 digits */
void redis_call_digest(struct redis_call *call, const struct digest *digest);
__attribute__((format(printf, 2, 3))) void redis_call_printf(struct redis_call *call,
							     const char *format, ...);
/* "<prefix><kind>:{<epoch>:<tagged>}:<rest>"; `tagged` NULL: "{<epoch>}"; `rest` NULL:
 * without it and its colon. */
void redis_call_key_of(struct redis_call *call, const char *kind, const char *tagged,
		       const char *rest);
void redis_call_key_of_digest(struct redis_call *call, const char *kind,
			      const struct digest *digest);
void redis_call_repository_digest(struct redis_call *call, const char *kind, const char *repository,
				  const struct digest *digest);
/* Without the epoch: "<prefix><kind>:{<tagged>}", or "<prefix><kind>". */
void redis_call_plain_key(struct redis_call *call, const char *kind, const char *tagged);

/* BW_OK: every command has its reply, and none says error. */
enum status redis_call_run(struct redis_call *call);
const redisReply *redis_call_reply(const struct redis_call *call, size_t index);

/* Of a reply: */
int64_t redis_reply_integer(const redisReply *reply); /* 0 unless it is one */
bool redis_reply_is_string(const redisReply *reply);
bool redis_reply_number(const redisReply *reply, int64_t *ret); /* the text of one */
bool redis_reply_digest(const redisReply *reply, struct digest *ret);
enum status redis_nonsense(const struct redis_call *call); /* BW_CORRUPT */
/* What a reply that says error means. */
enum status redis_reply_status(const redisReply *reply, struct error *error);

/* ---- the pieces, for connections that are of no pool ---- */
/* Sends one command and awaits its reply, which may say error. */
enum status redis_ask(struct redis_stream *stream, deadline_ms deadline, redisReply **ret,
		      struct error *error, int count, const char *const *words);
#define REDIS_ASK(stream, deadline, ret, error, ...) \
	redis_ask((stream), (deadline), (ret), (error), \
		  (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), \
		  (const char *const[]){__VA_ARGS__})

/* Names that lie between two others in a sorted set, by pages: "[x" or "(x" or "-". Told
 * without their first `skip` bytes, at most `limit`, until fn says no. */
struct redis_range {
	const char *kind;
	const char *tagged;
	const char *min;
	const char *max;
	size_t skip;
	unsigned limit;
};
enum status redis_each_name(struct redis *redis, const struct redis_range *range,
			    bool (*fn)(void *context, const char *name), void *context,
			    struct error *error);

enum status redis_number_check(uint64_t number, struct error *error);

#endif
