/*
 * WWW-Authenticate challenges (RFC 9110, 11.6.1; the distribution token
 * scheme for Bearer). Written for hostile input: bounded, no backtracking.
 */
#ifndef UPSTREAM_CHALLENGE_H
#define UPSTREAM_CHALLENGE_H

#include <stdbool.h>
#include <stddef.h>

enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

#define CHALLENGE_VALUE_MAX 1024

struct challenge {
	enum challenge_scheme scheme;
	char realm[CHALLENGE_VALUE_MAX]; /* Bearer: the token service's URL */
	char service[CHALLENGE_VALUE_MAX]; /* "" when not given */
	char scope[CHALLENGE_VALUE_MAX];
	char error[CHALLENGE_VALUE_MAX]; /* "invalid_token", "insufficient_scope"; "" */
};

/* Reads one header value, which may hold several challenges, and keeps the
 * best one seen (Bearer before Basic). Call it for each WWW-Authenticate line
 * with the same *challenge, zeroed before the first. False when the line is
 * not well-formed: nothing of it is kept. */
bool challenge_parse(const char *value, size_t length, struct challenge *challenge);

#endif
