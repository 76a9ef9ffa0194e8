/*
 * Whom a credential may meet (CVE-2020-15157, CVE-2026-33540): the origin that
 * is configured, and token services that are of this origin or allow-listed.
 * The scope asked for is always ours, never the challenge's, so that a token
 * opens the one repository the reader was checked for.
 */
#include "server/base/memory.h"
#include "server/upstream/upstream_private.h"

#include <stdlib.h>
#include <string.h>

static bool is_listed(const struct string_list *realms, const char *realm)
{
	for (size_t i = 0; i < realms->count; i++) {
		if (url_same_origin(realms->items[i], realm))
			return true;
	}
	return false;
}

static enum status check_realm(const struct ask *ask, const struct mirror *mirror,
			       const char *realm, struct error *error)
{
	char origin[URL_ORIGIN_SIZE];

	if (!url_origin(realm, origin, sizeof(origin)))
		return error_set(error, BW_UNREACHABLE,
				 "its challenge names a token service that is no http(s) URL");
	if (!url_is_https(realm) && url_is_https(mirror->url))
		return error_set(error, BW_UNREACHABLE,
				 "its challenge names the token service %s, which is not https",
				 origin);
	if (strcmp(origin, mirror->origin) != 0 &&
	    !is_listed(&ask->upstream->config->token_realms, realm))
		return error_set(error, BW_UNREACHABLE,
				 "its challenge names the token service %s, which is not of its "
				 "own origin and not one of its tokenRealms",
				 origin);
	return BW_OK;
}

static enum status authorize_bearer(const struct ask *ask, const struct mirror *mirror,
				    const char *realm, const char *service, deadline_ms deadline,
				    struct authorization *authorization, struct error *error)
{
	char *scope, *token = NULL;
	enum status status = check_realm(ask, mirror, realm, error);

	if (status != BW_OK)
		return status;
	scope = xasprintf("repository:%s:pull", ask->repository);
	status = token_get(ask->upstream->state->tokens, realm, service, scope, ask->credential,
			   deadline, &token, error);
	free(scope);
	if (status != BW_OK)
		return status;
	*authorization = (struct authorization){
		.scheme = CHALLENGE_BEARER,
		.value = xasprintf("Bearer %s", token),
		.realm = xstrdup(realm),
		.service = xstrdup(service),
		.token = token,
	};
	return BW_OK;
}

static enum status authorize_basic(const struct ask *ask, const struct mirror *mirror,
				   deadline_ms deadline, struct authorization *authorization,
				   struct error *error)
{
	enum status status;

	if (!ask->credential)
		return error_set(error, BW_DENIED,
				 "it asks for a user's name and password, and no credential is "
				 "configured for \"%s\"",
				 ask->repository);
	status = login_begin(ask->upstream->state->logins, mirror->origin, ask->credential,
			     deadline, error);
	if (status != BW_OK)
		return status;
	*authorization = (struct authorization){
		.scheme = CHALLENGE_BASIC,
		.value = credential_basic(ask->credential),
		.in_login = true,
	};
	return BW_OK;
}

enum status authorize_ahead(const struct ask *ask, struct mirror *mirror, deadline_ms deadline,
			    struct authorization *authorization, struct error *error)
{
	char *realm = NULL, *service = NULL;
	enum challenge_scheme scheme;
	enum status status = BW_OK;

	pthread_mutex_lock(&mirror->lock);
	scheme = mirror->scheme;
	if (scheme == CHALLENGE_BEARER) {
		realm = xstrdup(mirror->realm);
		service = xstrdup(mirror->service);
	}
	pthread_mutex_unlock(&mirror->lock);
	if (scheme == CHALLENGE_BEARER)
		status = authorize_bearer(ask, mirror, realm, service, deadline, authorization,
					  error);
	else if (scheme == CHALLENGE_BASIC && ask->credential)
		status = authorize_basic(ask, mirror, deadline, authorization, error);
	free(realm);
	free(service);
	return status;
}

static void remember(struct mirror *mirror, const struct challenge *challenge)
{
	pthread_mutex_lock(&mirror->lock);
	free(mirror->realm);
	free(mirror->service);
	mirror->scheme = challenge->scheme;
	mirror->realm = xstrdup(challenge->realm);
	mirror->service = xstrdup(challenge->service);
	pthread_mutex_unlock(&mirror->lock);
}

static void read_challenges(const struct transfer_headers *headers, struct challenge *challenge)
{
	for (size_t i = 0; i < TRANSFER_MAX_CHALLENGES && headers->www_authenticate[i]; i++)
		challenge_parse(headers->www_authenticate[i], strlen(headers->www_authenticate[i]),
				challenge);
}

enum status authorize_again(const struct ask *ask, struct mirror *mirror,
			    const struct transfer_headers *headers, deadline_ms deadline,
			    struct authorization *authorization, struct error *error)
{
	enum challenge_scheme tried = authorization->scheme;
	struct challenge challenge = {0};

	authorization_release(authorization);
	read_challenges(headers, &challenge);
	if (challenge.scheme == CHALLENGE_NONE)
		return error_set(error, BW_DENIED, "answered 401 without a challenge that we know");
	/* a fresh token would be refused for the same reason, and so would the password */
	if (tried == CHALLENGE_BASIC ||
	    (tried == CHALLENGE_BEARER && strcmp(challenge.error, "insufficient_scope") == 0))
		return error_set(error, BW_DENIED, "answered 401");
	if (challenge.scheme == CHALLENGE_BASIC) {
		remember(mirror, &challenge);
		return authorize_basic(ask, mirror, deadline, authorization, error);
	}
	if (check_realm(ask, mirror, challenge.realm, error) != BW_OK)
		return BW_UNREACHABLE;
	remember(mirror, &challenge);
	return authorize_bearer(ask, mirror, challenge.realm, challenge.service, deadline,
				authorization, error);
}

static void forget_token(const struct ask *ask, const struct authorization *authorization)
{
	char *scope = xasprintf("repository:%s:pull", ask->repository);

	token_forget(ask->upstream->state->tokens, authorization->realm, authorization->service,
		     scope, ask->credential, authorization->token);
	free(scope);
}

void authorization_answered(const struct ask *ask, const struct mirror *mirror, int http_status,
			    struct authorization *authorization)
{
	enum login_outcome outcome = LOGIN_ACCEPTED;

	if (authorization->token && (http_status == 401 || http_status == 403))
		forget_token(ask, authorization);
	if (!authorization->in_login)
		return;
	authorization->in_login = false;
	if (http_status == 401)
		outcome = LOGIN_REFUSED;
	else if (http_status == 0 || http_status == 429 || http_status >= 500)
		outcome = LOGIN_UNKNOWN;
	login_end(ask->upstream->state->logins, mirror->origin, ask->credential, outcome);
}

void authorization_release(struct authorization *authorization)
{
	secret_free(authorization->value);
	secret_free(authorization->token);
	free(authorization->realm);
	free(authorization->service);
	*authorization = (struct authorization){0};
}
