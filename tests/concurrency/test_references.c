/*
 * The handshake of references.h: a mount, or a push, and a garbage collection take
 * their steps in every order, and nothing that was acknowledged is lost.
 *
 * A step is a call of the object store. Two threads take turns, and each of the
 * first STEPS turns goes to the one that a bit of the run's number says.
 */
#include "server/content/gc_files.h"
#include "server/content/references.h"
#include "tests/support/content_fixture.h"
#include "tests/support/gate.h"

#define STEPS 10
#define BYTES "bytes of a layer"
#define LENGTH (sizeof(BYTES) - 1)

enum player { REFERRER, COLLECTOR, NOBODY };

struct game {
	struct fixture *fixture;
	struct digest digest;
	enum status (*refer)(struct game *game);
	enum status answer;
	bool stored_before; /* the bytes were there from the beginning */
	unsigned removed; /* by the collection */

	pthread_mutex_t lock; /* covers what follows */
	pthread_cond_t moved;
	unsigned order; /* bits: whose turn, the lowest first */
	unsigned turns;
	enum player turn;
	bool finished[2];
};

static _Thread_local enum player me = NOBODY;

static void next_turn(struct game *game)
{
	enum player next = game->turns < STEPS ? (enum player)(game->order >> game->turns & 1)
					       : (enum player)(game->turns & 1);

	game->turns++;
	game->turn = game->finished[next] ? (enum player)(1 - next) : next;
	pthread_cond_broadcast(&game->moved);
}

static void take_turn(void *context, const char *action, const char *key)
{
	struct game *game = context;
	deadline_ms end = deadline_in(GATE_PATIENCE_MS);

	(void)action;
	(void)key;
	if (me == NOBODY)
		return;
	pthread_mutex_lock(&game->lock);
	while (game->turn != me && cond_wait_until(&game->moved, &game->lock, end))
		;
	pthread_mutex_unlock(&game->lock);
}

static void give_turn(void *context, const char *action, const char *key)
{
	struct game *game = context;

	(void)action;
	(void)key;
	if (me == NOBODY)
		return;
	pthread_mutex_lock(&game->lock);
	next_turn(game);
	pthread_mutex_unlock(&game->lock);
}

static void leave(struct game *game)
{
	pthread_mutex_lock(&game->lock);
	game->finished[me] = true;
	if (game->turn == me)
		next_turn(game);
	pthread_mutex_unlock(&game->lock);
}

/* ---- the collection ---- */

static void collect_batch(struct game *game, struct gc_run *run)
{
	char key[KEY_SIZE];
	bool kept = true;

	assert_int_equal(gc_run_condemn(run, &game->digest, 1, NULL), BW_OK);
	assert_int_equal(gc_run_is_kept(run, &game->digest, &kept, NULL), BW_OK);
	if (!kept) {
		assert_true(gc_run_alive(run));
		key_of_blob(key, &game->digest);
		assert_int_equal(object_remove(game->fixture->objects, key, NULL), BW_OK);
		metadata_remove_blob(game->fixture->metadata, &game->digest, NULL);
		game->removed++;
	}
	assert_int_equal(gc_run_acquit(run, NULL), BW_OK);
}

static void collect(struct game *game)
{
	struct gc_run run;
	unsigned references = 0;

	assert_int_equal(gc_run_begin(&run, game->fixture->objects, NULL), BW_OK);
	assert_int_equal(object_list(game->fixture->objects, "repositories/", "", count_key,
				     &references, NULL),
			 BW_OK);
	if (references == 0)
		collect_batch(game, &run);
	gc_run_end(&run);
}

static void play(void *context, unsigned index)
{
	struct game *game = context;

	me = (enum player)index;
	if (me == COLLECTOR)
		collect(game);
	else
		game->answer = game->refer(game);
	leave(game);
	me = NOBODY;
}

/* ---- those who refer ---- */

static enum status refer_by_mount(struct game *game)
{
	uint64_t size;

	return content_mount_blob(game->fixture->content, HERE, &game->digest, &size, NULL);
}

static enum status refer_by_push(struct game *game)
{
	return push_bytes(game->fixture, HERE, BYTES, LENGTH, NULL);
}

/* A reader believes a link that the store has and the index does not. */
static enum status refer_by_reading(struct game *game)
{
	char key[KEY_SIZE];
	enum status status;

	key_of_link(key, HERE, &game->digest);
	status = object_put(game->fixture->objects, key, "{\"size\":16,\"storedAt\":1}", 24,
			    PUT_REPLACE_SOON, NULL);
	return status == BW_OK ? linked(game->fixture, HERE, &game->digest) : status;
}

static enum status refer_by_manifest(struct game *game)
{
	return put_body(game->fixture, HERE, game->fixture->body, NULL);
}

/* ---- what must hold in the end ---- */

static bool stored(struct game *game)
{
	struct object_info info;
	char key[KEY_SIZE];

	key_of_blob(key, &game->digest);
	return object_stat(game->fixture->objects, key, &info, NULL) == BW_OK;
}

static bool indexed(struct game *game)
{
	uint64_t size;

	return metadata_get_blob(game->fixture->metadata, &game->digest, &size, NULL) == BW_OK;
}

static void judge(struct game *game)
{
	uint64_t size;

	if (game->answer != BW_OK && game->answer != BW_ABSENT)
		fail_msg("order %x: %s", game->order, status_name(game->answer));
	if (game->answer == BW_OK && !stored(game))
		fail_msg("order %x: what was acknowledged is lost", game->order);
	if (game->answer == BW_ABSENT && stored(game))
		fail_msg("order %x: not found, and yet there", game->order);
	if (indexed(game) && !stored(game))
		fail_msg("order %x: the index promises what is gone", game->order);
	if (metadata_get_link(game->fixture->metadata, HERE, &game->digest, &size, NULL) == BW_OK &&
	    !stored(game))
		fail_msg("order %x: the index has a link to nothing", game->order);
	assert_int_equal(count_keys(game->fixture, "gc/runs/"), 0);
	assert_int_equal(count_keys(game->fixture, "gc/condemned/"), 0);
}

static void set_up(struct game *game)
{
	char key[KEY_SIZE];

	if (!game->stored_before)
		return;
	key_of_blob(key, &game->digest);
	assert_int_equal(
		object_put(game->fixture->objects, key,
			   game->refer == refer_by_manifest ? game->fixture->body : BYTES,
			   game->refer == refer_by_manifest ? strlen(game->fixture->body) : LENGTH,
			   PUT_REPLACE, NULL),
		BW_OK);
}

/* How often the collection removed the bytes, and how often it was too late. */
struct tally {
	unsigned removed;
	unsigned spared;
	unsigned absent;
};

static void play_order(unsigned order, enum status (*refer)(struct game *game), bool stored_before,
		       struct tally *tally)
{
	struct game game = {.refer = refer, .order = order, .stored_before = stored_before};
	void *state;

	content_make(&state);
	game.fixture = state;
	if (refer == refer_by_manifest)
		game.digest = game.fixture->image;
	else
		digest_of(DIGEST_SHA256, BYTES, LENGTH, &game.digest);
	set_up(&game);
	pthread_mutex_init(&game.lock, NULL);
	cond_init(&game.moved);
	next_turn(&game);
	game.fixture->hooks =
		(struct hooks){.before = take_turn, .after = give_turn, .context = &game};
	run_together(2, play, &game);
	judge(&game);
	tally->removed += game.removed;
	tally->spared += game.removed == 0;
	tally->absent += game.answer == BW_ABSENT;
	pthread_cond_destroy(&game.moved);
	pthread_mutex_destroy(&game.lock);
	content_forget(&state);
}

static struct tally play_all(enum status (*refer)(struct game *game), bool stored_before)
{
	struct tally tally = {0};

	for (unsigned order = 0; order < 1u << STEPS; order++)
		play_order(order, refer, stored_before, &tally);
	/* both ends are reached, or the orders do not mix the two */
	assert_true(tally.removed > 0);
	assert_true(tally.spared > 0);
	return tally;
}

static void mounts_in_every_order(void **state)
{
	(void)state;
	assert_true(play_all(refer_by_mount, true).absent > 0);
}

static void readers_in_every_order(void **state)
{
	(void)state;
	assert_true(play_all(refer_by_reading, true).absent > 0);
}

static void pushes_in_every_order(void **state)
{
	(void)state;
	assert_int_equal(play_all(refer_by_push, true).absent, 0);
	assert_int_equal(play_all(refer_by_push, false).absent, 0);
}

static void manifests_in_every_order(void **state)
{
	(void)state;
	assert_int_equal(play_all(refer_by_manifest, true).absent, 0);
	assert_int_equal(play_all(refer_by_manifest, false).absent, 0);
}

/* ---- waiting ---- */

struct wait {
	struct fixture *fixture;
	struct gc_run run;
	struct gate looked; /* where whoever settles has read what is condemned */
	unsigned looks;
	struct error error;
	enum status answer;
};

static void count_look(void *context, const char *action, const char *key)
{
	struct wait *wait = context;

	if (me == REFERRER && strcmp(action, "open") == 0 && strstr(key, "gc/condemned/") &&
	    ++wait->looks >= 2)
		gate_pass(&wait->looked, NULL);
}

static void settle_or_acquit(void *context, unsigned index)
{
	struct wait *wait = context;

	me = (enum player)index;
	if (me == REFERRER) {
		wait->answer = references_settle(wait->fixture->content, &wait->fixture->layer, 1,
						 &wait->error);
	} else {
		gate_await(&wait->looked, 1);
		assert_int_equal(gc_run_acquit(&wait->run, NULL), BW_OK);
		gate_open(&wait->looked);
	}
	me = NOBODY;
}

static void condemn(struct wait *wait, struct fixture *fixture)
{
	wait->fixture = fixture;
	assert_int_equal(gc_run_begin(&wait->run, fixture->objects, NULL), BW_OK);
	assert_int_equal(gc_run_condemn(&wait->run, &fixture->layer, 1, NULL), BW_OK);
}

static void who_refers_waits_for_the_acquittal(void **state)
{
	struct wait wait = {0};

	condemn(&wait, *state);
	gate_init(&wait.looked);
	wait.fixture->hooks = (struct hooks){.after = count_look, .context = &wait};
	run_together(2, settle_or_acquit, &wait);
	assert_int_equal(wait.answer, BW_OK);
	assert_true(wait.looks > 2);
	gate_release(&wait.looked);
}

static void patience_has_an_end(void **state)
{
	struct wait wait = {0};
	struct object_part part = {0};
	struct digest digest;

	condemn(&wait, *state);
	wait.fixture->content->settle_patience_ms = 30;
	assert_int_equal(
		references_settle(wait.fixture->content, &wait.fixture->layer, 1, &wait.error),
		BW_UNAVAILABLE);
	assert_true(wait.error.retry_after > 0);
	assert_non_null(strstr(wait.error.message, "garbage collection"));
	/* nobody else waits */
	assert_int_equal(references_settle(wait.fixture->content, &wait.fixture->config, 1, NULL),
			 BW_OK);

	/* and a push is not acknowledged, but may be repeated */
	digest_of(DIGEST_SHA256, BYTES, LENGTH, &digest);
	assert_int_equal(gc_run_condemn(&wait.run, &digest, 1, NULL), BW_OK);
	upload_bytes(wait.fixture, "abc", BYTES, LENGTH, &part);
	assert_int_equal(content_push_blob(wait.fixture->content, HERE, &digest, LENGTH, "abc",
					   &part, 1, NULL),
			 BW_UNAVAILABLE);
	assert_int_equal(linked(wait.fixture, HERE, &digest), BW_UNAVAILABLE);
	gc_run_end(&wait.run);
	assert_int_equal(content_push_blob(wait.fixture->content, HERE, &digest, LENGTH, "abc",
					   &part, 1, NULL),
			 BW_OK);
}

static void write_run(struct wait *wait, const char *text)
{
	char *key = xasprintf("gc/runs/%s", wait->run.id);

	assert_int_equal(
		object_put(wait->fixture->objects, key, text, strlen(text), PUT_REPLACE, NULL),
		BW_OK);
	free(key);
}

static void a_dead_collection_is_ignored(void **state)
{
	struct wait wait = {0};
	char *text =
		xasprintf("{\"refreshedAt\":%lld}", (long long)(clock_wall_ms() - GC_RUN_DEAD_MS));

	condemn(&wait, *state);
	wait.fixture->content->settle_patience_ms = 30;
	write_run(&wait, text);
	assert_int_equal(references_settle(wait.fixture->content, &wait.fixture->layer, 1, NULL),
			 BW_OK);
	assert_int_equal(count_keys(wait.fixture, "gc/kept/"), 0);
	free(text);
}

/* What cannot be read may be alive. */
static void an_unreadable_collection_is_not(void **state)
{
	struct wait wait = {0};

	condemn(&wait, *state);
	wait.fixture->content->settle_patience_ms = 30;
	write_run(&wait, "?");
	assert_int_equal(references_settle(wait.fixture->content, &wait.fixture->layer, 1, NULL),
			 BW_UNAVAILABLE);
}

/* Of two collections the one that condemned it decides, and both know that it is
 * kept. */
static void every_collection_is_heeded(void **state)
{
	struct fixture *fixture = *state;
	struct gc_run idle;
	struct wait wait = {0};
	bool kept = false;

	assert_int_equal(gc_run_begin(&idle, fixture->objects, NULL), BW_OK);
	condemn(&wait, fixture);
	fixture->content->settle_patience_ms = 30;
	assert_int_equal(references_settle(fixture->content, &fixture->layer, 1, NULL),
			 BW_UNAVAILABLE);
	gc_run_end(&wait.run);
	assert_int_equal(references_settle(fixture->content, &fixture->layer, 1, NULL), BW_OK);
	assert_int_equal(gc_run_is_kept(&idle, &fixture->layer, &kept, NULL), BW_OK);
	assert_true(kept);
	gc_run_end(&idle);
	assert_int_equal(count_keys(fixture, "gc/"), 0);
}

static void a_store_that_fails_settles_nothing(void **state)
{
	static const char *const actions[] = {"list", "open", "put"};
	struct wait wait = {0};

	condemn(&wait, *state);
	assert_int_equal(gc_run_acquit(&wait.run, NULL), BW_OK);
	for (size_t i = 0; i < array_size(actions); i++) {
		make_fail(&wait.fixture->object_faults, actions[i], BW_IO);
		assert_int_equal(references_settle(wait.fixture->content, &wait.fixture->layer, 1,
						   &wait.error),
				 BW_IO);
		assert_int_equal(wait.error.code, BW_IO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mounts_in_every_order),
		cmocka_unit_test(readers_in_every_order),
		cmocka_unit_test(pushes_in_every_order),
		cmocka_unit_test(manifests_in_every_order),
		TEST(who_refers_waits_for_the_acquittal),
		TEST(patience_has_an_end),
		TEST(a_dead_collection_is_ignored),
		TEST(an_unreadable_collection_is_not),
		TEST(every_collection_is_heeded),
		TEST(a_store_that_fails_settles_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
