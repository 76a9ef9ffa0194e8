/*
 * From a path to what answers it.
 *
 * Adding a route, or a method to one, is one line of the table in routes.c.
 * Repository names contain slashes and may contain components called "manifests"
 * or "blobs", so paths are matched from their end: the last segment is the reference, the one
 * before it the keyword, and all before that the name.
 */
#ifndef HTTP_ROUTER_H
#define HTTP_ROUTER_H

#include "server/base/arena.h"

#include <stddef.h>

struct exchange;

enum route_kind {
	ROUTE_EXACT, /* the whole path, a slash at the end or not */
	ROUTE_BELOW, /* <keyword><last>, where the keyword ends with a slash */
	ROUTE_NAME_LAST, /* /v2/<name>/<keyword>/<last> */
	ROUTE_NAME_ONLY, /* /v2/<name>/<keyword>, where the keyword may have slashes */
	ROUTE_NAME_FOLDER, /* the same, a slash at the end or not */
};

#define ROUTE_MAX_ACTIONS 4

struct route_action {
	unsigned methods; /* enum method bits; 0: no more actions */
	void (*handle)(struct exchange *exchange);
};

struct route {
	const char *name; /* the label `handler` of the metrics, as distribution has it */
	enum route_kind kind;
	const char *keyword; /* ROUTE_EXACT: the path; ROUTE_BELOW: its beginning */
	struct route_action actions[ROUTE_MAX_ACTIONS];
};

struct route_match {
	const struct route *route;
	/* "" for ROUTE_EXACT and ROUTE_BELOW; may be malformed: nothing is checked here */
	const char *name;
	const char *last; /* "" where the kind has none */
};

/* What answers this method (an enum method bit); NULL: nothing. */
const struct route_action *route_action_for(const struct route *route, unsigned method);

/* enum method bits of all of them. */
unsigned route_methods(const struct route *route);

/* The first route of the table that fits, NULL when none does (or the arena is
 * full). `path` as request.h decodes it. */
const struct route *router_match(const struct route *routes, size_t count, const char *path,
				 struct arena *arena, struct route_match *ret);

/* The table. */
extern const struct route routes[];
extern const size_t route_count;

#endif
