/* What is the SQLite index's own: its file, damage, another writer. */
#include "server/base/clock.h"
#include "server/base/str.h"
#include "tests/support/sqlite_fixture.h"

#include <errno.h>

static void put_tags(struct metadata_store *store, unsigned count)
{
	struct tag_entry entry = {.version = 1};
	char tag[32];

	digest_of(DIGEST_SHA256, "x", 1, &entry.digest);
	for (unsigned i = 0; i < count; i++) {
		snprintf(tag, sizeof(tag), "v%u", i);
		assert_int_equal(metadata_put_tag(store, "a/repository", tag, &entry, NULL), BW_OK);
	}
}

static enum status get_tag(struct metadata_store *store, const char *tag, struct error *error)
{
	struct tag_entry entry;

	return metadata_get_tag(store, "a/repository", tag, &entry, error);
}

/* ---- the file ---- */

static void what_was_put_outlives_the_process(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct metadata_store *store = open_index(fixture->path, false);

	put_tags(store, 3);
	metadata_store_free(store);
	store = open_index(fixture->path, false);
	assert_int_equal(get_tag(store, "v2", NULL), BW_OK);
	metadata_store_free(store);
}

static void only_we_may_read_the_files(void **state)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	struct sqlite_fixture *fixture = *state;
	mode_t old = umask(0);
	struct metadata_store *store = open_index(fixture->path, false);

	put_tags(store, 1);
	for (size_t i = 0; i < array_size(suffixes); i++) {
		char *path = xasprintf("%s%s", fixture->path, suffixes[i]);
		struct stat info;

		assert_int_equal(stat(path, &info), 0);
		assert_int_equal(info.st_mode & 07777, 0600);
		free(path);
	}
	metadata_store_free(store);
	umask(old);
}

static void an_empty_file_is_a_new_index(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct metadata_store *store;

	close(open(fixture->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	store = open_index(fixture->path, false);
	put_tags(store, 1);
	metadata_store_free(store);
}

static void assert_refused(const char *path, enum status expected, const char *message)
{
	struct metadata_store *store = NULL;
	struct error error = {0};
	bool rebuilt = false;

	assert_int_equal(sqlite_store_new(path, &store, &rebuilt, &error), expected);
	assert_null(store);
	assert_false(rebuilt);
	assert_non_null(strstr(error.message, message));
}

static void a_newer_schema_is_refused_and_left_alone(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct metadata_store *store = open_index(fixture->path, false);

	put_tags(store, 1);
	metadata_store_free(store);
	run_sql(fixture->path, "PRAGMA user_version = 99");
	assert_refused(fixture->path, BW_UNSUPPORTED, "version 99");
	assert_int_equal(count_set_aside(fixture, NULL), 0);
	run_sql(fixture->path, "PRAGMA user_version = 3");
	store = open_index(fixture->path, false);
	assert_int_equal(get_tag(store, "v0", NULL), BW_OK);
	metadata_store_free(store);
}

static void another_programs_database_is_left_alone(void **state)
{
	struct sqlite_fixture *fixture = *state;

	run_sql(fixture->path, "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)");
	assert_refused(fixture->path, BW_INVALID, "another program");
	run_sql(fixture->path, "PRAGMA application_id = 7");
	assert_refused(fixture->path, BW_INVALID, "another program");
	run_sql(fixture->path, "SELECT * FROM theirs");
	assert_int_equal(count_set_aside(fixture, NULL), 0);
}

static void a_path_that_cannot_be_is_refused(void **state)
{
	struct sqlite_fixture *fixture = *state;
	char *below = xasprintf("%s/file/index.db", fixture->scratch);
	char *file = xasprintf("%s/file", fixture->scratch);
	char *folder = xasprintf("%s/folder", fixture->scratch);

	assert_int_equal(mkdir(folder, 0700), 0);
	close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_refused(folder, BW_IO, "unable to open");
	assert_refused(below, BW_IO, strerror(ENOTDIR));
	free(folder);
	free(below);
	free(file);
}

/* ---- damage ---- */

static void what_is_no_database_is_set_aside(void **state)
{
	struct sqlite_fixture *fixture = *state;
	static const char junk[] = "not a database, but long enough to have a header of one, "
				   "which begins with a line that this one does not have at all";
	struct metadata_store *store;
	char *aside = NULL;
	char *text = NULL;
	size_t length = 0;
	int fd = open(fixture->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(file_write_all(fd, junk, sizeof(junk)), 0);
	close(fd);
	store = open_index(fixture->path, true);
	put_tags(store, 1);
	metadata_store_free(store);
	assert_int_equal(count_set_aside(fixture, &aside), 1);
	assert_int_equal(file_read(aside, 1000, &text, &length, NULL), BW_OK);
	assert_memory_equal(text, junk, sizeof(junk));
	free(text);
	free(aside);
	store = open_index(fixture->path, false);
	assert_int_equal(get_tag(store, "v0", NULL), BW_OK);
	metadata_store_free(store);
}

static void a_damaged_page_is_found_at_the_start(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct metadata_store *store = open_index(fixture->path, false);

	put_tags(store, 2000);
	metadata_store_free(store);
	damage(fixture->path, 12288);
	store = open_index(fixture->path, true);
	assert_int_equal(count_set_aside(fixture, NULL), 1);
	assert_int_equal(get_tag(store, "v0", NULL), BW_ABSENT);
	put_tags(store, 1);
	metadata_store_free(store);
}

/* The log of the old file must not be played into the new one. */
static void the_log_is_set_aside_with_its_file(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct metadata_store *store = open_index(fixture->path, false);
	char *log = xasprintf("%s-wal", fixture->path);
	char *kept = xasprintf("%s/kept-wal", fixture->scratch);
	char *aside = NULL;

	put_tags(store, 50);
	metadata_store_free(store);
	/* a log that could not repair the file: it has one page of it */
	store = open_index(fixture->path, false);
	assert_int_equal(metadata_touch_tag(store, "a/repository", "v1", 1, 42, NULL), BW_OK);
	assert_int_equal(link(log, kept), 0);
	metadata_store_free(store);
	damage(fixture->path, 0);
	assert_int_equal(rename(kept, log), 0);
	store = open_index(fixture->path, true);
	assert_int_equal(get_tag(store, "v1", NULL), BW_ABSENT);
	assert_int_equal(metadata_check(store, NULL), BW_OK);
	assert_int_equal(count_set_aside(fixture, &aside), 1);
	metadata_store_free(store);
	free(aside);
	free(kept);
	free(log);
}

static void damage_met_while_we_run_heals_at_the_next_start(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct metadata_store *store = open_index(fixture->path, false);
	struct error error = {0};

	put_tags(store, 2000);
	metadata_store_free(store);
	store = open_index(fixture->path, false);
	damage(fixture->path, 4096);
	assert_int_equal(get_tag(store, "v777", &error), BW_CORRUPT);
	assert_non_null(strstr(error.message, fixture->path));
	assert_int_equal(access(fixture->suspect, F_OK), 0);
	metadata_store_free(store);
	store = open_index(fixture->path, true);
	assert_int_equal(access(fixture->suspect, F_OK), -1);
	assert_int_equal(metadata_check(store, NULL), BW_OK);
	metadata_store_free(store);
}

static void a_file_that_was_deleted_is_noticed(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct metadata_store *store = open_index(fixture->path, false);
	struct error error = {0};

	assert_int_equal(metadata_check(store, NULL), BW_OK);
	assert_int_equal(unlink(fixture->path), 0);
	assert_int_equal(metadata_check(store, &error), BW_IO);
	assert_non_null(strstr(error.message, fixture->path));
	metadata_store_free(store);
}

/* ---- another writer ---- */

static sqlite3 *lock_from_outside(const char *path)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	return db;
}

static void another_writer_delays_writers_for_so_long_and_readers_not_at_all(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct metadata_store *store = open_index(fixture->path, false);
	struct tag_entry entry = {.version = 9};
	struct error error = {0};
	sqlite3 *other;
	int64_t start;

	digest_of(DIGEST_SHA256, "x", 1, &entry.digest);
	put_tags(store, 1);
	other = lock_from_outside(fixture->path);
	start = clock_monotonic_ms();
	assert_int_equal(get_tag(store, "v0", NULL), BW_OK);
	assert_true(clock_monotonic_ms() - start < 2000);
	assert_int_equal(metadata_put_tag(store, "a/repository", "v0", &entry, &error),
			 BW_UNAVAILABLE);
	assert_in_range(clock_monotonic_ms() - start, 4000, 20000);
	assert_non_null(strstr(error.message, "locked"));
	assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(metadata_put_tag(store, "a/repository", "v0", &entry, NULL), BW_OK);
	sqlite3_close(other);
	metadata_store_free(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SQLITE_TEST(what_was_put_outlives_the_process),
		SQLITE_TEST(only_we_may_read_the_files),
		SQLITE_TEST(an_empty_file_is_a_new_index),
		SQLITE_TEST(a_newer_schema_is_refused_and_left_alone),
		SQLITE_TEST(another_programs_database_is_left_alone),
		SQLITE_TEST(a_path_that_cannot_be_is_refused),
		SQLITE_TEST(what_is_no_database_is_set_aside),
		SQLITE_TEST(a_damaged_page_is_found_at_the_start),
		SQLITE_TEST(the_log_is_set_aside_with_its_file),
		SQLITE_TEST(damage_met_while_we_run_heals_at_the_next_start),
		SQLITE_TEST(a_file_that_was_deleted_is_noticed),
		SQLITE_TEST(another_writer_delays_writers_for_so_long_and_readers_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
