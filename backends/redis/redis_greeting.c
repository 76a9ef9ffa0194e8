#include "backends/redis/redis_call.h"

#include "server/base/file.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status ask_ok(struct redis_stream *stream, deadline_ms deadline, struct error *error,
			  int count, const char *const *words)
{
	redisReply *reply = NULL;
	enum status status = redis_ask(stream, deadline, &reply, error, count, words);

	if (status)
		return status;
	if (reply->type == REDIS_REPLY_ERROR)
		status = redis_reply_status(reply, error);
	freeReplyObject(reply);
	return status;
}

/* A server that does not know AUTH repeats what came with it. */
static void hide(const char *secret, struct error *error)
{
	char begins[9];

	snprintf(begins, sizeof(begins), "%.8s", secret);
	if (error && strstr(error->message, begins))
		error_set(error, error->code,
			  "Redis refuses AUTH, in words that repeat the password");
}

static enum status authenticate(const struct redis_settings *settings, struct redis_stream *stream,
				deadline_ms deadline, struct error *error)
{
	const char *words[] = {"AUTH", settings->username, settings->password};
	bool named = *settings->username;
	char *secret = NULL;
	enum status status = BW_OK;

	if (*settings->password_file)
		status = file_read_secret(settings->password_file, &secret, error);
	if (status)
		return status;
	if (secret)
		words[2] = secret;
	if (!named)
		words[1] = words[2];
	if (*words[2])
		status = ask_ok(stream, deadline, error, named ? 3 : 2, words);
	if (status && status != BW_DENIED && *words[2]) /* what is denied is in set words */
		hide(words[2], error);
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
	return status;
}

/* "name:value\r\n" of an INFO. */
static bool read_field(const char *info, const char *name, char target[REDIS_IDENTITY_SIZE])
{
	size_t length = strlen(name);

	for (const char *line = info; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, length) == 0 && line[length] == ':') {
			size_t value = strcspn(line + length + 1, "\r\n ");

			snprintf(target, REDIS_IDENTITY_SIZE, "%.*s", (int)value,
				 line + length + 1);
			return true;
		}
	}
	return false;
}

static enum status ask_info(struct redis_stream *stream, const char *section, deadline_ms deadline,
			    redisReply **ret, struct error *error)
{
	redisReply *reply = NULL;
	enum status status = REDIS_ASK(stream, deadline, &reply, error, "INFO", section);

	if (status)
		return status;
	if (reply->type == REDIS_REPLY_STRING) {
		*ret = reply;
		return BW_OK;
	}
	status = reply->type == REDIS_REPLY_ERROR
			 ? redis_reply_status(reply, error)
			 : error_set(error, BW_UNREACHABLE, "what answers is no Redis");
	freeReplyObject(reply);
	return status;
}

static enum status ask_server(struct redis_stream *stream, deadline_ms deadline,
			      struct redis_identity *identity, struct error *error)
{
	redisReply *info = NULL;
	enum status status = ask_info(stream, "server", deadline, &info, error);

	if (status)
		return status;
	if (!read_field(info->str, "run_id", identity->run_id) || !identity->run_id[0])
		status = error_set(error, BW_UNSUPPORTED,
				   "Redis does not say its run_id, by which its restarts are seen");
	read_field(info->str, "redis_version", identity->version);
	freeReplyObject(info);
	return status;
}

static enum status ask_replication(struct redis_stream *stream, deadline_ms deadline,
				   struct redis_identity *identity, struct error *error)
{
	char role[REDIS_IDENTITY_SIZE] = "";
	redisReply *info = NULL;
	enum status status = ask_info(stream, "replication", deadline, &info, error);

	if (status)
		return status;
	read_field(info->str, "role", role);
	identity->is_master = strcmp(role, "master") == 0;
	if (!read_field(info->str, "master_replid2", identity->replid2) || !identity->replid2[0])
		str_copy(identity->replid2, sizeof(identity->replid2), "0");
	freeReplyObject(info);
	return BW_OK;
}

static enum status ask_memory_limit(struct redis_stream *stream, deadline_ms deadline,
				    struct redis_identity *identity, struct error *error)
{
	char limit[REDIS_IDENTITY_SIZE] = "";
	redisReply *info = NULL;
	enum status status = ask_info(stream, "memory", deadline, &info, error);

	if (status)
		return status;
	read_field(info->str, "maxmemory", limit);
	read_field(info->str, "maxmemory_policy", identity->policy);
	identity->has_limit = limit[0] && strcmp(limit, "0") != 0;
	freeReplyObject(info);
	return BW_OK;
}

enum status redis_greet(const struct redis_settings *settings, struct redis_stream *stream,
			bool ask_memory, deadline_ms deadline, struct redis_identity *ret,
			struct error *error)
{
	static const char *const name[] = {"CLIENT", "SETNAME", "breakwater"};
	struct redis_identity identity = {0};
	struct error ignored;
	char database[12];
	const char *select[] = {"SELECT", database};
	enum status status = authenticate(settings, stream, deadline, error);

	snprintf(database, sizeof(database), "%u", settings->database);
	if (!status && settings->database)
		status = ask_ok(stream, deadline, error, 2, select);
	if (!status)
		status = ask_server(stream, deadline, &identity, error);
	if (!status)
		status = ask_replication(stream, deadline, &identity, error);
	if (!status && ask_memory)
		status = ask_memory_limit(stream, deadline, &identity, error);
	if (status)
		return status;
	/* only for people who look at CLIENT LIST; a proxy may refuse it */
	ask_ok(stream, deadline, &ignored, 3, name);
	*ret = identity;
	return BW_OK;
}

enum status redis_begin_epoch(const struct redis_settings *settings, struct redis_stream *stream,
			      const struct redis_identity *identity, int64_t quiet_ms,
			      deadline_ms deadline, char ret_epoch[REDIS_EPOCH_SIZE],
			      struct error *error)
{
	char *key = xasprintf("%s%s", settings->prefix, KEY_EPOCH);
	unsigned char random[(REDIS_EPOCH_SIZE - 1) / 2];
	char offered[REDIS_EPOCH_SIZE];
	char quiet[24];
	redisReply *reply = NULL;
	enum status status;

	random_bytes(random, sizeof(random));
	str_hex(random, sizeof(random), offered);
	snprintf(quiet, sizeof(quiet), "%" PRId64, quiet_ms);
	status = REDIS_ASK(stream, deadline, &reply, error, "EVAL",
			   redis_script_text(SCRIPT_BEGIN_EPOCH), "1", key, identity->run_id,
			   identity->replid2, offered, quiet);
	free(key);
	if (status)
		return status;
	if (reply->type == REDIS_REPLY_ERROR)
		status = redis_reply_status(reply, error);
	else if (!redis_reply_is_string(reply) || reply->len < REDIS_EPOCH_SIZE)
		status = error_set(error, BW_UNREACHABLE, "Redis answered nonsense for its epoch");
	else
		snprintf(ret_epoch, REDIS_EPOCH_SIZE, "%s", reply->str);
	freeReplyObject(reply);
	return status;
}
