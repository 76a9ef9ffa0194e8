/*
 * TLS for a redis_stream, by OpenSSL, whatever hiredis can: the server's certificate is
 * verified, and so is its name.
 */
#ifndef BACKENDS_REDIS_REDIS_TLS_H
#define BACKENDS_REDIS_REDIS_TLS_H

#include "server/base/clock.h"
#include "server/base/error.h"

#include <stddef.h>
#include <sys/types.h>

struct redis_tls; /* what all connections share */
struct redis_tls_session; /* of one connection */

/* `ca_file` "": the system's. */
enum status redis_tls_new(const char *ca_file, const char *server_name, struct redis_tls **ret,
			  struct error *error);
void redis_tls_free(struct redis_tls *tls); /* NULL is fine */

/* Shakes hands over a connected socket that does not block, and that stays the
 * caller's. */
enum status redis_tls_begin(struct redis_tls *tls, int fd, deadline_ms deadline,
			    struct redis_tls_session **ret, struct error *error);
void redis_tls_end(struct redis_tls_session *session); /* NULL is fine */

/* As recv(2) and send(2) of a socket that does not block, with errno; *ret_wants is
 * what poll(2) should wait for after EAGAIN. */
ssize_t redis_tls_read(struct redis_tls_session *session, void *target, size_t length,
		       short *ret_wants);
ssize_t redis_tls_write(struct redis_tls_session *session, const void *bytes, size_t length,
			short *ret_wants);

#endif
