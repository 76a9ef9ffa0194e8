#include "server/config/environment.h"

#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/config/config_table.h"
#include "server/config/string_list.h"

#include <string.h>
#include <strings.h>

#define PREFIX "BREAKWATER_"
#define MAX_LEVELS 8 /* the table's deepest path has six */

/* A key that a variable may mean: its levels, with the names of maps filled in. */
struct hit {
	const struct config_key *key;
	const char *levels[MAX_LEVELS];
	size_t depth;
};

struct search {
	const char *levels[MAX_LEVELS]; /* of the place that is being looked at */
	struct hit hit; /* the first one */
	size_t hits;
};

/* What follows `name` in the variable, when the variable goes on with it. A
 * character that a variable's name cannot have is written '_'. */
static const char *skip_name(const char *variable, const char *name)
{
	for (; *name; name++, variable++) {
		char expected = ascii_is_alnum(*name) ? ascii_lower(*name) : '_';

		if (ascii_lower(*variable) != expected)
			return NULL;
	}
	return variable;
}

static void add_hit(struct search *search, const struct config_key *key, size_t depth)
{
	if (search->hits++ > 0)
		return;
	search->hit.key = key;
	search->hit.depth = depth;
	memcpy(search->hit.levels, search->levels, sizeof(search->levels));
}

static void search_below(struct search *search, const struct config_key *parent,
			 const struct node *node, const char *rest, size_t depth);

static void search_names(struct search *search, const struct config_key *map,
			 const struct node *node, const char *rest, size_t depth)
{
	for (size_t i = 0; node && node->kind == NODE_MAP && i < node->count; i++) {
		const char *after = skip_name(rest, node->items[i]->key);

		search->levels[depth] = node->items[i]->key;
		if (after && *after == '_')
			search_below(search, map, node->items[i], after + 1, depth + 1);
	}
}

/* All keys that `rest` may mean: names have '_' inside, so there may be two. */
static void search_below(struct search *search, const struct config_key *parent,
			 const struct node *node, const char *rest, size_t depth)
{
	for (const struct config_key *key = config_key_next(parent, NULL); key;
	     key = config_key_next(parent, key)) {
		const char *name = config_key_name(key);
		const struct node *member = node_get(node, name);
		const char *after = skip_name(rest, name);

		if (!after)
			continue;
		search->levels[depth] = name;
		if (*after == '\0')
			add_hit(search, key, depth + 1);
		else if (*after == '_' && key->type == KEY_SECTION)
			search_below(search, key, member, after + 1, depth + 1);
		else if (*after == '_' && key->type == KEY_MAP)
			search_names(search, key, member, after + 1, depth + 1);
	}
}

/* The node of those levels, made when it is not there; NULL when the file has
 * something on the way that is no map, which the loader will complain about. */
static struct node *need_node(struct node *root, const struct hit *hit, struct mark mark)
{
	struct node *node = root;

	for (size_t i = 0; i < hit->depth; i++) {
		if (node_is_null(node))
			node_become_map(node);
		if (node->kind != NODE_MAP)
			return NULL;
		node = node_need(node, hit->levels[i], mark);
	}
	return node;
}

static void override(struct node *root, const struct hit *hit, struct mark mark, const char *value,
		     struct problems *problems)
{
	struct node *node;

	if (!config_key_is_scalar(hit->key) && !hit->key->word) {
		problems_add(problems, mark,
			     "%s is not a single value, and a variable holds only those; "
			     "write it in the file",
			     hit->key->path);
		return;
	}
	node = need_node(root, hit, mark);
	if (!node)
		return;
	if (node->kind != NODE_SCALAR) {
		problems_add(problems, mark,
			     "%s is a map or a list in the file, and a variable cannot replace it",
			     hit->key->path);
		return;
	}
	free(node->text);
	node->text = xstrdup(value);
	node->plain = false;
	node->mark = mark;
	node->key_mark = mark;
}

/* Kubernetes tells every pod about every Service; one named "breakwater" gives
 * BREAKWATER_SERVICE_HOST, BREAKWATER_PORT_5000_TCP_ADDR and the like. */
static bool is_service_link(const char *name)
{
	return str_ends_with(name, "_SERVICE_HOST") || strstr(name, "_SERVICE_PORT") ||
	       str_ends_with(name, "_PORT") || strstr(name, "_PORT_");
}

static void apply_variable(const char *name, const char *value, struct node *root,
			   struct problems *problems, struct string_list *warnings)
{
	struct mark mark = {.variable = name};
	struct search search = {.hits = 0};

	search_below(&search, NULL, root, name + strlen(PREFIX), 0);
	if (search.hits == 1)
		override(root, &search.hit, mark, value, problems);
	else if (search.hits > 1)
		problems_add(problems, mark,
			     "two names of the file look the same in a variable, and it may mean "
			     "either; write the value in the file");
	else if (!is_service_link(name))
		string_list_append(warnings,
				   xasprintf("the variable %.200s is not used: it names no key, or "
					     "a name that is not in the file",
					     name));
}

void environment_apply(char *const *environment, struct node *root, struct problems *problems,
		       struct string_list *names, struct string_list *warnings)
{
	for (; environment && *environment; environment++) {
		const char *equals = strchr(*environment, '=');

		if (!equals || strncasecmp(*environment, PREFIX, strlen(PREFIX)) != 0)
			continue;
		string_list_append(names, xstrndup(*environment, (size_t)(equals - *environment)));
		apply_variable(names->items[names->count - 1], equals + 1, root, problems,
			       warnings);
	}
}
