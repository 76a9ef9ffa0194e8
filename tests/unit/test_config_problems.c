/*
 * Bad configurations: each is refused, with its place and what to do.
 */
#include "tests/support/config_file.h"

#include "server/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bad {
	const char *text; /* after a first line "version: 1" */
	const char *expected;
};

static void check_all(void **state, const struct bad *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		config_case_bad(*state, cases[i].text, cases[i].expected);
}

#define CHECK_ALL(state, cases) check_all(state, cases, array_size(cases))

static void yaml_that_is_none(void **state)
{
	static const struct bad cases[] = {
		{"log:\n\tlevel: info\n", "3:1: a tab; YAML indents with spaces"},
		{"log: {level: info\n",
		 "3:1: not YAML: did not find expected ',' or '}' while parsing a flow mapping "
		 "(line 2)"},
		{"log: \xff\n",
		 "2:6: not YAML: invalid leading UTF-8 octet (a file is UTF-8 text)"},
		{"a: \"\\0\"\n", "2:4: a NUL byte"},
		{"log: &a {level: info}\n",
		 "2:6: anchors and aliases are not supported; write the value out"},
		{"log: *a\n", "2:6: anchors and aliases are not supported; write the value out"},
		{"&a log: {}\n", "2:1: anchors and aliases are not supported; write the value out"},
		{"log: {<<: {level: info}}\n",
		 "2:7: merge keys (\"<<\") are not supported; write the keys out"},
		{"log: !!str info\n",
		 "2:6: tags (\"!...\") are not supported; write the value alone"},
		{"? [a]\n: b\n", "2:3: a key is a word, not a map or a list"},
		{"---\nversion: 1\n", "2:1: a second document; a configuration is one"},
		{"log: {level: info, level: debug}\n",
		 "2:20: level: stands here twice (first in line 2)"},
		{"version: 1\n", "2:1: version: stands here twice (first in line 1)"},
	};

	CHECK_ALL(state, cases);
}

/* What a few lines could blow up to, were aliases followed. */
static void no_billion_laughs(void **state)
{
	config_case_bad(*state, "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
			"2:4: anchors and aliases are not supported; write the value out");
}

static void depth_and_size_have_limits(void **state)
{
	struct config_case *test = *state;
	size_t size = ((size_t)1 << 20) + 1;
	char *huge = xmalloc(size + 1);
	char deep[256] = "log: ";

	memset(deep + 5, '[', 40);
	config_case_bad(test, deep, "2:37: nested too deeply");
	memset(deep + 5, '[', 32 - 2);
	memset(deep + 35, ']', 32 - 2);
	deep[65] = '\0';
	config_case_bad(test, deep, "2:6: log: a map of keys is needed, this is a list");

	memset(huge, '#', size);
	huge[size] = '\0';
	assert_int_equal(config_case_load(test, huge, NULL), BW_INVALID);
	assert_non_null(strstr(buf_string(&test->problems), "larger than 1048576 bytes"));
	free(huge);
}

static void a_file_that_is_not_there(void **state)
{
	struct config_case *test = *state;

	assert_int_equal(config_load("/nowhere/c.yaml", NULL, &test->config, &test->problems),
			 BW_INVALID);
	assert_string_equal(buf_string(&test->problems),
			    "the configuration cannot be read: open /nowhere/c.yaml: No such file "
			    "or directory\n");
}

static void the_version_is_required(void **state)
{
	struct config_case *test = *state;
	static const char *const missing[] = {"", "# nothing\n", "log: {}\n"};

	for (size_t i = 0; i < array_size(missing); i++) {
		assert_int_equal(config_case_load(test, missing[i], NULL), BW_INVALID);
		assert_non_null(strstr(buf_string(&test->problems),
				       ": version: it is missing; write `version: 1`\n"));
	}
	assert_int_equal(config_case_load(test, "version: 2\n", NULL), BW_INVALID);
	assert_non_null(strstr(buf_string(&test->problems),
			       ":1:10: version: \"2\": this version knows only 1\n"));
	assert_int_equal(config_case_load(test, "- version: 1\n", NULL), BW_INVALID);
	assert_non_null(strstr(buf_string(&test->problems), ":1:1: not a map of keys"));
}

static void unknown_keys_say_what_was_meant(void **state)
{
	static const struct bad cases[] = {
		{"proxy:\n  upstreams:\n    docker.io:\n      manifestTtl: 1h\n",
		 "5:7: proxy.upstreams.docker.io.manifestTtl: unknown key; did you mean "
		 "\"manifestTTL\"?"},
		{"LOG: {}\n", "2:1: LOG: unknown key; did you mean \"log\"?"},
		{"http: {adress: x}\n", "2:8: http.adress: unknown key; did you mean \"address\"?"},
		{"storage: {rootDirectory: /x}\n",
		 "2:11: storage.rootDirectory: unknown key; there is "
		 "\"storage.filesystem.rootDirectory\""},
		{"zzzzzzzz: 1\n", "2:1: zzzzzzzz: unknown key"},
		{"\"a\\nb\": 1\n", "2:1: a b: unknown key"},
	};

	CHECK_ALL(state, cases);
}

static void capabilities_of_later_versions_are_refused(void **state)
{
	static const char *const later[] = {
		"http: {tls: {certificateFile: \"\"}}",
		"auth: {htpasswd: {path: /x}}",
		"auth: {policies: []}",
		"auth: {groups: {}}",
		"auth: {token: {enabled: true}}",
		"credentials: {a: {dockerConfigFile: /x}}",
		"credentials: {a: {exec: {command: [x]}}}",
		"proxy: {upstreams: {a.test: {access: upstream}}}",
		"proxy: {upstreams: {a.test: {access: upstream-challenge}}}",
		"proxy: {upstreams: {a.test: {accessTTL: 5m}}}",
		"proxy: {upstreams: {a.test: {accessGrace: 24h}}}",
		"proxy: {upstreams: {a.test: {credentials: [{match: \"**\", use: [anonymous, "
		"x]}]}}}",
	};
	struct config_case *test = *state;

	for (size_t i = 0; i < array_size(later); i++) {
		char *text = xasprintf("version: 1\n%s\n", later[i]);
		const char *line;

		assert_int_equal(config_case_load(test, text, NULL), BW_INVALID);
		line = strstr(buf_string(&test->problems), "not supported yet by this version");
		if (!line || strchr(line, '\n')[1] != '\0')
			fail_msg("%s: %s", later[i], buf_string(&test->problems));
		free(text);
	}
}

static void values_are_typed(void **state)
{
	static const struct bad cases[] = {
		{"log: {level: loud}\n",
		 "2:14: log.level: \"loud\": it is not debug, info, warn, warning or error"},
		{"log: {level: }\n",
		 "2:14: log.level: it has no value; give it one or remove the key"},
		{"log: {level: [info]}\n",
		 "2:14: log.level: a single value is needed, this is a list"},
		{"log: text\n", "2:6: log: a map of keys is needed, this is a single value"},
		{"http: {threads: 1}\n",
		 "2:17: http.threads: \"1\": it is not a whole number from 2 to 16384"},
		{"http: {threads: -5}\n",
		 "2:17: http.threads: \"-5\": it is not a whole number from 2 to 16384"},
		{"http: {threads: 99999999999999999999}\n",
		 "2:17: http.threads: \"99999999999999999999\": it is not a whole number from 2 to "
		 "16384"},
		{"http: {drainTimeout: 30}\n", "2:22: http.drainTimeout: \"30\": it is not a "
					       "duration with a unit, such as 500ms, "
					       "30s, 10m, 1h30m or 7d"},
		{"http: {drainTimeout: 2d}\n",
		 "2:22: http.drainTimeout: \"2d\": it is not between 0s and 1d"},
		{"uploads: 24h\n",
		 "2:10: uploads: a map of keys is needed, this is a single value"},
		{"uploads: {maxAge: 0s}\n",
		 "2:19: uploads.maxAge: \"0s\": it is not between 1s and 365d"},
		{"uploads: {maxAge: 999ms}\n",
		 "2:19: uploads.maxAge: \"999ms\": it is not between 1s and 365d"},
		{"uploads: {maxAge: 366d}\n",
		 "2:19: uploads.maxAge: \"366d\": it is not between 1s and 365d"},
		{"uploads: {checkReferences: some}\n",
		 "2:28: uploads.checkReferences: \"some\": it is not all, blobs or none"},
		{"uploads: {checkReferences: true}\n",
		 "2:28: uploads.checkReferences: \"true\": it is not all, blobs or none"},
		{"uploads: {maxage: 1h}\n",
		 "2:11: uploads.maxage: unknown key; did you mean \"maxAge\"?"},
		{"storage: {filesystem: {rootDirectory: \"\"}}\n",
		 "2:39: storage.filesystem.rootDirectory: \"\": it is empty"},
		{"storage: {filesystem: {rootDirectory: \"a\\nb\"}}\n",
		 "2:39: storage.filesystem.rootDirectory: \"a b\": it has a line break or another "
		 "control character"},
		{"auth: None\n",
		 "2:7: auth: a map of keys or the word none is needed, this is a single value"},
		{"credentials: [a]\n",
		 "2:14: credentials: a map of names is needed, this is a list"},
		{"credentials: {a: b}\n",
		 "2:18: credentials.a: a map of keys is needed, this is a single value"},
		{"credentials: {a b: {username: u, password: p}}\n",
		 "2:15: credentials.a b: \"a b\": a name has letters, digits, '.', '_' and '-'"},
	};

	CHECK_ALL(state, cases);
}

static void addresses_are_checked(void **state)
{
	static const char *const bad[] = {
		"5000",        "localhost",     "127.0.0.1",     "127.0.0.1:", "127.0.0.1:65536",
		"127.0.0.1:x", "127.0.0.256:1", "example.com:1", "::1:5000",   "[::1]",
		"[::g]:1",     "*:1",           " :1",           "1:2:3",      "127.0.0.1:-1",
	};
	struct config_case *test = *state;

	for (size_t i = 0; i < array_size(bad); i++) {
		char *text = xasprintf("version: 1\nhttp: {address: \"%s\"}\n", bad[i]);

		if (config_case_load(test, text, NULL) != BW_INVALID)
			fail_msg("accepted %s", bad[i]);
		free(text);
	}
}

#define UPSTREAM(rest) "proxy: {upstreams: {a.test: " rest "}}\n"

static void urls_are_checked(void **state)
{
	static const char *const bad[] = {
		"",
		"a.test",
		"ftp://a.test",
		"HTTPS://a.test",
		"https://",
		"https:///x",
		"https://u:p@a.test",
		"https://a.test?x",
		"https://a.test/#x",
		"https://a.test:0",
		"https://a.test:99999",
		"https://a.test:",
		"https://a test",
		"https://[::1",
		"https://[::z]",
		"https://a.test/../x",
		"https://a.test//x",
		"https://a.test/<",
		"https://.a",
		"https://a.test\\n",
		"https://a.test/x/..",
	};
	struct config_case *test = *state;

	for (size_t i = 0; i < array_size(bad); i++) {
		char *text = xasprintf("version: 1\n" UPSTREAM("{urls: [\"%s\"]}"), bad[i]);

		if (config_case_load(test, text, NULL) != BW_INVALID)
			fail_msg("accepted %s", bad[i]);
		assert_non_null(strstr(buf_string(&test->problems), "a.test.urls[0]: "));
		free(text);
	}
	config_case_good(test, UPSTREAM("{urls: [\"http://my_host:1/a/b\"]}"));
}

static void secrets_are_never_shown(void **state)
{
	struct config_case *test = *state;

	config_case_bad(test, UPSTREAM("{urls: [\"https://u:hunter2@a.test\"]}"),
			"2:37: proxy.upstreams.a.test.urls[0]: a user or password does not belong "
			"in a URL; use `credentials`");
	assert_null(strstr(buf_string(&test->problems), "hunter2"));
	config_case_bad(test, "credentials: {a: {username: u, password: [hunter2]}}\n",
			"2:42: credentials.a.password: a single value is needed, this is a list");
	assert_null(strstr(buf_string(&test->problems), "hunter2"));
}

static void upstreams_are_checked(void **state)
{
	static const struct bad cases[] = {
		{"proxy: {upstreams: {\"https://a.test\": {}}}\n",
		 "2:21: proxy.upstreams.https://a.test: \"https://a.test\": it is a registry's "
		 "host "
		 "as images are named, such as quay.io, without scheme and path"},
		{"proxy: {upstreams: {a_b: {}}}\n",
		 "2:21: proxy.upstreams.a_b: \"a_b\": it is not a registry's host, such as quay.io "
		 "or registry.test:5000"},
		{"proxy: {upstreams: {harbor: {}}}\n",
		 "2:21: proxy.upstreams.harbor: without a dot or a port it reads like a part of a "
		 "local repository's name; name it harbor.local or harbor:443, with \"harbor\" "
		 "among its aliases"},
		{"proxy: {upstreams: [a.test]}\n",
		 "2:20: proxy.upstreams: a map of names is needed, this is a list"},
		{UPSTREAM("{urls: []}"), "2:36: proxy.upstreams.a.test.urls: at least one is "
					 "needed; remove the key for the "
					 "default"},
		{UPSTREAM("{urls: \"https://x\"}"),
		 "2:36: proxy.upstreams.a.test.urls: a list is needed, such as [a, b]; this is a "
		 "single value"},
		{UPSTREAM("{urls: [[x]]}"),
		 "2:37: proxy.upstreams.a.test.urls[0]: a single value is needed in this list"},
		{UPSTREAM("{urls: [~]}"),
		 "2:37: proxy.upstreams.a.test.urls[0]: a single value is needed in this list"},
		{UPSTREAM("{tokenRealms: [\"https://x/y\"]}"),
		 "2:44: proxy.upstreams.a.test.tokenRealms[0]: \"https://x/y\": it has a path; "
		 "only "
		 "scheme://host[:port] counts"},
		{UPSTREAM("{staleOn: [4xx]}"),
		 "2:40: proxy.upstreams.a.test.staleOn[0]: \"4xx\": it is not network, 5xx or 429"},
		{UPSTREAM("{access: everybody}"),
		 "2:38: proxy.upstreams.a.test.access: \"everybody\": it is not policy"},
		{UPSTREAM("{prefetchLayers: yes}"),
		 "2:46: proxy.upstreams.a.test.prefetchLayers: \"yes\": it is neither true nor "
		 "false"},
		{UPSTREAM("{maxConnections: 0}"), "2:46: proxy.upstreams.a.test.maxConnections: "
						  "\"0\": it is not a whole number from "
						  "1 to 1024"},
		{UPSTREAM("{timeouts: {connect: 0s}}"),
		 "2:50: proxy.upstreams.a.test.timeouts.connect: \"0s\": it is not between 1ms and "
		 "10m"},
		{UPSTREAM("{tls: {caFile: /nowhere}}"), "2:44: proxy.upstreams.a.test.tls.caFile: "
							"\"/nowhere\": the file is not there, not "
							"readable, or empty"},
		{UPSTREAM("{tagTTLs: [{tags: \"v/*\", ttl: 1h}]}"),
		 "2:47: proxy.upstreams.a.test.tagTTLs[0].tags: \"v/*\": it has a character that "
		 "no "
		 "name has, and matches nothing; only `*` and `**` are special"},
		{UPSTREAM("{tagTTLs: [{tags: v1}]}"),
		 "2:40: proxy.upstreams.a.test.tagTTLs[0].ttl: it is missing"},
		{"proxy: {upstreams: {a.test: {aliases: [b.test]}, b.test: {}}}\n",
		 "2:50: proxy.upstreams: b.test is the name or alias of two upstreams"},
		{"proxy: {upstreams: {a.test: {}, A.test: {}}}\n",
		 "2:33: proxy.upstreams: a.test is the name or alias of two upstreams"},
		{"proxy: {defaultUpstream: quay.io, upstreams: {a.test: {}}}\n",
		 "2:26: proxy.defaultUpstream: \"quay.io\" is not one of proxy.upstreams"},
		{"proxy: {defaultUpstream: x.test, upstreams: {a.test: {}}}\n",
		 "2:26: proxy.defaultUpstream: \"x.test\" is not one of proxy.upstreams; did you "
		 "mean \"a.test\"?"},
	};

	CHECK_ALL(state, cases);
}

static void a_file_of_something_else_is_no_ca_file(void **state)
{
	config_case_bad(*state, UPSTREAM("{tls: {caFile: /etc/passwd}}"),
			"2:44: proxy.upstreams.a.test.tls.caFile: \"/etc/passwd\": there is no "
			"certificate in it (PEM, \"-----BEGIN CERTIFICATE-----\")");
}

static void listeners_need_an_address_each(void **state)
{
	static const char *const clashing[][2] = {
		{"127.0.0.1:5000", "127.0.0.1:5000"}, {"localhost:5000", "127.0.0.1:5000"},
		{":5000", "127.0.0.1:5000"},          {"127.0.0.1:5000", "[::]:5000"},
		{"0.0.0.0:5000", "127.0.0.1:5000"},   {"[::1]:5000", ":5000"},
	};
	static const char *const fine[][2] = {
		{"127.0.0.1:0", "127.0.0.1:0"},   {"127.0.0.1:5000", "127.0.0.2:5000"},
		{"127.0.0.1:5000", "[::1]:5000"}, {"0.0.0.0:5000", "[::1]:5000"},
		{":5000", "127.0.0.1:15000"},
	};
	struct config_case *test = *state;
	char text[160];

	for (size_t i = 0; i < array_size(clashing); i++) {
		snprintf(text, sizeof(text),
			 "version: 1\nhttp: {address: \"%s\", adminAddress: \"%s\"}\n",
			 clashing[i][0], clashing[i][1]);
		assert_int_equal(config_case_load(test, text, NULL), BW_INVALID);
		assert_non_null(strstr(buf_string(&test->problems), "is taken by http.address"));
	}
	for (size_t i = 0; i < array_size(fine); i++) {
		snprintf(text, sizeof(text),
			 "version: 1\nhttp: {address: \"%s\", adminAddress: \"%s\"}\n", fine[i][0],
			 fine[i][1]);
		if (config_case_load(test, text, NULL) != BW_OK)
			fail_msg("refused: %s", buf_string(&test->problems));
	}
}

/* A registry to push to needs none. */
static void a_configuration_without_upstreams_is_good(void **state)
{
	struct config_case *test = *state;

	assert_int_equal(config_case_load(test, "version: 1\n", NULL), BW_OK);
	assert_int_equal(test->config->warnings.count, 0);
}

static void patterns_are_checked(void **state)
{
	static const char *const bad[] = {"",     "A/**", "a b",  "/a",    "a/", "a//b",
					  "a***", "a?",   "[ab]", "{a,b}", "^a"};
	struct config_case *test = *state;

	for (size_t i = 0; i < array_size(bad); i++) {
		char *text = xasprintf("version: 1\n" UPSTREAM("{allow: [\"%s\"]}"), bad[i]);

		if (config_case_load(test, text, NULL) != BW_INVALID)
			fail_msg("accepted %s", bad[i]);
		free(text);
	}
}

#define CREDENTIALS "credentials: {a: {username: u, password: p}}\n"
#define RULES(rest) CREDENTIALS UPSTREAM("{credentials: [" rest "]}")

static void credentials_are_checked(void **state)
{
	static const struct bad cases[] = {
		{"credentials: {a: {username: u}}\n",
		 "2:15: credentials.a: neither password nor passwordFile"},
		{"credentials: {a: {password: p}}\n",
		 "2:15: credentials.a.username: it is missing or empty"},
		{"credentials: {a: }\n", "2:15: credentials.a: neither password nor passwordFile"},
		{"credentials: {a: {username: u, password: p, passwordFile: /x}}\n",
		 "2:59: credentials.a: both password and passwordFile; remove one"},
		{"credentials: {a: {username: u, password: \"\"}}\n",
		 "2:42: credentials.a.password: it is empty"},
		{"credentials: {a: {username: \"u:v\", password: p}}\n",
		 "2:29: credentials.a.username: a user name cannot have a ':'"},
		{"credentials: {anonymous: {username: u, password: p}}\n",
		 "2:15: credentials.anonymous: the name means \"no credential\"; choose another "
		 "one"},
		{"credentials: {a: {username: u, passwordFile: /nowhere/x}}\n",
		 "2:46: credentials.a.passwordFile: open /nowhere/x: No such file or directory"},
		{"credentials: {a: {username: u, passwordFile: /dev/null}}\n",
		 "2:46: credentials.a.passwordFile: the secret in /dev/null is empty"},
		{RULES("{match: \"**\", use: [b]}"),
		 "3:63: proxy.upstreams.a.test.credentials[0].use: \"b\" is not one of "
		 "`credentials`"},
		{RULES("{match: \"**\", use: []}"),
		 "3:63: proxy.upstreams.a.test.credentials[0].use: it names no credential; "
		 "\"anonymous\" is one, too"},
		{RULES("{match: \"**\"}"),
		 "3:44: proxy.upstreams.a.test.credentials[0].use: it is missing"},
		{RULES("{use: [a]}"),
		 "3:44: proxy.upstreams.a.test.credentials[0].match: it is missing"},
		{RULES("{match: x, use: [a]}, {match: x, use: [anonymous]}"),
		 "3:74: proxy.upstreams.a.test.credentials[1].match: the same as in an earlier "
		 "rule"},
	};

	CHECK_ALL(state, cases);
}

static void all_problems_come_in_the_order_of_the_file(void **state)
{
	struct config_case *test = *state;
	const char *text = "version: 1\n"
			   "proxy: {defaultUpstream: x.test}\n"
			   "log: {level: loud}\n"
			   "zzzzzzzz: 1\n"
			   "http: {threads: 0, address: x}\n";
	const char *at;
	unsigned line;
	unsigned column;
	unsigned last = 0;
	unsigned count = 0;

	assert_int_equal(config_case_load(test, text, NULL), BW_INVALID);
	for (at = buf_string(&test->problems); *at; at = strchr(at, '\n') + 1) {
		assert_int_equal(sscanf(at + strlen(test->path), ":%u:%u:", &line, &column), 2);
		assert_true(line * 1000 + column > last);
		last = line * 1000 + column;
		count++;
	}
	assert_int_equal(count, 5);
}

static void the_list_of_problems_ends(void **state)
{
	struct config_case *test = *state;
	struct buf text = BUF_INIT(1 << 20);
	size_t lines = 0;

	buf_append_string(&text, "version: 1\n");
	for (unsigned i = 0; i < 500; i++)
		buf_printf(&text, "key%u: 1\n", i);
	assert_int_equal(config_case_load(test, buf_string(&text), NULL), BW_INVALID);
	for (const char *c = buf_string(&test->problems); *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 101);
	assert_non_null(strstr(buf_string(&test->problems), "and more"));
	buf_release(&text);
}

#define IN_A_FOLDER(test) \
	cmocka_unit_test_setup_teardown(test, config_case_setup, config_case_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_A_FOLDER(yaml_that_is_none),
		IN_A_FOLDER(no_billion_laughs),
		IN_A_FOLDER(depth_and_size_have_limits),
		IN_A_FOLDER(a_file_that_is_not_there),
		IN_A_FOLDER(the_version_is_required),
		IN_A_FOLDER(unknown_keys_say_what_was_meant),
		IN_A_FOLDER(capabilities_of_later_versions_are_refused),
		IN_A_FOLDER(values_are_typed),
		IN_A_FOLDER(addresses_are_checked),
		IN_A_FOLDER(urls_are_checked),
		IN_A_FOLDER(secrets_are_never_shown),
		IN_A_FOLDER(upstreams_are_checked),
		IN_A_FOLDER(a_file_of_something_else_is_no_ca_file),
		IN_A_FOLDER(listeners_need_an_address_each),
		IN_A_FOLDER(a_configuration_without_upstreams_is_good),
		IN_A_FOLDER(patterns_are_checked),
		IN_A_FOLDER(credentials_are_checked),
		IN_A_FOLDER(all_problems_come_in_the_order_of_the_file),
		IN_A_FOLDER(the_list_of_problems_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
