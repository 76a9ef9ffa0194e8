/* Several processes on one SQLite index, as `breakwater gc` beside the server.
 * Children are forked before this process opens the file, report by their exit code,
 * and assert nothing themselves. */
#include "tests/support/sqlite_fixture.h"

#include <signal.h>
#include <sys/wait.h>

#define PROCESSES 4
#define STEPS 50
#define UPLOAD "00000000000000000000000000000001"

struct children {
	pid_t pids[PROCESSES];
	int start[2]; /* closed when all may begin */
	int told; /* what children have to say */
};

/* Exit code of a child: 0 right, else where it went wrong. */
typedef int (*child_fn)(const char *path, unsigned index, int tell);

static void child_main(const struct children *children, const char *path, unsigned index,
		       child_fn fn, const int told[2])
{
	char byte;

	close(children->start[1]);
	close(told[0]);
	if (read(children->start[0], &byte, 1) != 0)
		_exit(99);
	_exit(fn(path, index, told[1]));
}

/* Forks and lets them begin together. */
static void start_children(struct children *children, unsigned count, const char *path, child_fn fn)
{
	int told[2];

	*children = (struct children){0};
	assert_int_equal(pipe2(children->start, O_CLOEXEC), 0);
	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	for (unsigned i = 0; i < count; i++) {
		children->pids[i] = fork();
		assert_true(children->pids[i] >= 0);
		if (children->pids[i] == 0)
			child_main(children, path, i, fn, told);
	}
	close(children->start[0]);
	close(children->start[1]);
	close(told[1]);
	children->told = told[0];
}

static void expect_all_right(struct children *children, unsigned count)
{
	int status;

	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(waitpid(children->pids[i], &status, 0), children->pids[i]);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			fail_msg("process %u ended with %#x", i, status);
	}
	close(children->told);
}

static void kill_child(struct children *children)
{
	int status;

	kill(children->pids[0], SIGKILL);
	assert_int_equal(waitpid(children->pids[0], &status, 0), children->pids[0]);
	assert_true(WIFSIGNALED(status));
	close(children->told);
}

/* ---- opening ---- */

static int open_and_use(const char *path, unsigned index, int tell)
{
	struct metadata_store *store = NULL;
	bool rebuilt = false;

	(void)index;
	if (sqlite_store_new(path, &store, &rebuilt, NULL))
		return 1;
	if (metadata_put_mark(store, "m", 1, NULL) || metadata_check(store, NULL))
		return 2;
	if (rebuilt && write(tell, "r", 1) != 1)
		return 3;
	metadata_store_free(store);
	return 0;
}

static void opened_at_once_it_is_made_once(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct children children;

	start_children(&children, PROCESSES, fixture->path, open_and_use);
	expect_all_right(&children, PROCESSES);
	assert_int_equal(count_set_aside(fixture, NULL), 0);
	metadata_store_free(open_index(fixture->path, false));
}

static void opened_at_once_it_is_brought_up_to_date_once(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct children children;

	run_sql(fixture->path, sqlite_schema_1);
	start_children(&children, PROCESSES, fixture->path, open_and_use);
	expect_all_right(&children, PROCESSES);
	assert_int_equal(count_set_aside(fixture, NULL), 0);
	metadata_store_free(open_index(fixture->path, false));
}

static void make_damaged(const char *path)
{
	struct metadata_store *store = open_index(path, false);
	char tag[16];
	struct tag_entry entry = {.version = 1};

	digest_of(DIGEST_SHA256, "x", 1, &entry.digest);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(tag, sizeof(tag), "v%u", i);
		assert_int_equal(metadata_put_tag(store, "a", tag, &entry, NULL), BW_OK);
	}
	metadata_store_free(store);
	damage(path, 4096);
}

static void opened_at_once_a_damaged_one_is_set_aside_once(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct children children;
	char rebuilt[PROCESSES + 1];

	make_damaged(fixture->path);
	start_children(&children, PROCESSES, fixture->path, open_and_use);
	assert_int_equal(read(children.told, rebuilt, 1), 1);
	assert_int_equal(read(children.told, rebuilt, sizeof(rebuilt)), 0);
	expect_all_right(&children, PROCESSES);
	assert_int_equal(count_set_aside(fixture, NULL), 1);
}

/* ---- one has it open ---- */

static int open_and_stay(const char *path, unsigned index, int tell)
{
	struct metadata_store *store = NULL;

	(void)index;
	if (sqlite_store_new(path, &store, NULL, NULL) || metadata_check(store, NULL))
		return 1;
	if (write(tell, "o", 1) != 1)
		return 2;
	for (;;)
		pause();
}

static void a_damaged_one_that_is_in_use_is_left_in_place(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct metadata_store *store = NULL;
	struct error error = {0};
	struct children children;
	bool rebuilt = false;
	char byte;

	/* closed once, so that the log has nothing that repairs it */
	metadata_store_free(open_index(fixture->path, false));
	start_children(&children, 1, fixture->path, open_and_stay);
	assert_int_equal(read(children.told, &byte, 1), 1);
	damage(fixture->path, 0);
	assert_int_equal(sqlite_store_new(fixture->path, &store, &rebuilt, &error), BW_CORRUPT);
	assert_null(store);
	assert_non_null(strstr(error.message, "another process"));
	assert_int_equal(count_set_aside(fixture, NULL), 0);
	assert_int_equal(access(fixture->path, F_OK), 0);
	assert_int_equal(access(fixture->suspect, F_OK), 0);

	kill_child(&children);
	metadata_store_free(open_index(fixture->path, true));
	assert_int_equal(count_set_aside(fixture, NULL), 1);
	assert_int_equal(access(fixture->suspect, F_OK), -1);
}

/* What the one that has it open writes from now on is lost with it. */
static void a_deleted_one_that_is_in_use_is_not_begun_anew(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct metadata_store *store = NULL;
	struct error error = {0};
	struct children children;
	char byte;

	start_children(&children, 1, fixture->path, open_and_stay);
	assert_int_equal(read(children.told, &byte, 1), 1);
	assert_int_equal(unlink(fixture->path), 0);
	assert_int_equal(sqlite_store_new(fixture->path, &store, NULL, &error), BW_UNAVAILABLE);
	assert_non_null(strstr(error.message, "restart"));
	assert_int_equal(access(fixture->path, F_OK), -1);

	kill_child(&children);
	metadata_store_free(open_index(fixture->path, false));
	assert_int_equal(access(fixture->path, F_OK), 0);
}

static void a_note_of_damage_is_kept_for_who_is_alone(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct children children;
	char byte;

	start_children(&children, 1, fixture->path, open_and_stay);
	assert_int_equal(read(children.told, &byte, 1), 1);
	close(open(fixture->suspect, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	metadata_store_free(open_index(fixture->path, false));
	assert_int_equal(access(fixture->suspect, F_OK), 0);
	kill_child(&children);
	metadata_store_free(open_index(fixture->path, false));
	assert_int_equal(access(fixture->suspect, F_OK), -1);
}

/* ---- writing ---- */

static enum status advance_once(struct metadata_store *store)
{
	struct upload_entry entry = {0};
	enum status status = metadata_get_upload(store, UPLOAD, &entry, NULL);

	if (status == BW_OK)
		status = metadata_advance_upload(store, UPLOAD, &entry, NULL);
	upload_entry_release(&entry);
	return status;
}

static int write_a_lot(const char *path, unsigned index, int tell)
{
	struct metadata_store *store = NULL;
	struct listed_content link = {.size = 1};
	char repository[16];

	(void)tell;
	if (sqlite_store_new(path, &store, NULL, NULL))
		return 1;
	for (unsigned i = 0; i < STEPS; i++) {
		enum status status = BW_CONFLICT;

		snprintf(repository, sizeof(repository), "r%u/%u", index, i);
		digest_of(DIGEST_SHA256, repository, strlen(repository), &link.digest);
		if (metadata_put_repository(store, repository, NULL) ||
		    metadata_put_link(store, repository, &link, NULL))
			return 2;
		while (status == BW_CONFLICT)
			status = advance_once(store);
		if (status)
			return 3;
	}
	metadata_store_free(store);
	return 0;
}

static bool count_one(void *context, const char *name)
{
	(void)name;
	(*(unsigned *)context)++;
	return true;
}

static void what_each_process_writes_all_of_them_keep(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct metadata_store *store = open_index(fixture->path, false);
	struct upload_entry entry = {
		.repository = (char *)"a", .caller = (char *)"", .state = (char *)""};
	struct children children;
	unsigned repositories = 0;

	assert_int_equal(metadata_create_upload(store, UPLOAD, &entry, NULL), BW_OK);
	metadata_store_free(store);
	start_children(&children, PROCESSES, fixture->path, write_a_lot);
	store = open_index(fixture->path, false);
	expect_all_right(&children, PROCESSES);
	assert_int_equal(metadata_get_upload(store, UPLOAD, &entry, NULL), BW_OK);
	assert_int_equal(entry.revision, 1 + PROCESSES * STEPS);
	upload_entry_release(&entry);
	assert_int_equal(
		metadata_list_repositories(store, "", 10000, count_one, &repositories, NULL),
		BW_OK);
	assert_int_equal(repositories, PROCESSES * STEPS);
	metadata_store_free(store);
}

static int write_and_tell(const char *path, unsigned index, int tell)
{
	struct metadata_store *store = NULL;
	char repository[16];

	(void)index;
	if (sqlite_store_new(path, &store, NULL, NULL))
		return 1;
	for (uint32_t i = 0;; i++) {
		snprintf(repository, sizeof(repository), "r%u", i);
		if (metadata_put_repository(store, repository, NULL) ||
		    write(tell, &i, sizeof(i)) != sizeof(i))
			return 2;
	}
}

static void a_process_killed_while_it_writes_hinders_nobody(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct metadata_store *store;
	struct children children;
	char repository[16];
	uint32_t told = 0;

	start_children(&children, 1, fixture->path, write_and_tell);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(read(children.told, &told, sizeof(told)), sizeof(told));
	store = open_index(fixture->path, false);
	assert_int_equal(metadata_put_mark(store, "m", 1, NULL), BW_OK);
	kill_child(&children);
	assert_int_equal(metadata_put_mark(store, "m", 2, NULL), BW_OK);
	for (uint32_t i = 0; i <= told; i++) {
		snprintf(repository, sizeof(repository), "r%u", i);
		assert_int_equal(metadata_get_repository(store, repository, NULL), BW_OK);
	}
	metadata_store_free(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SQLITE_TEST(opened_at_once_it_is_made_once),
		SQLITE_TEST(opened_at_once_it_is_brought_up_to_date_once),
		SQLITE_TEST(opened_at_once_a_damaged_one_is_set_aside_once),
		SQLITE_TEST(a_damaged_one_that_is_in_use_is_left_in_place),
		SQLITE_TEST(a_deleted_one_that_is_in_use_is_not_begun_anew),
		SQLITE_TEST(a_note_of_damage_is_kept_for_who_is_alone),
		SQLITE_TEST(what_each_process_writes_all_of_them_keep),
		SQLITE_TEST(a_process_killed_while_it_writes_hinders_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
