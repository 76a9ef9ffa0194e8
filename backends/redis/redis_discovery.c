#include "backends/redis/redis_call.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

/* Waits for the resolver, which has no deadline: on the supervisor's thread only. */
static enum status resolve(const char *name, const char *port, struct redis_peer *ret,
			   struct error *error)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *addresses = NULL;
	int failed = getaddrinfo(name, port, &hints, &addresses);

	if (failed) { /* loopback alone does not count as having an address */
		hints.ai_flags = 0;
		failed = getaddrinfo(name, port, &hints, &addresses);
	}
	if (failed)
		return error_set(error, BW_UNREACHABLE, "Redis at %s: %s", name,
				 gai_strerror(failed));
	failed = getnameinfo(addresses->ai_addr, addresses->ai_addrlen, ret->ip, sizeof(ret->ip),
			     ret->port, sizeof(ret->port), NI_NUMERICHOST | NI_NUMERICSERV);
	freeaddrinfo(addresses);
	return failed ? error_set(error, BW_UNREACHABLE, "Redis at %s: %s", name,
				  gai_strerror(failed))
		      : BW_OK;
}

/* What one sentinel says. */
static enum status ask_sentinel(const struct redis_settings *settings,
				const struct redis_host *sentinel, struct redis_host *ret,
				struct error *error)
{
	deadline_ms deadline = deadline_in(settings->connect_ms);
	struct redis_stream *stream = NULL;
	struct redis_peer peer;
	redisReply *reply = NULL;
	enum status status = resolve(sentinel->name, sentinel->port, &peer, error);

	if (!status)
		status = redis_stream_open(&peer, settings->tls, deadline, &stream, error);
	if (!status)
		status = REDIS_ASK(stream, deadline, &reply, error, "SENTINEL",
				   "get-master-addr-by-name", settings->master);
	redis_stream_free(stream);
	if (status)
		return status;
	if (reply->type == REDIS_REPLY_ERROR) {
		status = redis_reply_status(reply, error);
	} else if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
		   !redis_reply_is_string(reply->element[0]) ||
		   !redis_reply_is_string(reply->element[1])) {
		status = error_set(error, BW_UNREACHABLE, "it knows no master \"%s\"",
				   settings->master);
	} else {
		ret->name = xstrdup(reply->element[0]->str);
		str_copy(ret->port, sizeof(ret->port), reply->element[1]->str);
	}
	freeReplyObject(reply);
	return status;
}

enum status redis_discover(const struct redis_settings *settings, struct redis_peer *ret,
			   struct error *error)
{
	enum status status = BW_UNREACHABLE;

	if (!settings->master)
		return resolve(settings->hosts[0].name, settings->hosts[0].port, ret, error);
	for (size_t i = 0; i < settings->host_count; i++) {
		struct redis_host master = {0};

		status = ask_sentinel(settings, &settings->hosts[i], &master, error);
		if (!status)
			status = resolve(master.name, master.port, ret, error);
		free(master.name);
		if (!status)
			return BW_OK;
		error_prefix(error, "sentinel %s:%s", settings->hosts[i].name,
			     settings->hosts[i].port);
	}
	return status;
}

bool redis_is_still_master(const struct redis_settings *settings, const struct redis_peer *peer)
{
	struct redis_peer now;
	struct error ignored;

	return redis_discover(settings, &now, &ignored) != BW_OK ||
	       (strcmp(now.ip, peer->ip) == 0 && strcmp(now.port, peer->port) == 0);
}
