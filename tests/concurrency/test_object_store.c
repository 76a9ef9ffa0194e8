/* Many threads on one object store, over every store there is. Threads count
 * what goes wrong; only the test itself asserts. */
#include "server/base/digest.h"
#include "tests/support/object_stores.h"

#include <stdatomic.h>
#include <string.h>

#define THREADS 8
#define ROUNDS 60

struct contest {
	struct object_store *store;
	const char *files;
	unsigned round;
	atomic_uint won;
	atomic_uint lost;
	atomic_uint wrong;
	atomic_uint busy; /* writers not done */
};

static void start(void **state, struct contest *contest)
{
	struct object_fixture *fixture = *state;

	*contest = (struct contest){.store = fixture->store, .files = fixture->files};
}

static void wrong_unless(struct contest *contest, bool right)
{
	if (!right)
		atomic_fetch_add(&contest->wrong, 1);
}

static void put_if_absent(void *context, unsigned index)
{
	struct contest *contest = context;
	char key[64];
	char value = (char)('a' + index);
	enum status status;

	snprintf(key, sizeof(key), "repositories/r%u/_tags/v1/1", contest->round);
	status = object_put(contest->store, key, &value, 1, PUT_IF_ABSENT, NULL);
	if (status == BW_OK)
		atomic_store(&contest->won, atomic_load(&contest->won) * 100 + index + 1);
	else if (status == BW_CONFLICT)
		atomic_fetch_add(&contest->lost, 1);
	else
		atomic_fetch_add(&contest->wrong, 1);
}

static void of_many_puts_if_absent_one_wins(void **state)
{
	struct contest contest;
	char key[64];

	start(state, &contest);
	for (unsigned round = 0; round < ROUNDS; round++) {
		char *bytes = NULL;
		size_t length = 0;

		contest.round = round;
		atomic_store(&contest.won, 0);
		atomic_store(&contest.lost, 0);
		run_together(THREADS, put_if_absent, &contest);
		assert_int_equal(contest.wrong, 0);
		assert_int_equal(contest.lost, THREADS - 1);
		assert_in_range(contest.won, 1, THREADS);
		snprintf(key, sizeof(key), "repositories/r%u/_tags/v1/1", round);
		assert_int_equal(object_get(contest.store, key, 1, &bytes, &length, NULL), BW_OK);
		assert_int_equal(bytes[0], 'a' + contest.won - 1);
		free(bytes);
	}
}

static void adopt_one_digest(void *context, unsigned index)
{
	struct contest *contest = context;
	char *path = xasprintf("%s/%u-%u", contest->files, contest->round, index);
	char key[64];
	FILE *file = fopen(path, "w");

	wrong_unless(contest, file != NULL);
	if (file) {
		fputs("the same bytes", file);
		fclose(file);
	}
	snprintf(key, sizeof(key), "blobs/sha256/%02u/x", contest->round);
	wrong_unless(contest, object_adopt(contest->store, key, path, NULL) == BW_OK);
	wrong_unless(contest, fopen(path, "r") == NULL);
	free(path);
}

static void many_may_adopt_one_digest(void **state)
{
	struct contest contest;

	start(state, &contest);
	for (unsigned round = 0; round < ROUNDS; round++) {
		contest.round = round;
		run_together(THREADS, adopt_one_digest, &contest);
		assert_int_equal(contest.wrong, 0);
	}
}

#define VALUE_SIZE 5000

/* Writers replace one key by runs of one letter; whoever reads must see a run
 * of one letter. */
static void replace_or_read(void *context, unsigned index)
{
	struct contest *contest = context;
	char value[VALUE_SIZE];
	char *bytes = NULL;
	size_t length = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		if (index % 2 == 0) {
			memset(value, 'a' + (int)((index * ROUNDS + i) % 26), VALUE_SIZE);
			wrong_unless(contest,
				     object_put(contest->store, "d/k", value, VALUE_SIZE - i,
						PUT_REPLACE, NULL) == BW_OK);
			continue;
		}
		if (object_get(contest->store, "d/k", VALUE_SIZE, &bytes, &length, NULL)) {
			wrong_unless(contest, false);
			continue;
		}
		for (size_t at = 1; at < length; at++)
			if (bytes[at] != bytes[0]) {
				wrong_unless(contest, false);
				break;
			}
		free(bytes);
	}
}

static void nobody_reads_a_mixture(void **state)
{
	struct contest contest;

	start(state, &contest);
	assert_int_equal(object_put(contest.store, "d/k", "zz", 2, PUT_REPLACE, NULL), BW_OK);
	run_together(THREADS, replace_or_read, &contest);
	assert_int_equal(contest.wrong, 0);
}

/* Each thread's own key comes and goes in folders that all share, so that one
 * removes the folder another is about to write to. */
static void come_and_go(void *context, unsigned index)
{
	struct contest *contest = context;
	struct object_info info;
	char key[64];

	snprintf(key, sizeof(key), "a/b/c/%u", index);
	for (unsigned i = 0; i < ROUNDS * 2; i++) {
		enum put_mode mode = i % 2 ? PUT_REPLACE : PUT_IF_ABSENT;

		wrong_unless(contest, object_put(contest->store, key, "x", 1, mode, NULL) == BW_OK);
		wrong_unless(contest, object_stat(contest->store, key, &info, NULL) == BW_OK);
		wrong_unless(contest, object_remove(contest->store, key, NULL) == BW_OK);
		wrong_unless(contest, object_stat(contest->store, key, &info, NULL) == BW_ABSENT);
	}
}

static void removing_never_takes_a_neighbour_along(void **state)
{
	struct contest contest;

	start(state, &contest);
	run_together(THREADS, come_and_go, &contest);
	assert_int_equal(contest.wrong, 0);
}

struct seen {
	struct contest *contest;
	char last[64];
	unsigned steady;
};

static bool check_order(void *context, const char *key, const struct object_info *info)
{
	struct seen *seen = context;

	(void)info;
	wrong_unless(seen->contest, strcmp(seen->last, key) < 0);
	snprintf(seen->last, sizeof(seen->last), "%s", key);
	seen->steady += strncmp(key, "l/steady/", 9) == 0;
	return true;
}

static void list_or_change(void *context, unsigned index)
{
	struct contest *contest = context;
	char key[64];

	if (index % 2) {
		for (unsigned i = 0; i < ROUNDS; i++) {
			snprintf(key, sizeof(key), "l/%u/%u", index, i % 7);
			wrong_unless(contest,
				     !object_put(contest->store, key, "x", 1, PUT_REPLACE, NULL));
			snprintf(key, sizeof(key), "l/%u/%u", index, (i + 3) % 7);
			wrong_unless(contest, !object_remove(contest->store, key, NULL));
		}
		atomic_fetch_sub(&contest->busy, 1);
		return;
	}
	do {
		struct seen seen = {.contest = contest};

		wrong_unless(contest,
			     !object_list(contest->store, "l/", "", check_order, &seen, NULL));
		wrong_unless(contest, seen.steady == 5);
	} while (atomic_load(&contest->busy) > 0);
}

static void a_listing_amid_changes_is_in_order_and_whole(void **state)
{
	struct contest contest;
	char key[64];

	start(state, &contest);
	for (unsigned i = 0; i < 5; i++) {
		snprintf(key, sizeof(key), "l/steady/%u", i);
		assert_int_equal(object_put(contest.store, key, "x", 1, PUT_REPLACE, NULL), BW_OK);
	}
	contest.busy = THREADS / 2;
	run_together(THREADS, list_or_change, &contest);
	assert_int_equal(contest.wrong, 0);
}

int main(void)
{
	static const struct object_case cases[] = {
		OBJECT_CASE(of_many_puts_if_absent_one_wins),
		OBJECT_CASE(many_may_adopt_one_digest),
		OBJECT_CASE(nobody_reads_a_mixture),
		OBJECT_CASE(removing_never_takes_a_neighbour_along),
		OBJECT_CASE(a_listing_amid_changes_is_in_order_and_whole),
	};

	return run_over_object_stores("object_store_threads", cases, array_size(cases));
}
