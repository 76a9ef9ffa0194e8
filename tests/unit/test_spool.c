#include "server/base/file.h"
#include "server/base/memory.h"
#include "server/cache/spool.h"
#include "tests/support/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char *scratch;
	char *spool; /* not made yet */
	struct digest digest;
};

static int make(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->scratch = scratch_make();
	fixture->spool = xasprintf("%s/a/spool", fixture->scratch);
	digest_of(DIGEST_SHA256, "x", 1, &fixture->digest);
	*state = fixture;
	return 0;
}

static int forget(void **state)
{
	struct fixture *fixture = *state;

	free(fixture->spool);
	scratch_remove(fixture->scratch);
	free(fixture);
	return 0;
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

	assert_int_equal(spool_prepare(fixture->spool, NULL), BW_OK);
	assert_int_equal(spool_create(fixture->spool, &fixture->digest, &file, NULL), BW_OK);
	assert_int_equal(spool_write(&file, 0, "hello ", 6, NULL), BW_OK);
	assert_int_equal(spool_write(&file, 6, "you", 3, NULL), BW_OK);
	assert_int_equal(file_pread_all(file.fd, read, 4, 5), 4);
	assert_memory_equal(read, " you", 4);
	spool_release(&file);
	assert_int_equal(file.fd, -1);
	assert_int_equal(files_in(fixture->spool), 0);
	spool_release(&file);
}

/* Somebody made room while it runs. */
static void a_folder_that_was_removed_is_made_again(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;
	struct error error = {0};
	char *parent = xasprintf("%s/a", fixture->scratch);

	assert_int_equal(spool_prepare(fixture->spool, NULL), BW_OK);
	assert_int_equal(rmdir(fixture->spool), 0);
	assert_int_equal(spool_create(fixture->spool, &fixture->digest, &file, NULL), BW_OK);
	assert_int_equal(files_in(fixture->spool), 1);
	spool_release(&file);
	/* but not what it lies in, which may be a disk that is not there */
	assert_int_equal(rmdir(fixture->spool), 0);
	assert_int_equal(rmdir(parent), 0);
	assert_int_equal(spool_create(fixture->spool, &fixture->digest, &file, &error), BW_IO);
	assert_non_null(strstr(error.message, fixture->spool));
	free(parent);
}

/* Two fills of one digest, an hour apart or at once, never share a file. */
static void each_file_is_its_own(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file one = SPOOL_FILE_NONE, two = SPOOL_FILE_NONE;

	assert_int_equal(spool_prepare(fixture->spool, NULL), BW_OK);
	assert_int_equal(spool_create(fixture->spool, &fixture->digest, &one, NULL), BW_OK);
	assert_int_equal(spool_create(fixture->spool, &fixture->digest, &two, NULL), BW_OK);
	assert_string_not_equal(one.path, two.path);
	assert_int_equal(files_in(fixture->spool), 2);
	spool_release(&one);
	assert_int_equal(files_in(fixture->spool), 1);
	spool_release(&two);
}

static void nobody_else_may_read_it(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;
	struct stat info;

	assert_int_equal(spool_prepare(fixture->spool, NULL), BW_OK);
	assert_int_equal(spool_create(fixture->spool, &fixture->digest, &file, NULL), BW_OK);
	assert_int_equal(fstat(file.fd, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0600);
	assert_int_equal(stat(fixture->spool, &info), 0);
	assert_int_equal(info.st_mode & 0077, 0);
	spool_release(&file);
}

static void readers_outlive_the_file(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;
	char byte = 0;

	assert_int_equal(spool_prepare(fixture->spool, NULL), BW_OK);
	assert_int_equal(spool_create(fixture->spool, &fixture->digest, &file, NULL), BW_OK);
	assert_int_equal(spool_write(&file, 0, "x", 1, NULL), BW_OK);
	spool_discard(&file);
	assert_int_equal(files_in(fixture->spool), 0);
	assert_int_equal(file_pread_all(file.fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 'x');
	spool_release(&file);
}

static void a_file_given_away_stays(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;

	assert_int_equal(spool_prepare(fixture->spool, NULL), BW_OK);
	assert_int_equal(spool_create(fixture->spool, &fixture->digest, &file, NULL), BW_OK);
	spool_given_away(&file);
	spool_release(&file);
	assert_int_equal(files_in(fixture->spool), 1);
}

static void leftovers_go_and_nothing_else(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;

	assert_int_equal(spool_prepare(fixture->spool, NULL), BW_OK);
	assert_int_equal(spool_create(fixture->spool, &fixture->digest, &file, NULL), BW_OK);
	touch(fixture->spool, "somebody-elses");
	assert_int_equal(spool_prepare(fixture->spool, NULL), BW_OK);
	assert_int_equal(files_in(fixture->spool), 1);
	spool_release(&file);
}

static void a_file_in_the_way_is_named(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};
	char *path = xasprintf("%s/file", fixture->scratch);

	touch(fixture->scratch, "file");
	assert_int_equal(spool_prepare(path, &error), BW_IO);
	assert_non_null(strstr(error.message, path));
	free(path);
}

/* A folder that vanished is our trouble, not the blob's absence. */
static void a_lost_folder_is_not_absence(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file file = SPOOL_FILE_NONE;
	struct error error = {0};

	assert_int_equal(spool_create(fixture->spool, &fixture->digest, &file, &error), BW_IO);
	assert_int_equal(file.fd, -1);
	assert_non_null(strstr(error.message, fixture->spool));
}

static void a_full_disk_is_told(void **state)
{
	struct fixture *fixture = *state;
	struct spool_file full = {.fd = open("/dev/full", O_RDWR | O_CLOEXEC)};
	struct error error = {0};

	(void)fixture;
	assert_true(full.fd >= 0);
	full.path = xstrdup("spool/file");
	assert_int_equal(spool_write(&full, 0, "x", 1, &error), BW_NO_SPACE);
	assert_non_null(strstr(error.message, "spool/file"));
	spool_given_away(&full);
	spool_release(&full);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
