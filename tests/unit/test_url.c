/* Origins decide who gets a credential, and resolving decides where a redirect
 * leads: what is doubtful must be refused. */
#include "server/upstream/url.h"

#include "server/base/memory.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

static void origins_have_scheme_host_and_port(void **state)
{
	static const char *const cases[][2] = {
		{"https://quay.io", "https://quay.io:443"},
		{"https://quay.io/", "https://quay.io:443"},
		{"HTTPS://Quay.IO/v2/a?b#c", "https://quay.io:443"},
		{"http://127.0.0.1", "http://127.0.0.1:80"},
		{"http://localhost:5000/path", "http://localhost:5000"},
		{"https://[::1]:8443/", "https://[::1]:8443"},
		{"https://quay%2eio/", "https://quay.io:443"},
		{"https://quay.io:0443/", "https://quay.io:443"},
	};
	char origin[URL_ORIGIN_SIZE];

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		assert_true(url_origin(cases[i][0], origin, sizeof(origin)));
		assert_string_equal(origin, cases[i][1]);
	}
}

static void what_has_no_origin(void **state)
{
	static const char *const cases[] = {
		"",
		"quay.io",
		"//quay.io",
		"https:quay.io",
		"https:/quay.io",
		"https:///quay.io",
		"https://",
		"https://user@quay.io",
		"https://user:secret@quay.io/",
		"https://quay.io@evil.example/",
		"https://quay.io\\@evil.example/",
		"https://quay.io /",
		" https://quay.io",
		"https://quay.io/\r\nX: y",
		"https://quay.io/\x7f",
		"https://qu\xc3\xa4y.io/",
		"https://quay.io:99999/",
		"https://quay.io:port/",
		"https://[fe80::1%25eth0]/",
		"file:///etc/passwd",
		"ftp://quay.io/",
		"gopher://quay.io/",
		"httpsx://quay.io/",
	};
	char origin[URL_ORIGIN_SIZE] = "untouched";

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		if (url_origin(cases[i], origin, sizeof(origin)))
			fail_msg("\"%s\" has the origin %s", cases[i], origin);
	}
	assert_string_equal(origin, "untouched");
}

static void an_origin_that_does_not_fit_is_no_origin(void **state)
{
	char small[8];

	(void)state;
	assert_false(url_origin("https://quay.io", small, sizeof(small)));
}

static void same_origin_compares_all_three(void **state)
{
	(void)state;
	assert_true(url_same_origin("https://a.example/x", "https://A.example:443/y"));
	assert_false(url_same_origin("https://a.example", "http://a.example"));
	assert_false(url_same_origin("https://a.example", "https://a.example:8443"));
	assert_false(url_same_origin("https://a.example", "https://a.example.evil"));
	assert_false(url_same_origin("https://a.example", "https://b.a.example"));
	assert_false(url_same_origin("nonsense", "nonsense"));
	assert_true(url_is_https("https://a.example"));
	assert_false(url_is_https("http://a.example"));
	assert_false(url_is_https("a.example"));
}

static void locations_resolve(void **state)
{
	static const char *const cases[][3] = {
		{"https://a.example/v2/x/blobs/y", "https://cdn.example/z?sig=a%2fb",
		 "https://cdn.example/z?sig=a%2fb"},
		{"https://a.example/v2/x", "https://cdn.example/z#part", "https://cdn.example/z"},
		{"https://a.example/v2/x", "https://cdn.example/a/./b/../c",
		 "https://cdn.example/a/./b/../c"},
		{"https://a.example/v2/x/blobs/y", "/other?q=1", "https://a.example/other?q=1"},
		{"https://a.example/v2/x/blobs/y", "z", "https://a.example/v2/x/blobs/z"},
		{"https://a.example/v2/x/blobs/y", "../z", "https://a.example/v2/x/z"},
		{"https://a.example/v2/x", "//b.example/z", "https://b.example/z"},
		{"https://a.example:8443/v2/x", "/z", "https://a.example:8443/z"},
		{"http://a.example/v2/x", "http://b.example/z", "http://b.example/z"},
		{"http://a.example/v2/x", "https://b.example/z", "https://b.example/z"},
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct error error = {0};
		char *url = NULL;

		if (url_resolve(cases[i][0], cases[i][1], &url, &error) != BW_OK)
			fail_msg("%s: %s", cases[i][1], error.message);
		assert_string_equal(url, cases[i][2]);
		free(url);
	}
}

static void locations_that_lead_nowhere(void **state)
{
	static const char *const cases[][2] = {
		{"https://a.example/v2/x", ""},
		{"https://a.example/v2/x", "http://a.example/v2/x"},
		{"https://a.example/v2/x", "HTTP://b.example/"},
		{"https://a.example/v2/x", "file:///etc/passwd"},
		{"https://a.example/v2/x", "ftp://b.example/"},
		{"https://a.example/v2/x", "javascript:alert(1)"},
		{"https://a.example/v2/x", "https:b.example"},
		{"https://a.example/v2/x", "https:/b.example"},
		{"https://a.example/v2/x", "https:///b.example"},
		{"https://a.example/v2/x", "https://user:secret@b.example/"},
		{"https://a.example/v2/x", "//user@b.example/"},
		{"https://a.example/v2/x", "https://b.example/a b"},
		{"https://a.example/v2/x", "/a\r\nHost: evil"},
		{"https://a.example/v2/x", "\\\\evil\\share"},
		{"https://a.example/v2/x", "https://b.example:99999/"},
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct error error = {0};
		char *url = NULL;

		if (url_resolve(cases[i][0], cases[i][1], &url, &error) != BW_INVALID)
			fail_msg("\"%s\" was accepted", cases[i][1]);
		assert_null(url);
		assert_true(error.message[0] != '\0');
		assert_null(strstr(error.message, "secret"));
	}
}

static void a_location_has_a_longest_length(void **state)
{
	char *location = xmalloc(URL_MAX + 2);
	char *url = NULL;

	(void)state;
	memset(location, 'a', URL_MAX + 1);
	location[0] = '/';
	location[URL_MAX + 1] = '\0';
	assert_int_equal(url_resolve("https://a.example/", location, &url, NULL), BW_INVALID);
	location[URL_MAX - 20] = '\0';
	assert_int_equal(url_resolve("https://a.example/", location, &url, NULL), BW_OK);
	free(url);
	free(location);
}

static void people_see_no_secrets(void **state)
{
	static const char *const cases[][2] = {
		{"https://a.example/b?X-Amz-Signature=1", "https://a.example/b"},
		{"https://a.example/b#f", "https://a.example/b"},
		{"https://user:secret@a.example/b?c", "https://a.example/b"},
		{"https://a@b:c@a.example/b", "https://a.example/b"},
		{"https://a.example/b@sha256", "https://a.example/b@sha256"},
		{"https://a.example?u=x@y", "https://a.example"},
		{"not a url?secret", "not a url"},
		{"path?next=https://user:secret@a.example", "path"},
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		url_for_people(cases[i][0], text, sizeof(text));
		assert_string_equal(text, cases[i][1]);
	}
	url_for_people("https://a.example/long", text, 10);
	assert_string_equal(text, "https://a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(origins_have_scheme_host_and_port),
		cmocka_unit_test(what_has_no_origin),
		cmocka_unit_test(an_origin_that_does_not_fit_is_no_origin),
		cmocka_unit_test(same_origin_compares_all_three),
		cmocka_unit_test(locations_resolve),
		cmocka_unit_test(locations_that_lead_nowhere),
		cmocka_unit_test(a_location_has_a_longest_length),
		cmocka_unit_test(people_see_no_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
