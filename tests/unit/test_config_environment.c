#include "tests/support/config_file.h"

#include "server/base/memory.h"

#include <string.h>

static const char file[] = "version: 1\n"
			   "credentials: {hub-a: {username: u, password: p}}\n"
			   "proxy:\n"
			   "  upstreams:\n"
			   "    docker.io: {manifestTTL: 1h}\n"
			   "    registry.test:5000: {}\n";

/* Loads `file` with one variable set. */
static enum status load_with(void **state, const char *variable)
{
	char *environment[] = {(char *)"PATH=/bin", (char *)variable, NULL};

	return config_case_load(*state, file, environment);
}

static const struct config *good_with(void **state, const char *variable)
{
	struct config_case *test = *state;

	if (load_with(state, variable) != BW_OK)
		fail_msg("refused: %s", buf_string(&test->problems));
	return test->config;
}

static void assert_problem(void **state, const char *variable, const char *expected)
{
	struct config_case *test = *state;

	assert_int_equal(load_with(state, variable), BW_INVALID);
	assert_string_equal(buf_string(&test->problems), expected);
}

static void scalars_are_overridden(void **state)
{
	assert_int_equal(good_with(state, "BREAKWATER_LOG_LEVEL=debug")->log.level, LOG_DEBUG);
	assert_int_equal(good_with(state, "BREAKWATER_HTTP_THREADS=9")->http.threads, 9);
	assert_string_equal(good_with(state, "BREAKWATER_HTTP_ADDRESS=127.0.0.1:1")->http.address,
			    "127.0.0.1:1");
	assert_string_equal(good_with(state, "BREAKWATER_STORAGE_FILESYSTEM_ROOTDIRECTORY=/d")
				    ->storage.root_directory,
			    "/d");
	assert_true(good_with(state, "BREAKWATER_AUTH=none")->auth_none);
	/* case does not matter, and an empty value is a value */
	assert_int_equal(good_with(state, "breakwater_Log_Level=error")->log.level, LOG_ERROR);
	assert_string_equal(good_with(state, "BREAKWATER_HTTP_EXTERNALURL=")->http.external_url,
			    "");
	assert_int_equal(good_with(state, "BREAKWATER_LOG_LEVEL=info")->warnings.count, 0);
}

static void entries_of_maps_are_overridden(void **state)
{
	const struct config *config;

	config = good_with(state, "BREAKWATER_PROXY_UPSTREAMS_DOCKER_IO_MANIFESTTTL=5s");
	assert_int_equal(config->proxy.upstreams[0].manifest_ttl_ms, 5000);
	assert_int_equal(config->proxy.upstreams[1].manifest_ttl_ms, 600000);
	config =
		good_with(state, "BREAKWATER_PROXY_UPSTREAMS_REGISTRY_TEST_5000_TIMEOUTS_STALL=7s");
	assert_int_equal(config->proxy.upstreams[1].timeouts.stall_ms, 7000);
	config = good_with(state, "BREAKWATER_CREDENTIALS_HUB_A_PASSWORD=: {other}");
	assert_string_equal(config->credentials[0].password, ": {other}");
}

static void the_embedded_default_is_overridden_too(void **state)
{
	char *environment[] = {(char *)"BREAKWATER_PROXY_UPSTREAMS_GHCR_IO_NEGATIVETTL=1m",
			       (char *)"BREAKWATER_PROXY_DEFAULTUPSTREAM=docker.io", NULL};
	struct config_case *test = *state;

	assert_int_equal(config_load(NULL, environment, &test->config, &test->problems), BW_OK);
	assert_string_equal(test->config->proxy.default_upstream, "docker.io");
	assert_string_equal(test->config->proxy.upstreams[2].name, "ghcr.io");
	assert_int_equal(test->config->proxy.upstreams[2].negative_ttl_ms, 60000);
}

static void values_are_typed_as_in_the_file(void **state)
{
	assert_problem(state, "BREAKWATER_LOG_LEVEL=loud",
		       "BREAKWATER_LOG_LEVEL: log.level: \"loud\": it is not debug, info, warn, "
		       "warning or error\n");
	assert_problem(state, "BREAKWATER_HTTP_TLS_KEYFILE=x",
		       "BREAKWATER_HTTP_TLS_KEYFILE: http.tls: it is not supported yet by this "
		       "version\n");
	assert_problem(state, "BREAKWATER_PROXY_UPSTREAMS_DOCKER_IO_URLS=https://x",
		       "BREAKWATER_PROXY_UPSTREAMS_DOCKER_IO_URLS: proxy.upstreams.*.urls is not a "
		       "single value, and a variable holds only those; write it in the file\n");
	assert_problem(state, "BREAKWATER_PROXY=x",
		       "BREAKWATER_PROXY: proxy is not a single value, and a variable holds only "
		       "those; write it in the file\n");
	assert_problem(state, "BREAKWATER_CREDENTIALS_HUB_A_PASSWORDFILE=/x",
		       "BREAKWATER_CREDENTIALS_HUB_A_PASSWORDFILE: credentials.hub-a: both "
		       "password and passwordFile; remove one\n");
}

static void what_is_a_map_in_the_file_stays_one(void **state)
{
	char *environment[] = {(char *)"BREAKWATER_AUTH=none", NULL};
	struct config_case *test = *state;

	assert_int_equal(
		config_case_load(test, "version: 1\nauth: {token: {enabled: true}}\n", environment),
		BW_INVALID);
	assert_non_null(strstr(buf_string(&test->problems),
			       "BREAKWATER_AUTH: auth is a map or a list in the file, and a "
			       "variable cannot replace it\n"));
}

static void two_names_that_look_the_same_are_an_error(void **state)
{
	char *environment[] = {(char *)"BREAKWATER_CREDENTIALS_A_B_USERNAME=x", NULL};
	struct config_case *test = *state;

	assert_int_equal(config_case_load(test,
					  "version: 1\ncredentials:\n"
					  "  a-b: {username: u, password: p}\n"
					  "  a.b: {username: u, password: p}\n",
					  environment),
			 BW_INVALID);
	assert_non_null(strstr(buf_string(&test->problems),
			       "BREAKWATER_CREDENTIALS_A_B_USERNAME: two names"));
}

static void unknown_variables_are_warnings(void **state)
{
	const struct config *config = good_with(state, "BREAKWATER_LOG_LEVLE=debug");

	assert_int_equal(config->warnings.count, 1);
	assert_non_null(strstr(config->warnings.items[0], "BREAKWATER_LOG_LEVLE"));
	/* a name that the file does not have, and the prefix alone */
	config = good_with(state, "BREAKWATER_PROXY_UPSTREAMS_QUAY_IO_MANIFESTTTL=5s");
	assert_int_equal(config->warnings.count, 1);
	assert_int_equal(good_with(state, "BREAKWATER_=1")->warnings.count, 1);
	assert_int_equal(good_with(state, "BREAKWATER_PROXY_UPSTREAMS_DOCKER_IO=1")->warnings.count,
			 1);
}

static void variables_of_kubernetes_are_passed_over(void **state)
{
	static const char *const injected[] = {
		"BREAKWATER_SERVICE_HOST=10.0.0.1",
		"BREAKWATER_SERVICE_PORT=5000",
		"BREAKWATER_SERVICE_PORT_REGISTRY=5000",
		"BREAKWATER_PORT=tcp://10.0.0.1:5000",
		"BREAKWATER_PORT_5000_TCP=tcp://10.0.0.1:5000",
		"BREAKWATER_PORT_5000_TCP_ADDR=10.0.0.1",
		"BREAKWATER_ADMIN_SERVICE_HOST=10.0.0.1",
		"BREAKWATER=1",
		"XBREAKWATER_LOG_LEVEL=loud",
	};

	for (size_t i = 0; i < array_size(injected); i++)
		assert_int_equal(good_with(state, injected[i])->warnings.count, 0);
}

#define IN_A_FOLDER(test) \
	cmocka_unit_test_setup_teardown(test, config_case_setup, config_case_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_A_FOLDER(scalars_are_overridden),
		IN_A_FOLDER(entries_of_maps_are_overridden),
		IN_A_FOLDER(the_embedded_default_is_overridden_too),
		IN_A_FOLDER(values_are_typed_as_in_the_file),
		IN_A_FOLDER(what_is_a_map_in_the_file_stays_one),
		IN_A_FOLDER(two_names_that_look_the_same_are_an_error),
		IN_A_FOLDER(unknown_variables_are_warnings),
		IN_A_FOLDER(variables_of_kubernetes_are_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
