/* The Redis index beside a server that hangs, dies, forgets, remembers too much, or is
 * no master any more. Each test has a redis-server of its own. */
#include "tests/support/redis_server.h"

#include <pthread.h>

/* What every call ends within, whatever the server does. */
#define BOUND_MS 500

struct world {
	struct redis_server server;
	struct metadata_store *metadata;
	struct coordination *coordination;
};

static void open_store(struct world *world)
{
	struct redis_options options = {.address = world->server.address};
	struct error error = {0};

	if (redis_store_new(&options, &world->metadata, &world->coordination, &error))
		fail_msg("%s", error.message);
}

static void close_store(struct world *world)
{
	metadata_store_free(world->metadata);
	coordination_free(world->coordination);
}

static int setup(void **state)
{
	struct world *world = xcalloc(1, sizeof(*world));

	world->server = redis_server_start(NULL);
	open_store(world);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	close_store(world);
	redis_server_end(&world->server);
	free(world);
	return 0;
}

static enum status put_tag(struct metadata_store *store, uint64_t version)
{
	struct tag_entry entry = {.digest = digest_for("m"), .version = version};

	return metadata_put_tag(store, "a", "v1", &entry, NULL);
}

static enum status get_tag(struct metadata_store *store, uint64_t *ret_version)
{
	struct tag_entry entry = {0};
	enum status status = metadata_get_tag(store, "a", "v1", &entry, NULL);

	*ret_version = entry.version;
	return status;
}

static bool works(void *context)
{
	return metadata_check(((struct world *)context)->metadata, NULL) == BW_OK;
}

static bool is_watched(void *context)
{
	return metadata_is_watched(((struct world *)context)->metadata);
}

/* What the call answered; fails when it took too long. */
static enum status timed_check(struct world *world, int64_t *ret_ms, struct error *error)
{
	int64_t began = clock_monotonic_ms();
	enum status status = metadata_check(world->metadata, error);

	*ret_ms = clock_monotonic_ms() - began;
	if (*ret_ms >= BOUND_MS)
		fail_msg("a call took %lld ms", (long long)*ret_ms);
	return status;
}

/* ---- a server that does not answer ---- */

static void a_hung_server_costs_one_deadline(void **state)
{
	struct world *world = *state;
	struct error error = {0};
	int64_t ms;

	await(works, world, "the server");
	redis_server_signal(&world->server, SIGSTOP);
	assert_int_not_equal(timed_check(world, &ms, &error), BW_OK);
	for (unsigned i = 0; i < 20; i++) {
		error = (struct error){0};
		assert_int_equal(timed_check(world, &ms, &error), BW_UNAVAILABLE);
		assert_true(error.retry_after > 0);
		assert_true(ms < 100);
	}
	redis_server_signal(&world->server, SIGCONT);
	await(works, world, "the server to be used again");
	await(is_watched, world, "its changes to be heard again");
}

static void check_many(void *context, unsigned index)
{
	struct world *world = context;
	int64_t ms;

	(void)index;
	for (unsigned i = 0; i < 5; i++)
		timed_check(world, &ms, NULL);
}

static void a_hung_server_holds_no_thread(void **state)
{
	struct world *world = *state;

	await(works, world, "the server");
	redis_server_signal(&world->server, SIGSTOP);
	run_together(16, check_many, world);
	redis_server_signal(&world->server, SIGCONT);
}

static void a_killed_server_is_found_again(void **state)
{
	struct world *world = *state;
	struct error error = {0};
	struct redis_status status;
	int64_t ms;

	await(works, world, "the server");
	redis_server_kill(&world->server);
	assert_int_not_equal(timed_check(world, &ms, NULL), BW_OK);
	assert_int_equal(timed_check(world, &ms, &error), BW_UNAVAILABLE);
	assert_true(error.message[0]);
	redis_store_status(world->metadata, &status);
	assert_false(status.connected);
	assert_false(status.watched);
	redis_server_run(&world->server, NULL);
	await(works, world, "the server to be used again");
}

/* A server that was never there is no failure, either. */
static void a_store_begins_without_its_server(void **state)
{
	struct world late = {.server = ((struct world *)*state)->server};
	int64_t ms;

	redis_server_kill(&late.server);
	((struct world *)*state)->server.pid = 0;
	open_store(&late);
	assert_int_equal(timed_check(&late, &ms, NULL), BW_UNAVAILABLE);
	redis_server_run(&late.server, NULL);
	((struct world *)*state)->server.pid = late.server.pid;
	await(works, &late, "the server that came late");
	close_store(&late);
}

/* ---- a server that forgets, or remembers too much ---- */

static void a_server_restarted_empty_knows_nothing(void **state)
{
	struct world *world = *state;
	uint64_t version;

	await(works, world, "the server");
	assert_int_equal(put_tag(world->metadata, 7), BW_OK);
	redis_server_kill(&world->server);
	redis_server_run(&world->server, NULL);
	await(works, world, "the server to be used again");
	assert_int_equal(get_tag(world->metadata, &version), BW_ABSENT);
	assert_int_equal(put_tag(world->metadata, 3), BW_OK);
}

/* What was acknowledged after the snapshot must not be undone by it. */
static void an_old_snapshot_is_not_believed(void **state)
{
	static const char *const with_snapshot[] = {"--dbfilename", "dump.rdb", NULL};
	struct world *world = *state;
	struct upload_entry upload = {.repository = (char *)"a",
				      .caller = (char *)"",
				      .state = (char *)"x",
				      .state_length = 1};
	uint64_t version;

	await(works, world, "the server");
	assert_int_equal(put_tag(world->metadata, 7), BW_OK);
	assert_int_equal(metadata_create_upload(world->metadata, "00000000000000000000000000000000",
						&upload, NULL),
			 BW_OK);
	redis_server_tell(&world->server, "SAVE");
	assert_int_equal(put_tag(world->metadata, 8), BW_OK);
	redis_server_kill(&world->server);
	redis_server_run(&world->server, with_snapshot);
	/* from the very first call that gets through */
	while (get_tag(world->metadata, &version) != BW_ABSENT)
		assert_int_not_equal(version, 7);
	await(works, world, "the server to be used again");
	assert_int_equal(get_tag(world->metadata, &version), BW_ABSENT);
	/* uploads go on */
	assert_int_equal(metadata_get_upload(world->metadata, "00000000000000000000000000000000",
					     &upload, NULL),
			 BW_OK);
	upload_entry_release(&upload);
}

static bool is_swept(void *context)
{
	char *keys = redis_server_ask(&((struct world *)context)->server,
				      "EVAL return(#redis.call('KEYS','bw:t:*')) 0");
	bool none = keys && strcmp(keys, "0") == 0;

	free(keys);
	return none;
}

static void what_old_epochs_left_is_removed(void **state)
{
	static const char *const with_snapshot[] = {"--dbfilename", "dump.rdb", NULL};
	struct world *world = *state;

	await(works, world, "the server");
	assert_int_equal(put_tag(world->metadata, 7), BW_OK);
	assert_false(is_swept(world));
	redis_server_tell(&world->server, "SAVE");
	redis_server_kill(&world->server);
	redis_server_run(&world->server, with_snapshot);
	await(is_swept, world, "the old rows to be removed");
}

/* Two stores of one server, and FLUSHALL in between: neither may go on in an epoch that
 * the other one does not see. */
static void an_emptied_server_is_one_for_all(void **state)
{
	struct world *world = *state;
	struct world other = {.server = world->server};
	uint64_t version;

	open_store(&other);
	await(works, world, "the server");
	await(works, &other, "the server");
	for (uint64_t i = 1; i < 50; i++) {
		assert_int_equal(put_tag(world->metadata, i), BW_OK);
		redis_server_tell(&world->server, "FLUSHALL");
		assert_int_equal(get_tag(other.metadata, &version), BW_ABSENT);
		assert_int_equal(put_tag(world->metadata, i), BW_OK);
		assert_int_equal(get_tag(other.metadata, &version), BW_OK);
		assert_int_equal(version, i);
		assert_int_equal(metadata_remove_tag(other.metadata, "a", "v1", i, NULL), BW_OK);
	}
	close_store(&other);
}

static void scripts_that_were_forgotten_are_loaded_again(void **state)
{
	struct world *world = *state;

	await(works, world, "the server");
	redis_server_tell(&world->server, "SCRIPT FLUSH");
	assert_int_equal(put_tag(world->metadata, 7), BW_OK);
	assert_int_equal(put_tag(world->metadata, 7), BW_CONFLICT);
}

/* ---- a server that refuses ---- */

static bool is_away(void *context)
{
	return metadata_check(((struct world *)context)->metadata, NULL) == BW_UNAVAILABLE;
}

static void a_master_that_became_a_replica_is_left(void **state)
{
	struct world *world = *state;
	uint64_t version;

	await(works, world, "the server");
	assert_int_equal(put_tag(world->metadata, 7), BW_OK);
	redis_server_tell(&world->server, "REPLICAOF 127.0.0.1 1");
	assert_int_equal(put_tag(world->metadata, 8), BW_UNAVAILABLE);
	await(is_away, world, "the replica to be left");
	redis_server_tell(&world->server, "REPLICAOF NO ONE");
	await(works, world, "the master to be used again");
	/* others may have written meanwhile to whoever was master */
	assert_int_equal(get_tag(world->metadata, &version), BW_ABSENT);
}

static void a_full_server_says_so(void **state)
{
	struct world *world = *state;
	struct tag_entry entry = {.digest = digest_for("m"), .version = 1};
	struct error error = {0};

	await(works, world, "the server");
	redis_server_tell(&world->server, "CONFIG SET maxmemory 1");
	assert_int_equal(metadata_put_tag(world->metadata, "a", "v1", &entry, &error), BW_NO_SPACE);
	assert_non_null(strstr(error.message, "maxmemory"));
	redis_server_tell(&world->server, "CONFIG SET maxmemory 0");
	assert_int_equal(put_tag(world->metadata, 2), BW_OK);
}

static bool warns(void *context)
{
	struct redis_status status;

	redis_store_status(((struct world *)context)->metadata, &status);
	return strstr(status.warning, "allkeys-lru") != NULL;
}

static void a_server_that_takes_keys_away_is_warned_of(void **state)
{
	struct world *world = *state;

	await(works, world, "the server");
	assert_false(warns(world));
	redis_server_tell(&world->server, "CONFIG SET maxmemory 100mb");
	redis_server_tell(&world->server, "CONFIG SET maxmemory-policy allkeys-lru");
	redis_server_tell(&world->server, "FLUSHALL"); /* a new session looks again */
	await(warns, world, "the warning");
}

static void a_password_is_needed_and_read_again(void **state)
{
	struct world *world = *state;
	struct redis_options options = {.address = world->server.address};
	struct error error = {0};
	char *path = xasprintf("%s/password", world->server.folder);
	FILE *file = fopen(path, "w");

	fputs("first\n", file);
	fclose(file);
	redis_server_tell(&world->server, "CONFIG SET requirepass second");
	options.password_file = path;
	close_store(world);
	assert_int_equal(redis_store_new(&options, &world->metadata, &world->coordination, &error),
			 BW_OK);
	assert_int_equal(metadata_check(world->metadata, &error), BW_UNAVAILABLE);
	assert_null(strstr(error.message, "first"));
	file = fopen(path, "w");
	fputs("second\n", file);
	fclose(file);
	await(works, world, "the new password to be read");
	free(path);
}

static void options_that_make_no_sense_are_refused(void **state)
{
	const struct redis_options bad[] = {
		{.address = "redis"},
		{.address = ":6379"},
		{.address = "redis:0"},
		{.address = "redis:65536"},
		{.address = NULL},
		{.address = "redis:6379", .prefix = "a{b}"},
		{.sentinels = (const char *const[]){"s:26379"}, .sentinel_count = 1},
		{.address = "redis:6379", .tls = true, .tls_ca_file = "/nowhere"},
	};
	struct redis_options no_file = {.address = "redis:6379", .password_file = "/nowhere"};

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++) {
		struct metadata_store *metadata = NULL;
		struct coordination *coordination = NULL;
		struct error error = {0};

		assert_int_equal(redis_store_new(&bad[i], &metadata, &coordination, &error),
				 BW_INVALID);
		assert_true(error.message[0]);
		assert_null(metadata);
	}
	assert_int_not_equal(redis_store_new(&no_file, NULL, NULL, NULL), BW_OK);
}

/* The server, and the key of the configuration where there is one. */
static void what_is_wrong_is_named(void **state)
{
	struct world *world = *state;
	const char *address = world->server.address;
	const struct {
		struct redis_options options;
		const char *words[2];
	} cases[] = {
		{{.address = address, .database = 999}, {address, "metadata.redis.database"}},
		{{.address = address, .username = "nobody", .password = "wrong"},
		 {address, "metadata.redis.username"}},
		{{.address = "127.0.0.1:1"}, {"127.0.0.1:1", "refused"}},
		{{.sentinels = &address, .sentinel_count = 1, .master = "main"},
		 {address, "no sentinel"}},
		{{.sentinels = (const char *const[]){"127.0.0.1:1"},
		  .sentinel_count = 1,
		  .master = "main"},
		 {"sentinel 127.0.0.1:1", "\"main\""}},
	};

	for (size_t i = 0; i < array_size(cases); i++) {
		struct world other = {0};
		struct error error = {0};

		assert_int_equal(redis_store_new(&cases[i].options, &other.metadata,
						 &other.coordination, NULL),
				 BW_OK);
		metadata_check(other.metadata, NULL);
		assert_int_equal(metadata_check(other.metadata, &error), BW_UNAVAILABLE);
		for (size_t k = 0; k < array_size(cases[i].words); k++)
			if (!strstr(error.message, cases[i].words[k]))
				fail_msg("no %s in: %s", cases[i].words[k], error.message);
		close_store(&other);
	}
}

int main(void)
{
#define STORE_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		STORE_TEST(a_hung_server_costs_one_deadline),
		STORE_TEST(a_hung_server_holds_no_thread),
		STORE_TEST(a_killed_server_is_found_again),
		STORE_TEST(a_store_begins_without_its_server),
		STORE_TEST(a_server_restarted_empty_knows_nothing),
		STORE_TEST(an_old_snapshot_is_not_believed),
		STORE_TEST(what_old_epochs_left_is_removed),
		STORE_TEST(an_emptied_server_is_one_for_all),
		STORE_TEST(scripts_that_were_forgotten_are_loaded_again),
		STORE_TEST(a_master_that_became_a_replica_is_left),
		STORE_TEST(a_full_server_says_so),
		STORE_TEST(a_server_that_takes_keys_away_is_warned_of),
		STORE_TEST(a_password_is_needed_and_read_again),
		STORE_TEST(what_is_wrong_is_named),
		cmocka_unit_test(options_that_make_no_sense_are_refused),
	};

	return cmocka_run_group_tests_name("redis_store", tests, NULL, NULL);
}
