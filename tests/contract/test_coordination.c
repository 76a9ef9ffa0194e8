/* What backends/coordination.h promises, asked of every implementation. */
#include "backends/mem/mem_coordination.h"
#include "server/base/clock.h"
#include "tests/support/redis_stores.h"

#include <string.h>
#include <unistd.h>

#define LONG_MS 600000

struct fixture {
	struct coordination *coordination;
	struct metadata_store *metadata; /* its twin; NULL: it has none */
};

static struct fixture open_memory(void)
{
	return (struct fixture){.coordination = mem_coordination_new()};
}

static struct fixture open_redis(void)
{
	char *prefix = redis_fresh_prefix();
	struct redis_stores stores = redis_stores_at(redis_test_address(), prefix);

	free(prefix);
	return (struct fixture){.coordination = stores.coordination, .metadata = stores.metadata};
}

static const struct {
	const char *name;
	struct fixture (*open)(void);
} kinds[] = {{"memory", open_memory}, {"redis", open_redis}};

static struct coordination *coordination_of(void **state)
{
	return ((struct fixture *)*state)->coordination;
}

static struct lease take(struct coordination *coordination, const char *name, const char *holder,
			 int64_t ttl_ms)
{
	struct lease lease = {0};
	struct error error = {0};

	if (coordination_take_lease(coordination, name, holder, ttl_ms, &lease, &error))
		fail_msg("%s", error.message);
	assert_string_equal(lease.holder, holder);
	return lease;
}

static void assert_held(struct coordination *coordination, const char *name, const struct lease *by)
{
	struct lease found = {0};
	struct error error = {0};

	assert_int_equal(coordination_take_lease(coordination, name, "somebody else", LONG_MS,
						 &found, &error),
			 BW_CONFLICT);
	assert_true(error.message[0]);
	assert_string_equal(found.holder, by->holder);
	assert_int_equal(found.fence, by->fence);
}

static void a_lease_has_one_holder(void **state)
{
	struct coordination *coordination = coordination_of(state);
	struct lease lease = take(coordination, "fill/sha256:ab", "10.0.0.1:5000", LONG_MS);

	assert_true(lease.fence > 0);
	assert_held(coordination, "fill/sha256:ab", &lease);
	take(coordination, "fill/sha256:abc", "10.0.0.2:5000", LONG_MS);
	assert_held(coordination, "fill/sha256:ab", &lease);
}

static void nobody_takes_a_lease_twice_by_its_name(void **state)
{
	struct coordination *coordination = coordination_of(state);
	struct lease lease = take(coordination, "x", "me", LONG_MS);
	struct lease again = {0};

	assert_int_equal(coordination_take_lease(coordination, "x", "me", LONG_MS, &again, NULL),
			 BW_CONFLICT);
	assert_int_equal(again.fence, lease.fence);
}

static void a_lease_given_back_has_a_higher_fence_next(void **state)
{
	struct coordination *coordination = coordination_of(state);
	struct lease first = take(coordination, "x", "a", LONG_MS);
	struct lease second;

	assert_int_equal(coordination_drop_lease(coordination, "x", first.fence, NULL), BW_OK);
	second = take(coordination, "x", "b", LONG_MS);
	assert_true(second.fence > first.fence);
	/* ... and what the first one still does changes nothing */
	assert_int_equal(coordination_drop_lease(coordination, "x", first.fence, NULL), BW_OK);
	assert_int_equal(coordination_renew_lease(coordination, "x", first.fence, 1, NULL),
			 BW_CONFLICT);
	assert_held(coordination, "x", &second);
}

static void a_lease_ends_by_itself(void **state)
{
	struct coordination *coordination = coordination_of(state);
	struct lease first = take(coordination, "x", "a", 30);
	struct lease second = {0};
	deadline_ms deadline = deadline_in(10000);

	while (coordination_take_lease(coordination, "x", "b", LONG_MS, &second, NULL) != BW_OK) {
		assert_false(deadline_passed(deadline));
		usleep(2000);
	}
	assert_true(second.fence > first.fence);
	assert_int_equal(coordination_renew_lease(coordination, "x", first.fence, LONG_MS, NULL),
			 BW_CONFLICT);
	assert_int_equal(coordination_renew_lease(coordination, "y", 1, LONG_MS, NULL),
			 BW_CONFLICT);
}

static void a_renewed_lease_lasts(void **state)
{
	struct coordination *coordination = coordination_of(state);
	struct lease lease = take(coordination, "x", "a", 2000);
	int64_t over = clock_monotonic_ms() + 2200;

	assert_int_equal(coordination_renew_lease(coordination, "x", lease.fence, LONG_MS, NULL),
			 BW_OK);
	while (clock_monotonic_ms() < over)
		usleep(20000);
	assert_held(coordination, "x", &lease);
}

struct race {
	struct coordination *coordination;
	struct lease leases[8];
	enum status statuses[8];
};

static void race_for_it(void *context, unsigned index)
{
	struct race *race = context;

	race->statuses[index] = coordination_take_lease(race->coordination, "x", "racer", LONG_MS,
							&race->leases[index], NULL);
}

static void of_many_at_once_one_gets_it(void **state)
{
	struct race race = {.coordination = coordination_of(state)};
	unsigned winners = 0;

	run_together(8, race_for_it, &race);
	for (unsigned i = 0; i < 8; i++) {
		winners += race.statuses[i] == BW_OK;
		assert_int_equal(race.leases[i].fence, race.leases[0].fence);
	}
	assert_int_equal(winners, 1);
}

/* ---- notes ---- */

struct notes {
	char text[2048];
	unsigned count;
	bool stop;
};

static bool collect(void *context, const char *name, const char *value, int64_t age_ms)
{
	struct notes *notes = context;
	size_t length = strlen(notes->text);

	assert_true(age_ms >= 0 && age_ms < 60000);
	snprintf(notes->text + length, sizeof(notes->text) - length, "%s=%s;", name, value);
	notes->count++;
	return !notes->stop;
}

static struct notes list(struct coordination *coordination, const char *group)
{
	struct notes notes = {0};

	assert_int_equal(coordination_list_notes(coordination, group, collect, &notes, NULL),
			 BW_OK);
	return notes;
}

static void put_note(struct coordination *coordination, const char *group, const char *name,
		     const char *value, int64_t ttl_ms)
{
	assert_int_equal(coordination_put_note(coordination, group, name, value, ttl_ms, NULL),
			 BW_OK);
}

static void a_note_is_told_in_its_group(void **state)
{
	struct coordination *coordination = coordination_of(state);

	assert_string_equal(list(coordination, "replicas").text, "");
	put_note(coordination, "replicas", "10.0.0.1:5000", "since 5", LONG_MS);
	put_note(coordination, "replica", "elsewhere", "x", LONG_MS);
	assert_string_equal(list(coordination, "replicas").text, "10.0.0.1:5000=since 5;");
	put_note(coordination, "replicas", "10.0.0.1:5000", "", LONG_MS);
	assert_string_equal(list(coordination, "replicas").text, "10.0.0.1:5000=;");
	put_note(coordination, "replicas", "b", "{\"a\": \"b c\"}", LONG_MS);
	assert_int_equal(list(coordination, "replicas").count, 2);
}

static void a_listing_stops_when_told_to(void **state)
{
	struct coordination *coordination = coordination_of(state);
	struct notes notes = {.stop = true};

	put_note(coordination, "g", "a", "1", LONG_MS);
	put_note(coordination, "g", "b", "2", LONG_MS);
	assert_int_equal(coordination_list_notes(coordination, "g", collect, &notes, NULL), BW_OK);
	assert_int_equal(notes.count, 1);
}

/* ... and does not take along those of its group that last, whichever came first. */
static void a_note_ends_by_itself(void **state)
{
	struct coordination *coordination = coordination_of(state);
	deadline_ms deadline = deadline_in(10000);

	put_note(coordination, "g", "long", "1", LONG_MS);
	put_note(coordination, "g", "short", "2", 30);
	put_note(coordination, "h", "short", "2", 30);
	put_note(coordination, "h", "long", "1", LONG_MS);
	while (strcmp(list(coordination, "g").text, "long=1;") != 0 ||
	       strcmp(list(coordination, "h").text, "long=1;") != 0) {
		assert_false(deadline_passed(deadline));
		usleep(2000);
	}
}

static void the_longest_texts_fit(void **state)
{
	struct coordination *coordination = coordination_of(state);
	char text[COORDINATION_TEXT_MAX + 1];
	struct lease lease;

	memset(text, 'x', COORDINATION_TEXT_MAX);
	text[COORDINATION_TEXT_MAX] = '\0';
	lease = take(coordination, text, text, LONG_MS);
	assert_held(coordination, text, &lease);
	put_note(coordination, text, text, text, LONG_MS);
	assert_int_equal(list(coordination, text).count, 1);
}

static int setup(void **state)
{
	const size_t *kind = *state;
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	*fixture = kinds[*kind].open();
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	if (fixture->metadata)
		metadata_store_free(fixture->metadata);
	coordination_free(fixture->coordination);
	free(fixture);
	return 0;
}

#define CASE(function) \
	{ \
#function, function \
	}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void **state);
	} cases[] = {
		CASE(a_lease_has_one_holder),
		CASE(nobody_takes_a_lease_twice_by_its_name),
		CASE(a_lease_given_back_has_a_higher_fence_next),
		CASE(a_lease_ends_by_itself),
		CASE(a_renewed_lease_lasts),
		CASE(of_many_at_once_one_gets_it),
		CASE(a_note_is_told_in_its_group),
		CASE(a_listing_stops_when_told_to),
		CASE(a_note_ends_by_itself),
		CASE(the_longest_texts_fit),
	};
	static const size_t numbers[array_size(kinds)] = {0, 1};
	struct CMUnitTest tests[array_size(kinds) * array_size(cases)];
	size_t count = 0;
	int failed;

	for (size_t k = 0; k < array_size(kinds); k++)
		for (size_t i = 0; i < array_size(cases); i++)
			tests[count++] = (struct CMUnitTest){
				.name = xasprintf("%s: %s", kinds[k].name, cases[i].name),
				.test_func = cases[i].run,
				.setup_func = setup,
				.teardown_func = teardown,
				.initial_state = (void *)&numbers[k],
			};
	failed = cmocka_run_group_tests_name("coordination", tests, NULL, NULL);
	for (size_t i = 0; i < count; i++)
		free((char *)tests[i].name);
	return failed;
}
