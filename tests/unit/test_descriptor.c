#include "server/base/json.h"
#include "server/base/memory.h"
#include "server/oci/descriptor.h"
#include "server/oci/media_type.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

#define DIGEST "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SIZED "\"digest\":\"" DIGEST "\",\"size\":0"
#define SUBJECT "\"subject\":{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\"," SIZED "}"
#define CONFIG(type) "\"config\":{\"mediaType\":\"" type "\"," SIZED "}"
#define IMAGE(config_type, more) \
	"{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST \
	"\"," CONFIG(config_type) ",\"layers\":[]," SUBJECT more "}"

/* The caller frees it. */
static char *describe(const char *body, const char *media_type)
{
	struct manifest parsed = {0};
	struct digest digest;
	struct error error = {0};
	char *json = NULL;

	assert_int_equal(manifest_parse(body, strlen(body), media_type, &parsed, NULL), BW_OK);
	assert_true(digest_parse(DIGEST, strlen(DIGEST), &digest));
	assert_int_equal(referrer_descriptor(body, strlen(body), parsed.media_type, &digest,
					     &parsed, &json, &error),
			 BW_OK);
	assert_int_equal(error.code, BW_OK);
	manifest_release(&parsed);
	return json;
}

static void assert_described(const char *body, const char *rest)
{
	char *json = describe(body, NULL);
	char *expected =
		xasprintf("{\"mediaType\":\"%s\",\"digest\":\"" DIGEST "\",\"size\":%zu%s}",
			  strstr(body, MEDIA_OCI_INDEX) ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST,
			  strlen(body), rest);

	assert_string_equal(json, expected);
	free(expected);
	free(json);
}

static void the_artifact_type_is_the_manifests(void **state)
{
	(void)state;
	assert_described(IMAGE("application/vnd.test.config", ",\"artifactType\":\"a/b\""),
			 ",\"artifactType\":\"a/b\"");
}

static void or_else_the_configs(void **state)
{
	(void)state;
	assert_described(IMAGE("application/vnd.test.config", ""),
			 ",\"artifactType\":\"application/vnd.test.config\"");
	assert_described(IMAGE("application/vnd.test.config", ",\"artifactType\":\"\""),
			 ",\"artifactType\":\"application/vnd.test.config\"");
}

static void an_index_need_not_have_one(void **state)
{
	(void)state;
	assert_described("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX
			 "\",\"manifests\":[]," SUBJECT "}",
			 "");
	assert_described("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX
			 "\",\"manifests\":[],\"artifactType\":\"a/b\"," SUBJECT "}",
			 ",\"artifactType\":\"a/b\"");
}

static void annotations_are_the_manifests(void **state)
{
	(void)state;
	assert_described(
		IMAGE("a/b",
		      ",\"annotations\":{\"k\":\"v\",\"quote\\\"d\":\"line\\nend\",\"\":\"\"}"),
		",\"artifactType\":\"a/"
		"b\",\"annotations\":{\"k\":\"v\",\"quote\\\"d\":\"line\\nend\","
		"\"\":\"\"}");
}

/* One that no client can decode would take the whole list with it. */
static void what_is_no_annotation_is_left_out(void **state)
{
	static const char *const annotations[] = {
		"",
		",\"annotations\":null",
		",\"annotations\":{}",
		",\"annotations\":[\"k\"]",
		",\"annotations\":7",
		",\"annotations\":{\"k\":1,\"l\":null,\"m\":{\"n\":\"o\"}}",
		",\"annotations\":{\"k\":\"v\"},\"annotations\":{\"k\":\"w\"}",
	};

	(void)state;
	for (size_t i = 0; i < array_size(annotations); i++) {
		char *body = xasprintf("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST
				       "\"," CONFIG("a/b") ",\"layers\":[]," SUBJECT "%s}",
				       annotations[i]);

		assert_described(body, ",\"artifactType\":\"a/b\"");
		free(body);
	}
	assert_described(IMAGE("a/b", ",\"annotations\":{\"k\":1,\"l\":\"m\"}"),
			 ",\"artifactType\":\"a/b\",\"annotations\":{\"l\":\"m\"}");
}

static void what_it_says_is_json(void **state)
{
	char *json = describe(IMAGE("a\\\"b", ",\"annotations\":{\"\\u0001\":\"\\u2028 \\\\ /\"}"),
			      NULL);
	cJSON *parsed = NULL;

	(void)state;
	assert_int_equal(json_parse(json, strlen(json), &parsed, NULL), BW_OK);
	assert_string_equal(json_string(parsed, "artifactType"), "a\"b");
	assert_string_equal(json_string(json_member(parsed, "annotations"), "\x01"),
			    "\xe2\x80\xa8 \\ /");
	cJSON_Delete(parsed);
	free(json);
}

static void another_body_is_refused(void **state)
{
	static const char *const bodies[] = {"", "{", "[]", "\"text\"", "{}x"};
	struct manifest parsed = {0};
	struct digest digest;

	(void)state;
	assert_true(digest_parse(DIGEST, strlen(DIGEST), &digest));
	for (size_t i = 0; i < array_size(bodies); i++) {
		struct error error = {0};
		char *json = NULL;

		assert_int_equal(referrer_descriptor(bodies[i], strlen(bodies[i]),
						     MEDIA_OCI_MANIFEST, &digest, &parsed, &json,
						     &error),
				 BW_INVALID);
		assert_null(json);
		assert_int_equal(error.code, BW_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_artifact_type_is_the_manifests),
		cmocka_unit_test(or_else_the_configs),
		cmocka_unit_test(an_index_need_not_have_one),
		cmocka_unit_test(annotations_are_the_manifests),
		cmocka_unit_test(what_is_no_annotation_is_left_out),
		cmocka_unit_test(what_it_says_is_json),
		cmocka_unit_test(another_body_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
