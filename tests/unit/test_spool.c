#include "server/base/clock.h"
#include "server/base/file.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/cache/spool.h"
#include "tests/support/support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char *scratch;
	char *spool; /* not made yet */
	struct spool area;
	struct digest digest;
};

static int make(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->scratch = scratch_make();
	fixture->spool = xasprintf("%s/a/spool", fixture->scratch);
	fixture->area =
		(struct spool){.directory = xstrdup(fixture->spool), .write = file_pwrite_all};
	digest_of(DIGEST_SHA256, "x", 1, &fixture->digest);
	*state = fixture;
	return 0;
}

static int forget(void **state)
{
	struct fixture *fixture = *state;

	spool_release(&fixture->area);
	free(fixture->spool);
	scratch_remove(fixture->scratch);
	free(fixture);
	return 0;
}

/* As a process does that starts. */
static void prepare(struct fixture *fixture)
{
	spool_release(&fixture->area);
	assert_int_equal(spool_init(&fixture->area, fixture->spool, NULL, 0, NULL), BW_OK);
}

static unsigned files_in(const char *directory)
{
	DIR *entries = opendir(directory);
	unsigned count = 0;
	struct dirent *entry;

	assert_non_null(entries);
	while ((entry = readdir(entries)))
		count += entry->d_name[0] != '.';
	closedir(entries);
	return count;
}

static void touch(const char *directory, const char *name)
{
	char *path = xasprintf("%s/%s", directory, name);
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	free(path);
}

static void bytes_read_back(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;
	char read[8] = "";

	prepare(fixture);
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 0, &file, NULL), BW_OK);
	assert_int_equal(spool_write(&file, 0, "hello ", 6, NULL), BW_OK);
	assert_int_equal(spool_write(&file, 6, "you", 3, NULL), BW_OK);
	assert_int_equal(file_pread_all(file.fd, read, 4, 5), 4);
	assert_memory_equal(read, " you", 4);
	spool_close(&file);
	assert_int_equal(file.fd, -1);
	assert_int_equal(files_in(fixture->spool), 0);
	spool_close(&file);
}

/* Somebody made room while it runs. */
static void a_folder_that_was_removed_is_made_again(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;
	struct error error = {0};
	char *parent = xasprintf("%s/a", fixture->scratch);

	prepare(fixture);
	assert_int_equal(rmdir(fixture->spool), 0);
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 0, &file, NULL), BW_OK);
	assert_int_equal(files_in(fixture->spool), 1);
	spool_close(&file);
	/* but not what it lies in, which may be a disk that is not there */
	assert_int_equal(rmdir(fixture->spool), 0);
	assert_int_equal(rmdir(parent), 0);
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 0, &file, &error), BW_IO);
	assert_non_null(strstr(error.message, fixture->spool));
	free(parent);
}

/* Two fills of one digest, an hour apart or at once, never share a file. */
static void each_file_is_its_own(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file one = SPOOL_FILE_NONE, two = SPOOL_FILE_NONE;

	prepare(fixture);
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 0, &one, NULL), BW_OK);
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 0, &two, NULL), BW_OK);
	assert_string_not_equal(one.path, two.path);
	assert_int_equal(files_in(fixture->spool), 2);
	spool_close(&one);
	assert_int_equal(files_in(fixture->spool), 1);
	spool_close(&two);
}

static void nobody_else_may_read_it(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;
	struct stat info;

	prepare(fixture);
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 0, &file, NULL), BW_OK);
	assert_int_equal(fstat(file.fd, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0600);
	assert_int_equal(stat(fixture->spool, &info), 0);
	assert_int_equal(info.st_mode & 0077, 0);
	spool_close(&file);
}

static void readers_outlive_the_file(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;
	char byte = 0;

	prepare(fixture);
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 0, &file, NULL), BW_OK);
	assert_int_equal(spool_write(&file, 0, "x", 1, NULL), BW_OK);
	spool_discard(&file);
	assert_int_equal(files_in(fixture->spool), 0);
	assert_int_equal(file_pread_all(file.fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 'x');
	spool_close(&file);
}

static void a_file_given_away_stays(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;

	prepare(fixture);
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 0, &file, NULL), BW_OK);
	spool_given_away(&file);
	spool_close(&file);
	assert_int_equal(files_in(fixture->spool), 1);
}

static void leftovers_go_and_nothing_else(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;

	prepare(fixture);
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 0, &file, NULL), BW_OK);
	touch(fixture->spool, "somebody-elses");
	prepare(fixture);
	assert_int_equal(files_in(fixture->spool), 1);
	spool_close(&file);
}

static void a_file_in_the_way_is_named(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};
	char *path = xasprintf("%s/file", fixture->scratch);

	touch(fixture->scratch, "file");
	spool_release(&fixture->area);
	assert_int_equal(spool_init(&fixture->area, path, NULL, 0, &error), BW_IO);
	assert_non_null(strstr(error.message, path));
	free(path);
}

/* A folder that vanished is our trouble, not the blob's absence. */
static void a_lost_folder_is_not_absence(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;
	struct error error = {0};

	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 0, &file, &error), BW_IO);
	assert_int_equal(file.fd, -1);
	assert_non_null(strstr(error.message, fixture->spool));
}

/* ---- a disk that fails ---- */

static int failing_write(int fd, const void *bytes, size_t length, uint64_t offset)
{
	(void)fd;
	(void)bytes;
	(void)length;
	(void)offset;
	return -ENOSPC;
}

/* The first piece is taken, the rest is not. */
static int write_once(int fd, const void *bytes, size_t length, uint64_t offset)
{
	return offset > 0 ? -ENOSPC : file_pwrite_all(fd, bytes, length, offset);
}

static void a_full_disk_is_told(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;
	struct error error = {0};

	prepare(fixture);
	fixture->area.write = failing_write;
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 1, &file, NULL), BW_OK);
	assert_int_equal(spool_write(&file, 0, "x", 1, &error), BW_NO_SPACE);
	assert_non_null(strstr(error.message, fixture->spool));
	spool_close(&file);
	assert_int_equal(files_in(fixture->spool), 0);
}

static double memory_used(void)
{
	return metric_value(M_SPOOL_MEMORY_BYTES, METRIC_LABELS(NULL));
}

static bool is_in_memory(int fd)
{
	char *link = xasprintf("/proc/self/fd/%d", fd);
	char target[64] = "";
	bool found = readlink(link, target, sizeof(target) - 1) > 0 &&
		     strncmp(target, "/memfd:", 7) == 0;

	free(link);
	return found;
}

/* Under the same descriptor, so that readers notice nothing. */
static void a_file_moves_to_memory(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;
	char read[12] = "";
	int fd;

	prepare(fixture);
	fixture->area.memory_max = 100;
	fixture->area.write = write_once;
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 11, &file, NULL), BW_OK);
	fd = file.fd;
	assert_int_equal(spool_write(&file, 0, "hello ", 6, NULL), BW_OK);
	assert_false(file.in_memory);
	assert_int_equal(spool_write(&file, 6, "there", 5, NULL), BW_OK);
	assert_true(file.in_memory);
	assert_int_equal(file.fd, fd);
	assert_true(is_in_memory(fd));
	assert_int_equal(file_pread_all(fd, read, 11, 0), 11);
	assert_string_equal(read, "hello there");
	assert_int_equal(files_in(fixture->spool), 0);
	assert_true(memory_used() == 11);
	/* readers have it until it is closed */
	spool_discard(&file);
	assert_true(memory_used() == 11);
	spool_close(&file);
	assert_true(memory_used() == 0);
}

/* While it rests nobody asks it; then it is tried again. */
static void a_disk_that_is_well_again_is_used(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;

	prepare(fixture);
	fixture->area.memory_max = 100;
	fixture->area.write = failing_write;
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 1, &file, NULL), BW_OK);
	assert_int_equal(spool_write(&file, 0, "x", 1, NULL), BW_OK);
	spool_close(&file);
	fixture->area.write = file_pwrite_all;
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 1, &file, NULL), BW_OK);
	assert_true(file.in_memory);
	spool_close(&file);
	atomic_store(&fixture->area.retry_at, 0);
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 1, &file, NULL), BW_OK);
	assert_false(file.in_memory);
	assert_int_equal(spool_write(&file, 0, "x", 1, NULL), BW_OK);
	assert_false(fixture->area.failing);
	spool_close(&file);
}

static void memory_is_bounded(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file one = SPOOL_FILE_NONE, two = SPOOL_FILE_NONE;
	struct error error = {0};

	prepare(fixture);
	fixture->area.memory_max = 100;
	fixture->area.failing = true;
	fixture->area.retry_at = DEADLINE_NEVER;
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 60, &one, NULL), BW_OK);
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 41, &two, &error),
			 BW_NO_SPACE);
	assert_int_equal(two.fd, -1);
	assert_non_null(strstr(error.message, "41"));
	assert_int_equal(spool_expect(&one, 101, NULL), BW_NO_SPACE);
	assert_true(memory_used() == 60);
	spool_close(&one);
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 41, &two, NULL), BW_OK);
	spool_close(&two);
	assert_true(memory_used() == 0);
}

/* A disk that is read-only when we start is no reason not to. */
static void a_lost_folder_costs_memory(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;

	char *parent = xasprintf("%s/a", fixture->scratch);

	touch(fixture->scratch, "a");
	fixture->area.memory_max = 100;
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 1, &file, NULL), BW_OK);
	assert_true(file.in_memory);
	spool_close(&file);
	/* with the hot cache around it deleted it is made again */
	assert_int_equal(unlink(parent), 0);
	atomic_store(&fixture->area.retry_at, 0);
	assert_int_equal(spool_create(&fixture->area, &fixture->digest, 1, &file, NULL), BW_OK);
	assert_false(file.in_memory);
	spool_close(&file);
	free(parent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bytes_read_back, make, forget),
		cmocka_unit_test_setup_teardown(a_folder_that_was_removed_is_made_again, make,
						forget),
		cmocka_unit_test_setup_teardown(each_file_is_its_own, make, forget),
		cmocka_unit_test_setup_teardown(nobody_else_may_read_it, make, forget),
		cmocka_unit_test_setup_teardown(readers_outlive_the_file, make, forget),
		cmocka_unit_test_setup_teardown(a_file_given_away_stays, make, forget),
		cmocka_unit_test_setup_teardown(leftovers_go_and_nothing_else, make, forget),
		cmocka_unit_test_setup_teardown(a_file_in_the_way_is_named, make, forget),
		cmocka_unit_test_setup_teardown(a_lost_folder_is_not_absence, make, forget),
		cmocka_unit_test_setup_teardown(a_full_disk_is_told, make, forget),
		cmocka_unit_test_setup_teardown(a_file_moves_to_memory, make, forget),
		cmocka_unit_test_setup_teardown(a_disk_that_is_well_again_is_used, make, forget),
		cmocka_unit_test_setup_teardown(memory_is_bounded, make, forget),
		cmocka_unit_test_setup_teardown(a_lost_folder_costs_memory, make, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
