/*
 * Which stores a configuration means, and what their keys need of each other.
 */
#include "tests/support/config_file.h"

#include "server/base/memory.h"

#include <stdlib.h>
#include <string.h>

#define S3_KEYS "accessKey: a, secretKey: b"
#define S3 "storage: {s3: {endpoint: \"http://127.0.0.1:9000\", bucket: b, " S3_KEYS
#define REDIS "metadata: {redis: {address: \"127.0.0.1:6379\"}}\n"
#define SECRET "0123456789abcdef"

static void files_and_sqlite_by_default(void **state)
{
	const struct config *config = config_case_good(*state, "");

	assert_false(config->storage.use_s3);
	assert_false(config->metadata.use_redis);
	assert_string_equal(config->cluster.advertise_address, "");
	assert_int_equal(config->storage.max_cache_size, 0);
}

/* As after everything below a section has been commented out. */
static void an_empty_section_means_nothing(void **state)
{
	const struct config *config =
		config_case_good(*state, "storage:\n  s3:\nmetadata:\n  redis:\ncluster:\n");

	assert_false(config->storage.use_s3);
	assert_false(config->metadata.use_redis);
}

static void a_bucket_and_its_defaults(void **state)
{
	const struct config *config = config_case_good(*state, S3 "}}\n");
	const struct s3_config *s3 = &config->storage.s3;

	assert_true(config->storage.use_s3);
	assert_string_equal(s3->endpoint, "http://127.0.0.1:9000");
	assert_string_equal(s3->region, "us-east-1");
	assert_string_equal(s3->prefix, "");
	assert_true(s3->path_style);
	assert_int_equal(s3->signature, S3_V4);
	assert_int_equal(s3->part_size, 16 << 20);
	assert_false(s3->redirect);
	assert_string_equal(config->storage.hot_cache.directory, "./data/hot");
	assert_int_equal(config->storage.hot_cache.max_size, (uint64_t)10 << 30);
}

static void every_key_of_redis_and_the_cluster(void **state)
{
	const struct config *config = config_case_good(
		*state, "metadata: {redis: {username: u, password: p, database: 3, master: m, "
			"sentinels: [\"a:1\", \"[::1]:2\"]}}\n"
			"cluster: {advertiseAddress: \"10.0.0.1:5000\", secret: " SECRET "}\n"
			"storage: {maxCacheSize: 1GiB}\n");
	const struct redis_config *redis = &config->metadata.redis;

	assert_true(config->metadata.use_redis);
	assert_string_equal(redis->username, "u");
	assert_string_equal(redis->password, "p");
	assert_int_equal(redis->database, 3);
	assert_int_equal(redis->sentinels.count, 2);
	assert_string_equal(redis->master, "m");
	assert_false(redis->tls.enabled);
	assert_string_equal(config->cluster.advertise_address, "10.0.0.1:5000");
	assert_string_equal(config->cluster.secret, SECRET);
	assert_int_equal(config->storage.max_cache_size, 1 << 30);
}

static void the_secret_comes_from_its_file(void **state)
{
	struct config_case *test = *state;
	char *text =
		xasprintf(REDIS "cluster: {advertiseAddress: \"a:1\", secretFile: %s/secret}\n",
			  test->folder);

	config_case_write(test, "secret", SECRET "\n", strlen(SECRET "\n"));
	assert_string_equal(config_case_good(test, text)->cluster.secret, SECRET);
	free(text);
}

static void what_does_not_fit_together_is_told(void **state)
{
	static const struct {
		const char *text;
		const char *expected;
	} bad[] = {
		{"storage: {filesystem: {rootDirectory: x}, s3: {endpoint: \"http://a:1\", bucket: "
		 "b, " S3_KEYS "}}\n",
		 "storage: both filesystem and s3; content is in one place, remove the other"},
		{"metadata: {sqlite: {path: x}, redis: {address: \"a:1\"}}\n",
		 "metadata: both sqlite and redis; the index is in one place, remove the other"},
		{"storage: {s3: {bucket: b, " S3_KEYS "}}\n", "storage.s3.endpoint: it is missing"},
		{"storage: {s3: {endpoint: \"http://a:1\", " S3_KEYS "}}\n",
		 "storage.s3.bucket: it is missing"},
		{"storage: {s3: {endpoint: \"http://a:1\", bucket: b, secretKey: x}}\n",
		 "2:11: storage.s3: neither accessKey nor accessKeyFile"},
		{"storage: {s3: {endpoint: \"http://a:1\", bucket: b, accessKey: x}}\n",
		 "2:11: storage.s3: neither secretKey nor secretKeyFile"},
		{S3 ", secretKeyFile: /dev/null}}\n",
		 "storage.s3: both secretKey and secretKeyFile; remove one"},
		{S3 ", prefix: a/../b}}\n", "storage.s3.prefix: \"a/../b\""},
		{S3 ", prefix: /a}}\n", "storage.s3.prefix: \"/a\""},
		{S3 ", partSize: 1MiB}}\n", "storage.s3.partSize"},
		{S3 ", signature: v3}}\n", "storage.s3.signature: \"v3\": it is not v4 or v2"},
		{S3 ", signature: v2, redirect: true}}\n",
		 "storage.s3.redirect: not with `signature: v2`"},
		{"metadata: {redis: {database: 1}}\n",
		 "metadata.redis: neither address nor sentinels"},
		{"metadata: {redis: {address: \"a:1\", sentinels: [\"b:2\"], master: m}}\n",
		 "metadata.redis: both address and sentinels"},
		{"metadata: {redis: {sentinels: [\"b:2\"]}}\n",
		 "metadata.redis: sentinels and master belong together"},
		{"metadata: {redis: {address: redis}}\n",
		 "metadata.redis.address: \"redis\": a host and a port are needed"},
		{"metadata: {redis: {address: \"redis:0\"}}\n", "metadata.redis.address"},
		{"metadata: {redis: {address: \":6379\"}}\n", "metadata.redis.address"},
		{"metadata: {redis: {address: \"a b:6379\"}}\n", "metadata.redis.address"},
		{"cluster: {advertiseAddress: \"a:1\", secret: " SECRET "}\n",
		 "cluster.advertiseAddress: replicas find each other through metadata.redis"},
		{REDIS "cluster: {advertiseAddress: \"a:1\"}\n",
		 "cluster.advertiseAddress: replicas know each other by cluster.secretFile"},
		{REDIS "cluster: {advertiseAddress: \"0.0.0.0:1\", secret: " SECRET "}\n",
		 "cluster.advertiseAddress: \"0.0.0.0:1\": nobody can connect to that"},
		{REDIS "cluster: {advertiseAddress: \"[::]:1\", secret: " SECRET "}\n",
		 "cluster.advertiseAddress: \"[::]:1\": nobody can connect to that"},
		{REDIS "cluster: {advertiseAddress: \"a:1\", secret: short}\n",
		 "cluster: the secret has fewer than 16 bytes"},
	};

	struct config_case *test = *state;

	for (size_t i = 0; i < array_size(bad); i++) {
		char *text = xasprintf("version: 1\n%s", bad[i].text);

		assert_int_equal(config_case_load(test, text, NULL), BW_INVALID);
		if (!strstr(buf_string(&test->problems), bad[i].expected))
			fail_msg("%s: %s", bad[i].text, buf_string(&test->problems));
		free(text);
	}
}

/* A secret is never shown, whatever is wrong with it. */
static void a_short_secret_is_not_quoted(void **state)
{
	struct config_case *test = *state;

	assert_int_equal(config_case_load(test,
					  "version: 1\n" REDIS
					  "cluster: {advertiseAddress: \"a:1\", secret: s3cr3t}\n",
					  NULL),
			 BW_INVALID);
	assert_null(strstr(buf_string(&test->problems), "s3cr3t"));
}

static void a_hot_cache_before_files_is_a_warning(void **state)
{
	const struct config *config =
		config_case_good(*state, "storage: {hotCache: {directory: /x}}\n");

	assert_int_equal(config->warnings.count, 1);
	assert_non_null(strstr(config->warnings.items[0], "storage.hotCache is not used"));
}

static void replicas_without_conditional_puts_are_a_warning(void **state)
{
	const struct config *config = config_case_good(*state, S3 ", signature: v2}}\n" REDIS);

	assert_int_equal(config->warnings.count, 1);
	assert_non_null(strstr(config->warnings.items[0], "no more than one replica"));
}

#define IN_A_FOLDER(test) \
	cmocka_unit_test_setup_teardown(test, config_case_setup, config_case_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_A_FOLDER(files_and_sqlite_by_default),
		IN_A_FOLDER(an_empty_section_means_nothing),
		IN_A_FOLDER(a_bucket_and_its_defaults),
		IN_A_FOLDER(every_key_of_redis_and_the_cluster),
		IN_A_FOLDER(the_secret_comes_from_its_file),
		IN_A_FOLDER(what_does_not_fit_together_is_told),
		IN_A_FOLDER(a_short_secret_is_not_quoted),
		IN_A_FOLDER(a_hot_cache_before_files_is_a_warning),
		IN_A_FOLDER(replicas_without_conditional_puts_are_a_warning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
