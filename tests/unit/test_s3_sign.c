/* Signature V4, held against what AWS publishes: the general test suite, and the
 * examples of S3's documentation ("Signature Calculations for the Authorization
 * Header", "Authenticating Requests: Using Query Parameters"). */
#include "backends/s3/s3_sign.h"
#include "server/base/buf.h"
#include "server/base/memory.h"
#include "tests/support/support.h"

#include <string.h>

#define SUITE_TIME 1440938160000 /* 2015-08-30T12:36:00Z */
#define S3_TIME 1369353600000 /* 2013-05-24T00:00:00Z */
#define S3_HOST "examplebucket.s3.amazonaws.com"

static const struct s3_keys suite_keys = {
	.access_key = "AKIDEXAMPLE",
	.secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
};
static const struct s3_scope suite_scope = {"us-east-1", "service", SUITE_TIME};
static const struct s3_keys s3_keys = {
	.access_key = "AKIAIOSFODNN7EXAMPLE",
	.secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
static const struct s3_scope s3_scope = {"us-east-1", "s3", S3_TIME};

static void assert_signs(const struct s3_signed *request, const struct s3_scope *scope,
			 const struct s3_keys *keys, const char *expected)
{
	struct buf got = BUF_INIT(4096);

	s3_sign(request, scope, keys, &got);
	assert_string_equal(buf_string(&got), expected);
	buf_release(&got);
}

/* ---- the general suite ---- */

#define SUITE_AUTHORIZATION(headers, signature) \
	"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request," \
	"SignedHeaders=" headers ",Signature=" signature

static void assert_suite(const char *method, const char *path, const char *query,
			 const char *signature)
{
	static const struct s3_header headers[] = {
		{"host", "example.amazonaws.com"},
		{"x-amz-date", "20150830T123600Z"},
	};
	struct s3_signed request = {method, path, query, headers, 2, s3_sha256_of_nothing};
	char *expected = xasprintf(SUITE_AUTHORIZATION("host;x-amz-date", "%s"), signature);

	assert_signs(&request, &suite_scope, &suite_keys, expected);
	free(expected);
}

static void the_suite_of_requests_without_a_body(void **state)
{
	(void)state;
	assert_suite("GET", "/", "", /* get-vanilla */
		     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
	assert_suite("GET", "/", "Param1=value1&Param2=value2", /* ...query-order-key-case */
		     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
	assert_suite("GET", "/", "Param1=value1", /* ...empty-query-key */
		     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb");
	assert_suite("POST", "/", "", /* post-vanilla */
		     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
	assert_suite("GET", "/%E1%88%B4", "", /* get-utf8 */
		     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85");
}

/* get-header-value-trim */
static void spaces_of_a_value_count_once(void **state)
{
	static const struct s3_header headers[] = {
		{"host", "example.amazonaws.com"},
		{"my-header1", " value1"},
		{"my-header2", " \"a   b   c\""},
		{"x-amz-date", "20150830T123600Z"},
	};
	struct s3_signed request = {"GET", "/", "", headers, 4, s3_sha256_of_nothing};

	(void)state;
	assert_signs(&request, &suite_scope, &suite_keys,
		     SUITE_AUTHORIZATION(
			     "host;my-header1;my-header2;x-amz-date",
			     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"));
}

/* ---- the examples of S3's documentation ---- */

#define S3_AUTHORIZATION(headers, signature) \
	"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request," \
	"SignedHeaders=" headers ",Signature=" signature

static void an_object_s_range_is_asked_for(void **state)
{
	static const struct s3_header headers[] = {
		{"host", S3_HOST},
		{"range", "bytes=0-9"},
		{"x-amz-content-sha256", s3_sha256_of_nothing},
		{"x-amz-date", "20130524T000000Z"},
	};
	struct s3_signed request = {"GET", "/test.txt", "", headers, 4, s3_sha256_of_nothing};

	(void)state;
	assert_signs(&request, &s3_scope, &s3_keys,
		     S3_AUTHORIZATION(
			     "host;range;x-amz-content-sha256;x-amz-date",
			     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"));
}

static void an_object_is_put(void **state)
{
	static const char payload[] =
		"44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
	static const struct s3_header headers[] = {
		{"date", "Fri, 24 May 2013 00:00:00 GMT"},
		{"host", S3_HOST},
		{"x-amz-content-sha256", payload},
		{"x-amz-date", "20130524T000000Z"},
		{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
	};
	struct s3_signed request = {"PUT", "/test%24file.text", "", headers, 5, payload};

	(void)state;
	assert_signs(&request, &s3_scope, &s3_keys,
		     S3_AUTHORIZATION(
			     "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
			     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

static void a_bucket_is_asked(void **state)
{
	static const struct s3_header headers[] = {
		{"host", S3_HOST},
		{"x-amz-content-sha256", s3_sha256_of_nothing},
		{"x-amz-date", "20130524T000000Z"},
	};
	struct s3_signed request = {"GET", "/", "lifecycle=", headers, 3, s3_sha256_of_nothing};

	(void)state;
	assert_signs(&request, &s3_scope, &s3_keys,
		     S3_AUTHORIZATION(
			     "host;x-amz-content-sha256;x-amz-date",
			     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
	request.query = "max-keys=2&prefix=J";
	assert_signs(&request, &s3_scope, &s3_keys,
		     S3_AUTHORIZATION(
			     "host;x-amz-content-sha256;x-amz-date",
			     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

static void a_url_is_signed(void **state)
{
	struct buf got = BUF_INIT(4096);

	(void)state;
	s3_sign_query(S3_HOST, "/test.txt", 86400, &s3_scope, &s3_keys, &got);
	assert_string_equal(
		buf_string(&got),
		"X-Amz-Algorithm=AWS4-HMAC-SHA256"
		"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
		"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
		"&X-Amz-Signature="
		"aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
	buf_release(&got);
}

static void a_session_token_is_part_of_a_url(void **state)
{
	struct s3_keys keys = s3_keys;
	struct buf got = BUF_INIT(4096);

	(void)state;
	keys.session_token = "a/b+c=";
	s3_sign_query(S3_HOST, "/test.txt", 60, &s3_scope, &keys, &got);
	assert_non_null(strstr(buf_string(&got), "&X-Amz-Security-Token=a%2Fb%2Bc%3D&"));
	buf_release(&got);
}

static void a_date_is_in_utc(void **state)
{
	char date[S3_DATE_SIZE];

	(void)state;
	s3_sign_date(S3_TIME + 999, date);
	assert_string_equal(date, "20130524T000000Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_suite_of_requests_without_a_body),
		cmocka_unit_test(spaces_of_a_value_count_once),
		cmocka_unit_test(an_object_s_range_is_asked_for),
		cmocka_unit_test(an_object_is_put),
		cmocka_unit_test(a_bucket_is_asked),
		cmocka_unit_test(a_url_is_signed),
		cmocka_unit_test(a_session_token_is_part_of_a_url),
		cmocka_unit_test(a_date_is_in_utc),
	};

	return cmocka_run_group_tests_name("s3_sign", tests, NULL, NULL);
}
