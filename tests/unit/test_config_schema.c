/*
 * The table, and what is written from it for others to read.
 */
#include "tests/support/config_file.h"

#include "server/base/json.h"
#include "server/base/memory.h"
#include "server/config/config_table.h"
#include "server/config/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The schema of a key, by the names on the way to it. */
static const cJSON *schema_at(const cJSON *root, const char *const *names)
{
	const cJSON *schema = root;

	for (; *names; names++) {
		const char *member = strcmp(*names, "*") == 0    ? "additionalProperties"
				     : strcmp(*names, "[]") == 0 ? "items"
								 : NULL;

		schema = member ? json_member(schema, member)
				: json_member(json_member(schema, "properties"), *names);
		if (!schema)
			return NULL;
	}
	return schema;
}

static cJSON *schema_read(void)
{
	struct buf buf = BUF_INIT(1 << 20);
	cJSON *schema = NULL;

	config_write_schema(&buf);
	assert_int_equal(json_parse(buf.data, buf.length, &schema, NULL), BW_OK);
	buf_release(&buf);
	return schema;
}

#define AT(root, ...) schema_at(root, (const char *const[]){__VA_ARGS__, NULL})

static void the_schema_says_what_the_table_says(void **state)
{
	cJSON *root = schema_read();
	const cJSON *threads = AT(root, "http", "threads");
	const cJSON *ttl = AT(root, "proxy", "upstreams", "*", "manifestTTL");
	uint64_t number;

	(void)state;
	assert_string_equal(json_string(root, "$schema"),
			    "https://json-schema.org/draft/2020-12/schema");
	assert_true(cJSON_IsFalse(json_member(root, "additionalProperties")));
	assert_string_equal(cJSON_GetArrayItem(json_member(root, "required"), 0)->valuestring,
			    "version");
	assert_string_equal(json_string(threads, "type"), "integer");
	assert_true(json_u64(threads, "default", &number));
	assert_int_equal(number, 512);
	assert_string_equal(json_string(ttl, "default"), "10m");
	assert_non_null(json_string(ttl, "pattern"));
	assert_non_null(json_string(ttl, "description"));
	assert_non_null(AT(root, "proxy", "upstreams", "*", "tagTTLs", "[]", "ttl"));
	assert_non_null(AT(root, "credentials", "*", "passwordFile"));
	cJSON_Delete(root);
}

static void the_schema_has_nothing_of_later_versions(void **state)
{
	cJSON *root = schema_read();

	(void)state;
	assert_null(AT(root, "http", "tls"));
	assert_null(AT(root, "credentials", "*", "exec"));
	assert_null(AT(root, "proxy", "upstreams", "*", "accessTTL"));
	assert_int_equal(cJSON_GetArraySize(json_member(
				 AT(root, "proxy", "upstreams", "*", "access"), "enum")),
			 1);
	cJSON_Delete(root);
}

static void every_row_is_complete(void **state)
{
	char field[64];

	(void)state;
	for (const struct config_key *key = config_keys; key->path; key++) {
		struct error error = {0};

		if (!key->help || key->help[strlen(key->help) - 1] != '.')
			fail_msg("%s: its help is no sentence", key->path);
		for (const struct config_key *other = config_keys; other != key; other++)
			if (strcmp(other->path, key->path) == 0)
				fail_msg("%s stands there twice", key->path);
		if (key->later || !key->fallback || !config_key_is_scalar(key))
			continue;
		if (!value_parse(key, key->type, key->fallback, field, &error))
			fail_msg("%s: its default: %s", key->path, error.message);
		if (value_is_text(key->type)) {
			char *text;

			memcpy(&text, field, sizeof(text));
			free(text);
		}
	}
}

static void every_row_hangs_below_another(void **state)
{
	(void)state;
	for (const struct config_key *key = config_keys; key->path; key++) {
		unsigned parents = 0;

		for (const struct config_key *parent = config_keys; parent->path; parent++)
			for (const struct config_key *child = config_key_next(parent, NULL); child;
			     child = config_key_next(parent, child))
				parents += child == key;
		if (parents != (strchr(key->path, '.') ? 1 : 0))
			fail_msg("%s has %u parents", key->path, parents);
	}
}

static void the_markdown_lists_every_supported_key(void **state)
{
	struct buf buf = BUF_INIT(1 << 20);
	const char *text;

	(void)state;
	config_write_markdown(&buf);
	text = buf_string(&buf);
	assert_non_null(strstr(text, "| `proxy.upstreams.*.manifestTTL` | `10m` | "));
	assert_non_null(strstr(text, "| `proxy.upstreams.*.allow` | `[\"**\"]` | "));
	assert_non_null(strstr(text, "| `proxy.upstreams.*.staleOn` | `[network, 5xx, 429]` | "));
	assert_null(strstr(text, "auth.htpasswd"));
	assert_null(strstr(text, "`log`"));
	buf_release(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_schema_says_what_the_table_says),
		cmocka_unit_test(the_schema_has_nothing_of_later_versions),
		cmocka_unit_test(every_row_is_complete),
		cmocka_unit_test(every_row_hangs_below_another),
		cmocka_unit_test(the_markdown_lists_every_supported_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
