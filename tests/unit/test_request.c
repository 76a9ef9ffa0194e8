#include "server/base/arena.h"
#include "server/http/request.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

struct fixture {
	struct arena arena;
	struct request_head head;
	struct request request;
	struct api_failure failure;
};

static int setup(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){
		.head = {.method = "GET", .target = "/v2/", .version = "1.1", .exact = true},
	};
	arena_init(&fixture.arena, 64 * 1024);
	fixture.head.fields[fixture.head.field_count++] = (struct head_field){"Host", "x"};
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	arena_release(&fixture->arena);
	return 0;
}

static void add(struct fixture *fixture, const char *name, const char *value)
{
	fixture->head.fields[fixture->head.field_count++] = (struct head_field){name, value};
}

static bool parse(struct fixture *fixture)
{
	return request_parse(&fixture->head, &fixture->arena, &fixture->request, &fixture->failure);
}

static void assert_accepted(struct fixture *fixture)
{
	if (!parse(fixture))
		fail_msg("%s: %s", fixture->head.target, fixture->failure.message);
}

static void assert_refused_with(struct fixture *fixture, int http_status)
{
	if (parse(fixture))
		fail_msg("%s was accepted", fixture->head.target);
	assert_int_equal(fixture->failure.http_status, http_status);
	assert_true(strlen(fixture->failure.message) > strlen("bad request: "));
	assert_true(fixture->request.id[0]);
}

static void assert_refused(struct fixture *fixture)
{
	assert_refused_with(fixture, 400);
}

static void decodes_the_path(void **state)
{
	static const char *const cases[][2] = {
		{"/v2/", "/v2/"},
		{"/", "/"},
		{"/v2/a/manifests/1", "/v2/a/manifests/1"},
		{"/v2/a/blobs/sha256%3Aab", "/v2/a/blobs/sha256:ab"},
		{"/v2/a%2db/x", "/v2/a-b/x"},
		{"/%41%c3%a9", "/A\xc3\xa9"},
		{"/a+b", "/a+b"},
		{"http://host/v2/x", "/v2/x"},
		{"https://host:5000/", "/"},
		{"/v2/...", "/v2/..."},
		{"/v2/?", "/v2/"},
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fixture->head.target = cases[i][0];
		assert_accepted(fixture);
		assert_string_equal(fixture->request.path, cases[i][1]);
	}
}

static void refuses_targets_that_mean_two_things(void **state)
{
	static const char *const targets[] = {"",
					      "*",
					      "v2/",
					      "v2",
					      "//v2/",
					      "/v2//x",
					      "/v2/./x",
					      "/v2/../x",
					      "/..",
					      "/.",
					      "/v2/%2e%2e/x",
					      "/v2/%2E/x",
					      "/v2/a%2fb",
					      "/v2/a%2Fb",
					      "/%00",
					      "/v2/a%0d%0a",
					      "/%7f",
					      "/%1f",
					      "/%",
					      "/%4",
					      "/%zz",
					      "/%4g",
					      "/a#b",
					      "/a b",
					      "/a\\b",
					      "/a\"b",
					      "/a<b",
					      "/a|b",
					      "/a^b",
					      "/a`b",
					      "/\xc3\xa9",
					      "/\x80",
					      "/\x01",
					      "/\x7f",
					      "http://",
					      "http:///v2/",
					      "ftp://h/v2/",
					      "http://h",
					      "http://h?x",
					      "http://h#/x",
					      "h:80",
					      "/v2/?a=%00",
					      "/v2/?a=%",
					      "/v2/?a=#b",
					      "/v2/?a=b c",
					      "/v2/?n=1&n=2",
					      "/v2/?%6e=1&n=2",
					      "/v2/?\x80=1",
					      "http://a b/v2/",
					      "http://u@h/v2/"};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		fixture->head.target = targets[i];
		assert_refused(fixture);
	}
}

static void reads_the_query(void **state)
{
	struct fixture *fixture = *state;

	fixture->head.target = "/v2/x?ns=docker.io&n=10&last=a%2fb+c&flag&&empty=&a=b=c&%71=r";
	assert_accepted(fixture);
	assert_string_equal(fixture->request.path, "/v2/x");
	assert_string_equal(request_parameter(&fixture->request, "ns"), "docker.io");
	assert_string_equal(request_parameter(&fixture->request, "n"), "10");
	assert_string_equal(request_parameter(&fixture->request, "last"), "a/b c");
	assert_string_equal(request_parameter(&fixture->request, "flag"), "");
	assert_string_equal(request_parameter(&fixture->request, "empty"), "");
	assert_string_equal(request_parameter(&fixture->request, "a"), "b=c");
	assert_string_equal(request_parameter(&fixture->request, "q"), "r");
	assert_null(request_parameter(&fixture->request, "none"));
	assert_null(request_parameter(&fixture->request, "NS"));
}

static void limits_the_query(void **state)
{
	struct fixture *fixture = *state;
	char target[1024] = "/v2/?a0=1";

	for (int i = 1; i < REQUEST_MAX_PARAMETERS; i++)
		snprintf(target + strlen(target), sizeof(target) - strlen(target), "&a%d=1", i);
	fixture->head.target = target;
	assert_accepted(fixture);
	snprintf(target + strlen(target), sizeof(target) - strlen(target), "&b=1");
	assert_refused_with(fixture, 414);
}

static void tags_may_come_in_numbers(void **state)
{
	struct fixture *fixture = *state;
	const char *values[3] = {NULL, NULL, "untouched"};

	fixture->head.target = "/v2/a/manifests/x?tag=1&n=5&tag=1.2&tag=a%2bb";
	assert_accepted(fixture);
	assert_int_equal(request_parameters(&fixture->request, "tag", values, 2), 3);
	assert_string_equal(values[0], "1");
	assert_string_equal(values[1], "1.2");
	assert_string_equal(values[2], "untouched");
	assert_int_equal(request_parameters(&fixture->request, "tag", values, 3), 3);
	assert_string_equal(values[2], "a+b");
	assert_string_equal(request_parameter(&fixture->request, "tag"), "1");
	assert_int_equal(request_parameters(&fixture->request, "none", values, 3), 0);
}

static void a_target_beyond_the_arena_is_refused(void **state)
{
	struct fixture *fixture = *state;

	arena_release(&fixture->arena);
	arena_init(&fixture->arena, 32);
	fixture->head.target = "/v2/a-name-that-needs-more-than-there-is/manifests/1";
	assert_refused(fixture);
}

/* Each row: fields that are added to a good request. */
static const struct head_field bad_fields[][3] = {
	{{"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}},
	{{"Content-Length", "5"}, {"Content-Length", "5"}},
	{{"content-length", "5"}, {"CONTENT-LENGTH", "6"}},
	{{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}},
	{{"Content-Length", "5junk"}},
	{{"Content-Length", ""}},
	{{"Content-Length", "+5"}},
	{{"Content-Length", "-5"}},
	{{"Content-Length", "5 "}},
	{{"Content-Length", "5, 5"}},
	{{"Content-Length", "0x5"}},
	{{"Content-Length", "9223372036854775808"}},
	{{"Content-Length", "99999999999999999999"}},
	{{"Transfer-Encoding", "identity"}},
	{{"Transfer-Encoding", "gzip, chunked"}},
	{{"Transfer-Encoding", "chunked, chunked"}},
	{{"Transfer-Encoding", ""}},
	{{"Host", "y"}},
	{{"hOST", "x"}},
	{{"", "x"}},
	{{"X Thing", "x"}},
	{{"X(Thing)", "x"}},
	{{"X-Thing\x80", "x"}},
	{{"X-Thing", "a\x01"
		     "b"}},
	{{"X-Thing", "a\x7f"
		     "b"}},
	{{"X-Thing", "a\rb"}},
	{{"X-Thing", "a\nb"}},
};

static void refuses_fields_that_mean_two_things(void **state)
{
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(bad_fields) / sizeof(bad_fields[0]); i++) {
		fixture->head.field_count = 1;
		for (size_t j = 0; j < 3 && bad_fields[i][j].name; j++)
			add(fixture, bad_fields[i][j].name, bad_fields[i][j].value);
		if (parse(fixture))
			fail_msg("row %zu (%s: %s) was accepted", i, bad_fields[i][0].name,
				 bad_fields[i][0].value);
	}
}

static void takes_honest_bodies(void **state)
{
	struct fixture *fixture = *state;

	assert_accepted(fixture);
	assert_false(fixture->request.has_body);
	assert_true(fixture->request.has_length);
	add(fixture, "Content-Length", "0");
	assert_accepted(fixture);
	assert_false(fixture->request.has_body);
	assert_true(fixture->request.has_length);
	assert_int_equal(fixture->request.length, 0);
	fixture->head.fields[1].value = "9223372036854775807";
	assert_accepted(fixture);
	assert_true(fixture->request.has_body);
	assert_int_equal(fixture->request.length, INT64_MAX);
	fixture->head.fields[1] = (struct head_field){"Transfer-Encoding", "Chunked"};
	assert_accepted(fixture);
	assert_true(fixture->request.has_body);
	assert_false(fixture->request.has_length);
	fixture->head.version = "1.0";
	assert_refused(fixture);
}

static void expects_nothing_but_to_continue(void **state)
{
	struct fixture *fixture = *state;

	add(fixture, "Expect", "100-Continue");
	assert_accepted(fixture);
	assert_false(fixture->request.expects_continue); /* there is no body */
	add(fixture, "Content-Length", "5");
	assert_accepted(fixture);
	assert_true(fixture->request.expects_continue);
	fixture->head.fields[1].value = "something-else";
	assert_refused_with(fixture, 417);
	fixture->head.fields[1].value = "100-continue, 100-continue";
	assert_refused_with(fixture, 417);
	fixture->head.fields[1].value = "";
	assert_refused_with(fixture, 417);
	fixture->head.version = "1.0"; /* knows no such thing */
	assert_accepted(fixture);
	assert_false(fixture->request.expects_continue);
}

static void the_host_is_one_and_a_name(void **state)
{
	static const char *const bad[] = {"", "a b", "a/b", "a@b", "a,b", "a%2eb", "a\xc3\xa9"};
	static const char *const good[] = {"docker.io", "127.0.0.1:5000", "[::1]:5000", "A_b-c"};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fixture->head.fields[0].value = bad[i];
		assert_refused(fixture);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		fixture->head.fields[0].value = good[i];
		assert_accepted(fixture);
		assert_string_equal(fixture->request.host, good[i]);
	}
	fixture->head.field_count = 0;
	assert_refused(fixture);
	fixture->head.version = "1.0";
	assert_accepted(fixture);
	assert_null(fixture->request.host);
}

static void an_absolute_target_goes_before_the_host(void **state)
{
	struct fixture *fixture = *state;

	fixture->head.target = "http://quay.io:80/v2/";
	assert_accepted(fixture);
	assert_string_equal(fixture->request.host, "quay.io:80");
}

static void a_head_that_was_cut_wrongly_is_refused(void **state)
{
	struct fixture *fixture = *state;

	fixture->head.exact = false;
	assert_refused(fixture);
}

static void keeps_a_sane_id(void **state)
{
	struct fixture *fixture = *state;
	char long_id[REQUEST_ID_MAX + 2];
	const char *const bad[] = {"", "a b", "a\"b", "a\x1b[31m", "a/b", long_id};

	add(fixture, "x-request-id", "Build_7.retry-2");
	assert_accepted(fixture);
	assert_string_equal(fixture->request.id, "Build_7.retry-2");
	memset(long_id, 'a', sizeof(long_id));
	long_id[REQUEST_ID_MAX + 1] = '\0';
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fixture->head.fields[1].value = bad[i];
		parse(fixture);
		assert_int_equal(strlen(fixture->request.id), 32);
		assert_int_equal(strspn(fixture->request.id, "0123456789abcdef"), 32);
	}
	long_id[REQUEST_ID_MAX] = '\0';
	assert_accepted(fixture);
	assert_string_equal(fixture->request.id, long_id);
}

static void makes_another_id_each_time(void **state)
{
	struct fixture *fixture = *state;
	char first[REQUEST_ID_MAX + 1];

	assert_accepted(fixture);
	memcpy(first, fixture->request.id, sizeof(first));
	assert_accepted(fixture);
	assert_string_not_equal(fixture->request.id, first);
}

static void knows_methods_by_their_exact_name(void **state)
{
	struct fixture *fixture = *state;

	assert_accepted(fixture);
	assert_int_equal(fixture->request.method, METHOD_GET);
	fixture->head.method = "get";
	assert_accepted(fixture);
	assert_int_equal(fixture->request.method, METHOD_OTHER);
	assert_string_equal(method_name(METHOD_OTHER), "other");
	assert_string_equal(method_name(METHOD_HEAD), "HEAD");
}

static void finds_fields_in_any_case(void **state)
{
	struct fixture *fixture = *state;

	add(fixture, "rAnGe", "bytes=0-1");
	add(fixture, "Range", "bytes=5-6");
	assert_accepted(fixture);
	assert_string_equal(request_header(&fixture->request, "Range"), "bytes=0-1");
	assert_null(request_header(&fixture->request, "Rang"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(decodes_the_path),
		TEST(refuses_targets_that_mean_two_things),
		TEST(reads_the_query),
		TEST(limits_the_query),
		TEST(tags_may_come_in_numbers),
		TEST(a_target_beyond_the_arena_is_refused),
		TEST(refuses_fields_that_mean_two_things),
		TEST(takes_honest_bodies),
		TEST(expects_nothing_but_to_continue),
		TEST(the_host_is_one_and_a_name),
		TEST(an_absolute_target_goes_before_the_host),
		TEST(a_head_that_was_cut_wrongly_is_refused),
		TEST(keeps_a_sane_id),
		TEST(makes_another_id_each_time),
		TEST(knows_methods_by_their_exact_name),
		TEST(finds_fields_in_any_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
