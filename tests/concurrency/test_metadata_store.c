/* Many threads on one index, over every index there is. Threads count what
 * goes wrong; only the test itself asserts. */
#include "tests/support/metadata_stores.h"

#include <stdatomic.h>
#include <stdlib.h>

#define THREADS 8
#define ROUNDS 200

struct contest {
	struct metadata_store *store;
	atomic_uint won;
	atomic_uint wrong;
	atomic_uint busy; /* writers not done */
	atomic_uint winner; /* its index */
};

static void start(void **state, struct contest *contest)
{
	*contest = (struct contest){.store = ((struct metadata_fixture *)*state)->store};
}

static void wrong_unless(struct contest *contest, bool right)
{
	if (!right)
		atomic_fetch_add(&contest->wrong, 1);
}

/* Every field says which version it belongs to. */
static struct tag_entry entry_at(uint64_t version)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)version);
	return (struct tag_entry){
		.digest = digest_for(text),
		.version = version,
		.stored_at = (int64_t)version * 2,
		.validated_at = (int64_t)version * 3,
	};
}

static bool whole(const struct tag_entry *entry)
{
	struct tag_entry expected = entry_at(entry->version);

	return digest_equals(&entry->digest, &expected.digest) &&
	       entry->stored_at == expected.stored_at &&
	       entry->validated_at == expected.validated_at;
}

/* Thread i writes versions i+1, i+1+THREADS, ...: all different, interleaved. */
static void write_versions(struct contest *contest, unsigned index)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct tag_entry entry = entry_at(i * THREADS + index + 1);
		enum status status = metadata_put_tag(contest->store, "a/b", "v1", &entry, NULL);

		wrong_unless(contest, status == BW_OK || status == BW_CONFLICT);
	}
	atomic_fetch_sub(&contest->busy, 1);
}

static void write_or_read_tag(void *context, unsigned index)
{
	struct contest *contest = context;
	uint64_t newest = 0;

	if (index < THREADS) {
		write_versions(contest, index);
		return;
	}
	do {
		struct tag_entry entry;
		enum status status = metadata_get_tag(contest->store, "a/b", "v1", &entry, NULL);

		wrong_unless(contest, status == BW_OK && whole(&entry) && entry.version >= newest);
		newest = entry.version;
	} while (atomic_load(&contest->busy) > 0);
}

static void the_highest_version_wins_and_none_is_torn(void **state)
{
	struct contest contest;
	struct tag_entry entry = entry_at(0);

	start(state, &contest);
	contest.busy = THREADS;
	assert_int_equal(metadata_put_tag(contest.store, "a/b", "v1", &entry, NULL), BW_OK);
	run_together(THREADS + 4, write_or_read_tag, &contest);
	assert_int_equal(contest.wrong, 0);
	assert_int_equal(metadata_get_tag(contest.store, "a/b", "v1", &entry, NULL), BW_OK);
	assert_int_equal(entry.version, ROUNDS * THREADS);
	assert_true(whole(&entry));
}

static void put_same_version(void *context, unsigned index)
{
	struct contest *contest = context;
	struct tag_entry entry = entry_at(7);

	entry.stored_at = index;
	if (metadata_put_tag(contest->store, "a", "v1", &entry, NULL) == BW_OK)
		atomic_fetch_add(&contest->won, 1);
}

static void of_equal_versions_one_is_taken(void **state)
{
	struct contest contest;

	for (unsigned round = 0; round < 20; round++) {
		start(state, &contest);
		run_together(THREADS, put_same_version, &contest);
		assert_int_equal(contest.won, 1);
		assert_int_equal(metadata_remove_tag(contest.store, "a", "v1", 7, NULL), BW_OK);
	}
}

/* A manifest and its listings appear and go in one step: what is left after any
 * number of steps is all of it or, as here, nothing. */
#define LISTED 20

static void fill_listed(struct listed_content listed[LISTED])
{
	char text[32];

	for (unsigned i = 0; i < LISTED; i++) {
		snprintf(text, sizeof(text), "layer %u", i);
		listed[i] = (struct listed_content){.digest = digest_for(text), .size = i};
	}
}

static void put_and_remove_manifest(struct contest *contest)
{
	struct listed_content listed[LISTED];
	struct manifest_entry entry = {.digest = digest_for("m"),
				       .media_type = "x/y",
				       .body = (char *)"m",
				       .body_length = 1};

	fill_listed(listed);
	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		wrong_unless(contest, !metadata_put_manifest(contest->store, "a", &entry, listed,
							     LISTED, NULL));
		wrong_unless(contest,
			     !metadata_remove_manifest(contest->store, "a", &entry.digest, NULL));
	}
	atomic_fetch_sub(&contest->busy, 1);
}

static void read_manifest(struct contest *contest)
{
	struct digest digest = digest_for("m");
	struct manifest_entry entry = {0};
	enum status status;

	status = metadata_get_manifest(contest->store, "a", &digest, &entry, NULL);
	wrong_unless(contest, status == BW_OK || status == BW_ABSENT);
	if (status == BW_OK)
		wrong_unless(contest, entry.body_length == 1 && entry.body[0] == 'm' &&
					      strcmp(entry.media_type, "x/y") == 0);
	manifest_entry_release(&entry);
}

static void change_or_read_manifest(void *context, unsigned index)
{
	struct contest *contest = context;

	if (index == 0) {
		put_and_remove_manifest(contest);
		return;
	}
	while (atomic_load(&contest->busy) > 0)
		read_manifest(contest);
}

static void a_manifest_comes_and_goes_whole(void **state)
{
	struct contest contest;
	struct listed_content listed[LISTED];
	uint64_t size;

	start(state, &contest);
	contest.busy = 1;
	run_together(THREADS, change_or_read_manifest, &contest);
	assert_int_equal(contest.wrong, 0);
	fill_listed(listed);
	for (unsigned i = 0; i < LISTED; i++)
		assert_int_equal(
			metadata_get_listed(contest.store, "a", &listed[i].digest, &size, NULL),
			BW_ABSENT);
}

/* ---- uploads ---- */

#define UPLOAD "00000000000000000000000000000001"

static struct upload_entry upload_at(uint64_t revision, char *state)
{
	return (struct upload_entry){
		.repository = (char *)"a",
		.caller = (char *)"",
		.state = state,
		.state_length = strlen(state),
		.revision = revision,
	};
}

static void create_at(struct contest *contest, unsigned index)
{
	char state[16];
	struct upload_entry entry;

	snprintf(state, sizeof(state), "%u", index);
	entry = upload_at(1, state);
	if (metadata_create_upload(contest->store, UPLOAD, &entry, NULL) == BW_OK)
		atomic_fetch_add(&contest->won, 1);
}

static void create_upload(void *context, unsigned index)
{
	create_at(context, index);
}

static void advance_upload(void *context, unsigned index)
{
	struct contest *contest = context;
	char state[16];
	struct upload_entry entry;
	enum status status;

	snprintf(state, sizeof(state), "%u", index);
	entry = upload_at(1, state);
	status = metadata_advance_upload(contest->store, UPLOAD, &entry, NULL);
	wrong_unless(contest, status == BW_OK || status == BW_CONFLICT);
	if (status != BW_OK)
		return;
	atomic_fetch_add(&contest->won, 1);
	atomic_store(&contest->winner, index);
}

static void remove_upload(void *context, unsigned index)
{
	struct contest *contest = context;
	enum status status = metadata_remove_upload(contest->store, UPLOAD, NULL);

	(void)index;
	wrong_unless(contest, status == BW_OK || status == BW_ABSENT);
	if (status == BW_OK)
		atomic_fetch_add(&contest->won, 1);
}

static void expect_one_winner(struct contest *contest, void (*body)(void *, unsigned))
{
	contest->won = 0;
	run_together(THREADS, body, contest);
	assert_int_equal(contest->wrong, 0);
	assert_int_equal(contest->won, 1);
}

static void of_those_who_change_an_upload_one_gets_through(void **state)
{
	struct contest contest;
	struct upload_entry got;

	start(state, &contest);
	for (unsigned round = 0; round < 20; round++) {
		expect_one_winner(&contest, create_upload);
		expect_one_winner(&contest, advance_upload);
		assert_int_equal(metadata_get_upload(contest.store, UPLOAD, &got, NULL), BW_OK);
		assert_int_equal(got.revision, 2);
		assert_int_equal(strtoul(got.state, NULL, 10), contest.winner);
		upload_entry_release(&got);
		expect_one_winner(&contest, remove_upload);
	}
}

/* Every step anybody takes is one revision, whoever comes first. */
static void advance_often(void *context, unsigned index)
{
	struct contest *contest = context;

	(void)index;
	for (unsigned steps = 0; steps < 20;) {
		struct upload_entry entry = {0};
		enum status status = metadata_get_upload(contest->store, UPLOAD, &entry, NULL);

		if (status == BW_OK)
			status = metadata_advance_upload(contest->store, UPLOAD, &entry, NULL);
		upload_entry_release(&entry);
		wrong_unless(contest, status == BW_OK || status == BW_CONFLICT);
		if (status == BW_OK)
			steps++;
		else if (status != BW_CONFLICT)
			return;
	}
}

static void no_step_of_an_upload_is_lost(void **state)
{
	struct contest contest;
	struct upload_entry got;

	start(state, &contest);
	create_at(&contest, 0);
	run_together(THREADS, advance_often, &contest);
	assert_int_equal(contest.wrong, 0);
	assert_int_equal(metadata_get_upload(contest.store, UPLOAD, &got, NULL), BW_OK);
	assert_int_equal(got.revision, 1 + THREADS * 20);
	upload_entry_release(&got);
}

/* ---- the catalog ---- */

/* One links and unlinks a blob, the others remove the repository whenever they
 * can: while it has its link, nobody can. */
static void link_or_remove(void *context, unsigned index)
{
	struct contest *contest = context;
	struct listed_content link = {.digest = digest_for("layer"), .size = 1};

	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		enum status status;

		if (index == 0) {
			wrong_unless(contest, !metadata_put_link(contest->store, "a", &link, NULL));
			wrong_unless(contest, metadata_remove_repository(contest->store, "a",
									 NULL) == BW_CONFLICT);
			wrong_unless(contest, !metadata_remove_link(contest->store, "a",
								    &link.digest, NULL));
			continue;
		}
		wrong_unless(contest, !metadata_put_repository(contest->store, "a", NULL));
		status = metadata_remove_repository(contest->store, "a", NULL);
		wrong_unless(contest, status == BW_OK || status == BW_CONFLICT);
	}
}

static void a_repository_in_use_is_never_removed(void **state)
{
	struct contest contest;

	start(state, &contest);
	run_together(THREADS, link_or_remove, &contest);
	assert_int_equal(contest.wrong, 0);
	assert_int_equal(metadata_remove_repository(contest.store, "a", NULL), BW_OK);
}

/* More threads than an index may have connections, at everything at once. */
static void do_everything(void *context, unsigned index)
{
	struct contest *contest = context;
	char repository[32];
	struct digest digest;
	struct tag_entry tag;
	uint64_t size;

	snprintf(repository, sizeof(repository), "r%u", index);
	digest = digest_for(repository);
	for (unsigned i = 1; i <= 5; i++) {
		struct tag_entry entry = entry_at(i);

		wrong_unless(contest,
			     !metadata_put_tag(contest->store, repository, "v1", &entry, NULL));
		wrong_unless(contest,
			     !metadata_get_tag(contest->store, repository, "v1", &tag, NULL) &&
				     tag.version == i);
		wrong_unless(contest, !metadata_put_blob(contest->store, &digest, i, 1, NULL));
		wrong_unless(contest,
			     !metadata_get_blob(contest->store, &digest, &size, NULL) && size == i);
		wrong_unless(contest, !metadata_check(contest->store, NULL));
	}
}

static void threads_beyond_number_are_all_served(void **state)
{
	struct contest contest;

	start(state, &contest);
	run_together(SQLITE_MAX_READERS * 3, do_everything, &contest);
	assert_int_equal(contest.wrong, 0);
}

int main(void)
{
	static const struct metadata_case cases[] = {
		METADATA_CASE(the_highest_version_wins_and_none_is_torn),
		METADATA_CASE(of_equal_versions_one_is_taken),
		METADATA_CASE(a_manifest_comes_and_goes_whole),
		METADATA_CASE(of_those_who_change_an_upload_one_gets_through),
		METADATA_CASE(no_step_of_an_upload_is_lost),
		METADATA_CASE(a_repository_in_use_is_never_removed),
		METADATA_CASE(threads_beyond_number_are_all_served),
	};

	return run_over_metadata_stores("metadata_store_threads", cases, array_size(cases));
}
