/*
 * A folder of blobs: what it keeps, what it lets go, and what becomes of it when
 * somebody else touches it.
 */
#include "server/base/file.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/cache/hot_cache.h"
#include "tests/support/images.h"
#include "tests/support/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE ((uint64_t)1000)
#define MAX (100 * SIZE)

struct fixture {
	char *scratch;
	char *folder;
	struct hot_cache *cache;
};

static struct hot_cache *begin(struct fixture *fixture)
{
	struct error error = {0};

	assert_int_equal(hot_cache_new(fixture->folder, MAX, &fixture->cache, &error), BW_OK);
	return fixture->cache;
}

static void restart(struct fixture *fixture)
{
	hot_cache_free(fixture->cache);
	begin(fixture);
}

static int make(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	log_configure(LOG_ERROR + 1, LOG_TEXT);
	fixture->scratch = scratch_make();
	fixture->folder = xasprintf("%s/disk/hot", fixture->scratch);
	begin(fixture);
	*state = fixture;
	return 0;
}

static int forget(void **state)
{
	struct fixture *fixture = *state;

	hot_cache_free(fixture->cache);
	free(fixture->folder);
	scratch_remove(fixture->scratch);
	free(fixture);
	return 0;
}

/* The `number`th blob's bytes, which are its own. */
static char *blob(unsigned number, struct digest *ret_digest)
{
	return some_bytes(SIZE, number + 1, ret_digest);
}

static void offer(struct fixture *fixture, unsigned number)
{
	char *path = xasprintf("%s/spooled", fixture->scratch);
	struct digest digest;
	char *bytes = blob(number, &digest);
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, bytes, SIZE), 0);
	close(fd);
	hot_cache_offer(fixture->cache, &digest, SIZE, path);
	/* as the store's adoption does */
	assert_int_equal(unlink(path), 0);
	free(bytes);
	free(path);
}

/* Asks for it; true: it is there, byte for byte. */
static bool has(struct fixture *fixture, unsigned number)
{
	struct digest digest;
	char *bytes = blob(number, &digest);
	char read[SIZE];
	uint64_t size = 0;
	int fd = hot_cache_open(fixture->cache, &digest, &size);

	if (fd >= 0) {
		assert_int_equal(size, SIZE);
		assert_int_equal(file_pread_all(fd, read, SIZE, 0), SIZE);
		assert_memory_equal(read, bytes, SIZE);
		close(fd);
	}
	free(bytes);
	return fd >= 0;
}

/* A pull: asked for, and fetched when it is not there. */
static void pull(struct fixture *fixture, unsigned number)
{
	if (!has(fixture, number))
		offer(fixture, number);
}

static uint64_t on_disk(struct fixture *fixture)
{
	char *path = xasprintf("%s/blobs", fixture->folder);
	DIR *entries = opendir(path);
	const struct dirent *entry;
	uint64_t bytes = 0;
	struct stat info;

	assert_non_null(entries);
	while ((entry = readdir(entries))) {
		if (entry->d_name[0] == '.')
			continue;
		assert_int_equal(fstatat(dirfd(entries), entry->d_name, &info, 0), 0);
		bytes += (uint64_t)info.st_size;
	}
	closedir(entries);
	free(path);
	return bytes;
}

/* The path of the only blob. */
static char *only_file(struct fixture *fixture)
{
	char *folder = xasprintf("%s/blobs", fixture->folder);
	DIR *entries = opendir(folder);
	const struct dirent *entry;
	char *path = NULL;

	assert_non_null(entries);
	while ((entry = readdir(entries))) {
		if (entry->d_name[0] == '.')
			continue;
		assert_null(path);
		path = xasprintf("%s/%s", folder, entry->d_name);
	}
	closedir(entries);
	free(folder);
	assert_non_null(path);
	return path;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

/* ---- keeping ---- */

static void what_was_offered_is_there(void **state)
{
	struct fixture *fixture = *state;

	assert_false(has(fixture, 1));
	offer(fixture, 1);
	assert_true(has(fixture, 1));
	assert_false(has(fixture, 2));
	offer(fixture, 1); /* again */
	assert_int_equal(hot_cache_bytes(fixture->cache), SIZE);
	assert_int_equal(on_disk(fixture), SIZE);
}

static void its_size_is_kept(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < 300; i++) {
		pull(fixture, i);
		assert_true(hot_cache_bytes(fixture->cache) <= MAX);
		assert_int_equal(on_disk(fixture), hot_cache_bytes(fixture->cache));
	}
	assert_true(hot_cache_bytes(fixture->cache) > MAX / 2);
}

static void one_scan_flushes_nothing(void **state)
{
	struct fixture *fixture = *state;
	unsigned kept = 0;

	for (unsigned round = 0; round < 4; round++)
		for (unsigned i = 0; i < 77; i++)
			pull(fixture, i);
	for (unsigned i = 1000; i < 2000; i++) {
		/* some are large, and take room on their way */
		hot_cache_claim(fixture->cache, 10 * SIZE);
		pull(fixture, i);
		hot_cache_give_back(fixture->cache, 10 * SIZE);
	}
	for (unsigned i = 0; i < 77; i++)
		kept += has(fixture, i);
	assert_true(kept >= 75);
}

/* And yet what is asked for now takes the place of what was. */
static void the_newly_popular_gets_in(void **state)
{
	struct fixture *fixture = *state;
	unsigned kept = 0;

	for (unsigned i = 0; i < 90; i++)
		pull(fixture, i);
	for (unsigned round = 0; round < 6; round++)
		for (unsigned i = 500; i < 560; i++)
			pull(fixture, i);
	for (unsigned i = 500; i < 560; i++)
		kept += has(fixture, i);
	assert_true(kept >= 50);
}

static void what_is_spooled_counts(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < 90; i++)
		pull(fixture, i);
	hot_cache_claim(fixture->cache, MAX / 2);
	assert_true(hot_cache_bytes(fixture->cache) <= MAX / 2);
	assert_int_equal(on_disk(fixture), hot_cache_bytes(fixture->cache));
	hot_cache_claim(fixture->cache, MAX);
	assert_int_equal(hot_cache_bytes(fixture->cache), 0);
	hot_cache_give_back(fixture->cache, MAX + MAX / 2);
	pull(fixture, 1);
	assert_true(has(fixture, 1));
}

static void a_full_disk_makes_it_smaller(void **state)
{
	struct fixture *fixture = *state;
	uint64_t before;

	assert_false(hot_cache_shrink(fixture->cache, SIZE));
	for (unsigned i = 0; i < 20; i++)
		pull(fixture, i);
	before = hot_cache_bytes(fixture->cache);
	assert_true(hot_cache_shrink(fixture->cache, 5 * SIZE));
	assert_int_equal(hot_cache_bytes(fixture->cache), before - 5 * SIZE);
	assert_int_equal(on_disk(fixture), before - 5 * SIZE);
}

/* ---- starting anew ---- */

static void it_outlives_the_process(void **state)
{
	struct fixture *fixture = *state;

	offer(fixture, 1);
	offer(fixture, 2);
	restart(fixture);
	assert_int_equal(hot_cache_bytes(fixture->cache), 2 * SIZE);
	assert_true(has(fixture, 1));
	assert_true(has(fixture, 2));
	offer(fixture, 3);
	assert_true(has(fixture, 3));
	assert_int_equal(on_disk(fixture), 3 * SIZE);
}

static void what_does_not_belong_there_is_removed(void **state)
{
	static const char *const names[] = {
		"readme",
		"sha256-0000",
		"sha256-0000.5.1",
		"md5-d41d8cd98f00b204e9800998ecf8427e.0.1",
		"sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.5",
		"sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.5.x",
		/* another size than its name says */
		"sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.6.1",
	};
	struct fixture *fixture = *state;

	offer(fixture, 1);
	for (size_t i = 0; i < array_size(names); i++) {
		char *path = xasprintf("%s/blobs/%s", fixture->folder, names[i]);

		write_file(path, "12345");
		free(path);
	}
	restart(fixture);
	assert_int_equal(on_disk(fixture), SIZE);
	assert_true(has(fixture, 1));
}

/* What was not synced before a power cut may be anything. */
static void another_boot_empties_it(void **state)
{
	struct fixture *fixture = *state;
	char *path = xasprintf("%s/boot", fixture->folder);

	offer(fixture, 1);
	write_file(path, "another");
	restart(fixture);
	assert_false(has(fixture, 1));
	assert_int_equal(on_disk(fixture), 0);
	offer(fixture, 1);
	restart(fixture);
	assert_true(has(fixture, 1));
	free(path);
}

static void a_second_process_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct hot_cache *second = NULL;
	struct error error = {0};

	offer(fixture, 1);
	assert_int_equal(hot_cache_new(fixture->folder, MAX, &second, &error), BW_CONFLICT);
	assert_null(second);
	assert_non_null(strstr(error.message, fixture->folder));
	assert_true(has(fixture, 1));
}

/* ---- somebody else ---- */

static void a_file_that_was_deleted_is_a_miss(void **state)
{
	struct fixture *fixture = *state;
	char *path;

	offer(fixture, 1);
	path = only_file(fixture);
	assert_int_equal(unlink(path), 0);
	assert_false(has(fixture, 1));
	assert_int_equal(hot_cache_bytes(fixture->cache), 0);
	offer(fixture, 1);
	assert_true(has(fixture, 1));
	free(path);
}

static void a_file_that_was_cut_is_a_miss(void **state)
{
	struct fixture *fixture = *state;
	char *path;

	offer(fixture, 1);
	path = only_file(fixture);
	assert_int_equal(truncate(path, 10), 0);
	assert_false(has(fixture, 1));
	assert_int_equal(on_disk(fixture), 0);
	free(path);
}

static void remove_all(const char *folder)
{
	char *command = xasprintf("rm -rf '%s'", folder);

	assert_int_equal(system(command), 0);
	free(command);
}

static void a_folder_that_was_deleted_is_made_again(void **state)
{
	struct fixture *fixture = *state;
	struct hot_cache *second = NULL;
	char *parent;

	offer(fixture, 1);
	remove_all(fixture->folder);
	assert_false(has(fixture, 1));
	offer(fixture, 2);
	assert_true(has(fixture, 2));
	/* the lock is on the new folder as well */
	assert_int_equal(hot_cache_new(fixture->folder, MAX, &second, NULL), BW_CONFLICT);
	/* and so is what it lies in */
	parent = xasprintf("%s/disk", fixture->scratch);
	remove_all(parent);
	offer(fixture, 3);
	assert_true(has(fixture, 3));
	free(parent);
}

static void only_the_blobs_were_deleted(void **state)
{
	struct fixture *fixture = *state;
	char *path = xasprintf("%s/blobs", fixture->folder);

	offer(fixture, 1);
	remove_all(path);
	offer(fixture, 2);
	assert_true(has(fixture, 2));
	assert_false(has(fixture, 1));
	free(path);
}

/* A disk that is gone: nothing is taken, and nothing fails. */
static void a_lost_disk_is_bypassed(void **state)
{
	struct fixture *fixture = *state;
	char *folder = xasprintf("%s/blobs", fixture->folder);

	offer(fixture, 1);
	remove_all(folder);
	write_file(folder, "no folder");
	offer(fixture, 2);
	assert_false(has(fixture, 2));
	assert_false(has(fixture, 1));
	assert_true(metric_value(M_HOT_CACHE_BYPASS, METRIC_LABELS(NULL)) == 1);
	assert_int_equal(unlink(folder), 0);
	/* it rests until HOT_CACHE_RETRY_MS have passed */
	offer(fixture, 2);
	assert_false(has(fixture, 2));
	free(folder);
}

static void a_file_in_the_way_is_named(void **state)
{
	struct fixture *fixture = *state;
	char *path = xasprintf("%s/file", fixture->scratch);
	struct hot_cache *cache = NULL;
	struct error error = {0};

	write_file(path, "x");
	assert_int_equal(hot_cache_new(path, MAX, &cache, &error), BW_INVALID);
	assert_non_null(strstr(error.message, path));
	free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_offered_is_there),
		TEST(its_size_is_kept),
		TEST(one_scan_flushes_nothing),
		TEST(the_newly_popular_gets_in),
		TEST(what_is_spooled_counts),
		TEST(a_full_disk_makes_it_smaller),
		TEST(it_outlives_the_process),
		TEST(what_does_not_belong_there_is_removed),
		TEST(another_boot_empties_it),
		TEST(a_second_process_is_refused),
		TEST(a_file_that_was_deleted_is_a_miss),
		TEST(a_file_that_was_cut_is_a_miss),
		TEST(a_folder_that_was_deleted_is_made_again),
		TEST(only_the_blobs_were_deleted),
		TEST(a_lost_disk_is_bypassed),
		TEST(a_file_in_the_way_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
