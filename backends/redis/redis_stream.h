/*
 * One connection's bytes, and the protocol in them. The socket does not block: every
 * function ends at its deadline, whatever the other side does. hiredis makes the
 * commands and reads the replies; its own I/O has a timeout per read, so that a server
 * which sends a byte now and then would hold us for ever.
 *
 * Not thread-safe.
 */
#ifndef BACKENDS_REDIS_REDIS_STREAM_H
#define BACKENDS_REDIS_REDIS_STREAM_H

#include "server/base/clock.h"
#include "server/base/error.h"

#include <hiredis/hiredis.h>
#include <stddef.h>

/* Of one reply, and of all that one call gets. */
#define REDIS_REPLY_MAX ((size_t)64 << 20)

struct redis_tls;
struct redis_stream;

/* Where a server is: a numeric address. */
struct redis_peer {
	char ip[46];
	char port[6];
};

/* `tls` NULL: plain. It stays the caller's. */
enum status redis_stream_open(const struct redis_peer *peer, struct redis_tls *tls,
			      deadline_ms deadline, struct redis_stream **ret, struct error *error);
void redis_stream_free(struct redis_stream *stream); /* NULL is fine */

enum status redis_stream_send(struct redis_stream *stream, const char *bytes, size_t length,
			      deadline_ms deadline, struct error *error);
/* The caller frees *ret with freeReplyObject. A reply that says error is BW_OK too. */
enum status redis_stream_receive(struct redis_stream *stream, deadline_ms deadline,
				 redisReply **ret, struct error *error);
/* A reply that is here already, or nothing: *ret NULL. For a connection that is told
 * things unasked. Fails when the connection has ended. */
enum status redis_stream_poll(struct redis_stream *stream, redisReply **ret, struct error *error);

/* For poll(2). */
int redis_stream_fd(const struct redis_stream *stream);
/* Has the server closed it, or said something unasked? */
bool redis_stream_is_stale(struct redis_stream *stream);

#endif
