/*
 * How long a copy is good for, and what to do with it then. Pure functions.
 */
#ifndef CACHE_FRESHNESS_H
#define CACHE_FRESHNESS_H

#include "server/base/error.h"
#include "server/config/config.h"

#include <stdbool.h>
#include <stdint.h>

enum freshness {
	FRESH, /* serve */
	STALE_USABLE, /* serve, and revalidate in the background */
	EXPIRED, /* revalidate before serving */
};

/* The first tagTTLs pattern that matches, else manifestTTL. */
int64_t freshness_tag_ttl(const struct upstream_config *upstream, const char *tag);

/* For something validated at `validated_at` (0: never) with `ttl_ms`. A clock
 * that went back makes things expired, not fresh for ever. */
enum freshness freshness_of(int64_t validated_at, int64_t now, int64_t ttl_ms,
			    int64_t stale_while_revalidate_ms);

/* May an expired copy be served instead of this failure of the upstream
 * (staleOn)? `failure` is an outcome of upstream.h: BW_UNAVAILABLE counts as 429
 * when the upstream said so and as network when its breaker is open; a 5xx is
 * told from other unreachability by error.http_status. Never for BW_ABSENT,
 * BW_DENIED or failures of our own. */
bool freshness_may_serve_stale(const struct upstream_config *upstream, const struct error *failure);

#endif
