/*
 * The table as a JSON schema (draft 2020-12), for editors, charts and CI. It
 * knows names, types and forms; what patterns cannot tell (files, names that
 * must exist, the fine print of hosts and URLs) stays with check-config.
 */
#include "server/config/config.h"

#include "server/base/buf.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/config/config_table.h"
#include "server/config/value.h"

#include <cjson/cJSON.h>
#include <string.h>

#define DIALECT "https://json-schema.org/draft/2020-12/schema"
#define PORT "(:[0-9]{1,5})?"

/* The form of a scalar that is stored as text; NULL: any. */
static const char *pattern_of(enum key_type type)
{
	switch (type) {
	case KEY_SECRET:
	case KEY_PATH:
	case KEY_FILE:
		return "^.+$";
	case KEY_ADDRESS:
		return "^([0-9.]*|\\[[0-9a-fA-F:.]+\\]|localhost):[0-9]{1,5}$";
	case KEY_URL:
		return "^https?://(\\[[0-9a-fA-F:.]+\\]|[A-Za-z0-9_.-]+)" PORT "(/[^?#\\s]*)?$";
	case KEY_ORIGIN:
		return "^https?://(\\[[0-9a-fA-F:.]+\\]|[A-Za-z0-9_.-]+)" PORT "/?$";
	case KEY_HOST:
		return "^[A-Za-z0-9.-]+" PORT "$";
	case KEY_NAME:
		return "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";
	case KEY_PATTERN:
		return "^[a-z0-9._/*-]{1,512}$";
	case KEY_TAGS:
		return "^[A-Za-z0-9._*-]{1,512}$";
	case KEY_DURATION:
		return "^(0|([0-9]+(d|h|m|s|ms))+)$";
	case KEY_SIZE:
		return "^[0-9]+([kMGT]?B|[KMGT]iB)?$";
	default:
		return NULL;
	}
}

static void add_choices(cJSON *schema, const struct key_choice *choices)
{
	cJSON *list = cJSON_AddArrayToObject(schema, "enum");

	for (; choices->name; choices++)
		if (!choices->later)
			cJSON_AddItemToArray(list, cJSON_CreateString(choices->name));
}

/* A path or URL may be "" where that means "not given". */
static void add_pattern(cJSON *schema, enum key_type type, bool may_be_empty)
{
	const char *pattern = pattern_of(type);
	char *optional;

	if (!pattern)
		return;
	if (!may_be_empty) {
		cJSON_AddStringToObject(schema, "pattern", pattern);
		return;
	}
	optional = xasprintf("^$|%s", pattern);
	cJSON_AddStringToObject(schema, "pattern", optional);
	free(optional);
}

static void add_scalar(cJSON *schema, const struct config_key *key, enum key_type type)
{
	if (type == KEY_BOOL) {
		cJSON_AddStringToObject(schema, "type", "boolean");
	} else if (type == KEY_UINT) {
		cJSON_AddStringToObject(schema, "type", "integer");
		cJSON_AddNumberToObject(schema, "minimum", (double)key->min);
		cJSON_AddNumberToObject(schema, "maximum", (double)key->max);
	} else if (type == KEY_CHOICE) {
		add_choices(schema, key->choices);
	} else {
		cJSON_AddStringToObject(schema, "type", "string");
		add_pattern(schema, type, key->may_be_empty);
	}
}

static cJSON *default_scalar(const struct config_key *key)
{
	uint64_t number;

	if (key->type == KEY_BOOL)
		return cJSON_CreateBool(strcmp(key->fallback, "true") == 0);
	if (key->type == KEY_UINT && str_parse_u64(key->fallback, strlen(key->fallback), &number))
		return cJSON_CreateNumber((double)number);
	return cJSON_CreateString(key->fallback);
}

static cJSON *default_list(const char *text)
{
	cJSON *list = cJSON_CreateArray();

	while (*text) {
		size_t length = strcspn(text, " ");
		char *item = xstrndup(text, length);

		cJSON_AddItemToArray(list, cJSON_CreateString(item));
		free(item);
		text += length + strspn(text + length, " ");
	}
	return list;
}

/* A list of scalars. `429` among them is a number to YAML and a word to us. */
static void add_list(cJSON *schema, const struct config_key *key)
{
	cJSON *items;

	cJSON_AddStringToObject(schema, "type", "array");
	items = cJSON_AddObjectToObject(schema, "items");
	if (key->type == KEY_LIST) {
		add_scalar(items, key, key->item);
		return;
	}
	add_choices(items, key->choices);
	for (const struct key_choice *choice = key->choices; choice->name; choice++) {
		uint64_t number;

		if (str_parse_u64(choice->name, strlen(choice->name), &number))
			cJSON_AddItemToArray(cJSON_GetObjectItem(items, "enum"),
					     cJSON_CreateNumber((double)number));
	}
}

static cJSON *schema_of(const struct config_key *key);

/* A map of the fixed keys below `parent`. */
static void add_object(cJSON *schema, const struct config_key *parent)
{
	cJSON *properties;
	cJSON *required = cJSON_CreateArray();

	cJSON_AddStringToObject(schema, "type", "object");
	cJSON_AddBoolToObject(schema, "additionalProperties", false);
	properties = cJSON_AddObjectToObject(schema, "properties");
	for (const struct config_key *key = config_key_next(parent, NULL); key;
	     key = config_key_next(parent, key)) {
		if (key->later)
			continue;
		cJSON_AddItemToObject(properties, config_key_name(key), schema_of(key));
		if (key->required)
			cJSON_AddItemToArray(required, cJSON_CreateString(config_key_name(key)));
	}
	if (cJSON_GetArraySize(required) > 0)
		cJSON_AddItemToObject(schema, "required", required);
	else
		cJSON_Delete(required);
}

/* The same, or null: everything below a key may be commented out. */
static cJSON *nullable(cJSON *schema)
{
	const char *types[] = {cJSON_GetStringValue(cJSON_GetObjectItem(schema, "type")), "null"};

	cJSON_ReplaceItemInObjectCaseSensitive(schema, "type", cJSON_CreateStringArray(types, 2));
	return schema;
}

static void add_section(cJSON *schema, const struct config_key *key)
{
	cJSON *either;
	cJSON *object;

	if (!key->word) {
		add_object(schema, key);
		nullable(schema);
		return;
	}
	object = cJSON_CreateObject();
	add_object(object, key);
	either = cJSON_AddArrayToObject(schema, "oneOf");
	cJSON_AddItemToArray(either, nullable(object));
	object = cJSON_CreateObject();
	cJSON_AddStringToObject(object, "const", key->word);
	cJSON_AddItemToArray(either, object);
}

static void add_items(cJSON *schema, const struct config_key *key)
{
	cJSON *item;

	if (key->type == KEY_MAP) {
		cJSON *names;

		cJSON_AddStringToObject(schema, "type", "object");
		names = cJSON_AddObjectToObject(schema, "propertyNames");
		add_pattern(names, key->item, false);
		item = cJSON_AddObjectToObject(schema, "additionalProperties");
	} else {
		cJSON_AddStringToObject(schema, "type", "array");
		item = cJSON_AddObjectToObject(schema, "items");
	}
	add_object(item, key);
	if (key->type == KEY_MAP)
		nullable(item);
	nullable(schema);
}

static cJSON *schema_of(const struct config_key *key)
{
	cJSON *schema = cJSON_CreateObject();

	cJSON_AddStringToObject(schema, "description", key->help);
	if (config_key_is_scalar(key))
		add_scalar(schema, key, key->type);
	else if (key->type == KEY_LIST || key->type == KEY_FLAGS)
		add_list(schema, key);
	else if (key->type == KEY_SECTION)
		add_section(schema, key);
	else
		add_items(schema, key);
	if (key->fallback)
		cJSON_AddItemToObject(schema, "default",
				      config_key_is_scalar(key) ? default_scalar(key)
								: default_list(key->fallback));
	return schema;
}

void config_write_schema(struct buf *buf)
{
	cJSON *schema = cJSON_CreateObject();
	char *text;

	cJSON_AddStringToObject(schema, "$schema", DIALECT);
	cJSON_AddStringToObject(schema, "title", "Breakwater's configuration");
	add_object(schema, NULL);
	text = cJSON_Print(schema);
	buf_append_string(buf, text ? text : "");
	buf_append_char(buf, '\n');
	cJSON_free(text);
	cJSON_Delete(schema);
}
