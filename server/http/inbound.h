/*
 * What follows a request's head on its connection: the body, and where the next
 * request begins.
 *
 * The head was read into a buffer, and with it some bytes that came behind it;
 * those count first. After that, bytes go from the socket straight into the
 * reader's memory. A body whose end is not known beforehand (chunked) may be read
 * past its end: those bytes are put back into the buffer.
 */
#ifndef HTTP_INBOUND_H
#define HTTP_INBOUND_H

#include "server/http/chunked.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct inbound {
	int socket;
	char *buffer; /* behind the head */
	size_t buffer_size;
	size_t at, end; /* what of it was not used yet */
	bool is_chunked;
	struct chunked chunked;
	uint64_t left; /* of a body that is not chunked */
	ssize_t failure; /* CONNECTION_BODY_GONE or _MALFORMED, from then on; 0: none */
	bool overran; /* more came behind the body than the buffer holds, and is lost */
};

/* `buffered` bytes lie in `buffer` already. */
void inbound_init(struct inbound *inbound, int socket, char *buffer, size_t buffered,
		  size_t buffer_size);
void inbound_expect(struct inbound *inbound, bool is_chunked, uint64_t length);

/* As connection_read_body(). `size` is not 0. */
ssize_t inbound_read(struct inbound *inbound, void *target, size_t size, int timeout_ms);

/* The body is at its end, and what comes next on the connection is known: it lies
 * in the buffer from `at` on, and then in the socket. */
bool inbound_is_settled(const struct inbound *inbound);

/* Something came behind the head that was not read yet. */
bool inbound_has_bytes(const struct inbound *inbound);

#endif
