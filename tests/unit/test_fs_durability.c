/*
 * The filesystem store's order of events, which decides what a power cut
 * leaves. This program's own fsync(), renameat() and so on stand in for the C
 * library's: they write down what was asked, may be told to fail, and go on to
 * the kernel.
 */
#include "backends/fs/fs_store.h"

#include "backends/fs/fs_internal.h"
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
static struct object_store *owner;
static struct object_store *guest;
static struct object_store *store; /* the one in question */

static char events[4096]; /* "sync tmp/1, rename tmp/1 a/b, sync a" */
static bool recording;
static const char *failing; /* the event that fails with EIO, or NULL */

/* The path without the scratch folder's; names made up by the store are left out. */
static const char *shorten(const char *path)
{
	if (str_starts_with(path, root))
		path += strlen(root) + (path[strlen(root)] == '/');
	else if (str_starts_with(path, scratch))
		path += strlen(scratch) + 1;
	if (str_starts_with(path, "tmp/"))
		return "tmp/*";
	if (str_starts_with(path, "uploads/aa/"))
		return "uploads/aa/*";
	if (str_starts_with(path, "journal/"))
		return "journal";
	return *path ? path : "ROOT";
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

int fdatasync(int fd)
{
	return event("flush", fd, NULL, 0, NULL) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int syncfs(int fd)
{
	return event("syncfs", fd, NULL, 0, NULL) ? -1 : (int)syscall(SYS_syncfs, fd);
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
	if (fs_store_new(root, &owner, &error) || fs_store_open_guest(root, &guest, &error))
		fail_msg("%s", error.message);
	store = owner;
	failing = NULL;
	return 0;
}

static int setup_guest(void **state)
{
	setup(state);
	store = guest;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	recording = false;
	object_store_free(guest);
	object_store_free(owner);
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
	assert_events("link spooled tmp/*, sync spooled, link tmp/* d/k, sync d, unlink tmp/*, "
		      "unlink spooled");
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

/* ---- the owner: one flush ---- */

static void one_flush_and_then_the_name(void **state)
{
	(void)state;
	record();
	assert_int_equal(put("a/b/k", PUT_REPLACE), BW_OK);
	assert_events("flush journal, mkdir a, mkdir a/b, rename tmp/* a/b/k");
	record();
	assert_int_equal(put("a/b/l", PUT_IF_ABSENT), BW_OK);
	assert_events("flush journal, rename tmp/* a/b/l");
	record();
	assert_int_equal(put("a/b/l", PUT_IF_ABSENT), BW_CONFLICT);
	assert_events("unlink tmp/*");
	record();
	assert_int_equal(object_remove(store, "a/b/l", NULL), BW_OK);
	assert_events("flush journal, unlink a/b/l, rmdir a/b");
	record();
	assert_int_equal(object_remove(store, "a/b/l", NULL), BW_OK);
	assert_events("");
}

static void soon_is_flushed_with_the_next(void **state)
{
	(void)state;
	record();
	assert_int_equal(put("s1", PUT_REPLACE_SOON), BW_OK);
	assert_int_equal(put("s2", PUT_REPLACE_SOON), BW_OK);
	assert_events("");
	record();
	assert_int_equal(put("k", PUT_REPLACE), BW_OK);
	assert_events("flush journal, rename tmp/* s2, rename tmp/* s1, rename tmp/* k");
}

/* Whoever looks at it sees nothing that a power cut could take. */
static void soon_is_flushed_before_it_is_seen(void **state)
{
	struct object_info info;

	(void)state;
	assert_int_equal(put("s1", PUT_REPLACE_SOON), BW_OK);
	assert_int_equal(put("s2", PUT_REPLACE_SOON), BW_OK);
	record();
	assert_int_equal(object_stat(store, "s2", &info, NULL), BW_OK);
	assert_events("flush journal, rename tmp/* s2");
	record();
	assert_int_equal(object_stat(store, "s1", &info, NULL), BW_OK);
	assert_events("rename tmp/* s1");
	record();
	assert_int_equal(put("s1", PUT_REPLACE_SOON), BW_OK);
	assert_int_equal(put("s1", PUT_REPLACE_SOON), BW_OK);
	assert_int_equal(object_remove(store, "s1", NULL), BW_OK);
	assert_int_equal(object_stat(store, "s1", &info, NULL), BW_ABSENT);
	assert_events("flush journal, rename tmp/* s1, flush journal, rename tmp/* s1, "
		      "flush journal, unlink s1");
}

#define LARGE (FS_RECORD_BODY_MAX + 1)

static void large_objects_are_synced_where_they_lie(void **state)
{
	char *bytes = xcalloc(1, LARGE);

	(void)state;
	record();
	assert_int_equal(object_put(store, "k", bytes, LARGE, PUT_REPLACE, NULL), BW_OK);
	assert_events("sync tmp/*, flush journal, rename tmp/* k");
	free(bytes);
}

static void an_adopted_file_keeps_its_name_until_the_end(void **state)
{
	char *path = spool_file();

	(void)state;
	assert_int_equal(truncate(path, LARGE), 0);
	record();
	assert_int_equal(object_adopt(store, "k", path, NULL), BW_OK);
	assert_events("link spooled tmp/*, sync spooled, flush journal, rename tmp/* k, "
		      "unlink spooled");
	free(path);
	path = spool_file();
	record();
	assert_int_equal(object_adopt(store, "k", path, NULL), BW_OK);
	assert_events("unlink spooled");
	free(path);
}

static struct object_part part_of(size_t length)
{
	char *bytes = xcalloc(1, length);
	struct part_writer *writer;
	struct object_part part;

	assert_int_equal(object_part_create(store, "aa", 1, &writer, NULL), BW_OK);
	assert_int_equal(object_part_write(writer, bytes, length, NULL), BW_OK);
	assert_int_equal(object_part_finish(writer, &part, NULL), BW_OK);
	free(bytes);
	return part;
}

static enum status push_blob(size_t length, const char *link, const char *key)
{
	struct object_part part = part_of(length);
	enum status status = put(link, PUT_REPLACE_SOON);

	return status ? status : object_parts_commit(store, "aa", &part, 1, key, NULL);
}

static unsigned count(const char *what)
{
	unsigned times = 0;

	for (const char *at = events; (at = strstr(at, what)); at++)
		times++;
	return times;
}

static void push_image(size_t layer)
{
	record();
	assert_int_equal(push_blob(2000, "repositories/r/_layers/c", "blobs/c"), BW_OK);
	assert_int_equal(push_blob(layer, "repositories/r/_layers/l", "blobs/l"), BW_OK);
	assert_int_equal(put("blobs/m", PUT_REPLACE_SOON), BW_OK);
	assert_int_equal(put("repositories/r/_manifests/m", PUT_REPLACE_SOON), BW_OK);
	assert_int_equal(put("repositories/r/_tags/t/1", PUT_REPLACE), BW_OK);
	recording = false;
}

static void assert_holds(const char *key, uint64_t size)
{
	struct object_info info;

	assert_int_equal(object_stat(store, key, &info, NULL), BW_OK);
	assert_int_equal(info.size, size);
}

/* Seven objects. A small blob is in the journal, a large one is synced besides. */
static void an_image_takes_fewer_flushes_than_it_has_files(void **state)
{
	(void)state;
	push_image(200000);
	assert_int_equal(count("flush") + count("sync"), 3);
	assert_int_equal(count("rename"), 7);
	assert_holds("blobs/l", 200000);
	assert_int_equal(object_remove(store, "blobs/l", NULL), BW_OK);
	assert_int_equal(object_remove(store, "blobs/c", NULL), BW_OK);
	push_image(10 * LARGE);
	assert_int_equal(count("flush") + count("sync"), 4);
	assert_holds("blobs/l", 10 * LARGE);
	assert_holds("blobs/c", 2000);
}

/* ---- the owner: a disk that fails ---- */

static void after_a_failed_flush_nothing_is_changed(void **state)
{
	struct object_info info;
	struct error error = {0};
	char *path = spool_file();

	(void)state;
	assert_int_equal(put("d/first", PUT_REPLACE), BW_OK);
	assert_int_equal(put("soon", PUT_REPLACE_SOON), BW_OK);
	assert_int_equal(object_check(store, NULL), BW_OK);
	failing = "flush journal";
	record();
	assert_int_equal(put("d/k", PUT_REPLACE), BW_IO);
	failing = NULL; /* the next one would say that all is well */
	assert_int_equal(put("d/k", PUT_REPLACE), BW_IO);
	assert_int_equal(put("d/k", PUT_REPLACE_SOON), BW_IO);
	assert_int_equal(put("d/l", PUT_IF_ABSENT), BW_IO);
	assert_int_equal(object_adopt(store, "d/m", path, NULL), BW_IO);
	assert_int_equal(object_remove(store, "d/first", NULL), BW_IO);
	assert_int_equal(object_stat(store, "soon", &info, NULL), BW_IO);
	assert_int_equal(object_check(store, &error), BW_IO);
	assert_non_null(strstr(error.message, root));
	assert_int_equal(count("flush"), 1);
	recording = false;
	assert_int_equal(object_stat(store, "d/k", &info, NULL), BW_ABSENT);
	assert_holds("d/first", 1);
	assert_int_equal(access(path, F_OK), 0);
	free(path);
}

static void a_large_object_that_cannot_be_synced_is_not_stored(void **state)
{
	char *bytes = xcalloc(1, LARGE);
	struct object_info info;

	(void)state;
	failing = "sync tmp/*";
	record();
	assert_int_equal(object_put(store, "k", bytes, LARGE, PUT_REPLACE, NULL), BW_IO);
	assert_events("sync tmp/*, unlink tmp/*");
	assert_int_equal(object_stat(store, "k", &info, NULL), BW_ABSENT);
	assert_int_equal(put("k", PUT_REPLACE), BW_OK);
	free(bytes);
}

/* After a failed fsync() the next one says that all is well. */
static void a_part_that_cannot_be_synced_is_not_tried_again(void **state)
{
	struct object_part part;
	struct part_writer *writer;
	struct object_info info;
	char *bytes = xcalloc(1, LARGE);

	(void)state;
	assert_int_equal(object_part_create(store, "aa", 1, &writer, NULL), BW_OK);
	assert_int_equal(object_part_write(writer, bytes, LARGE, NULL), BW_OK);
	assert_int_equal(object_part_finish(writer, &part, NULL), BW_OK);
	failing = "sync uploads/aa/*";
	record();
	assert_int_equal(object_parts_commit(store, "aa", &part, 1, "k", NULL), BW_IO);
	assert_events("sync uploads/aa/*, unlink uploads/aa/*");
	assert_int_equal(object_parts_commit(store, "aa", &part, 1, "k", NULL), BW_ABSENT);
	assert_int_equal(object_stat(store, "k", &info, NULL), BW_ABSENT);
	free(bytes);
}

/* No older journal is left beside a younger one's absence. */
static void journals_go_one_after_the_other(void **state)
{
	(void)state;
	object_store_free(owner);
	owner = store = NULL;
	for (unsigned number = 7; number < 9; number++) {
		char *path = xasprintf("%s/journal/%u", root, number);
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		assert_true(fd >= 0);
		close(fd);
		free(path);
	}
	record();
	assert_int_equal(fs_store_new(root, &owner, NULL), BW_OK);
	recording = false;
	store = owner;
	assert_non_null(strstr(events, "syncfs ROOT, unlink journal, sync journal, "
				       "unlink journal, sync journal"));
}

/* What was not synced is still in the journal. */
static void a_failed_checkpoint_keeps_the_journal(void **state)
{
	struct fs_store *inner = (struct fs_store *)store;

	(void)state;
	assert_int_equal(put("k", PUT_REPLACE), BW_OK);
	failing = "syncfs ROOT";
	record();
	assert_int_equal(fs_journal_checkpoint(inner->journal, NULL), BW_IO);
	recording = false;
	assert_int_equal(count("unlink journal"), 0);
	assert_int_equal(put("k", PUT_REPLACE), BW_IO);
	assert_int_equal(object_check(store, NULL), BW_IO);
	object_store_free(owner);
	owner = NULL;
	assert_int_equal(fs_store_new(root, &owner, NULL), BW_OK);
	store = owner;
	assert_holds("k", 1);
}

static void a_checkpoint_syncs_before_the_journal_goes(void **state)
{
	struct fs_store *inner = (struct fs_store *)store;

	(void)state;
	assert_int_equal(put("k", PUT_REPLACE), BW_OK);
	assert_int_equal(put("s", PUT_REPLACE_SOON), BW_OK);
	record();
	assert_int_equal(fs_journal_checkpoint(inner->journal, NULL), BW_OK);
	assert_events("sync journal, flush journal, flush journal, rename tmp/* s, syncfs ROOT, "
		      "unlink journal");
	record();
	assert_int_equal(fs_journal_checkpoint(inner->journal, NULL), BW_OK);
	assert_events("");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
#define GUEST_TEST(function) cmocka_unit_test_setup_teardown(function, setup_guest, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GUEST_TEST(bytes_then_name_then_folder),
		GUEST_TEST(new_folders_are_synced_in_the_ones_above),
		GUEST_TEST(a_writer_syncs_once_at_its_commit),
		GUEST_TEST(adopt_gives_the_old_name_up_last),
		GUEST_TEST(adopt_makes_sure_of_what_is_there),
		GUEST_TEST(removal_is_synced_before_folders_go),
		GUEST_TEST(bytes_that_cannot_be_synced_are_not_named),
		GUEST_TEST(a_name_that_cannot_be_synced_is_not_acknowledged),
		GUEST_TEST(after_a_failed_folder_all_are_synced),
		TEST(one_flush_and_then_the_name),
		TEST(soon_is_flushed_with_the_next),
		TEST(soon_is_flushed_before_it_is_seen),
		TEST(large_objects_are_synced_where_they_lie),
		TEST(an_adopted_file_keeps_its_name_until_the_end),
		TEST(an_image_takes_fewer_flushes_than_it_has_files),
		TEST(after_a_failed_flush_nothing_is_changed),
		TEST(a_large_object_that_cannot_be_synced_is_not_stored),
		TEST(a_part_that_cannot_be_synced_is_not_tried_again),
		TEST(journals_go_one_after_the_other),
		TEST(a_failed_checkpoint_keeps_the_journal),
		TEST(a_checkpoint_syncs_before_the_journal_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
