/*
 * The files of a garbage collection: a run that was held up never goes on, and what
 * a dead one leaves is cleared away without touching the living.
 */
#include "server/content/gc_files.h"
#include "tests/support/content_fixture.h"

static struct gc_run begin(struct fixture *fixture)
{
	struct gc_run run;

	assert_int_equal(gc_run_begin(&run, fixture->objects, NULL), BW_OK);
	return run;
}

static void rewrite(struct gc_run *run, const char *text)
{
	char *key = xasprintf("gc/runs/%s", run->id);

	assert_int_equal(object_put(run->objects, key, text, strlen(text), PUT_REPLACE, NULL),
			 BW_OK);
	free(key);
}

/* As if it had died so long ago. */
static void let_die(struct gc_run *run, int64_t age_ms)
{
	char *text = xasprintf("{\"refreshedAt\":%lld}", (long long)(clock_wall_ms() - age_ms));

	rewrite(run, text);
	free(text);
}

static enum status lives(struct gc_run *run)
{
	return gc_run_lives(run->objects, run->id, NULL);
}

static void a_run_is_seen_until_its_end(void **state)
{
	struct fixture *fixture = *state;
	struct gc_run run = begin(fixture);
	struct gc_run other = begin(fixture);
	struct gc_run_list list = {0};

	assert_string_not_equal(run.id, other.id);
	assert_int_equal(lives(&run), BW_OK);
	assert_int_equal(gc_list_runs(fixture->objects, &list, NULL), BW_OK);
	assert_int_equal(list.count, 2);
	gc_run_list_release(&list);
	gc_run_end(&run);
	assert_int_equal(lives(&run), BW_ABSENT);
	assert_int_equal(gc_list_runs(fixture->objects, &list, NULL), BW_OK);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.ids[0], other.id);
	gc_run_list_release(&list);
	gc_run_end(&other);
}

static void nothing_is_left_of_a_run(void **state)
{
	struct fixture *fixture = *state;
	struct gc_run run = begin(fixture);

	assert_int_equal(gc_run_condemn(&run, &fixture->layer, 1, NULL), BW_OK);
	assert_int_equal(gc_keep(fixture->objects, run.id, &fixture->config, PUT_REPLACE, NULL),
			 BW_OK);
	gc_run_end(&run);
	assert_int_equal(count_keys(fixture, ""), 0);
}

static bool condemned(struct gc_run *run, const struct digest *digest)
{
	bool is = false;

	assert_int_equal(gc_any_condemned(run->objects, run->id, digest, 1, &is, NULL), BW_OK);
	return is;
}

static void the_condemned_are_those_of_the_last_batch(void **state)
{
	struct fixture *fixture = *state;
	struct gc_run run = begin(fixture);
	struct digest batch[] = {fixture->layer, fixture->config};
	bool any = false;

	assert_false(condemned(&run, &fixture->layer));
	assert_int_equal(gc_run_condemn(&run, batch, 2, NULL), BW_OK);
	assert_true(condemned(&run, &fixture->layer));
	assert_true(condemned(&run, &fixture->config));
	assert_false(condemned(&run, &fixture->image));
	assert_int_equal(gc_run_condemn(&run, &fixture->image, 1, NULL), BW_OK);
	assert_false(condemned(&run, &fixture->layer));
	assert_true(condemned(&run, &fixture->image));
	batch[1] = fixture->image;
	assert_int_equal(gc_any_condemned(run.objects, run.id, batch, 2, &any, NULL), BW_OK);
	assert_true(any);
	assert_int_equal(gc_run_acquit(&run, NULL), BW_OK);
	assert_false(condemned(&run, &fixture->image));
	gc_run_end(&run);
}

static void the_largest_batch_fits(void **state)
{
	struct fixture *fixture = *state;
	struct gc_run run = begin(fixture);
	struct digest *batch = xcalloc(GC_BATCH_MAX + 1, sizeof(*batch));

	for (unsigned i = 0; i <= GC_BATCH_MAX; i++)
		digest_of(DIGEST_SHA512, &i, sizeof(i), &batch[i]);
	assert_int_equal(gc_run_condemn(&run, batch, GC_BATCH_MAX, NULL), BW_OK);
	assert_true(condemned(&run, &batch[0]));
	assert_true(condemned(&run, &batch[GC_BATCH_MAX - 1]));
	assert_int_equal(gc_run_condemn(&run, batch, GC_BATCH_MAX + 1, NULL), BW_INTERNAL);
	free(batch);
	gc_run_end(&run);
}

static void what_is_condemned_must_be_readable(void **state)
{
	static const char *const texts[] = {"", "?", "{}", "{\"digests\":7}"};
	struct fixture *fixture = *state;
	struct gc_run run = begin(fixture);
	char *key = xasprintf("gc/condemned/%s", run.id);

	for (size_t i = 0; i < array_size(texts); i++) {
		bool is = false;

		assert_int_equal(
			object_put(run.objects, key, texts[i], strlen(texts[i]), PUT_REPLACE, NULL),
			BW_OK);
		assert_int_equal(
			gc_any_condemned(run.objects, run.id, &fixture->layer, 1, &is, NULL),
			BW_UNAVAILABLE);
	}
	free(key);
	gc_run_end(&run);
}

static void what_is_kept_is_kept_in_one_run(void **state)
{
	struct fixture *fixture = *state;
	struct gc_run run = begin(fixture);
	struct gc_run other = begin(fixture);
	bool kept = true;

	assert_int_equal(gc_keep(fixture->objects, other.id, &fixture->layer, PUT_REPLACE, NULL),
			 BW_OK);
	assert_int_equal(gc_run_is_kept(&run, &fixture->layer, &kept, NULL), BW_OK);
	assert_false(kept);
	assert_int_equal(gc_run_is_kept(&other, &fixture->layer, &kept, NULL), BW_OK);
	assert_true(kept);
	kept = false;
	make_fail(&fixture->object_faults, "stat", BW_IO);
	assert_int_equal(gc_run_is_kept(&other, &fixture->layer, &kept, NULL), BW_IO);
	make_fail(&fixture->object_faults, NULL, BW_OK);
	gc_run_end(&run);
	gc_run_end(&other);
}

static void a_run_is_refreshed_when_it_is_time(void **state)
{
	struct fixture *fixture = *state;
	struct gc_run run = begin(fixture);
	unsigned calls = atomic_load(&fixture->object_faults.calls);

	assert_int_equal(gc_run_refresh(&run, NULL), BW_OK);
	assert_int_equal(atomic_load(&fixture->object_faults.calls), calls);
	let_die(&run, GC_RUN_DEAD_MS);
	run.refreshed_monotonic -= GC_RUN_REFRESH_MS;
	assert_true(gc_run_alive(&run));
	assert_int_equal(gc_run_refresh(&run, NULL), BW_OK);
	assert_int_equal(lives(&run), BW_OK);
	gc_run_end(&run);
}

/* By whichever clock: the machine may have slept, or its time been set. */
static void a_run_that_was_held_up_never_goes_on(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned how = 0; how < 3; how++) {
		struct gc_run run = begin(fixture);

		if (how == 0)
			run.refreshed_monotonic -= GC_RUN_REFRESH_LIMIT_MS;
		else if (how == 1)
			run.refreshed_at -= GC_RUN_REFRESH_LIMIT_MS;
		else
			run.refreshed_at += GC_RUN_REFRESH_LIMIT_MS + 1000;
		assert_false(gc_run_alive(&run));
		assert_int_equal(gc_run_refresh(&run, NULL), BW_CANCELLED);
		assert_false(gc_run_alive(&run));
		assert_int_equal(gc_run_refresh(&run, NULL), BW_CANCELLED);
		gc_run_end(&run);
	}
}

static void a_refresh_that_fails_is_told(void **state)
{
	struct fixture *fixture = *state;
	struct gc_run run = begin(fixture);

	run.refreshed_monotonic -= GC_RUN_REFRESH_MS;
	make_fail(&fixture->object_faults, "put", BW_NO_SPACE);
	assert_int_equal(gc_run_refresh(&run, NULL), BW_NO_SPACE);
	assert_true(gc_run_alive(&run));
	make_fail(&fixture->object_faults, NULL, BW_OK);
	assert_int_equal(gc_run_refresh(&run, NULL), BW_OK);
	gc_run_end(&run);
}

static void a_run_is_dead_after_a_while(void **state)
{
	struct fixture *fixture = *state;
	struct gc_run run = begin(fixture);

	let_die(&run, GC_RUN_DEAD_MS - 20000);
	assert_int_equal(lives(&run), BW_OK);
	let_die(&run, -3600000); /* a clock that is ahead */
	assert_int_equal(lives(&run), BW_OK);
	let_die(&run, GC_RUN_DEAD_MS);
	assert_int_equal(lives(&run), BW_ABSENT);
	rewrite(&run, "{");
	assert_int_equal(lives(&run), BW_OK);
	make_fail(&fixture->object_faults, "open", BW_IO);
	assert_int_equal(lives(&run), BW_IO);
	make_fail(&fixture->object_faults, NULL, BW_OK);
}

static void only_the_dead_are_cleared_away(void **state)
{
	struct fixture *fixture = *state;
	struct gc_run living = begin(fixture);
	struct gc_run dead = begin(fixture);
	struct gc_run ended = begin(fixture);
	bool kept = false;

	assert_int_equal(gc_run_condemn(&living, &fixture->layer, 1, NULL), BW_OK);
	assert_int_equal(gc_keep(living.objects, living.id, &fixture->layer, PUT_REPLACE, NULL),
			 BW_OK);
	assert_int_equal(gc_run_condemn(&dead, &fixture->layer, 1, NULL), BW_OK);
	assert_int_equal(gc_keep(dead.objects, dead.id, &fixture->layer, PUT_REPLACE, NULL), BW_OK);
	let_die(&dead, GC_RUN_DEAD_MS);
	gc_run_end(&ended);
	/* by somebody who saw the run before it ended */
	assert_int_equal(gc_keep(ended.objects, ended.id, &fixture->layer, PUT_REPLACE, NULL),
			 BW_OK);

	assert_int_equal(gc_clear_dead(fixture->objects, NULL), BW_OK);
	assert_int_equal(count_keys(fixture, "gc/"), 3);
	assert_int_equal(lives(&living), BW_OK);
	assert_true(condemned(&living, &fixture->layer));
	assert_int_equal(gc_run_is_kept(&living, &fixture->layer, &kept, NULL), BW_OK);
	assert_true(kept);
	gc_run_end(&living);
	assert_int_equal(count_keys(fixture, "gc/"), 0);
}

static void more_than_a_page_is_cleared_away(void **state)
{
	struct fixture *fixture = *state;
	struct gc_run run = begin(fixture);
	struct gc_run living = begin(fixture);

	for (unsigned i = 0; i < 2100; i++) {
		struct digest digest;

		digest_of(DIGEST_SHA256, &i, sizeof(i), &digest);
		assert_int_equal(gc_keep(run.objects, run.id, &digest, PUT_REPLACE, NULL), BW_OK);
	}
	let_die(&run, GC_RUN_DEAD_MS);
	assert_int_equal(gc_clear_dead(fixture->objects, NULL), BW_OK);
	assert_int_equal(count_keys(fixture, "gc/"), 1);
	gc_run_end(&living);
}

static void what_cannot_be_cleared_away_is_told(void **state)
{
	static const char *const actions[] = {"list", "open", "remove"};
	struct fixture *fixture = *state;
	struct gc_run run = begin(fixture);

	let_die(&run, GC_RUN_DEAD_MS);
	for (size_t i = 0; i < array_size(actions); i++) {
		make_fail(&fixture->object_faults, actions[i], BW_IO);
		assert_int_equal(gc_clear_dead(fixture->objects, NULL), BW_IO);
	}
	make_fail(&fixture->object_faults, NULL, BW_OK);
	assert_int_equal(gc_clear_dead(fixture->objects, NULL), BW_OK);
	assert_int_equal(count_keys(fixture, "gc/"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_run_is_seen_until_its_end),
		TEST(nothing_is_left_of_a_run),
		TEST(the_condemned_are_those_of_the_last_batch),
		TEST(the_largest_batch_fits),
		TEST(what_is_condemned_must_be_readable),
		TEST(what_is_kept_is_kept_in_one_run),
		TEST(a_run_is_refreshed_when_it_is_time),
		TEST(a_run_that_was_held_up_never_goes_on),
		TEST(a_refresh_that_fails_is_told),
		TEST(a_run_is_dead_after_a_while),
		TEST(only_the_dead_are_cleared_away),
		TEST(more_than_a_page_is_cleared_away),
		TEST(what_cannot_be_cleared_away_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
