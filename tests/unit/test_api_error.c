#include "tests/support/support.h"

#include "server/base/buf.h"
#include "server/base/json.h"
#include "server/oci/api_error.h"

#include <string.h>

static void every_code_has_its_own_name(void **state)
{
	(void)state;
	for (int a = 0; a <= API_UNKNOWN; a++) {
		assert_non_null(api_code_name((enum api_code)a));
		for (int b = 0; b < a; b++)
			assert_string_not_equal(api_code_name((enum api_code)a),
						api_code_name((enum api_code)b));
	}
	assert_string_equal(api_code_name(API_BLOB_UNKNOWN), "BLOB_UNKNOWN");
	assert_string_equal(api_code_name(API_TOOMANYREQUESTS), "TOOMANYREQUESTS");
	assert_string_equal(api_code_name((enum api_code)999), "UNKNOWN");
}

static void body_is_the_specification_s(void **state)
{
	struct buf buf = BUF_INIT(4096);

	(void)state;
	api_error_body(&buf, API_MANIFEST_UNKNOWN, "no such tag", NULL);
	assert_string_equal(buf_string(&buf), "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\","
					      "\"message\":\"no such tag\",\"detail\":null}]}");
	buf_release(&buf);
}

static void hostile_text_stays_text(void **state)
{
	static const char message[] = "a\"},{\"code\":\"X\"\n\x01\xff";
	struct buf buf = BUF_INIT(4096);
	const cJSON *errors;
	cJSON *root = NULL;

	(void)state;
	api_error_body(&buf, API_DENIED, message, "\\\"");
	assert_int_equal(json_parse(buf.data, buf.length, &root, NULL), BW_OK);
	errors = json_member(root, "errors");
	assert_int_equal(cJSON_GetArraySize(errors), 1);
	assert_string_equal(json_string(errors->child, "code"), "DENIED");
	assert_string_equal(json_string(errors->child, "detail"), "\\\"");
	assert_int_equal(strncmp(json_string(errors->child, "message"), message,
				 strlen("a\"},{\"code\":\"X\"\n\x01")),
			 0);
	cJSON_Delete(root);
	buf_release(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_has_its_own_name),
		cmocka_unit_test(body_is_the_specification_s),
		cmocka_unit_test(hostile_text_stays_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
