#include "server/config/loader.h"

#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/config/config_table.h"
#include "server/config/string_list.h"
#include "server/config/value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PLACE_SIZE 512

/* A key's full name, as a chain of levels up to the top. */
struct place {
	const struct place *up;
	const char *name; /* NULL: the item of a list */
	size_t index;
};

static void format_place(const struct place *place, char target[PLACE_SIZE])
{
	size_t length;

	target[0] = '\0';
	if (place->up)
		format_place(place->up, target);
	length = strlen(target);
	if (place->name)
		snprintf(target + length, PLACE_SIZE - length, "%s%.100s", length ? "." : "",
			 place->name);
	else
		snprintf(target + length, PLACE_SIZE - length, "[%zu]", place->index);
}

static void report(struct problems *problems, const struct place *place, struct mark mark,
		   const char *format, ...) __attribute__((format(printf, 4, 5)));

static void report(struct problems *problems, const struct place *place, struct mark mark,
		   const char *format, ...)
{
	char where[PLACE_SIZE];
	char text[640];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	format_place(place, where);
	problems_add(problems, mark, "%s: %s", where, text);
}

static void *field_of(const struct config_key *key, void *base)
{
	return (char *)base + key->offset;
}

static const char *kind_name(const struct node *node)
{
	if (node->kind == NODE_SCALAR)
		return "a single value";
	return node->kind == NODE_MAP ? "a map" : "a list";
}

static void store_default(const struct config_key *key, void *base)
{
	const char *text = key->fallback ? key->fallback : "";
	struct error error = {0};

	if (value_is_text(key->type) && *text == '\0') {
		char *empty = xstrdup("");

		memcpy(field_of(key, base), &empty, sizeof(empty));
	} else if (*text) {
		value_parse(key, key->type, text, field_of(key, base), &error);
	}
}

static void load_scalar(const struct config_key *key, const struct node *node, void *base,
			const struct place *place, struct problems *problems)
{
	struct error error = {0};

	if (node->kind != NODE_SCALAR)
		report(problems, place, node->mark, "a single value is needed, this is %s",
		       kind_name(node));
	else if (node_is_null(node))
		report(problems, place, node->mark,
		       "it has no value; give it one or remove the key");
	else if (!value_parse(key, key->type, node->text, field_of(key, base), &error))
		report(problems, place, node->mark, "%s", error.message);
	else
		return;
	store_default(key, base);
}

/* Calls `take` with every item of a list of scalars. */
static void each_scalar(const struct node *node, const struct place *place,
			struct problems *problems,
			void (*take)(const struct node *item, const struct place *place,
				     struct problems *problems, void *context),
			void *context)
{
	if (node->kind != NODE_LIST) {
		report(problems, place, node->mark, "a list is needed, such as [a, b]; this is %s",
		       kind_name(node));
		return;
	}
	for (size_t i = 0; i < node->count; i++) {
		struct place inner = {.up = place, .index = i};

		if (node->items[i]->kind == NODE_SCALAR && !node_is_null(node->items[i]))
			take(node->items[i], &inner, problems, context);
		else
			report(problems, &inner, node->items[i]->mark,
			       "a single value is needed in this list");
	}
}

struct list_target {
	const struct config_key *key;
	void *field;
};

static void take_string(const struct node *item, const struct place *place,
			struct problems *problems, void *context)
{
	const struct list_target *target = context;
	struct error error = {0};
	char *string;

	if (!value_parse(target->key, target->key->item, item->text, &string, &error)) {
		report(problems, place, item->mark, "%s", error.message);
		string = xstrdup(item->text);
	}
	string_list_append(target->field, string);
}

static void take_flag(const struct node *item, const struct place *place, struct problems *problems,
		      void *context)
{
	const struct list_target *target = context;
	unsigned *flags = target->field;
	struct error error = {0};
	int value;

	if (value_choose(target->key->choices, item->text, &value, &error))
		*flags |= (unsigned)value;
	else
		report(problems, place, item->mark, "%s", error.message);
}

/* The default of a list, its items parted by blanks. */
static void store_default_list(const struct config_key *key, void *base)
{
	const char *text = key->fallback ? key->fallback : "";
	unsigned *flags = field_of(key, base);
	struct error error = {0};
	int value;

	while (*text) {
		size_t length = strcspn(text, " ");
		char *item = xstrndup(text, length);

		if (key->type == KEY_LIST)
			string_list_append(field_of(key, base), item);
		else if (value_choose(key->choices, item, &value, &error))
			*flags |= (unsigned)value;
		if (key->type != KEY_LIST)
			free(item);
		text += length + strspn(text + length, " ");
	}
}

static void load_list(const struct config_key *key, const struct node *node, void *base,
		      const struct place *place, struct problems *problems)
{
	struct list_target target = {.key = key, .field = field_of(key, base)};

	each_scalar(node, place, problems, key->type == KEY_LIST ? take_string : take_flag,
		    &target);
}

static void load_members(const struct config_key *parent, const struct node *node, void *base,
			 const struct place *place, struct problems *problems);

/* The nearest key of the same level, or the row of that very name elsewhere. */
static void report_unknown(const struct config_key *parent, const struct node *node,
			   const struct place *place, struct problems *problems)
{
	const struct config_key *nearest = NULL;
	unsigned least = 1 + (unsigned)strlen(node->key) / 3;

	for (const struct config_key *key = config_key_next(parent, NULL); key;
	     key = config_key_next(parent, key)) {
		const char *name = config_key_name(key);
		unsigned distance =
			str_equals_ignore_case(name, node->key) ? 0 : str_distance(name, node->key);

		if (distance <= least && (!nearest || distance < least)) {
			nearest = key;
			least = distance;
		}
	}
	if (nearest) {
		report(problems, place, node->key_mark, "unknown key; did you mean \"%s\"?",
		       config_key_name(nearest));
		return;
	}
	for (const struct config_key *key = config_keys; key->path && !nearest; key++)
		if (str_equals_ignore_case(config_key_name(key), node->key))
			nearest = key;
	if (nearest)
		report(problems, place, node->key_mark, "unknown key; there is \"%s\"",
		       nearest->path);
	else
		report(problems, place, node->key_mark, "unknown key");
}

static bool is_known(const struct config_key *parent, const char *name)
{
	const struct config_key *key = config_key_next(parent, NULL);

	while (key && strcmp(config_key_name(key), name) != 0)
		key = config_key_next(parent, key);
	return key != NULL;
}

/* The n-th item's node, checked to be a map (null: one without keys). */
static const struct node *item_map(const struct node *node, const struct place *place,
				   struct problems *problems)
{
	if (node->kind == NODE_MAP)
		return node;
	if (!node_is_null(node))
		report(problems, place, node->mark, "a map of keys is needed, this is %s",
		       kind_name(node));
	return NULL;
}

static void load_name(const struct config_key *key, const struct node *node, void *item,
		      const struct place *place, struct problems *problems)
{
	struct error error = {0};
	char *name;

	if (!value_parse(key, key->item, node->key, item, &error)) {
		report(problems, place, node->key_mark, "%s", error.message);
		name = xstrdup(node->key);
		memcpy(item, &name, sizeof(name));
	}
}

static void load_items(const struct config_key *key, const struct node *node, void *base,
		       const struct place *place, struct problems *problems)
{
	bool named = key->type == KEY_MAP;
	char *items;

	if (node->kind != (named ? NODE_MAP : NODE_LIST)) {
		report(problems, place, node->mark, "%s is needed, this is %s",
		       named ? "a map of names" : "a list of maps", kind_name(node));
		return;
	}
	if (node->count == 0)
		return;
	items = xcalloc(node->count, key->item_size);
	memcpy(field_of(key, base), &items, sizeof(items));
	memcpy((char *)base + key->count_offset, &node->count, sizeof(node->count));
	for (size_t i = 0; i < node->count; i++) {
		const struct node *item = node->items[i];
		struct place inner = {.up = place, .name = item->key, .index = i};
		char *target = items + i * key->item_size;

		if (named)
			load_name(key, item, target, &inner, problems);
		load_members(key, item_map(item, &inner, problems), target, &inner, problems);
	}
}

static void load_section(const struct config_key *key, const struct node *node, void *base,
			 const struct place *place, struct problems *problems)
{
	bool is_word = key->word && node && node->kind == NODE_SCALAR &&
		       strcmp(node->text, key->word) == 0;

	if (is_word)
		memcpy(field_of(key, base), &is_word, sizeof(is_word));
	else if (node && node->kind != NODE_MAP)
		report(problems, place, node->mark, "a map of keys%s%s is needed, this is %s",
		       key->word ? " or the word " : "", key->word ? key->word : "",
		       kind_name(node));
	load_members(key, node && node->kind == NODE_MAP ? node : NULL, base, place, problems);
}

static void load_absent(const struct config_key *key, void *base, const struct place *place,
			struct problems *problems)
{
	if (config_key_is_scalar(key))
		store_default(key, base);
	else if (key->type == KEY_LIST || key->type == KEY_FLAGS)
		store_default_list(key, base);
	else if (key->type == KEY_SECTION)
		load_section(key, NULL, base, place, problems);
}

static void load_key(const struct config_key *key, const struct node *node, void *base,
		     const struct place *place, struct problems *problems)
{
	if (config_key_is_scalar(key))
		load_scalar(key, node, base, place, problems);
	else if (key->type == KEY_LIST || key->type == KEY_FLAGS)
		load_list(key, node, base, place, problems);
	else if (node_is_null(node))
		/* everything below it may be commented out */
		load_absent(key, base, place, problems);
	else if (key->type == KEY_SECTION)
		load_section(key, node, base, place, problems);
	else
		load_items(key, node, base, place, problems);
}

static void report_missing(const struct config_key *key, const struct node *node,
			   const struct place *place, struct problems *problems)
{
	if (key->fallback)
		report(problems, place, node->mark, "it is missing; write `%s: %s`",
		       config_key_name(key), key->fallback);
	else
		report(problems, place, node->mark, "it is missing");
}

/* `node` NULL: nothing is given, everything is a default. */
static void load_members(const struct config_key *parent, const struct node *node, void *base,
			 const struct place *place, struct problems *problems)
{
	for (const struct config_key *key = config_key_next(parent, NULL); key;
	     key = config_key_next(parent, key)) {
		struct place inner = {.up = place, .name = config_key_name(key)};
		const struct node *member = node_get(node, inner.name);

		if (member && key->later)
			report(problems, &inner, member->key_mark,
			       "it is not supported yet by this version");
		else if (member)
			load_key(key, member, base, &inner, problems);
		else if (!key->later)
			load_absent(key, base, &inner, problems);
		if (!member && node && key->required)
			report_missing(key, node, &inner, problems);
	}
	for (size_t i = 0; node && i < node->count; i++) {
		struct place inner = {.up = place, .name = node->items[i]->key};

		if (!is_known(parent, node->items[i]->key))
			report_unknown(parent, node->items[i], &inner, problems);
	}
}

void loader_fill(struct config *config, const struct node *root, struct problems *problems)
{
	load_members(NULL, root, config, NULL, problems);
}

static void release_text(const struct config_key *key, void *base)
{
	char *text;

	memcpy(&text, field_of(key, base), sizeof(text));
	if (text && key->type == KEY_SECRET)
		explicit_bzero(text, strlen(text));
	free(text);
}

static void release_members(const struct config_key *parent, void *base);

static void release_items(const struct config_key *key, void *base)
{
	char *items;
	size_t count;

	memcpy(&items, field_of(key, base), sizeof(items));
	memcpy(&count, (char *)base + key->count_offset, sizeof(count));
	for (size_t i = 0; i < count; i++) {
		char *name;

		if (key->type == KEY_MAP) {
			memcpy(&name, items + i * key->item_size, sizeof(name));
			free(name);
		}
		release_members(key, items + i * key->item_size);
	}
	free(items);
}

static void release_members(const struct config_key *parent, void *base)
{
	for (const struct config_key *key = config_key_next(parent, NULL); key;
	     key = config_key_next(parent, key)) {
		if (key->later)
			continue;
		if (value_is_text(key->type))
			release_text(key, base);
		else if (key->type == KEY_LIST)
			string_list_release(field_of(key, base));
		else if (key->type == KEY_SECTION)
			release_members(key, base);
		else if (key->type == KEY_MAP || key->type == KEY_ITEMS)
			release_items(key, base);
	}
}

void loader_release(struct config *config)
{
	release_members(NULL, config);
}
