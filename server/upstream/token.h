/*
 * Bearer tokens for upstreams: asked of a token service, kept until shortly
 * before they expire, one request at a time per key.
 *
 * The key is (realm, service, scope, credential): a token never serves another
 * credential or repository. The realm comes from the upstream's reply and is
 * attacker-controlled (CVE-2026-33540): the caller has checked it against the
 * allow-list before it gets here.
 */
#ifndef UPSTREAM_TOKEN_H
#define UPSTREAM_TOKEN_H

#include "server/base/clock.h"
#include "server/base/error.h"

struct token_cache;
struct transfer_pool;
struct login_memory;
struct credential_config;

/* Keeps pointers to both, which live longer. */
struct token_cache *token_cache_new(struct transfer_pool *pool, struct login_memory *logins);
void token_cache_free(struct token_cache *cache); /* no token_get may be running */

/* *ret_token: the caller frees it with secret_free. `credential` NULL:
 * anonymous. BW_DENIED when the service refused the credential (a failed login
 * is remembered for a minute, so that an account is not locked by retries),
 * BW_UNAVAILABLE for 429 (retry_after set), BW_UNREACHABLE and BW_TIMEOUT as
 * transfer_run has them. Threads that wait for another's request share its
 * failure. Asks with GET (every service has it) and follows no redirect; the
 * default expiry is 60 s when none is given. */
enum status token_get(struct token_cache *cache, const char *realm, const char *service,
		      const char *scope, const struct credential_config *credential,
		      deadline_ms deadline, char **ret_token, struct error *error);

/* Forgets a token that an upstream has refused. */
void token_forget(struct token_cache *cache, const char *realm, const char *service,
		  const char *scope, const struct credential_config *credential, const char *token);

#endif
