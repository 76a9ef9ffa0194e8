/*
 * Credentials towards upstreams: what is sent, how two are told apart without
 * keeping the password, and the memory of logins that failed.
 *
 * Registries lock accounts after a few wrong passwords, so a wrong one is tried
 * once: while nobody knows whether a credential is good, one login at a time
 * goes out and the others wait for what it learns; once refused, it is not
 * tried for a minute. A service that answers 401 where it means "not for you"
 * must not cost a good credential that minute, so after a success it takes
 * LOGIN_FAILURES refusals in a row.
 */
#ifndef UPSTREAM_CREDENTIAL_H
#define UPSTREAM_CREDENTIAL_H

#include "server/base/clock.h"
#include "server/base/error.h"
#include "server/config/config.h"

#define CREDENTIAL_ANONYMOUS "anonymous"
#define LOGIN_FAILURES 3
#define LOGIN_PAUSE_MS 60000

/* `credential` may be NULL, which is anonymous, in the first two. */
const char *credential_name(const struct credential_config *credential);

#define FINGERPRINT_SIZE 65
/* A hash over the parts and the credential's name, user and password: a rotated
 * password has another one. */
void credential_fingerprint(const struct credential_config *credential, const char *const *parts,
			    size_t count, char target[FINGERPRINT_SIZE]);

/* "Basic ..." (RFC 7617); the caller frees it with secret_free. */
char *credential_basic(const struct credential_config *credential);

/* Wipes and frees a string; NULL is fine. */
void secret_free(char *secret);

struct login_memory;

struct login_memory *login_memory_new(void);
void login_memory_free(struct login_memory *memory);

/* May this credential be sent to the service at `origin` now? BW_OK must be
 * followed by one login_end, as soon as the service has answered. BW_DENIED: it
 * was refused there lately (error.retry_after is set). BW_TIMEOUT: somebody
 * else's try took too long. BW_UNREACHABLE: that try got no answer. */
enum status login_begin(struct login_memory *memory, const char *origin,
			const struct credential_config *credential, deadline_ms deadline,
			struct error *error);

enum login_outcome { LOGIN_ACCEPTED, LOGIN_REFUSED, LOGIN_UNKNOWN };
void login_end(struct login_memory *memory, const char *origin,
	       const struct credential_config *credential, enum login_outcome outcome);

#endif
