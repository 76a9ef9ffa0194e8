/* What is the filesystem store's own: folders, locks, crashes, the disk. */
#include "backends/fs/fs_store.h"

#include "server/base/file.h"
#include "server/base/memory.h"
#include "tests/support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
	char *scratch;
	char *root;
	struct object_store *store;
};

static struct object_store *open_store(const char *root)
{
	struct object_store *store = NULL;
	struct error error = {0};

	if (fs_store_new(root, &store, &error))
		fail_msg("%s", error.message);
	return store;
}

static int setup(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->scratch = scratch_make();
	fixture->root = xasprintf("%s/root", fixture->scratch);
	fixture->store = open_store(fixture->root);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	object_store_free(fixture->store);
	scratch_remove(fixture->scratch);
	free(fixture->root);
	free(fixture);
	return 0;
}

static char *in_root(const struct fixture *fixture, const char *name)
{
	return xasprintf("%s/%s", fixture->root, name);
}

static void write_file(const char *path, const char *content)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, content, strlen(content)), 0);
	close(fd);
}

static void put(struct object_store *store, const char *key, const char *content)
{
	struct error error = {0};

	if (object_put(store, key, content, strlen(content), PUT_REPLACE, &error))
		fail_msg("put %s: %s", key, error.message);
}

static void assert_holds(struct object_store *store, const char *key, const char *content)
{
	char *bytes = NULL;
	size_t length = 0;

	assert_int_equal(object_get(store, key, 1000, &bytes, &length, NULL), BW_OK);
	assert_string_equal(bytes, content);
	free(bytes);
}

static bool count_key(void *context, const char *key, const struct object_info *info)
{
	(void)key;
	(void)info;
	++*(unsigned *)context;
	return true;
}

static unsigned count_keys(struct object_store *store, const char *prefix)
{
	unsigned count = 0;

	assert_int_equal(object_list(store, prefix, "", count_key, &count, NULL), BW_OK);
	return count;
}

/* How many files lie in ROOT/tmp. */
static unsigned count_tmp(const struct fixture *fixture)
{
	char *tmp = in_root(fixture, "tmp");
	char *command = xasprintf("test -z \"$(ls -A '%s')\"", tmp);
	int left = system(command);

	free(command);
	free(tmp);
	return left != 0;
}

/* ---- start and crash ---- */

static void a_crash_leaves_no_half_object(void **state)
{
	struct fixture *fixture = *state;
	struct object_writer *writer = NULL;
	int status = 0;
	pid_t child;

	object_store_free(fixture->store);
	fixture->store = NULL;
	child = fork();
	if (child == 0) {
		struct object_store *store = NULL;
		bool ok = fs_store_new(fixture->root, &store, NULL) == BW_OK &&
			  object_put(store, "d/whole", "1", 1, PUT_REPLACE, NULL) == BW_OK &&
			  object_create(store, "d/half", &writer, NULL) == BW_OK &&
			  object_write(writer, "half of", 7, NULL) == BW_OK;
		_exit(ok ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(count_tmp(fixture), 1);
	fixture->store = open_store(fixture->root);
	assert_int_equal(count_tmp(fixture), 0);
	assert_holds(fixture->store, "d/whole", "1");
	assert_int_equal(count_keys(fixture->store, ""), 1);
}

static void a_second_process_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct object_store *second = NULL;
	struct error error = {0};
	char *pid = xasprintf("process %ld ", (long)getpid());

	assert_int_equal(fs_store_new(fixture->root, &second, &error), BW_UNAVAILABLE);
	assert_null(second);
	assert_non_null(strstr(error.message, fixture->root));
	assert_non_null(strstr(error.message, pid));
	/* ... and has not touched what the first one is writing */
	put(fixture->store, "k", "v");
	object_store_free(fixture->store);
	fixture->store = open_store(fixture->root);
	assert_holds(fixture->store, "k", "v");
	free(pid);
}

static void a_root_that_is_a_file_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct object_store *store = NULL;
	struct error error = {0};
	char *path = xasprintf("%s/file", fixture->scratch);
	char *below = xasprintf("%s/below", path);

	write_file(path, "");
	assert_int_not_equal(fs_store_new(path, &store, &error), BW_OK);
	assert_non_null(strstr(error.message, path));
	assert_int_not_equal(fs_store_new(below, &store, &error), BW_OK);
	assert_non_null(strstr(error.message, below));
	assert_non_null(strstr(error.message, strerror(ENOTDIR)));
	free(below);
	free(path);
}

/* Root may write anywhere, so this is tried as nobody. */
static bool refused_as_nobody(const char *root)
{
	struct object_store *store = NULL;
	struct error error = {0};

	if (geteuid() == 0 && setuid(65534) < 0)
		return false;
	return fs_store_new(root, &store, &error) == BW_IO && strstr(error.message, root) &&
	       strstr(error.message, strerror(EACCES));
}

static void a_root_we_may_not_write_is_refused(void **state)
{
	struct fixture *fixture = *state;
	char *root = xasprintf("%s/read-only", fixture->scratch);
	char *missing = xasprintf("%s/made", root);
	int status = 0;
	pid_t child;

	assert_int_equal(chmod(fixture->scratch, 0755), 0);
	assert_int_equal(mkdir(root, 0555), 0);
	child = fork();
	if (child == 0)
		_exit(refused_as_nobody(root) && refused_as_nobody(missing) ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	free(missing);
	free(root);
}

static void only_we_may_read_what_is_stored(void **state)
{
	struct fixture *fixture = *state;
	char *file = in_root(fixture, "d/k");
	char *folder = in_root(fixture, "d");
	char *spooled = xasprintf("%s/spooled", fixture->scratch);
	char *adopted = in_root(fixture, "d/adopted");
	struct stat info;

	put(fixture->store, "d/k", "v");
	write_file(spooled, "v");
	assert_int_equal(object_adopt(fixture->store, "d/adopted", spooled, NULL), BW_OK);
	assert_int_equal(stat(file, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
	assert_int_equal(stat(adopted, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
	assert_int_equal(stat(folder, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0700);
	free(adopted);
	free(spooled);
	free(folder);
	free(file);
}

/* ---- keys ---- */

static void what_lies_beside_the_objects_is_none(void **state)
{
	static const char *const reserved[] = {"tmp",     "tmp/x",     "spool",   "spool/a/b",
					       "lock",    "lock/x",    "uploads", "uploads/ab/1",
					       "journal", "journal/1", "opening"};
	struct fixture *fixture = *state;
	struct object_writer *writer;
	struct object_info info;
	char *foreign = in_root(fixture, "lost+found");
	char *spool = in_root(fixture, "spool");
	char *spooled = in_root(fixture, "spool/x");
	unsigned count = 0;

	assert_int_equal(mkdir(foreign, 0700), 0);
	assert_int_equal(mkdir(spool, 0700), 0);
	write_file(spooled, "being filled");
	for (size_t i = 0; i < array_size(reserved); i++) {
		const char *key = reserved[i];

		assert_int_equal(object_stat(fixture->store, key, &info, NULL), BW_INVALID);
		assert_int_equal(object_put(fixture->store, key, "x", 1, PUT_REPLACE, NULL),
				 BW_INVALID);
		assert_int_equal(object_create(fixture->store, key, &writer, NULL), BW_INVALID);
		assert_int_equal(object_adopt(fixture->store, key, spooled, NULL), BW_INVALID);
		assert_int_equal(object_remove(fixture->store, key, NULL), BW_INVALID);
		count += count_keys(fixture->store, key);
	}
	assert_int_equal(count + count_keys(fixture->store, ""), 0);
	assert_int_equal(count_keys(fixture->store, "spool/"), 0);
	assert_int_equal(object_adopt(fixture->store, "blobs/x", spooled, NULL), BW_OK);
	assert_holds(fixture->store, "blobs/x", "being filled");
	free(spooled);
	free(spool);
	free(foreign);
}

static void assert_clash(struct fixture *fixture, const char *key)
{
	char *spooled = xasprintf("%s/spooled", fixture->scratch);
	struct object_writer *writer = NULL;
	struct error error = {0};

	write_file(spooled, "x");
	assert_int_equal(object_put(fixture->store, key, "x", 1, PUT_REPLACE, &error), BW_INVALID);
	assert_non_null(strstr(error.message, key));
	assert_non_null(strstr(error.message, "cannot hold both"));
	assert_int_equal(object_put(fixture->store, key, "x", 1, PUT_IF_ABSENT, NULL), BW_INVALID);
	assert_int_equal(object_create(fixture->store, key, &writer, NULL), BW_OK);
	assert_int_equal(object_commit(writer, NULL), BW_INVALID);
	assert_int_equal(object_adopt(fixture->store, key, spooled, NULL), BW_INVALID);
	assert_int_equal(access(spooled, F_OK), 0);
	free(spooled);
}

static void a_key_below_or_above_another_is_refused(void **state)
{
	struct fixture *fixture = *state;

	put(fixture->store, "a/b", "1");
	assert_clash(fixture, "a/b/c");
	assert_clash(fixture, "a/b/c/d");
	assert_clash(fixture, "a");
	assert_holds(fixture->store, "a/b", "1");
	assert_int_equal(count_keys(fixture->store, ""), 1);
	assert_int_equal(count_tmp(fixture), 0);
}

static void a_name_too_long_for_a_file_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct object_info info;
	char key[310] = "d/";

	memset(key + 2, 'k', 300);
	assert_int_equal(object_put(fixture->store, key, "x", 1, PUT_REPLACE, NULL), BW_INVALID);
	assert_int_equal(object_put(fixture->store, key, "x", 1, PUT_IF_ABSENT, NULL), BW_INVALID);
	assert_int_equal(object_stat(fixture->store, key, &info, NULL), BW_ABSENT);
	assert_int_equal(object_remove(fixture->store, key, NULL), BW_OK);
	assert_int_equal(count_keys(fixture->store, key), 0);
	assert_int_equal(count_tmp(fixture), 0);
}

static void empty_folders_go_with_their_last_object(void **state)
{
	struct fixture *fixture = *state;
	char *inner = in_root(fixture, "a/b/c");
	char *outer = in_root(fixture, "a");

	put(fixture->store, "a/b/c/1", "1");
	put(fixture->store, "a/2", "2");
	assert_int_equal(object_remove(fixture->store, "a/b/c/1", NULL), BW_OK);
	assert_int_equal(access(inner, F_OK), -1);
	assert_int_equal(access(outer, F_OK), 0);
	assert_int_equal(object_remove(fixture->store, "a/2", NULL), BW_OK);
	assert_int_equal(access(outer, F_OK), -1);
	assert_int_equal(access(fixture->root, F_OK), 0);
	free(outer);
	free(inner);
}

/* ---- adopt ---- */

static void adopting_moves_and_does_not_copy(void **state)
{
	struct fixture *fixture = *state;
	char *spooled = xasprintf("%s/spooled", fixture->scratch);
	char *stored = in_root(fixture, "blobs/x");
	struct stat before;
	struct stat after;

	write_file(spooled, "bytes");
	assert_int_equal(stat(spooled, &before), 0);
	assert_int_equal(object_adopt(fixture->store, "blobs/x", spooled, NULL), BW_OK);
	assert_int_equal(stat(stored, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(after.st_nlink, 1);
	free(stored);
	free(spooled);
}

static void adopting_across_filesystems_copies(void **state)
{
	struct fixture *fixture = *state;
	char spooled[] = "/dev/shm/breakwater-test-XXXXXX";
	struct error error = {0};
	struct stat here;
	struct stat there;
	int fd = mkstemp(spooled);

	if (fd < 0)
		skip();
	assert_int_equal(fstat(fd, &there), 0);
	assert_int_equal(stat(fixture->root, &here), 0);
	assert_int_equal(file_write_all(fd, "from afar", 9), 0);
	close(fd);
	if (here.st_dev == there.st_dev) {
		unlink(spooled);
		skip();
	}
	assert_int_equal(object_adopt(fixture->store, "blobs/x", spooled, &error), BW_OK);
	assert_string_equal(error.message, "");
	assert_int_equal(access(spooled, F_OK), -1);
	assert_holds(fixture->store, "blobs/x", "from afar");
	assert_int_equal(count_tmp(fixture), 0);
}

/* ---- what a disk does ---- */

static void a_file_that_shrinks_is_never_read_as_whole(void **state)
{
	struct fixture *fixture = *state;
	struct object_reader *reader = NULL;
	struct error error = {0};
	char *file = in_root(fixture, "k");
	char target[10];
	size_t got = 77;

	put(fixture->store, "k", "0123456789");
	assert_int_equal(object_open(fixture->store, "k", &reader, NULL), BW_OK);
	assert_int_equal(truncate(file, 4), 0);
	assert_int_equal(object_read(reader, 0, target, 10, deadline_in(1000), &got, &error),
			 BW_CORRUPT);
	assert_int_equal(got, 77);
	assert_non_null(strstr(error.message, "object k"));
	object_close(reader);
	free(file);
}

static void a_root_that_vanished_is_not_an_empty_one(void **state)
{
	struct fixture *fixture = *state;
	struct object_info info;
	struct error error = {0};
	unsigned count = 0;
	char *command = xasprintf("rm -rf '%s'", fixture->root);

	put(fixture->store, "d/k", "v");
	assert_int_equal(system(command), 0);
	assert_int_equal(object_stat(fixture->store, "d/k", &info, &error), BW_IO);
	assert_non_null(strstr(error.message, fixture->root));
	assert_int_equal(object_list(fixture->store, "", "", count_key, &count, NULL), BW_IO);
	assert_int_equal(object_list(fixture->store, "d/", "", count_key, &count, NULL), BW_IO);
	assert_int_equal(object_put(fixture->store, "d/k", "v", 1, PUT_REPLACE, NULL), BW_IO);
	assert_int_equal(object_check(fixture->store, NULL), BW_IO);
	free(command);
}

static void a_root_that_was_swapped_is_noticed(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};
	char *elsewhere = xasprintf("%s/elsewhere", fixture->scratch);

	assert_int_equal(object_check(fixture->store, NULL), BW_OK);
	assert_int_equal(rename(fixture->root, elsewhere), 0);
	assert_int_equal(object_check(fixture->store, NULL), BW_IO);
	assert_int_equal(mkdir(fixture->root, 0700), 0);
	assert_int_equal(object_check(fixture->store, &error), BW_IO);
	assert_non_null(strstr(error.message, fixture->root));
	free(elsewhere);
}

/* ---- listing ---- */

static bool folder_was_opened(int watcher)
{
	struct pollfd poller = {.fd = watcher, .events = POLLIN};

	return poll(&poller, 1, 0) > 0;
}

static void a_listing_opens_only_what_can_hold_its_keys(void **state)
{
	struct fixture *fixture = *state;
	int watcher = inotify_init1(IN_CLOEXEC);
	char *others = in_root(fixture, "repositories/other");
	char *passed = in_root(fixture, "repositories/a/_tags/v1");
	unsigned count = 0;

	put(fixture->store, "repositories/a/_tags/v1/1", "");
	put(fixture->store, "repositories/a/_tags/v2/1", "");
	put(fixture->store, "repositories/other/_tags/v1/1", "");
	assert_true(inotify_add_watch(watcher, others, IN_OPEN) >= 0);
	assert_int_equal(count_keys(fixture->store, "repositories/a/_tags/v1/"), 1);
	assert_int_equal(count_keys(fixture->store, "repositories/a"), 2);
	assert_false(folder_was_opened(watcher));
	assert_true(inotify_add_watch(watcher, passed, IN_OPEN) >= 0);
	assert_int_equal(object_list(fixture->store, "repositories/a/_tags/",
				     "repositories/a/_tags/v1/~", count_key, &count, NULL),
			 BW_OK);
	assert_int_equal(count, 1);
	assert_int_equal(object_list(fixture->store, "repositories/a/_tags/",
				     "repositories/a/_tags/v1~", count_key, &count, NULL),
			 BW_OK);
	assert_int_equal(count, 2);
	close(watcher);
	watcher = inotify_init1(IN_CLOEXEC);
	assert_true(inotify_add_watch(watcher, passed, IN_OPEN) >= 0);
	assert_int_equal(object_list(fixture->store, "repositories/a/_tags/",
				     "repositories/a/_tags/v1~", count_key, &count, NULL),
			 BW_OK);
	assert_false(folder_was_opened(watcher));
	assert_int_equal(count_keys(fixture->store, "repositories/"), 3);
	assert_true(folder_was_opened(watcher));
	close(watcher);
	free(passed);
	free(others);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_crash_leaves_no_half_object),
		TEST(a_second_process_is_refused),
		TEST(a_root_that_is_a_file_is_refused),
		TEST(a_root_we_may_not_write_is_refused),
		TEST(only_we_may_read_what_is_stored),
		TEST(what_lies_beside_the_objects_is_none),
		TEST(a_key_below_or_above_another_is_refused),
		TEST(a_name_too_long_for_a_file_is_refused),
		TEST(empty_folders_go_with_their_last_object),
		TEST(adopting_moves_and_does_not_copy),
		TEST(adopting_across_filesystems_copies),
		TEST(a_file_that_shrinks_is_never_read_as_whole),
		TEST(a_root_that_vanished_is_not_an_empty_one),
		TEST(a_root_that_was_swapped_is_noticed),
		TEST(a_listing_opens_only_what_can_hold_its_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
