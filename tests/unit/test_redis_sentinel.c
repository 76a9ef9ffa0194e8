/* The Redis index behind sentinels, with real ones. */
#include "tests/support/redis_server.h"

struct world {
	struct redis_server master;
	struct redis_server replica;
	struct redis_server sentinel;
	struct redis_stores stores;
};

static char *port_of(const struct redis_server *server)
{
	return xasprintf("%u", server->port);
}

static bool replica_is_in_step(void *context)
{
	char *info = redis_server_ask(&((struct world *)context)->replica, "INFO replication");
	bool up = info && strstr(info, "master_link_status:up");

	free(info);
	return up;
}

static bool sentinel_knows_replica(void *context)
{
	char *info = redis_server_ask(&((struct world *)context)->sentinel, "INFO sentinel");
	bool knows = info && strstr(info, "slaves=1");

	free(info);
	return knows;
}

static void start_sentinel(struct world *world)
{
	struct redis_server *sentinel = &world->sentinel;
	char *path;
	FILE *file;

	*sentinel = (struct redis_server){.folder = scratch_make(), .port = free_port()};
	sentinel->address = xasprintf("127.0.0.1:%u", sentinel->port);
	path = xasprintf("%s/sentinel.conf", sentinel->folder);
	file = fopen(path, "w");
	fprintf(file,
		"sentinel monitor main 127.0.0.1 %u 1\n"
		"sentinel down-after-milliseconds main 500\n"
		"sentinel failover-timeout main 5000\n",
		world->master.port);
	fclose(file);
	redis_server_run_with(sentinel, path, (const char *const[]){"--sentinel", NULL});
	free(path);
}

/* The first sentinel is not there. */
static void open_store(struct world *world)
{
	struct redis_server gone = {.port = free_port()};
	char *absent = xasprintf("127.0.0.1:%u", gone.port);
	const char *sentinels[] = {absent, world->sentinel.address};
	struct redis_options options = {
		.sentinels = sentinels, .sentinel_count = 2, .master = "main"};
	struct error error = {0};

	if (redis_store_new(&options, &world->stores.metadata, &world->stores.coordination, &error))
		fail_msg("%s", error.message);
	free(absent);
}

static int setup(void **state)
{
	struct world *world = xcalloc(1, sizeof(*world));
	char *port;

	world->master = redis_server_start(NULL);
	port = port_of(&world->master);
	world->replica =
		redis_server_start((const char *const[]){"--replicaof", "127.0.0.1", port, NULL});
	free(port);
	await(replica_is_in_step, world, "the replica");
	start_sentinel(world);
	await(sentinel_knows_replica, world, "the sentinel to know the replica");
	open_store(world);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	metadata_store_free(world->stores.metadata);
	coordination_free(world->stores.coordination);
	redis_server_end(&world->sentinel);
	redis_server_end(&world->replica);
	redis_server_end(&world->master);
	free(world);
	return 0;
}

static bool works(void *context)
{
	return metadata_check(((struct world *)context)->stores.metadata, NULL) == BW_OK;
}

static bool is_at_replica(void *context)
{
	struct world *world = context;
	struct redis_status status;

	redis_store_status(world->stores.metadata, &status);
	return status.connected && strcmp(status.address, world->replica.address) == 0;
}

static enum status get_tag(struct world *world)
{
	struct tag_entry entry;

	return metadata_get_tag(world->stores.metadata, "a", "v1", &entry, NULL);
}

static void put_tag(struct world *world)
{
	struct tag_entry entry = {.version = 7};

	digest_of(DIGEST_SHA256, "m", 1, &entry.digest);
	assert_int_equal(metadata_put_tag(world->stores.metadata, "a", "v1", &entry, NULL), BW_OK);
}

/* The replica may lack what was acknowledged: nothing that it remembers is believed. */
static void the_master_that_was_elected_is_found(void **state)
{
	struct world *world = *state;

	await(works, world, "the master");
	put_tag(world);
	redis_server_kill(&world->master);
	await(is_at_replica, world, "the new master");
	await(works, world, "the new master to be used");
	assert_int_equal(get_tag(world), BW_ABSENT);
	put_tag(world);
	assert_int_equal(get_tag(world), BW_OK);
}

/* It refuses until it has heard enough of the replica. */
static bool fails_over(void *context)
{
	char *answer =
		redis_server_ask(&((struct world *)context)->sentinel, "SENTINEL FAILOVER main");
	bool ok = answer && strcmp(answer, "OK") == 0;

	free(answer);
	return ok;
}

/* Nothing of ours breaks: the old master still answers. */
static void a_master_that_was_set_aside_is_left(void **state)
{
	struct world *world = *state;

	await(works, world, "the master");
	put_tag(world);
	await(fails_over, world, "the sentinel to fail over");
	await(is_at_replica, world, "the new master");
	await(works, world, "the new master to be used");
	assert_int_equal(get_tag(world), BW_ABSENT);
}

static enum status put_version(struct metadata_store *metadata, uint64_t version)
{
	struct tag_entry entry = {.version = version};

	digest_of(DIGEST_SHA256, "m", 1, &entry.digest);
	return metadata_put_tag(metadata, "a", "v1", &entry, NULL);
}

/* The sentinels cut themselves off from a master that we still reach: another process is at
 * the new one already. */
static struct redis_stores split(struct world *world)
{
	struct redis_stores others;

	redis_server_tell(&world->replica, "REPLICAOF NO ONE");
	others = redis_stores_at(world->replica.address, "bw:");
	assert_int_equal(put_version(others.metadata, 7), BW_OK);
	return others;
}

static void follow(struct world *world)
{
	char *monitor = xasprintf("SENTINEL MONITOR main 127.0.0.1 %u 1", world->replica.port);

	redis_server_tell(&world->sentinel, "SENTINEL REMOVE main");
	redis_server_tell(&world->sentinel, monitor);
	free(monitor);
	await(is_at_replica, world, "the new master");
	await(works, world, "the new master to be used");
}

static void free_others(struct redis_stores *others)
{
	metadata_store_free(others->metadata);
	coordination_free(others->coordination);
}

static void what_was_written_to_a_master_set_aside_is_not_rolled_back(void **state)
{
	struct world *world = *state;
	struct redis_stores others;
	struct tag_entry entry;

	await(works, world, "the master");
	others = split(world);
	assert_int_equal(put_version(world->stores.metadata, 8), BW_OK);
	follow(world);
	assert_int_equal(get_tag(world), BW_ABSENT);
	assert_int_equal(metadata_get_tag(others.metadata, "a", "v1", &entry, NULL), BW_ABSENT);
	free_others(&others);
}

/* Each replica comes from another server after a restart: what those before it have learnt
 * is kept. */
static void who_has_written_nothing_since_goes_on_with_the_others(void **state)
{
	struct world *world = *state;
	struct redis_stores others;

	await(works, world, "the master");
	others = split(world);
	follow(world);
	assert_int_equal(get_tag(world), BW_OK);
	free_others(&others);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_master_that_was_elected_is_found, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_master_that_was_set_aside_is_left, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			what_was_written_to_a_master_set_aside_is_not_rolled_back, setup, teardown),
		cmocka_unit_test_setup_teardown(
			who_has_written_nothing_since_goes_on_with_the_others, setup, teardown),
	};

	return cmocka_run_group_tests_name("redis_sentinel", tests, NULL, NULL);
}
