/*
 * URLs of upstreams, on libcurl's parser: what counts as one origin, and where
 * a redirect leads.
 */
#ifndef UPSTREAM_URL_H
#define UPSTREAM_URL_H

#include "server/base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define URL_MAX 8192
#define URL_ORIGIN_SIZE 512 /* a host name has 253 bytes at most */

/* "https://host:443": scheme, host and explicit port, lower case. False when
 * `url` is not an absolute http(s) URL without user information, or holds a
 * byte that parsers of URLs disagree about (spaces, control bytes, backslashes,
 * raw UTF-8), or the origin does not fit. */
bool url_origin(const char *url, char *target, size_t target_size);
bool url_same_origin(const char *a, const char *b);
bool url_is_https(const char *url);

/* Resolves a Location (possibly relative, RFC 3986 5.2) against the URL it
 * came from. An absolute one is kept byte for byte (a signature covers it) but
 * for its fragment. BW_INVALID when it is malformed, carries user information,
 * is not http(s), longer than URL_MAX, or a downgrade from https to http. The
 * caller frees *ret_url. */
enum status url_resolve(const char *base, const char *location, char **ret_url,
			struct error *error);

/* The URL without query, fragment and user information, for logs and errors. */
void url_for_people(const char *url, char *target, size_t target_size);

#endif
