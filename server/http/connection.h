/*
 * One client's connection while a request of it is being answered.
 *
 * Implemented by civetweb_glue.c, which alone knows the library beneath, and by
 * connection_socket.c. A connection belongs to the worker thread that runs its
 * handler; nothing here may be called from another thread or after the handler
 * returned.
 *
 * Writing never blocks: connection_try_* take what the socket takes, and
 * connection_wait_writable waits for more. send.h makes whole answers of it,
 * with deadlines.
 */
#ifndef HTTP_CONNECTION_H
#define HTTP_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct connection;
struct listener;

struct head_field {
	const char *name;
	const char *value;
};

/* More fields than this are refused before a handler sees them. */
#define HEAD_MAX_FIELDS 63

/* The head of a request, cut into pieces and otherwise as it came. The strings
 * live as long as the handler runs. */
struct request_head {
	const char *method;
	const char *target; /* not decoded, query included */
	const char *version; /* "1.0" or "1.1" */
	struct head_field fields[HEAD_MAX_FIELDS];
	size_t field_count;
	/* The bytes were exactly what RFC 9112 asks for: CRLF line ends, single
	 * spaces in the request line, no folded lines, no space before a colon,
	 * nothing before the method. False: what is above may be half the truth,
	 * and the only safe answer is 400 and close. */
	bool exact;
};

struct connection_peer {
	char address[72]; /* "192.0.2.1:4711", "[2001:db8::1]:4711" */
};

void connection_peer(const struct connection *connection, struct connection_peer *ret_peer);

const struct listener *connection_listener(const struct connection *connection);

/* What the client and the protocol allow, if the request's body gets read; the
 * server may still say close. */
bool connection_may_stay(const struct connection *connection);

/* Ends the connection after this answer. */
void connection_close_after(struct connection *connection);

/* Ends the connection now, with a reset: for a body that cannot be completed,
 * so that nobody takes what was sent for the whole. */
void connection_reset(struct connection *connection);

/* Ends the connection after this answer although the client may still be
 * sending: stops writing, and reads and forgets for a moment, because closing
 * on unread bytes makes the kernel reset the connection and the client lose
 * the answer. */
void connection_close_lingering(struct connection *connection);

/* Bytes written, 0: not now, -1: the client is gone or we are stopping.
 * `more`: further bytes follow at once. */
ssize_t connection_try_send(struct connection *connection, const struct iovec *pieces,
			    int piece_count, bool more);

/* The same, for `length` bytes of a file from `offset` on; besides,
 * CONNECTION_FILE_ENDED when the file has none there or cannot be read. */
#define CONNECTION_FILE_ENDED (-2)
ssize_t connection_try_send_file(struct connection *connection, int file, uint64_t offset,
				 size_t length);

/* Returns when it can be written to again, the client is gone, or the time is
 * over. */
void connection_wait_writable(struct connection *connection, int timeout_ms);

/* Bytes of the request's body, chunked coding taken off, as soon as there are any:
 * how many were read into `target`, 0 at the body's end, or one of these. Waits at
 * most `timeout_ms` (0: not at all). What is left of `target` may be written to as
 * well. Whoever waits for "100 Continue" has been told by now (receive.h). */
#define CONNECTION_BODY_GONE (-1) /* the client is gone, or we are stopping; final */
#define CONNECTION_BODY_WAIT (-2) /* nothing came in that time; call again */
#define CONNECTION_BODY_MALFORMED (-3) /* the chunked coding is not well-formed; final */
ssize_t connection_read_body(struct connection *connection, void *target, size_t size,
			     int timeout_ms);

/* Bytes of the body that were not read yet. 0: the next request may follow;
 * UINT64_MAX: not known. */
uint64_t connection_body_left(const struct connection *connection);

/* Something of the body has come that was not read yet. */
bool connection_has_bytes(const struct connection *connection);

/* Is anybody there to write to? False once the client closed its side, or we
 * cut the connection. */
bool connection_is_open(const struct connection *connection);

#endif
