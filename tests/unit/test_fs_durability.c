/*
 * The filesystem store's order of events, which decides what a power cut
 * leaves. This program's own fsync(), renameat() and so on stand in for the C
 * library's: they write down what was asked, may be told to fail, and go on to
 * the kernel.
 */
#include "backends/fs/fs_store.h"

#include "server/base/memory.h"
#include "server/base/str.h"
#include "tests/support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *scratch;
static char *root;
static struct object_store *store;

static char events[4096]; /* "sync tmp/1, rename tmp/1 a/b, sync a" */
static bool recording;
static const char *failing; /* the event that fails with EIO, or NULL */

/* The path without the scratch folder's; a file's number in tmp/ is left out. */
static const char *shorten(const char *path)
{
	if (str_starts_with(path, root))
		path += strlen(root) + (path[strlen(root)] == '/');
	else if (str_starts_with(path, scratch))
		path += strlen(scratch) + 1;
	return str_starts_with(path, "tmp/") ? "tmp/*" : *path ? path : "ROOT";
}

static void full_path(int fd, const char *name, char target[1024])
{
	char link[64];
	ssize_t length = 0;

	if (name && name[0] == '/') {
		str_copy(target, 1024, name);
		return;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, target, 512);
	target[length < 0 ? 0 : length] = '\0';
	if (name)
		snprintf(target + strlen(target), 512, "/%s", name);
}

/* True when the event is to fail. */
static bool event(const char *what, int fd, const char *name, int to_fd, const char *to)
{
	char from_path[1024];
	char to_path[1024] = "";
	char text[2100];
	size_t length = strlen(events);

	if (!recording)
		return false;
	full_path(fd, name, from_path);
	if (to)
		full_path(to_fd, to, to_path);
	snprintf(text, sizeof(text), "%s %s%s%s", what, shorten(from_path), to ? " " : "",
		 to ? shorten(to_path) : "");
	snprintf(events + length, sizeof(events) - length, "%s%s", length ? ", " : "", text);
	if (!failing || strcmp(failing, text) != 0)
		return false;
	errno = EIO;
	return true;
}

int fsync(int fd)
{
	return event("sync", fd, NULL, 0, NULL) ? -1 : (int)syscall(SYS_fsync, fd);
}

int renameat(int from, const char *name, int to, const char *new_name)
{
	if (event("rename", from, name, to, new_name))
		return -1;
	return (int)syscall(SYS_renameat2, from, name, to, new_name, 0);
}

int linkat(int from, const char *name, int to, const char *new_name, int flags)
{
	if (event("link", from, name, to, new_name))
		return -1;
	return (int)syscall(SYS_linkat, from, name, to, new_name, flags);
}

int mkdirat(int fd, const char *name, mode_t mode)
{
	return event("mkdir", fd, name, 0, NULL) ? -1 : (int)syscall(SYS_mkdirat, fd, name, mode);
}

int unlinkat(int fd, const char *name, int flags)
{
	if (event(flags & AT_REMOVEDIR ? "rmdir" : "unlink", fd, name, 0, NULL))
		return -1;
	return (int)syscall(SYS_unlinkat, fd, name, flags);
}

int unlink(const char *path)
{
	if (event("unlink", AT_FDCWD, path, 0, NULL))
		return -1;
	return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

static int setup(void **state)
{
	struct error error = {0};

	(void)state;
	scratch = scratch_make();
	root = xasprintf("%s/root", scratch);
	if (fs_store_new(root, &store, &error))
		fail_msg("%s", error.message);
	failing = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	recording = false;
	object_store_free(store);
	scratch_remove(scratch);
	free(root);
	return 0;
}

static void record(void)
{
	events[0] = '\0';
	recording = true;
}

static void assert_events(const char *expected)
{
	recording = false;
	assert_string_equal(events, expected);
}

static enum status put(const char *key, enum put_mode mode)
{
	return object_put(store, key, "x", 1, mode, NULL);
}

static void bytes_then_name_then_folder(void **state)
{
	(void)state;
	assert_int_equal(put("a/b/first", PUT_REPLACE), BW_OK);
	record();
	assert_int_equal(put("a/b/k", PUT_REPLACE), BW_OK);
	assert_events("sync tmp/*, rename tmp/* a/b/k, sync a/b");
	record();
	assert_int_equal(put("a/b/l", PUT_IF_ABSENT), BW_OK);
	assert_events("sync tmp/*, link tmp/* a/b/l, sync a/b, unlink tmp/*");
	record();
	assert_int_equal(put("top", PUT_REPLACE), BW_OK);
	assert_events("sync tmp/*, rename tmp/* top, sync ROOT");
}

static void new_folders_are_synced_in_the_ones_above(void **state)
{
	(void)state;
	record();
	assert_int_equal(put("a/b/k", PUT_REPLACE), BW_OK);
	assert_events("sync tmp/*, mkdir a, sync ROOT, mkdir a/b, sync a, "
		      "rename tmp/* a/b/k, sync a/b");
}

static void a_writer_syncs_once_at_its_commit(void **state)
{
	struct object_writer *writer;

	(void)state;
	assert_int_equal(put("d/first", PUT_REPLACE), BW_OK);
	record();
	assert_int_equal(object_create(store, "d/k", &writer, NULL), BW_OK);
	assert_int_equal(object_write(writer, "1", 1, NULL), BW_OK);
	assert_int_equal(object_write(writer, "2", 1, NULL), BW_OK);
	assert_int_equal(object_commit(writer, NULL), BW_OK);
	assert_events("sync tmp/*, rename tmp/* d/k, sync d");
}

static char *spool_file(void)
{
	char *path = xasprintf("%s/spooled", scratch);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	return path;
}

/* The old name goes last: a crash before leaves two, never none. */
static void adopt_gives_the_old_name_up_last(void **state)
{
	char *path = spool_file();

	(void)state;
	assert_int_equal(put("d/first", PUT_REPLACE), BW_OK);
	record();
	assert_int_equal(object_adopt(store, "d/k", path, NULL), BW_OK);
	assert_events("sync spooled, link spooled d/k, sync d, unlink spooled");
	free(path);
}

/* Whoever stored it first may not have synced yet, and may never. */
static void adopt_makes_sure_of_what_is_there(void **state)
{
	char *path = spool_file();

	(void)state;
	assert_int_equal(put("d/k", PUT_REPLACE), BW_OK);
	record();
	assert_int_equal(object_adopt(store, "d/k", path, NULL), BW_OK);
	assert_events("sync d, sync ROOT, unlink spooled");
	free(path);
}

static void removal_is_synced_before_folders_go(void **state)
{
	(void)state;
	assert_int_equal(put("a/b/k", PUT_REPLACE), BW_OK);
	assert_int_equal(put("a/l", PUT_REPLACE), BW_OK);
	record();
	assert_int_equal(object_remove(store, "a/b/k", NULL), BW_OK);
	assert_events("unlink a/b/k, sync a/b, rmdir a/b, rmdir a");
}

static void bytes_that_cannot_be_synced_are_not_named(void **state)
{
	struct object_info info;

	(void)state;
	failing = "sync tmp/*";
	record();
	assert_int_equal(put("k", PUT_REPLACE), BW_IO);
	assert_int_equal(put("k", PUT_IF_ABSENT), BW_IO);
	assert_events("sync tmp/*, unlink tmp/*, sync tmp/*, unlink tmp/*");
	assert_int_equal(object_stat(store, "k", &info, NULL), BW_ABSENT);
}

static void a_name_that_cannot_be_synced_is_not_acknowledged(void **state)
{
	char *path = spool_file();

	(void)state;
	assert_int_equal(put("d/first", PUT_REPLACE), BW_OK);
	failing = "sync d";
	record();
	assert_int_equal(put("d/k", PUT_REPLACE), BW_IO);
	assert_int_equal(put("d/l", PUT_IF_ABSENT), BW_IO);
	assert_int_equal(object_adopt(store, "d/m", path, NULL), BW_IO);
	assert_int_equal(object_remove(store, "d/first", NULL), BW_IO);
	recording = false;
	assert_int_equal(access(path, F_OK), 0);
	free(path);
}

/* The folder is there and looks like any other; only we know that it could not
 * be made durable, so nobody may rely on it from then on. */
static void after_a_failed_folder_all_are_synced(void **state)
{
	(void)state;
	failing = "sync a";
	record();
	assert_int_equal(put("a/b/k", PUT_REPLACE), BW_IO);
	failing = NULL;
	record();
	assert_int_equal(put("a/b/k", PUT_REPLACE), BW_OK);
	assert_events("sync tmp/*, rename tmp/* a/b/k, sync a/b, sync a, sync ROOT");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bytes_then_name_then_folder),
		TEST(new_folders_are_synced_in_the_ones_above),
		TEST(a_writer_syncs_once_at_its_commit),
		TEST(adopt_gives_the_old_name_up_last),
		TEST(adopt_makes_sure_of_what_is_there),
		TEST(removal_is_synced_before_folders_go),
		TEST(bytes_that_cannot_be_synced_are_not_named),
		TEST(a_name_that_cannot_be_synced_is_not_acknowledged),
		TEST(after_a_failed_folder_all_are_synced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
