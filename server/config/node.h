/*
 * A configuration file as a tree in which every node knows its line.
 *
 * The subset of YAML that a configuration needs: maps with scalar keys, lists,
 * scalars. Anchors, aliases, merge keys and tags are refused (no document can
 * grow larger than its file), as are duplicate keys and a second document.
 */
#ifndef CONFIG_NODE_H
#define CONFIG_NODE_H

#include "server/config/problems.h"

#define NODE_MAX_DEPTH 32
#define NODE_MAX_ITEMS 10000 /* in one map or list */

enum node_kind { NODE_SCALAR, NODE_MAP, NODE_LIST };

struct node {
	enum node_kind kind;
	struct mark mark;
	char *key; /* in a map: its key, and where that stands */
	struct mark key_mark;
	char *text; /* NODE_SCALAR: without quotes, no NUL inside */
	bool plain; /* NODE_SCALAR: written without quotes */
	struct node **items; /* NODE_MAP, NODE_LIST: owned, in the file's order */
	size_t count;
};

/* NULL, with at least one problem added, when the text is no such document.
 * An empty document is an empty map. Duplicate keys are problems, but the tree
 * is returned: the caller looks at problems->count in the end. */
struct node *node_parse(const char *text, size_t length, struct problems *problems);
void node_free(struct node *node); /* NULL is fine */

/* Takes the item as the last one. */
void node_append(struct node *parent, struct node *item);

/* The member of a map; NULL when it has none, or when `map` is no map. */
struct node *node_get(const struct node *map, const char *key);

/* The member's place in the file, or that of the map it is missing from. */
struct mark node_member_mark(const struct node *map, const char *key);

/* The member of a map, made (a null) when it is not there. */
struct node *node_need(struct node *map, const char *key, struct mark mark);

/* Turns a scalar into an empty map. */
void node_become_map(struct node *scalar);

/* A plain scalar that means "nothing": empty, ~ or null. */
bool node_is_null(const struct node *node);

#endif
