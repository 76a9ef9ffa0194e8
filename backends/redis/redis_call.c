#include "backends/redis/redis_call.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RUNS_MAX 3

void redis_call_init(struct redis_call *call, struct redis *redis, unsigned flags,
		     struct error *error)
{
	*call = (struct redis_call){.redis = redis, .flags = flags, .error = error};
}

static void forget_replies(struct redis_call *call)
{
	for (size_t i = 0; call->replies && i < call->commands; i++)
		if (call->replies[i])
			freeReplyObject(call->replies[i]);
	free(call->replies);
	call->replies = NULL;
}

void redis_call_again(struct redis_call *call, unsigned flags)
{
	forget_replies(call);
	for (size_t i = 0; i < call->count; i++)
		free(call->arguments[i].owned);
	call->count = 0;
	call->commands = 0;
	call->flags = flags;
}

void redis_call_release(struct redis_call *call)
{
	redis_call_again(call, 0);
	free(call->arguments);
	*call = (struct redis_call){0};
}

/* ---- its arguments ---- */

static struct redis_argument *add(struct redis_call *call, const char *data, size_t length)
{
	struct redis_argument *argument;

	if (call->count == call->capacity) {
		call->capacity = call->capacity ? 2 * call->capacity : 16;
		call->arguments =
			xrealloc(call->arguments, call->capacity * sizeof(*call->arguments));
	}
	argument = &call->arguments[call->count++];
	*argument = (struct redis_argument){.data = data, .length = length};
	return argument;
}

static struct redis_argument *add_owned(struct redis_call *call, char *text)
{
	struct redis_argument *argument = add(call, text, strlen(text));

	argument->owned = text;
	return argument;
}

void redis_call_command(struct redis_call *call, const char *name)
{
	add(call, name, strlen(name))->begins = true;
	call->commands++;
}

void redis_call_script(struct redis_call *call, enum redis_script script, unsigned key_count)
{
	redis_call_command(call, "EVALSHA");
	redis_call_string(call, redis_script_sha1(script));
	redis_call_number(call, key_count);
}

void redis_call_string(struct redis_call *call, const char *string)
{
	add(call, string, strlen(string));
}

void redis_call_bytes(struct redis_call *call, const char *bytes, size_t length)
{
	add(call, length ? bytes : "", length);
}

void redis_call_number(struct redis_call *call, int64_t number)
{
	redis_call_printf(call, "%" PRId64, number);
}

void redis_call_version(struct redis_call *call, uint64_t version)
{
	redis_call_printf(call, "%019" PRIu64, version);
}

void redis_call_digest(struct redis_call *call, const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	add_owned(call, xstrdup(text));
}

void redis_call_printf(struct redis_call *call, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	add_owned(call, xstrdup(text));
}

void redis_call_key_of(struct redis_call *call, const char *kind, const char *tagged,
		       const char *rest)
{
	/* the epoch is filled in when it is known: when the call runs */
	char *key = xasprintf("%s%s:{%16s%s%s}%s%s", call->redis->settings.prefix, kind, "",
			      tagged ? ":" : "", tagged ? tagged : "", rest ? ":" : "",
			      rest ? rest : "");

	add_owned(call, key)->has_epoch = true;
}

void redis_call_key_of_digest(struct redis_call *call, const char *kind,
			      const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	redis_call_key_of(call, kind, text, NULL);
}

void redis_call_repository_digest(struct redis_call *call, const char *kind, const char *repository,
				  const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	redis_call_key_of(call, kind, repository, text);
}

void redis_call_plain_key(struct redis_call *call, const char *kind, const char *tagged)
{
	const char *prefix = call->redis->settings.prefix;

	add_owned(call, tagged ? xasprintf("%s%s:{%s}", prefix, kind, tagged)
			       : xasprintf("%s%s", prefix, kind));
}

/* ---- running it ---- */

enum verdict {
	ANSWERED,
	ANOTHER_EPOCH,
	NO_SCRIPT, /* the server has forgotten our scripts: nothing was done */
	BROKEN, /* the connection is, and nobody knows what was done */
};

static void fill_in_epoch(struct redis_call *call, const char *epoch)
{
	for (size_t i = 0; i < call->count; i++) {
		struct redis_argument *argument = &call->arguments[i];
		char *tag = argument->has_epoch ? strchr(argument->owned, '{') : NULL;

		if (tag)
			memcpy(tag + 1, epoch, REDIS_EPOCH_SIZE - 1);
	}
}

/* Appends the command that begins at `first`; returns where the next one does. */
static size_t format_one(const struct redis_call *call, size_t first, struct buf *out)
{
	size_t end = first + 1;

	while (end < call->count && !call->arguments[end].begins)
		end++;
	buf_printf(out, "*%zu\r\n", end - first);
	for (size_t i = first; i < end; i++) {
		buf_printf(out, "$%zu\r\n", call->arguments[i].length);
		buf_append(out, call->arguments[i].data, call->arguments[i].length);
		buf_append(out, "\r\n", 2);
	}
	return end;
}

static enum status send_all(struct redis_call *call, struct redis_connection *connection,
			    deadline_ms deadline, struct error *error)
{
	struct buf out = BUF_INIT(REDIS_REPLY_MAX);
	enum status status;

	fill_in_epoch(call, connection->session.epoch);
	for (size_t i = 0; i < call->count;)
		i = format_one(call, i, &out);
	if (call->flags & CALL_OF_EPOCH) {
		buf_printf(&out, "*2\r\n$3\r\nGET\r\n$%zu\r\n%s%s\r\n",
			   strlen(call->redis->settings.prefix) + strlen(KEY_EPOCH),
			   call->redis->settings.prefix, KEY_EPOCH);
	}
	if (out.overflow)
		status = error_set(error, BW_TOO_LARGE, "a command for Redis has no end");
	else
		status = redis_stream_send(connection->stream, out.data, out.length, deadline,
					   error);
	buf_release(&out);
	return status;
}

static bool is_error(const redisReply *reply, const char *code)
{
	return reply->type == REDIS_REPLY_ERROR && str_starts_with(reply->str, code);
}

static enum status receive_epoch(struct redis_connection *connection, deadline_ms deadline,
				 enum verdict *verdict, struct error *error)
{
	redisReply *reply = NULL;
	enum status status = redis_stream_receive(connection->stream, deadline, &reply, error);

	if (status)
		return status;
	if (!redis_reply_is_string(reply) ||
	    !str_starts_with(reply->str, connection->session.epoch))
		*verdict = ANOTHER_EPOCH;
	freeReplyObject(reply);
	return BW_OK;
}

static enum status receive_all(struct redis_call *call, struct redis_connection *connection,
			       deadline_ms deadline, enum verdict *verdict, struct error *error)
{
	forget_replies(call);
	call->replies = xcalloc(call->commands, sizeof(redisReply *));
	for (size_t i = 0; i < call->commands; i++) {
		enum status status = redis_stream_receive(connection->stream, deadline,
							  &call->replies[i], error);

		if (status)
			return status;
		if (is_error(call->replies[i], "NOSCRIPT"))
			*verdict = NO_SCRIPT;
	}
	if (*verdict == ANSWERED && call->flags & CALL_OF_EPOCH)
		return receive_epoch(connection, deadline, verdict, error);
	if (call->flags & CALL_OF_EPOCH) {
		enum verdict ignored;

		return receive_epoch(connection, deadline, &ignored, error);
	}
	return BW_OK;
}

static enum verdict exchange(struct redis_call *call, struct redis_connection *connection,
			     deadline_ms deadline, struct error *error)
{
	enum verdict verdict = ANSWERED;
	enum status status = send_all(call, connection, deadline, error);

	if (!status)
		status = receive_all(call, connection, deadline, &verdict, error);
	return status ? BROKEN : verdict;
}

/* The server answers, but is none that we can work with now: the session is over. */
static bool ends_session(const redisReply *reply)
{
	static const char *const codes[] = {"READONLY", "LOADING", "MASTERDOWN", "NOAUTH"};

	for (size_t i = 0; i < array_size(codes); i++)
		if (is_error(reply, codes[i]))
			return true;
	return false;
}

static enum status judge(struct redis_call *call, struct redis_connection *connection)
{
	struct error error = {0};
	const redisReply *bad = NULL;

	for (size_t i = 0; i < call->commands && !bad; i++)
		if (call->replies[i]->type == REDIS_REPLY_ERROR)
			bad = call->replies[i];
	if (!bad) {
		redis_pool_give(call->redis, connection);
		return BW_OK;
	}
	redis_reply_status(bad, &error);
	if (ends_session(bad)) {
		redis_session_over(call->redis, connection->session.generation, REDIS_DOWN, &error);
		redis_pool_drop(call->redis, connection);
	} else {
		redis_pool_give(call->redis, connection);
	}
	if (call->error)
		*call->error = error;
	return error.code;
}

/* One broken connection is nobody's fault; three in a row, or a server that says
 * nothing at all, are. */
static void report_broken(struct redis *redis, struct redis_connection *connection,
			  const struct error *error)
{
	bool over = error->code == BW_TIMEOUT;

	pthread_mutex_lock(&redis->lock);
	if (++redis->resets >= 3)
		over = true;
	pthread_mutex_unlock(&redis->lock);
	if (over)
		redis_session_over(redis, connection->session.generation, REDIS_DOWN, error);
	redis_pool_drop(redis, connection);
}

/* What a server answers after its session is over may be of one that was set aside: the
 * supervisor goes by when it was last believed, and must not be wrong (begin_epoch). */
static bool counts(const struct redis_call *call, const struct redis_connection *connection)
{
	struct redis *redis = call->redis;
	bool is_current;

	pthread_mutex_lock(&redis->lock);
	is_current = redis->state == REDIS_UP &&
		     redis->session.generation == connection->session.generation;
	if (is_current)
		redis->answered_at = clock_monotonic_ms();
	pthread_mutex_unlock(&redis->lock);
	return is_current || !(call->flags & CALL_OF_EPOCH);
}

/* True: it may be run once more. */
static bool run_once(struct redis_call *call, deadline_ms deadline, enum status *ret_status)
{
	struct redis_connection *connection = NULL;
	struct error error = {0};

	*ret_status = redis_pool_take(call->redis, deadline, &connection, call->error);
	if (*ret_status)
		return false;
	switch (exchange(call, connection, deadline, &error)) {
	case ANSWERED:
		if (!counts(call, connection)) {
			redis_pool_drop(call->redis, connection);
			error_set(&error, BW_UNAVAILABLE, "Redis was replaced meanwhile");
			break;
		}
		*ret_status = judge(call, connection);
		return false;
	case ANOTHER_EPOCH:
		redis_session_over(call->redis, connection->session.generation, REDIS_BEGINNING,
				   NULL);
		redis_pool_drop(call->redis, connection);
		error_set(&error, BW_UNAVAILABLE, "Redis was emptied or replaced meanwhile");
		break;
	case NO_SCRIPT:
		*ret_status = redis_scripts_load(connection->stream, deadline, &error);
		if (*ret_status)
			report_broken(call->redis, connection, &error);
		else
			redis_pool_give(call->redis, connection);
		break;
	case BROKEN:
		report_broken(call->redis, connection, &error);
		if (!(call->flags & CALL_REPEATABLE) || error.code == BW_TIMEOUT) {
			if (call->error)
				*call->error = error;
			*ret_status = error.code;
			return false;
		}
		break;
	}
	*ret_status = error.code ? error.code : BW_UNAVAILABLE;
	if (call->error)
		*call->error = error;
	return true;
}

enum status redis_call_run(struct redis_call *call)
{
	deadline_ms deadline = deadline_in(call->redis->settings.command_ms);
	enum status status = BW_INTERNAL;

	for (unsigned runs = 0; runs < RUNS_MAX && run_once(call, deadline, &status); runs++)
		;
	return status;
}

const redisReply *redis_call_reply(const struct redis_call *call, size_t index)
{
	return call->replies[index];
}
