#include "server/config/node.h"

#include "server/base/memory.h"

#include <string.h>

void node_free(struct node *node)
{
	if (!node)
		return;
	for (size_t i = 0; i < node->count; i++)
		node_free(node->items[i]);
	free(node->items);
	free(node->key);
	if (node->text)
		explicit_bzero(node->text, strlen(node->text)); /* may be a password */
	free(node->text);
	free(node);
}

/* The memory doubles, so that its size need not be kept: it is the power of two
 * that holds `count`. */
void node_append(struct node *parent, struct node *item)
{
	if ((parent->count & (parent->count - 1)) == 0)
		parent->items = xrealloc(parent->items, (parent->count ? 2 * parent->count : 1) *
								sizeof(struct node *));
	parent->items[parent->count++] = item;
}

struct node *node_get(const struct node *map, const char *key)
{
	if (!map || map->kind != NODE_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->items[i]->key, key) == 0)
			return map->items[i];
	return NULL;
}

struct mark node_member_mark(const struct node *map, const char *key)
{
	const struct node *member = node_get(map, key);

	if (member)
		return member->mark;
	if (!map)
		return (struct mark){0};
	return map->key ? map->key_mark : map->mark;
}

struct node *node_need(struct node *map, const char *key, struct mark mark)
{
	struct node *node = node_get(map, key);

	if (node)
		return node;
	node = xcalloc(1, sizeof(*node));
	*node = (struct node){.kind = NODE_SCALAR,
			      .mark = mark,
			      .key = xstrdup(key),
			      .key_mark = mark,
			      .text = xstrdup(""),
			      .plain = true};
	node_append(map, node);
	return node;
}

void node_become_map(struct node *scalar)
{
	free(scalar->text);
	scalar->text = NULL;
	scalar->kind = NODE_MAP;
}

bool node_is_null(const struct node *node)
{
	return node->kind == NODE_SCALAR && node->plain &&
	       (node->text[0] == '\0' || strcmp(node->text, "~") == 0 ||
		strcmp(node->text, "null") == 0);
}
