/*
 * What the filesystem store makes of its journal after a power cut.
 *
 * This program's own renameat() and unlinkat() may copy the whole folder before they
 * go on: so there is an image of the disk for every point up to which its names may
 * have been written. A filesystem writes names in order, but bytes that nobody
 * synced when it likes, or never; a file that was synced is there under the name
 * that it had then, which is why fsync() is ours too.
 */
#include "backends/fs/fs_internal.h"
#include "backends/fs/fs_store.h"
#include "server/base/file.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "tests/support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LARGE (FS_RECORD_BODY_MAX + 1)
#define IMAGES_MAX 200

static char *scratch;
static char *root;
static char *image; /* what the next process finds */
static struct object_store *store;
static bool taking_images;
static unsigned image_count;

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void run(const char *format, ...)
{
	char command[2000];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	assert_int_equal(system(command), 0);
}

static void take_image(void)
{
	if (!taking_images)
		return;
	assert_true(image_count < IMAGES_MAX);
	run("cp -a '%s' '%s/image-%u'", root, scratch, image_count++);
}

int renameat(int from, const char *name, int to, const char *new_name)
{
	take_image();
	return (int)syscall(SYS_renameat2, from, name, to, new_name, 0);
}

int unlinkat(int fd, const char *name, int flags)
{
	take_image();
	return (int)syscall(SYS_unlinkat, fd, name, flags);
}

/* In which images the file would be missing: those before this one. */
static void keep_synced(int fd)
{
	struct stat file;

	if (!taking_images || fstat(fd, &file) < 0 || !S_ISREG(file.st_mode))
		return;
	run("mkdir -p '%s/synced-%u' && cd '%s' && find " FS_TMP " " FS_UPLOADS
	    " -inum %llu -exec cp -a --parents '{}' '%s/synced-%u' ';'",
	    scratch, image_count, root, (unsigned long long)file.st_ino, scratch, image_count);
}

int fsync(int fd)
{
	keep_synced(fd);
	return (int)syscall(SYS_fsync, fd);
}

/* Held as by a process that is opening the store; given up at the first pause. */
static int held_opening = -1;

int nanosleep(const struct timespec *wanted, struct timespec *left)
{
	if (held_opening >= 0) {
		close(held_opening);
		held_opening = -1;
		return 0;
	}
	return (int)syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, wanted, left);
}

static struct object_store *open_store(const char *path)
{
	struct object_store *opened = NULL;
	struct error error = {0};

	if (fs_store_new(path, &opened, &error))
		fail_msg("%s", error.message);
	return opened;
}

static int setup(void **state)
{
	(void)state;
	scratch = scratch_make();
	root = xasprintf("%s/root", scratch);
	image = xasprintf("%s/image", scratch);
	store = open_store(root);
	taking_images = false;
	image_count = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	taking_images = false;
	object_store_free(store);
	scratch_remove(scratch);
	free(image);
	free(root);
	return 0;
}

static void put(const char *key, const char *content, enum put_mode mode)
{
	struct error error = {0};

	if (object_put(store, key, content, strlen(content), mode, &error))
		fail_msg("put %s: %s", key, error.message);
}

/* NULL: is absent. */
static void assert_content(struct object_store *opened, const char *key, const char *content)
{
	char *bytes = NULL;
	size_t length = 0;
	enum status status = object_get(opened, key, 2 * LARGE, &bytes, &length, NULL);

	assert_int_equal(status, content ? BW_OK : BW_ABSENT);
	if (content) {
		assert_int_equal(length, strlen(content));
		assert_string_equal(bytes, content);
	}
	free(bytes);
}

static bool count_key(void *context, const char *key, const struct object_info *info)
{
	(void)key;
	(void)info;
	++*(unsigned *)context;
	return true;
}

static unsigned count_keys(struct object_store *opened)
{
	unsigned count = 0;

	assert_int_equal(object_list(opened, "", "", count_key, &count, NULL), BW_OK);
	return count;
}

/* ---- one record, whole or torn ---- */

static char *long_text(char letter)
{
	char *text = xmalloc(LARGE + 1);

	memset(text, letter, LARGE);
	text[LARGE] = '\0';
	return text;
}

static uint64_t journal_size(void)
{
	char *path = xasprintf("%s/" FS_JOURNAL "/1", root);
	struct stat file;

	assert_int_equal(stat(path, &file), 0);
	free(path);
	return (uint64_t)file.st_size;
}

/* An image, with the journal as it is now. */
static void make_image(unsigned number)
{
	run("rm -rf '%s' && cp -a '%s/image-%u' '%s' && rm -rf '%s/" FS_JOURNAL "' && "
	    "cp -a '%s/" FS_JOURNAL "' '%s'",
	    image, scratch, number, image, image, root, image);
	run("cd '%s' && for i in synced-*; do test \"${i#synced-}\" -gt %u 2> /dev/null && "
	    "cp -a \"$i/.\" '%s'; done; true",
	    scratch, number, image);
}

static void cut_journal(uint64_t length)
{
	char *path = xasprintf("%s/" FS_JOURNAL "/1", image);

	assert_int_equal(truncate(path, (off_t)length), 0);
	free(path);
}

static void spoil_journal(uint64_t at)
{
	char *path = xasprintf("%s/" FS_JOURNAL "/1", image);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char byte;

	assert_int_equal(file_pread_all(fd, &byte, 1, at), 1);
	byte ^= 0x20;
	assert_int_equal(file_pwrite_all(fd, &byte, 1, at), 0);
	close(fd);
	free(path);
}

static void assert_image(const char *content)
{
	struct object_store *opened = open_store(image);

	assert_content(opened, "d/first", "1");
	assert_content(opened, "d/k", content);
	assert_int_equal(count_keys(opened), content ? 2 : 1);
	object_store_free(opened);
}

/* `change` is of d/k, from `before` to `after`; its record is the last one. */
static void assert_whole_or_not(void (*change)(void), const char *before, const char *after)
{
	uint64_t start;
	uint64_t end;

	put("d/first", "1", PUT_REPLACE);
	if (before)
		put("d/k", before, PUT_REPLACE);
	start = journal_size();
	taking_images = true;
	change();
	taking_images = false;
	end = journal_size();
	assert_true(end > start);
	make_image(0);
	assert_image(after);
	for (uint64_t cut = start; cut < end; cut++) {
		make_image(0);
		cut_journal(cut);
		assert_image(before);
	}
	for (uint64_t at = start; at < end; at += 3) {
		make_image(0);
		spoil_journal(at);
		assert_image(before);
	}
}

static void change_put(void)
{
	put("d/k", "new", PUT_REPLACE);
}

static void a_put_counts_whole_or_not_at_all(void **state)
{
	(void)state;
	assert_whole_or_not(change_put, "old", "new");
}

static void change_large(void)
{
	char *text = long_text('n');

	put("d/k", text, PUT_REPLACE);
	free(text);
}

static void a_placing_counts_whole_or_not_at_all(void **state)
{
	char *text = long_text('n');

	(void)state;
	assert_whole_or_not(change_large, "old", text);
	free(text);
}

static void change_remove(void)
{
	assert_int_equal(object_remove(store, "d/k", NULL), BW_OK);
}

static void a_removal_counts_whole_or_not_at_all(void **state)
{
	(void)state;
	assert_whole_or_not(change_remove, "old", NULL);
}

static void change_new(void)
{
	put("d/k", "", PUT_IF_ABSENT);
}

static void a_new_object_counts_whole_or_not_at_all(void **state)
{
	(void)state;
	assert_whole_or_not(change_new, NULL, "");
}

/* ---- several journals ---- */

static void write_journal(const char *name, const struct fs_record *records, size_t count,
			  size_t cut)
{
	char *path = xasprintf("%s/" FS_JOURNAL "/%s", image, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	for (size_t i = 0; i < count; i++) {
		size_t length;
		char *bytes = fs_record_encode(&records[i], &length);

		if (i + 1 == count)
			length -= cut;
		assert_int_equal(file_write_all(fd, bytes, length), 0);
		free(bytes);
	}
	close(fd);
	free(path);
}

static struct fs_record put_record(const char *key, const char *body)
{
	return (struct fs_record){
		.op = FS_OP_PUT,
		.stored_at = 1700000000123456789,
		.key = key,
		.body = body,
		.body_length = strlen(body),
	};
}

static void journals_are_replayed_by_number(void **state)
{
	const struct fs_record nine[] = {put_record("a", "9"), put_record("b", "9")};
	const struct fs_record ten[] = {put_record("a", "10"), put_record("c/d", "10")};
	struct object_store *opened;
	struct object_info info;

	(void)state;
	run("mkdir -p '%s/" FS_JOURNAL "'", image);
	write_journal("9", nine, 2, 0);
	write_journal("10", ten, 2, 0);
	opened = open_store(image);
	assert_content(opened, "a", "10");
	assert_content(opened, "b", "9");
	assert_content(opened, "c/d", "10");
	assert_int_equal(object_stat(opened, "a", &info, NULL), BW_OK);
	assert_int_equal(info.stored_at, 1700000000123);
	object_store_free(opened);
	run("test -z \"$(ls '%s/" FS_JOURNAL "' '%s/" FS_TMP "' | grep -v :)\"", image, image);
}

static void nothing_counts_behind_a_torn_record(void **state)
{
	const struct fs_record nine[] = {put_record("a", "9"), put_record("b", "9")};
	const struct fs_record ten[] = {put_record("a", "10")};
	struct object_store *opened;

	(void)state;
	run("mkdir -p '%s/" FS_JOURNAL "'", image);
	write_journal("9", nine, 2, 1);
	write_journal("10", ten, 1, 0);
	opened = open_store(image);
	assert_content(opened, "a", "9");
	assert_int_equal(count_keys(opened), 1);
	object_store_free(opened);
}

/* Folders and objects change places; only the last state must come out. */
static void clashing_keys_end_as_they_were(void **state)
{
	const struct fs_record records[] = {
		put_record("a/b", "1"),
		{.op = FS_OP_REMOVE, .key = "a/b"},
		put_record("a", "2"),
		put_record("x", "3"),
		{.op = FS_OP_REMOVE, .key = "x"},
		put_record("x/y", "4"),
		put_record("never/../up", "5"),
		{.op = FS_OP_PLACE, .key = "z", .body = "../outside", .body_length = 10},
	};
	struct object_store *opened;

	(void)state;
	run("mkdir -p '%s/" FS_JOURNAL "' && echo x > '%s/x' && echo > '%s/outside'", image, image,
	    scratch);
	write_journal("1", records, array_size(records), 0);
	opened = open_store(image);
	assert_content(opened, "a", "2");
	assert_content(opened, "x/y", "4");
	assert_content(opened, "z", NULL);
	object_store_free(opened);
	run("test -e '%s/outside'", scratch);
}

/* Whoever can write there can write anywhere below ROOT, but nowhere else by us. */
static void keys_that_lead_elsewhere_are_nobodys(void **state)
{
	const struct fs_record records[] = {
		put_record("../planted", "1"),
		put_record("a/../../planted", "2"),
		{.op = FS_OP_PLACE, .key = "../planted", .body = "x", .body_length = 1},
		{.op = FS_OP_REMOVE, .key = "../kept"},
		put_record("b", "3"),
	};
	struct object_store *opened;

	(void)state;
	run("mkdir -p '%s/" FS_JOURNAL "' '%s/a' && echo x > '%s/x' && echo > '%s/kept'", image,
	    image, image, scratch);
	write_journal("1", records, array_size(records), 0);
	opened = open_store(image);
	assert_content(opened, "b", "3");
	object_store_free(opened);
	run("test -e '%s/kept' && ! test -e '%s/planted'", scratch, scratch);
}

/* ---- power cuts ---- */

#define KEYS 6
static const char *const keys[KEYS] = {"a", "b/c", "b/d", "b/e/f", "blobs/x", "blobs/y"};

static uint32_t seed;

static unsigned any(unsigned below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 16) % below;
}

static char *any_text(unsigned step)
{
	char *text = any(3) ? xasprintf("%u", step) : long_text((char)('a' + step % 26));

	return text;
}

static void commit_parts(const char *key, const char *text, unsigned step)
{
	char upload[24];
	struct object_part parts[2];
	size_t half = any(2) ? strlen(text) : strlen(text) / 2;

	snprintf(upload, sizeof(upload), "%x", step);
	for (unsigned i = 0; i < 2; i++) {
		struct part_writer *writer = NULL;

		assert_int_equal(object_part_create(store, upload, 1, &writer, NULL), BW_OK);
		assert_int_equal(object_part_write(writer, i ? text + half : text,
						   i ? strlen(text) - half : half, NULL),
				 BW_OK);
		assert_int_equal(object_part_finish(writer, &parts[i], NULL), BW_OK);
	}
	assert_int_equal(
		object_parts_commit(store, upload, parts, half == strlen(text) ? 1 : 2, key, NULL),
		BW_OK);
}

static void adopt(const char *key, const char *text)
{
	char *path = xasprintf("%s/spooled", scratch);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(file_write_all(fd, text, strlen(text)), 0);
	close(fd);
	assert_int_equal(object_adopt(store, key, path, NULL), BW_OK);
	free(path);
}

/* What is younger than this file may not be on the disk. */
static void mark_synced(void)
{
	char *path = xasprintf("%s/synced", scratch);
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	clock_gettime(CLOCK_REALTIME, &times[1]);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
	free(path);
}

static void checkpoint(void)
{
	assert_int_equal(fs_journal_checkpoint(fs_store_of(store)->journal, NULL), BW_OK);
	mark_synced();
	image_count = 0; /* names up to here are on the disk */
	run("cd '%s' && rm -rf image-* synced-*", scratch);
}

/* One change, in the store and in what is expected of it. */
static void step(char *expected[KEYS], unsigned number)
{
	unsigned at = any(KEYS);
	char *text = any_text(number);
	bool kept = false;

	switch (any(8)) {
	case 0:
	case 1:
		put(keys[at], text, PUT_REPLACE);
		break;
	case 2:
	case 3:
		put(keys[at], text, PUT_REPLACE_SOON);
		break;
	case 4:
		assert_int_equal(object_remove(store, keys[at], NULL), BW_OK);
		free(text);
		text = NULL;
		break;
	case 5:
		adopt(keys[at], text);
		kept = expected[at] != NULL;
		break;
	case 6:
		commit_parts(keys[at], text, number);
		kept = expected[at] != NULL;
		break;
	default:
		if (any(3) == 0)
			checkpoint();
		kept = object_put(store, keys[at], text, strlen(text), PUT_IF_ABSENT, NULL) != 0;
		assert_int_equal(kept, expected[at] != NULL);
	}
	free(kept ? text : expected[at]);
	if (!kept)
		expected[at] = text;
}

static void assert_expected(char *expected[KEYS])
{
	struct object_store *opened = open_store(image);
	unsigned there = 1;

	for (unsigned i = 0; i < KEYS; i++) {
		assert_content(opened, keys[i], expected[i]);
		there += expected[i] != NULL;
	}
	assert_content(opened, "last", "durable");
	assert_int_equal(count_keys(opened), there);
	object_store_free(opened);
}

/* Larger ones were synced, and older ones with a checkpoint. */
static void lose_bytes(void)
{
	run("cd '%s' && find . -name " FS_JOURNAL " -prune -o -type f -size -%zuc "
	    "-newer '%s/synced' -exec truncate -s 0 '{}' +",
	    image, FS_RECORD_BODY_MAX + 1, scratch);
}

static void assert_survives(uint32_t first_seed, unsigned steps)
{
	char *expected[KEYS] = {0};

	seed = first_seed;
	mark_synced();
	taking_images = true;
	for (unsigned i = 0; i < steps; i++)
		step(expected, i);
	put("last", "durable", PUT_REPLACE);
	take_image();
	taking_images = false;
	for (unsigned i = 0; i < image_count; i++) {
		make_image(i);
		assert_expected(expected);
		/* A second power cut, after the replay: it is done once more. */
		run("rm -rf '%s/" FS_JOURNAL "' && cp -a '%s/" FS_JOURNAL "' '%s'", image, root,
		    image);
		assert_expected(expected);
		make_image(i);
		lose_bytes();
		assert_expected(expected);
	}
	for (unsigned i = 0; i < KEYS; i++)
		free(expected[i]);
}

static void a_power_cut_takes_nothing_and_brings_nothing_back(void **state)
{
	for (uint32_t i = 1; i <= 12; i++) {
		assert_survives(i * 7919, 3 + i);
		teardown(state);
		setup(state);
	}
}

/* Nothing is lost to the death of the process, whatever the mode. */
static void what_was_put_off_outlives_the_process(void **state)
{
	(void)state;
	put("k", "first", PUT_REPLACE_SOON);
	put("k", "second", PUT_REPLACE_SOON);
	run("cp -a '%s' '%s'", root, image);
	object_store_free(store);
	store = open_store(image);
	assert_content(store, "k", "second");
}

static void uploads_outlive_the_process(void **state)
{
	struct part_writer *writer = NULL;
	struct object_part part;

	(void)state;
	assert_int_equal(object_part_create(store, "ab", 1, &writer, NULL), BW_OK);
	assert_int_equal(object_part_write(writer, "half", 4, NULL), BW_OK);
	assert_int_equal(object_part_finish(writer, &part, NULL), BW_OK);
	run("cp -a '%s' '%s'", root, image);
	object_store_free(store);
	store = open_store(image);
	assert_int_equal(object_parts_commit(store, "ab", &part, 1, "k", NULL), BW_OK);
	assert_content(store, "k", "half");
}

static void a_closed_store_has_no_journal(void **state)
{
	(void)state;
	put("k", "v", PUT_REPLACE_SOON);
	object_store_free(store);
	run("test -z \"$(ls '%s/" FS_JOURNAL "')\" && test -f '%s/k'", root, root);
	store = open_store(root);
	assert_content(store, "k", "v");
}

/* ---- guests ---- */

static void a_guest_works_beside_the_owner(void **state)
{
	struct object_store *guest = NULL;
	struct object_writer *writer = NULL;

	(void)state;
	put("d/k", "v", PUT_REPLACE);
	assert_int_equal(object_create(store, "d/l", &writer, NULL), BW_OK);
	assert_int_equal(object_write(writer, "whole", 5, NULL), BW_OK);
	assert_int_equal(fs_store_open_guest(root, &guest, NULL), BW_OK);
	assert_int_equal(object_check(guest, NULL), BW_OK);
	assert_content(guest, "d/k", "v");
	assert_int_equal(object_remove(guest, "d/k", NULL), BW_OK);
	assert_int_equal(object_put(guest, "quarantine/x", "1", 1, PUT_REPLACE_SOON, NULL), BW_OK);
	assert_content(store, "d/k", NULL);
	assert_content(store, "quarantine/x", "1");
	object_store_free(guest);
	assert_int_equal(object_commit(writer, NULL), BW_OK);
	assert_content(store, "d/l", "whole");
	run("test -n \"$(ls '%s/" FS_JOURNAL "')\"", root);
}

static void alone_a_guest_is_the_owner(void **state)
{
	(void)state;
	put("k", "v", PUT_REPLACE_SOON);
	run("cp -a '%s' '%s'", root, image);
	object_store_free(store);
	store = NULL;
	assert_int_equal(fs_store_open_guest(image, &store, NULL), BW_OK);
	assert_content(store, "k", "v");
	assert_non_null(fs_store_of(store)->journal);
}

static void a_guest_waits_while_the_store_is_opened(void **state)
{
	char *path = xasprintf("%s/" FS_OPENING, root);
	struct object_store *guest = NULL;

	(void)state;
	held_opening = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(held_opening, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(fs_store_open_guest(root, &guest, NULL), BW_OK);
	assert_int_equal(held_opening, -1);
	object_store_free(guest);
	free(path);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_put_counts_whole_or_not_at_all),
		TEST(a_placing_counts_whole_or_not_at_all),
		TEST(a_removal_counts_whole_or_not_at_all),
		TEST(a_new_object_counts_whole_or_not_at_all),
		TEST(journals_are_replayed_by_number),
		TEST(nothing_counts_behind_a_torn_record),
		TEST(keys_that_lead_elsewhere_are_nobodys),
		TEST(clashing_keys_end_as_they_were),
		TEST(a_power_cut_takes_nothing_and_brings_nothing_back),
		TEST(what_was_put_off_outlives_the_process),
		TEST(uploads_outlive_the_process),
		TEST(a_closed_store_has_no_journal),
		TEST(a_guest_works_beside_the_owner),
		TEST(alone_a_guest_is_the_owner),
		TEST(a_guest_waits_while_the_store_is_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
