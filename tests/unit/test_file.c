#include "tests/support/support.h"

#include "server/base/file.h"
#include "server/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *folder;

static int make_folder(void **state)
{
	(void)state;
	folder = scratch_make();
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	scratch_remove(folder);
	return 0;
}

/* The caller frees the name. */
static char *write_file(const char *name, const char *bytes, size_t length)
{
	char *path = xasprintf("%s/%s", folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, bytes, length), 0);
	close(fd);
	return path;
}

static void test_reads_what_was_written(void **state)
{
	size_t size = 100000;
	char *bytes = xmalloc(size);
	char *path, *back;
	size_t length;

	(void)state;
	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(i * 7);
	path = write_file("data", bytes, size);
	assert_int_equal(file_read(path, size, &back, &length, NULL), BW_OK);
	assert_int_equal(length, size);
	assert_memory_equal(back, bytes, size);
	assert_int_equal(back[size], '\0');
	free(back);
	free(path);
	free(bytes);
}

static void test_limit_and_failures(void **state)
{
	struct error error = {0};
	char *text = NULL;
	size_t length = 7;
	char *path = write_file("five", "12345", 5);
	char *missing = xasprintf("%s/missing", folder);

	(void)state;
	assert_int_equal(file_read(path, 4, &text, &length, &error), BW_TOO_LARGE);
	assert_non_null(strstr(error.message, path));
	assert_int_equal(file_read(missing, 4, &text, &length, &error), BW_ABSENT);
	assert_non_null(strstr(error.message, missing));
	assert_int_equal(file_read(folder, 4, &text, &length, &error), BW_IO);
	assert_null(text);
	assert_int_equal(length, 7);
	assert_int_equal(file_read(path, 5, &text, NULL, &error), BW_OK);
	assert_string_equal(text, "12345");
	free(text);
	free(path);
	free(missing);
}

static void test_empty_file_and_kernel_files(void **state)
{
	char *path = write_file("empty", "", 0);
	char *text;
	size_t length;

	(void)state;
	assert_int_equal(file_read(path, 0, &text, &length, NULL), BW_OK);
	assert_int_equal(length, 0);
	free(text);
	free(path);
	/* its size is said to be 0 */
	assert_int_equal(file_read("/proc/self/status", 1 << 20, &text, &length, NULL), BW_OK);
	assert_true(length > 100);
	free(text);
}

static void check_secret(const char *bytes, size_t length, enum status expected, const char *secret)
{
	struct error error = {0};
	char *text = NULL;
	char *path = write_file("secret", bytes, length);

	assert_int_equal(file_read_secret(path, &text, &error), expected);
	if (expected == BW_OK) {
		assert_string_equal(text, secret);
	} else {
		assert_null(text);
		assert_non_null(strstr(error.message, path));
	}
	free(text);
	free(path);
}

static void test_secrets(void **state)
{
	char *large = xcalloc(1, 70000);

	(void)state;
	check_secret("hunter2\n", 8, BW_OK, "hunter2");
	check_secret("hunter2\r\n", 9, BW_OK, "hunter2");
	check_secret("hunter2", 7, BW_OK, "hunter2");
	check_secret("two\n\n", 5, BW_OK, "two\n");
	check_secret(" spaces \r", 9, BW_OK, " spaces \r");
	check_secret("", 0, BW_INVALID, NULL);
	check_secret("\n", 1, BW_INVALID, NULL);
	check_secret("a\0b", 3, BW_INVALID, NULL);
	memset(large, 'x', 70000);
	check_secret(large, 70000, BW_TOO_LARGE, NULL);
	free(large);
}

static void test_positioned(void **state)
{
	char *path = write_file("at", "0123456789", 10);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char text[20] = "";

	(void)state;
	assert_int_equal(file_pwrite_all(fd, "AB", 2, 4), 0);
	assert_int_equal(file_pread_all(fd, text, 4, 3), 4);
	assert_memory_equal(text, "3AB6", 4);
	assert_int_equal(file_pread_all(fd, text, sizeof(text), 8), 2);
	assert_int_equal(file_pread_all(fd, text, 1, 100), 0);
	assert_int_equal(file_pread_all(fd, text, 1, UINT64_MAX), -EINVAL);
	assert_int_equal(file_pwrite_all(fd, "A", 1, INT64_MAX), -EFBIG);
	close(fd);
	assert_int_equal(file_pread_all(fd, text, 1, 0), -EBADF);
	assert_int_equal(file_pwrite_all(fd, "A", 1, 0), -EBADF);
	assert_int_equal(file_write_all(fd, "A", 1), -EBADF);
	free(path);
}

struct pump {
	int ends[2];
	size_t size;
};

static void pump(void *context, unsigned index)
{
	struct pump *pump = context;
	char *bytes = xcalloc(1, pump->size);

	if (index == 0) {
		assert_int_equal(file_write_all(pump->ends[1], bytes, pump->size), 0);
		close(pump->ends[1]);
	} else {
		while (read(pump->ends[0], bytes, 777) > 0)
			continue;
	}
	free(bytes);
}

/* A nearly full pipe takes less than it is given. */
static void test_short_writes_are_continued(void **state)
{
	struct pump pump_state = {.size = 1 << 20};

	(void)state;
	assert_int_equal(pipe(pump_state.ends), 0);
	run_together(2, pump, &pump_state);
	close(pump_state.ends[0]);
}

static void test_full_disk_is_told(void **state)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, "x", 1), -ENOSPC);
	close(fd);
}

static void test_make_directories(void **state)
{
	char *deep = xasprintf("%s//a/b///c/", folder);
	char *blocked = xasprintf("%s/file/x", folder);
	char *file = write_file("file", "", 0);
	struct stat info;

	(void)state;
	assert_int_equal(file_make_directories(deep), 0);
	assert_int_equal(file_make_directories(deep), 0);
	assert_int_equal(stat(deep, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0700);
	assert_int_equal(file_make_directories("/"), 0);
	assert_int_equal(file_make_directories(""), -ENOENT);
	assert_int_equal(file_make_directories(blocked), -ENOTDIR);
	assert_int_equal(file_make_directories(file), -ENOTDIR);
	free(deep);
	free(blocked);
	free(file);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

static void test_make_again(void **state)
{
	char *parent = xasprintf("%s/parent", folder);
	char *path = xasprintf("%s/child", parent);
	char *deep = xasprintf("%s/a/b/c", folder);

	(void)state;
	assert_int_equal(file_make_again(path), 0);
	assert_int_equal(file_make_again(path), 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(file_make_again(deep), -ENOENT); /* more than one is gone */
	free(write_file("file", "x", 1));
	free(path);
	path = xasprintf("%s/file", folder);
	assert_int_equal(file_make_again(path), -ENOTDIR);
	free(deep);
	free(path);
	free(parent);
}

static void test_stamps_tell_files_apart(void **state)
{
	static const struct file_stamp nothing = {0};
	char *path = write_file("stamped", "one", 3);
	struct file_stamp first = file_stamp_of(path);
	struct file_stamp again = file_stamp_of(path);
	struct file_stamp other;

	(void)state;
	assert_true(file_stamp_equals(&first, &again));
	assert_false(file_stamp_equals(&first, &nothing));
	free(write_file("stamped", "other", 5));
	other = file_stamp_of(path);
	assert_false(file_stamp_equals(&first, &other));
	assert_int_equal(unlink(path), 0);
	other = file_stamp_of(path);
	assert_true(file_stamp_equals(&other, &nothing));
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(test_reads_what_was_written),
		IN_FOLDER(test_limit_and_failures),
		IN_FOLDER(test_empty_file_and_kernel_files),
		IN_FOLDER(test_secrets),
		IN_FOLDER(test_positioned),
		IN_FOLDER(test_short_writes_are_continued),
		IN_FOLDER(test_full_disk_is_told),
		IN_FOLDER(test_make_directories),
		IN_FOLDER(test_make_again),
		IN_FOLDER(test_stamps_tell_files_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
