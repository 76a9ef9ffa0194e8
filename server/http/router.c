#include "server/http/router.h"

#include "server/base/str.h"

#include <string.h>

#define PREFIX "/v2/"

static bool match_exact(const struct route *route, const char *path)
{
	size_t length = strlen(route->keyword);

	return strncmp(path, route->keyword, length) == 0 &&
	       (path[length] == '\0' || (path[length] == '/' && path[length + 1] == '\0'));
}

static bool match_below(const struct route *route, const char *path, struct route_match *ret)
{
	if (!str_starts_with(path, route->keyword))
		return false;
	ret->last = path + strlen(route->keyword);
	return true;
}

/* Does text[0..length) end with "/keyword", with something before it? *ret_rest
 * is what comes before. */
static bool ends_with_keyword(const char *text, size_t length, const char *keyword,
			      size_t *ret_rest)
{
	size_t keyword_length = strlen(keyword);

	if (length < keyword_length + 2)
		return false;
	if (memcmp(text + length - keyword_length, keyword, keyword_length) != 0 ||
	    text[length - keyword_length - 1] != '/')
		return false;
	*ret_rest = length - keyword_length - 1;
	return true;
}

static bool match_name(const struct route *route, const char *rest, struct arena *arena,
		       struct route_match *ret)
{
	size_t length = strlen(rest);
	const char *last = "";
	size_t name_length;

	if (route->kind == ROUTE_NAME_FOLDER && length > 0 && rest[length - 1] == '/')
		length--;
	if (route->kind == ROUTE_NAME_LAST) {
		const char *slash = strrchr(rest, '/');

		if (!slash)
			return false;
		last = slash + 1;
		length = (size_t)(slash - rest);
	}
	if (!ends_with_keyword(rest, length, route->keyword, &name_length))
		return false;
	ret->name = arena_strndup(arena, rest, name_length);
	ret->last = last;
	return ret->name != NULL;
}

static bool matches(const struct route *route, const char *path, struct arena *arena,
		    struct route_match *ret)
{
	if (route->kind == ROUTE_EXACT)
		return match_exact(route, path);
	if (route->kind == ROUTE_BELOW)
		return match_below(route, path, ret);
	return str_starts_with(path, PREFIX) &&
	       match_name(route, path + strlen(PREFIX), arena, ret);
}

const struct route_action *route_action_for(const struct route *route, unsigned method)
{
	for (size_t i = 0; i < ROUTE_MAX_ACTIONS; i++) {
		if (route->actions[i].methods & method)
			return &route->actions[i];
	}
	return NULL;
}

unsigned route_methods(const struct route *route)
{
	unsigned methods = 0;

	for (size_t i = 0; i < ROUTE_MAX_ACTIONS; i++)
		methods |= route->actions[i].methods;
	return methods;
}

const struct route *router_match(const struct route *table, size_t count, const char *path,
				 struct arena *arena, struct route_match *ret)
{
	struct route_match found = {.name = "", .last = ""};

	for (size_t i = 0; i < count; i++) {
		if (matches(&table[i], path, arena, &found)) {
			found.route = &table[i];
			*ret = found;
			return found.route;
		}
	}
	return NULL;
}
