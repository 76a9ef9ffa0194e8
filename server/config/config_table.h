/*
 * Every key of the configuration, one row each. The loader, the environment,
 * the JSON schema and the README's table walk these rows; adding a key is
 * adding a row (and a member of struct config).
 *
 * A path is the key's levels joined by '.'. Below a map whose keys are names,
 * `*` stands for the name; below a list of maps, `[]` for an item:
 *   proxy.upstreams.*.tagTTLs[].ttl
 * A row's `offset` is that of its field in the struct of the nearest level
 * that has one of its own: struct config, or the item of a KEY_MAP or KEY_ITEMS.
 */
#ifndef CONFIG_CONFIG_TABLE_H
#define CONFIG_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum key_type {
	/* scalars, and the C type of their field */
	KEY_STRING, /* char * */
	KEY_SECRET, /* char *, never shown */
	KEY_PATH, /* char * */
	KEY_FILE, /* char *: "", or a file that can be read */
	KEY_ADDRESS, /* char *: host:port to listen on */
	KEY_URL, /* char * */
	KEY_ORIGIN, /* char *: a URL without a path */
	KEY_HOST, /* char *: a registry's name */
	KEY_NAME, /* char *: of a credential */
	KEY_PATTERN, /* char *: of repositories */
	KEY_TAGS, /* char *: a pattern of tags */
	KEY_BOOL, /* bool */
	KEY_UINT, /* unsigned; min and max count */
	KEY_DURATION, /* int64_t milliseconds; min and max count */
	KEY_SIZE, /* uint64_t bytes; min and max count */
	KEY_CHOICE, /* an int-sized enum; see `choices` */
	/* and what is made of them */
	KEY_LIST, /* struct string_list of scalars of type `item` */
	KEY_FLAGS, /* a list of `choices`, joined by or: unsigned */
	KEY_SECTION, /* a map of fixed keys, in the same struct */
	KEY_MAP, /* a map of names; pointer to items and their count */
	KEY_ITEMS, /* a list of maps; pointer to items and their count */
};

struct key_choice {
	const char *name; /* NULL ends the list */
	int value;
	bool later; /* known, but not supported yet */
};

struct config_key {
	const char *path;
	enum key_type type;
	const char *help; /* one line, for schema and README */
	size_t offset;
	size_t count_offset; /* KEY_MAP, KEY_ITEMS: of the size_t that counts */
	size_t item_size; /* KEY_MAP, KEY_ITEMS; a KEY_MAP's item begins with its char *name */
	enum key_type item; /* KEY_LIST: its scalars; KEY_MAP: its names */
	const char *fallback; /* as in a file, a list's items parted by a blank; NULL: zero or "" */
	uint64_t min;
	uint64_t max;
	const struct key_choice *choices;
	const char *word; /* KEY_SECTION: the one word that may stand in its place (a bool) */
	bool required;
	bool may_be_empty; /* a scalar that may be "" */
	bool later; /* in the contract, but not supported yet: refused with all below it */
};

/* The rows, in the order of documentation; a row with a NULL path ends them. */
extern const struct config_key config_keys[];

/* The next row directly below `parent` (NULL: the top), after `previous` (NULL:
 * the first one). NULL at the end. */
const struct config_key *config_key_next(const struct config_key *parent,
					 const struct config_key *previous);

/* A row's own name, its path's last level. */
const char *config_key_name(const struct config_key *key);

bool config_key_is_scalar(const struct config_key *key);

#endif
