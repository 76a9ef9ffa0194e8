/*
 * Good configurations: defaults, values, names that are resolved.
 */
#include "tests/support/config_file.h"

#include "server/base/memory.h"

#include <stdlib.h>
#include <string.h>

static const struct upstream_config *upstream(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->proxy.upstream_count; i++)
		if (strcmp(config->proxy.upstreams[i].name, name) == 0)
			return &config->proxy.upstreams[i];
	fail_msg("no upstream %s", name);
	return NULL;
}

static void assert_list(const struct string_list *list, const char *expected)
{
	struct buf joined = BUF_INIT(4096);

	for (size_t i = 0; i < list->count; i++) {
		buf_append_string(&joined, i ? " " : "");
		buf_append_string(&joined, list->items[i]);
	}
	assert_string_equal(buf_string(&joined), expected);
	buf_release(&joined);
}

static void without_a_file_seven_registries_on_loopback(void **state)
{
	static const char *const names[] = {"docker.io",      "quay.io",        "ghcr.io",
					    "gcr.io",         "public.ecr.aws", "mcr.microsoft.com",
					    "registry.k8s.io"};
	struct config_case *test = *state;
	struct config *config;

	assert_int_equal(config_load(NULL, NULL, &test->config, &test->problems), BW_OK);
	config = test->config;
	assert_string_equal(config->source, "built-in defaults");
	assert_int_equal(config->proxy.upstream_count, 7);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(upstream(config, names[i])->credential_count, 0);
	assert_list(&upstream(config, "quay.io")->urls, "https://quay.io");
	assert_string_equal(config->http.address, "127.0.0.1:5000");
	assert_string_equal(config->http.admin_address, "127.0.0.1:5001");
	assert_string_equal(config->storage.root_directory, "./data");
	assert_string_equal(config->metadata.sqlite_path, "./data/index.db");
	assert_string_equal(config->proxy.default_upstream, "");
	assert_false(config->auth_none);
	assert_false(config_refuses_to_listen(config, NULL));
}

static void an_empty_file_has_no_upstreams(void **state)
{
	const struct config *config = config_case_good(*state, "");

	assert_int_equal(config->version, 1);
	assert_int_equal(config->log.level, LOG_INFO);
	assert_int_equal(config->log.format, LOG_JSON);
	assert_int_equal(config->http.threads, 512);
	assert_string_equal(config->http.external_url, "");
	assert_int_equal(config->http.drain_timeout_ms, 60000);
	assert_int_equal(config->proxy.upstream_count, 0);
	assert_int_equal(config->credential_count, 0);
}

static void an_upstream_has_the_documented_defaults(void **state)
{
	const struct config *config = config_case_good(*state, "proxy: {upstreams: {Quay.IO: }}\n");
	const struct upstream_config *quay = upstream(config, "quay.io");

	assert_list(&quay->urls, "https://quay.io");
	assert_list(&quay->aliases, "");
	assert_list(&quay->token_realms, "");
	assert_list(&quay->allow, "**");
	assert_list(&quay->deny, "");
	assert_int_equal(quay->access, ACCESS_POLICY);
	assert_int_equal(quay->manifest_ttl_ms, 600000);
	assert_int_equal(quay->stale_while_revalidate_ms, 0);
	assert_true(quay->prefetch_layers);
	assert_int_equal(quay->tag_ttl_count, 0);
	assert_int_equal(quay->stale_on, STALE_ON_NETWORK | STALE_ON_5XX | STALE_ON_429);
	assert_int_equal(quay->negative_ttl_ms, 30000);
	assert_int_equal(quay->max_connections, 32);
	assert_string_equal(quay->tls.ca_file, "");
	assert_false(quay->tls.insecure_skip_verify);
	assert_int_equal(quay->timeouts.connect_ms, 3000);
	assert_int_equal(quay->timeouts.first_byte_ms, 15000);
	assert_int_equal(quay->timeouts.stall_ms, 30000);
}

static void every_supported_key_is_read(void **state)
{
	const struct config *config = config_case_good(
		*state, "log: {level: debug, format: text}\n"
			"http: {address: \":80\", adminAddress: \"[::1]:0\", threads: 8,\n"
			"  externalURL: \"https://reg.example/sub/\", drainTimeout: 1m30s}\n"
			"storage: {filesystem: {rootDirectory: /srv/a b}}\n"
			"metadata: {sqlite: {path: /srv/i.db}}\n"
			"uploads: {maxAge: 2h30m, checkReferences: all}\n"
			"auth: none\n"
			"credentials: {hub-a: {username: a, password: secret}}\n"
			"proxy:\n"
			"  defaultUpstream: mirror.test\n"
			"  upstreams:\n"
			"    registry.test:5000:\n"
			"      urls: [\"http://10.0.0.1:5000/\", \"https://[::1]/v\"]\n"
			"      aliases: [Mirror.test]\n"
			"      tokenRealms: [\"https://auth.test/\"]\n"
			"      credentials:\n"
			"      - {match: \"acme/**\", use: [hub-a]}\n"
			"      - {match: \"**\", use: [anonymous]}\n"
			"      allow: [library/*]\n"
			"      deny: [library/x]\n"
			"      access: policy\n"
			"      manifestTTL: 0s\n"
			"      staleWhileRevalidate: 1h\n"
			"      prefetchLayers: false\n"
			"      tagTTLs: [{tags: v*, ttl: 1d}]\n"
			"      staleOn: [429]\n"
			"      negativeTTL: 0\n"
			"      maxConnections: 1\n"
			"      tls: {caFile: \"\", insecureSkipVerify: true}\n"
			"      timeouts: {connect: 1ms, firstByte: 2s, stall: 3m}\n");
	const struct upstream_config *up = upstream(config, "registry.test:5000");

	assert_int_equal(config->log.level, LOG_DEBUG);
	assert_int_equal(config->log.format, LOG_TEXT);
	assert_string_equal(config->http.address, ":80");
	assert_string_equal(config->http.admin_address, "[::1]:0");
	assert_int_equal(config->http.threads, 8);
	assert_string_equal(config->http.external_url, "https://reg.example/sub");
	assert_int_equal(config->http.drain_timeout_ms, 90000);
	assert_string_equal(config->storage.root_directory, "/srv/a b");
	assert_string_equal(config->metadata.sqlite_path, "/srv/i.db");
	assert_int_equal(config->uploads.max_age_ms, 9000000);
	assert_int_equal(config->uploads.check_references, CHECK_ALL);
	assert_true(config->auth_none);
	/* an alias is as good as the name */
	assert_string_equal(config->proxy.default_upstream, "registry.test:5000");
	assert_list(&up->urls, "http://10.0.0.1:5000 https://[::1]/v");
	assert_list(&up->aliases, "mirror.test");
	assert_list(&up->token_realms, "https://auth.test");
	assert_int_equal(up->credential_count, 2);
	assert_string_equal(up->credentials[0].match, "acme/**");
	assert_ptr_equal(up->credentials[0].credential, &config->credentials[0]);
	assert_string_equal(up->credentials[0].credential->password, "secret");
	assert_null(up->credentials[1].credential);
	assert_list(&up->allow, "library/*");
	assert_list(&up->deny, "library/x");
	assert_int_equal(up->manifest_ttl_ms, 0);
	assert_int_equal(up->stale_while_revalidate_ms, 3600000);
	assert_false(up->prefetch_layers);
	assert_string_equal(up->tag_ttls[0].tags, "v*");
	assert_int_equal(up->tag_ttls[0].ttl_ms, 86400000);
	assert_int_equal(up->stale_on, STALE_ON_429);
	assert_int_equal(up->negative_ttl_ms, 0);
	assert_int_equal(up->max_connections, 1);
	assert_true(up->tls.insecure_skip_verify);
	assert_int_equal(up->timeouts.connect_ms, 1);
	assert_int_equal(up->timeouts.first_byte_ms, 2000);
	assert_int_equal(up->timeouts.stall_ms, 180000);
}

static void uploads_have_defaults_and_every_form(void **state)
{
	static const struct {
		const char *text;
		enum check_references expected;
	} cases[] = {
		{"{}\n", CHECK_BLOBS},
		{"{checkReferences: blobs}\n", CHECK_BLOBS},
		{"{checkReferences: all}\n", CHECK_ALL},
		{"{checkReferences: none}\n", CHECK_NOTHING},
	};

	for (size_t i = 0; i < array_size(cases); i++) {
		char *text = xasprintf("uploads: %s", cases[i].text);
		const struct config *config = config_case_good(*state, text);

		assert_int_equal(config->uploads.check_references, cases[i].expected);
		assert_int_equal(config->uploads.max_age_ms, 86400000);
		free(text);
	}
	assert_int_equal(config_case_good(*state, "uploads: {maxAge: 1s}\n")->uploads.max_age_ms,
			 1000);
}

static void docker_hub_is_known_by_its_name(void **state)
{
	const struct config *config =
		config_case_good(*state, "proxy: {defaultUpstream: Index.Docker.io, "
					 "upstreams: {docker.io: {manifestTTL: 1h}}}\n");
	const struct upstream_config *hub = upstream(config, "docker.io");

	assert_list(&hub->urls, "https://registry-1.docker.io");
	assert_list(&hub->aliases, "index.docker.io registry-1.docker.io");
	assert_list(&hub->token_realms, "https://auth.docker.io");
	assert_string_equal(config->proxy.default_upstream, "docker.io");
}

static void what_is_written_beats_what_is_known(void **state)
{
	const struct config *config = config_case_good(
		*state, "proxy: {upstreams: {docker.io: {urls: [\"https://mirror.test\"], "
			"aliases: []}}}\n");
	const struct upstream_config *hub = upstream(config, "docker.io");

	assert_list(&hub->urls, "https://mirror.test");
	assert_list(&hub->aliases, "");
	/* a mirror has no business with the Hub's token service */
	assert_list(&hub->token_realms, "");

	config = config_case_good(*state, "proxy: {upstreams: {docker.io: {}, "
					  "index.docker.io: {}}}\n");
	assert_list(&upstream(config, "docker.io")->aliases, "registry-1.docker.io");
}

static void passwords_come_from_files(void **state)
{
	struct config_case *test = *state;
	char *text = xasprintf("credentials: {a: {username: u, passwordFile: %s/secret}}\n",
			       test->folder);
	const struct config *config;

	config_case_write(test, "secret", "p\xc3\xa4ss: word\n", 12);
	config = config_case_good(test, text);
	assert_string_equal(config->credentials[0].name, "a");
	assert_string_equal(config->credentials[0].username, "u");
	assert_string_equal(config->credentials[0].password, "p\xc3\xa4ss: word");
	free(text);
}

static void sections_may_be_empty(void **state)
{
	const struct config *config = config_case_good(
		*state, "log:\nhttp: ~\nstorage:\n  filesystem:\nauth:\ncredentials:\nproxy:\n"
			"  upstreams: null\n");

	assert_int_equal(config->http.threads, 512);
	assert_false(config->auth_none);
}

static void numbers_and_booleans_may_be_quoted(void **state)
{
	const struct config *config =
		config_case_good(*state, "http: {threads: \"16\"}\nproxy: {upstreams: {a.test: "
					 "{prefetchLayers: \"false\"}}}\n");

	assert_int_equal(config->http.threads, 16);
	assert_false(config->proxy.upstreams[0].prefetch_layers);
}

static void localhost_becomes_an_address(void **state)
{
	assert_string_equal(
		config_case_good(*state, "http: {address: \"localhost:1\"}\n")->http.address,
		"127.0.0.1:1");
}

static void a_reference_keeps_it_alive(void **state)
{
	struct config_case *test = *state;
	struct config *config;

	config_case_good(test, "log: {level: error}\n");
	config = config_ref(test->config);
	config_unref(test->config);
	test->config = NULL;
	assert_int_equal(config->log.level, LOG_ERROR);
	config_unref(config);
	config_unref(NULL);
}

static void knows_loopback(void **state)
{
	(void)state;
	assert_true(config_address_is_loopback("127.0.0.1:5000"));
	assert_true(config_address_is_loopback("127.8.9.1:5000"));
	assert_true(config_address_is_loopback("[::1]:5000"));
	assert_true(config_address_is_loopback("localhost:5000"));
	assert_false(config_address_is_loopback(":5000"));
	assert_false(config_address_is_loopback("0.0.0.0:5000"));
	assert_false(config_address_is_loopback("[::]:5000"));
	assert_false(config_address_is_loopback("[::11]:5000"));
	assert_false(config_address_is_loopback("10.127.0.1:5000"));
}

static void an_open_listener_needs_an_explicit_word(void **state)
{
	struct error error = {0};

	assert_true(config_refuses_to_listen(
		config_case_good(*state, "http: {address: \"0.0.0.0:5000\"}\n"), &error));
	assert_non_null(strstr(error.message, "http.address"));
	assert_non_null(strstr(error.message, "auth: none"));
	assert_true(config_refuses_to_listen(
		config_case_good(*state, "http: {adminAddress: \":5001\"}\nauth: {}\n"), &error));
	assert_non_null(strstr(error.message, "http.adminAddress"));
	assert_false(config_refuses_to_listen(
		config_case_good(*state, "http: {address: \"0.0.0.0:5000\"}\nauth: none\n"), NULL));
}

#define IN_A_FOLDER(test) \
	cmocka_unit_test_setup_teardown(test, config_case_setup, config_case_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_A_FOLDER(without_a_file_seven_registries_on_loopback),
		IN_A_FOLDER(an_empty_file_has_no_upstreams),
		IN_A_FOLDER(an_upstream_has_the_documented_defaults),
		IN_A_FOLDER(every_supported_key_is_read),
		IN_A_FOLDER(uploads_have_defaults_and_every_form),
		IN_A_FOLDER(docker_hub_is_known_by_its_name),
		IN_A_FOLDER(what_is_written_beats_what_is_known),
		IN_A_FOLDER(passwords_come_from_files),
		IN_A_FOLDER(sections_may_be_empty),
		IN_A_FOLDER(numbers_and_booleans_may_be_quoted),
		IN_A_FOLDER(localhost_becomes_an_address),
		IN_A_FOLDER(a_reference_keeps_it_alive),
		cmocka_unit_test(knows_loopback),
		IN_A_FOLDER(an_open_listener_needs_an_explicit_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
