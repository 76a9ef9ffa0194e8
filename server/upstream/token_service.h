/*
 * Asking a token service (the distribution token specification) for one token.
 */
#ifndef UPSTREAM_TOKEN_SERVICE_H
#define UPSTREAM_TOKEN_SERVICE_H

#include "server/base/clock.h"
#include "server/base/error.h"
#include "server/config/config.h"

struct transfer_pool;
struct login_memory;

struct token_request {
	const char *realm; /* checked by the caller: a credential is sent there */
	const char *service;
	const char *scope;
	const struct credential_config *credential; /* NULL: anonymous */
	deadline_ms deadline;
};

/* One GET. *ret_token is the caller's (secret_free), good for *ret_lifetime_ms
 * from now on. Failures as in token_get. */
enum status token_service_ask(struct transfer_pool *pool, struct login_memory *logins,
			      const struct token_request *request, char **ret_token,
			      int64_t *ret_lifetime_ms, struct error *error);

#endif
