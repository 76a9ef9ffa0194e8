/*
 * One request and its answer: what a route's handler works on.
 *
 * A handler answers exactly once (response.h; blob.c writes its own body). What
 * is noted here while answering is what the access log and the metrics tell
 * afterwards.
 */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include "server/base/arena.h"
#include "server/http/receive.h"
#include "server/http/request.h"
#include "server/http/router.h"
#include "server/http/send.h"
#include "server/registry/registry.h"

#include <stdbool.h>
#include <stdint.h>

struct http_server;

struct exchange {
	struct connection *connection;
	struct http_server *server;
	struct registry *registry;
	const char *external_url; /* of Locations; "": they are relative */
	struct arena arena;
	struct request request;
	struct route_match match; /* route is NULL when the path is unknown */
	struct target target;
	bool has_target;
	struct sender sender;
	struct receiver receiver;
	bool malformed; /* where the next request begins is not known */
	/* Nothing speaks against it; settled when the head of the answer is written. */
	bool keep_alive;

	/* How it went */
	int64_t started_us;
	int status; /* 0: nothing was sent */
	uint64_t head_length;
	uint64_t sent; /* bytes of head and body that were written */
	const char *content_type; /* of the answer, in the arena, or NULL */
	const char *pushed_type; /* "manifest" or "blob" for cached content, or NULL */
	bool has_verdict;
	enum cache_verdict verdict;
	enum status outcome; /* BW_OK: the answer was written whole */
	char message[512]; /* why not 2xx, or why it was cut; "" */
};

/* Body bytes written so far. */
static inline uint64_t exchange_body_sent(const struct exchange *exchange)
{
	return exchange->sent > exchange->head_length ? exchange->sent - exchange->head_length : 0;
}

/* May its body be read at all? Of other methods it has no meaning (RFC 9110,
 * 9.3.1), and whoever sends one means to confuse somebody. */
static inline bool exchange_takes_body(const struct exchange *exchange)
{
	return (exchange->request.method & (METHOD_POST | METHOD_PUT | METHOD_PATCH)) != 0;
}

static inline bool exchange_is_head(const struct exchange *exchange)
{
	return exchange->request.method == METHOD_HEAD;
}

#endif
