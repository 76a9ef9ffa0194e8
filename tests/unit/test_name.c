#include "tests/support/support.h"

#include "server/oci/name.h"

#include <string.h>

static bool repository(const char *name)
{
	return repository_name_valid(name, strlen(name));
}

static bool tag(const char *text)
{
	return tag_valid(text, strlen(text));
}

static const char *host(const char *text)
{
	static char normal[HOST_MAX + 1];

	return host_normalize(text, strlen(text), normal) ? normal : NULL;
}

static void accepts_repositories(void **state)
{
	(void)state;
	assert_true(repository("a"));
	assert_true(repository("0"));
	assert_true(repository("library/alpine"));
	assert_true(repository("docker.io/library/alpine"));
	assert_true(repository("a/b/c/d/e/f/g"));
	assert_true(repository("a.b_c__d-e---f"));
	assert_true(repository("foo--bar/baz__qux"));
}

static void refuses_repositories(void **state)
{
	static const char *const bad[] = {
		"",           "/",         "a/",    "/a",   "a//b",     ".",    "..",   "a/..",
		"../a",       "a/./b",     ".a",    "a.",   "-a",       "a-",   "_a",   "a_",
		"a..b",       "a___b",     "a.-b",  "a_-b", "a-_b",     "A",    "a/B",  "a b",
		"a%2fb",      "a\\b",      "a:b",   "a@b",  "\xc3\xa9", "a\nb", "a\tb", "a*",
		"_manifests", "a/_layers", "a?n=1", "~a",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (repository(bad[i]))
			fail_msg("accepted \"%s\"", bad[i]);
	assert_false(repository_name_valid("a\0b", 3));
}

static void bounds_repositories(void **state)
{
	char name[300];

	(void)state;
	memset(name, 'a', sizeof(name));
	assert_true(repository_name_valid(name, 255));
	assert_false(repository_name_valid(name, 256));
	name[254] = '/';
	assert_false(repository_name_valid(name, 255));
	/* never reads past the length it was given */
	assert_true(repository_name_valid("ab/", 2));
	assert_false(repository_name_valid("a-b", 2));
}

static void checks_tags(void **state)
{
	char longest[130];

	(void)state;
	assert_true(tag("latest"));
	assert_true(tag("_"));
	assert_true(tag("1.2.3-rc.1_x"));
	assert_true(tag("V2"));
	assert_false(tag(""));
	assert_false(tag(".hidden"));
	assert_false(tag("-x"));
	assert_false(tag(".."));
	assert_false(tag("a/b"));
	assert_false(tag("a:b"));
	assert_false(tag("a+b"));
	assert_false(tag("a b"));
	assert_false(tag("\xc3\xa9"));
	assert_false(tag_valid("a\0b", 3));
	memset(longest, 'x', sizeof(longest));
	assert_true(tag_valid(longest, 128));
	assert_false(tag_valid(longest, 129));
}

static void normalizes_hosts(void **state)
{
	(void)state;
	assert_string_equal(host("Docker.IO"), "docker.io");
	assert_string_equal(host("localhost"), "localhost");
	assert_string_equal(host("localhost:5000"), "localhost:5000");
	assert_string_equal(host("127.0.0.1:65535"), "127.0.0.1:65535");
	assert_string_equal(host("xn--bcher-kva.example"), "xn--bcher-kva.example");
	assert_string_equal(host("3.example"), "3.example");
}

static void refuses_hosts(void **state)
{
	static const char *const bad[] = {
		"",        ".",           "a.",         ".a",    "a..b",       "-a.b",
		"a-.b",    "a_b.c",       "a b",        "a/b",   "user@host",  "host:",
		"host:0",  "host:080",    "host:65536", ":80",   "host:80:80", "10.0.0.300",
		"10.0.0",  "1",           "10.0.0.01",  "[::1]", "::1",        "a.1",
		"host:8x", "host:999999", "http://a",   "a%2eb", "\xc3\xa9.b", "host\n",
	};
	char untouched[HOST_MAX + 1] = "before";

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (host(bad[i]))
			fail_msg("accepted \"%s\"", bad[i]);
	assert_false(host_normalize("BAD_HOST", 8, untouched));
	assert_string_equal(untouched, "before");
}

static void bounds_hosts(void **state)
{
	char normal[HOST_MAX + 1];
	char name[300];

	(void)state;
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 50 == 49 ? '.' : 'a';
	assert_true(host_normalize(name, 253, normal));
	assert_false(host_normalize(name, 254, normal));
	memset(name, 'a', 64);
	assert_true(host_normalize(name, 63, normal));
	assert_false(host_normalize(name, 64, normal));
}

static void tells_tags_from_digests(void **state)
{
	static const char digest[] =
		"sha256:"
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	struct reference reference;
	struct reference again;

	(void)state;
	assert_true(reference_parse("v1", 2, &reference));
	assert_false(reference.is_digest);
	assert_string_equal(reference.text, "v1");

	assert_true(reference_parse(digest, strlen(digest), &reference));
	assert_true(reference.is_digest);
	assert_string_equal(reference.text, digest);
	reference_from_digest(&reference.digest, &again);
	assert_true(again.is_digest);
	assert_string_equal(again.text, digest);
	assert_true(digest_equals(&again.digest, &reference.digest));
}

static void refuses_references(void **state)
{
	static const char *const bad[] = {
		"",
		":",
		"sha256:",
		"sha256:abc",
		"sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855x",
		"md5:d41d8cd98f00b204e9800998ecf8427e",
		"../../etc/passwd",
		"a:b",
	};
	struct reference reference = {.text = "before"};
	char huge[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (reference_parse(bad[i], strlen(bad[i]), &reference))
			fail_msg("accepted \"%s\"", bad[i]);
	memset(huge, 'a', sizeof(huge));
	assert_false(reference_parse(huge, sizeof(huge), &reference));
	assert_string_equal(reference.text, "before");
}

static void tells_registries_from_names(void **state)
{
	static const char *const registries[] = {"docker.io/library/alpine",
						 "a.b/c",
						 "localhost/app",
						 "host:5000/app",
						 "10.0.0.1/app",
						 "localhost:5000/app"};
	static const char *const names[] = {
		"app",      "team/app",       "alpine.d", "localhost", "localhosts/app",
		"team/a.b", "team/localhost", "",         "/app",      "a-b/c"};

	(void)state;
	for (size_t i = 0; i < sizeof(registries) / sizeof(registries[0]); i++)
		assert_true(repository_names_registry(registries[i]));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_false(repository_names_registry(names[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_repositories),
		cmocka_unit_test(refuses_repositories),
		cmocka_unit_test(bounds_repositories),
		cmocka_unit_test(checks_tags),
		cmocka_unit_test(normalizes_hosts),
		cmocka_unit_test(refuses_hosts),
		cmocka_unit_test(bounds_hosts),
		cmocka_unit_test(tells_tags_from_digests),
		cmocka_unit_test(tells_registries_from_names),
		cmocka_unit_test(refuses_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
