/* What one replica hears of what another one changes in Redis. */
#include "tests/support/redis_server.h"

#include <pthread.h>
#include <stdatomic.h>

struct heard {
	pthread_mutex_t lock; /* covers last */
	char last[512]; /* "tag <repository> <tag>" or "digest <repository> <digest>" */
	atomic_uint lost;
	const char *expected;
};

struct world {
	struct redis_server server;
	struct redis_stores ours;
	struct redis_stores theirs;
	struct heard heard;
};

static void hear(struct heard *heard, const char *what, const char *repository, const char *name)
{
	pthread_mutex_lock(&heard->lock);
	snprintf(heard->last, sizeof(heard->last), "%s %s %s", what, repository, name);
	pthread_mutex_unlock(&heard->lock);
}

static void tag_changed(void *context, const char *repository, const char *tag)
{
	hear(context, "tag", repository, tag);
}

static void digest_changed(void *context, const char *repository, const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	hear(context, "digest", repository, text);
}

static void lost(void *context)
{
	atomic_fetch_add(&((struct heard *)context)->lost, 1);
}

static bool was_heard(void *context)
{
	struct heard *heard = context;
	bool same;

	pthread_mutex_lock(&heard->lock);
	same = strcmp(heard->last, heard->expected) == 0;
	pthread_mutex_unlock(&heard->lock);
	return same;
}

static void await_heard(struct world *world, const char *expected)
{
	world->heard.expected = expected;
	await(was_heard, &world->heard, expected);
}

static bool ours_is_watched(void *context)
{
	return metadata_is_watched(((struct world *)context)->ours.metadata);
}

static bool ours_is_unwatched(void *context)
{
	return !ours_is_watched(context);
}

static int setup(void **state)
{
	struct world *world = xcalloc(1, sizeof(*world));
	struct metadata_watcher watcher = {.tag_changed = tag_changed,
					   .digest_changed = digest_changed,
					   .lost = lost,
					   .context = &world->heard};

	pthread_mutex_init(&world->heard.lock, NULL);
	world->server = redis_server_start(NULL);
	world->ours = redis_stores_at(world->server.address, "bw:");
	world->theirs = redis_stores_at(world->server.address, "bw:");
	metadata_watch(world->ours.metadata, &watcher);
	await(ours_is_watched, world, "changes to be heard");
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	metadata_store_free(world->ours.metadata);
	coordination_free(world->ours.coordination);
	coordination_free(world->theirs.coordination);
	metadata_store_free(world->theirs.metadata);
	redis_server_end(&world->server);
	pthread_mutex_destroy(&world->heard.lock);
	free(world);
	return 0;
}

static void put_tag(struct world *world, const char *repository, const char *tag, uint64_t version)
{
	struct tag_entry entry = {.digest = digest_for("m"), .version = version};
	struct error error = {0};

	if (metadata_put_tag(world->theirs.metadata, repository, tag, &entry, &error))
		fail_msg("%s", error.message);
}

static void anothers_tag_is_heard_of(void **state)
{
	struct world *world = *state;

	put_tag(world, "docker.io/library/a", "v1.0_x", 1);
	await_heard(world, "tag docker.io/library/a v1.0_x");
	put_tag(world, "b", "v2", 1);
	await_heard(world, "tag b v2");
	assert_int_equal(metadata_remove_tag(world->theirs.metadata, "docker.io/library/a",
					     "v1.0_x", 1, NULL),
			 BW_OK);
	await_heard(world, "tag docker.io/library/a v1.0_x");
}

static void anothers_manifests_and_links_are_heard_of(void **state)
{
	struct world *world = *state;
	struct manifest_entry entry = {
		.digest = digest_for("m"), .body = (char *)"m", .body_length = 1};
	struct listed_content link = {.digest = digest_for("layer"), .size = 5};
	char text[DIGEST_TEXT_SIZE];
	char *manifest;
	char *layer;

	digest_format(&entry.digest, text);
	manifest = xasprintf("digest a %s", text);
	digest_format(&link.digest, text);
	layer = xasprintf("digest a %s", text);
	assert_int_equal(metadata_put_link(world->theirs.metadata, "a", &link, NULL), BW_OK);
	await_heard(world, layer);
	assert_int_equal(metadata_put_manifest(world->theirs.metadata, "a", &entry, NULL, 0, NULL),
			 BW_OK);
	await_heard(world, manifest);
	assert_int_equal(metadata_remove_link(world->theirs.metadata, "a", &link.digest, NULL),
			 BW_OK);
	await_heard(world, layer);
	assert_int_equal(metadata_remove_manifest(world->theirs.metadata, "a", &entry.digest, NULL),
			 BW_OK);
	await_heard(world, manifest);
	free(manifest);
	free(layer);
}

struct turn {
	struct redis_stores *stores;
	uint64_t sessions;
};

static struct turn turn_of(struct redis_stores *stores)
{
	struct redis_status status;

	redis_store_status(stores->metadata, &status);
	return (struct turn){.stores = stores, .sessions = status.sessions};
}

static bool has_turned(void *context)
{
	struct turn *turn = context;

	return turn_of(turn->stores).sessions > turn->sessions &&
	       metadata_is_watched(turn->stores->metadata);
}

struct loss {
	struct world *world;
	unsigned before;
};

static bool has_lost(void *context)
{
	struct loss *loss = context;

	return atomic_load(&loss->world->heard.lost) > loss->before;
}

static void an_emptied_server_loses_all_copies(void **state)
{
	struct world *world = *state;
	struct loss loss = {.world = world, .before = atomic_load(&world->heard.lost)};
	struct turn ours = turn_of(&world->ours);
	struct turn theirs = turn_of(&world->theirs);

	redis_server_tell(&world->server, "FLUSHALL");
	await(has_lost, &loss, "all to be lost");
	await(has_turned, &ours, "changes to be heard again");
	await(has_turned, &theirs, "the other one to go on");
	put_tag(world, "a", "after", 1);
	await_heard(world, "tag a after");
}

static void a_server_that_is_gone_loses_all_copies(void **state)
{
	struct world *world = *state;
	struct loss loss = {.world = world, .before = atomic_load(&world->heard.lost)};
	struct turn ours = turn_of(&world->ours);
	struct turn theirs = turn_of(&world->theirs);

	redis_server_kill(&world->server);
	await(has_lost, &loss, "all to be lost");
	await(ours_is_unwatched, world, "nothing to be heard");
	loss.before = atomic_load(&world->heard.lost);
	redis_server_run(&world->server, NULL);
	await(has_turned, &ours, "changes to be heard again");
	await(has_turned, &theirs, "the other one to go on");
	assert_true(has_lost(&loss)); /* copies made meanwhile are not kept */
	put_tag(world, "a", "after", 1);
	await_heard(world, "tag a after");
}

/* Only one of our connections is cut. */
static void a_listener_cut_off_is_unwatched(void **state)
{
	struct world *world = *state;
	struct loss loss = {.world = world, .before = atomic_load(&world->heard.lost)};
	struct turn ours = turn_of(&world->ours);
	struct turn theirs = turn_of(&world->theirs);

	redis_server_tell(&world->server, "CLIENT KILL TYPE pubsub");
	await(has_lost, &loss, "all to be lost");
	await(has_turned, &ours, "changes to be heard again");
	await(has_turned, &theirs, "the other one to go on");
	put_tag(world, "a", "after", 1);
	await_heard(world, "tag a after");
}

static void nobody_is_told_after_the_watcher_was_taken_back(void **state)
{
	struct world *world = *state;
	struct metadata_watcher second = {
		.tag_changed = tag_changed, .digest_changed = digest_changed, .lost = lost};
	struct heard heard = {.expected = "tag a v1"};

	pthread_mutex_init(&heard.lock, NULL);
	second.context = &heard;
	metadata_watch(world->ours.metadata, NULL);
	metadata_watch(world->ours.metadata, &second);
	put_tag(world, "a", "v1", 1);
	await(was_heard, &heard, "the second one to hear");
	assert_string_equal(world->heard.last, "");
	metadata_watch(world->ours.metadata, NULL);
	pthread_mutex_destroy(&heard.lock);
}

static bool warns_unwatched(void *context)
{
	struct redis_status status;

	redis_store_status(context, &status);
	return status.connected && !status.watched && status.warning[0];
}

/* A managed Redis without the command: everything else works. */
static void a_server_that_does_not_tell_is_used_unwatched(void **state)
{
	static const char *const arguments[] = {"--rename-command", "SUBSCRIBE", "", NULL};
	struct redis_server server = redis_server_start(arguments);
	struct redis_stores stores = redis_stores_at(server.address, "bw:");

	(void)state;
	await(warns_unwatched, stores.metadata, "the warning");
	assert_int_equal(metadata_check(stores.metadata, NULL), BW_OK);
	assert_false(metadata_is_watched(stores.metadata));
	coordination_free(stores.coordination);
	metadata_store_free(stores.metadata);
	redis_server_end(&server);
}

/* What was acknowledged to its writer is not answered from memory because a thread of
 * ours has not run yet. */
static void copies_are_not_believed_while_news_wait(void **state)
{
	struct world *world = *state;

	pthread_mutex_lock(&world->heard.lock); /* the watcher gets no further */
	put_tag(world, "team/app", "v1", 7);
	await(ours_is_unwatched, world, "news that wait to be noticed");
	pthread_mutex_unlock(&world->heard.lock);
	await(ours_is_watched, world, "news to be taken in");
	world->heard.expected = "tag team/app v1";
	assert_true(was_heard(&world->heard));
}

int main(void)
{
#define WATCH_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		WATCH_TEST(copies_are_not_believed_while_news_wait),
		WATCH_TEST(anothers_tag_is_heard_of),
		WATCH_TEST(anothers_manifests_and_links_are_heard_of),
		WATCH_TEST(an_emptied_server_loses_all_copies),
		WATCH_TEST(a_server_that_is_gone_loses_all_copies),
		WATCH_TEST(a_listener_cut_off_is_unwatched),
		WATCH_TEST(nobody_is_told_after_the_watcher_was_taken_back),
		cmocka_unit_test(a_server_that_does_not_tell_is_used_unwatched),
	};

	return cmocka_run_group_tests_name("redis_watch", tests, NULL, NULL);
}
