/* What backends/object_store.h promises of storing and reading, asked of every
 * store. Listing is in test_object_store_list.c. */
#include "server/base/file.h"
#include "server/base/str.h"
#include "tests/support/object_stores.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct object_store *store_of(void **state)
{
	return ((struct object_fixture *)*state)->store;
}

static char *file_with(void **state, const char *name, const char *content)
{
	char *path = xasprintf("%s/%s", ((struct object_fixture *)*state)->files, name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(content, file);
	fclose(file);
	return path;
}

static void put(struct object_store *store, const char *key, const char *content)
{
	struct error error = {0};

	if (object_put(store, key, content, strlen(content), PUT_REPLACE, &error))
		fail_msg("put %s: %s", key, error.message);
}

static void assert_holds(struct object_store *store, const char *key, const char *content)
{
	struct error error = {0};
	size_t length = 0;
	char *bytes = NULL;

	if (object_get(store, key, 1 << 20, &bytes, &length, &error))
		fail_msg("get %s: %s", key, error.message);
	assert_int_equal(length, strlen(content));
	assert_string_equal(bytes, content);
	free(bytes);
}

static void assert_absent(struct object_store *store, const char *key)
{
	struct object_info info = {.size = 77, .stored_at = 88};
	struct object_reader *reader = NULL;
	struct error error = {0};
	size_t length = 99;
	char *bytes = NULL;

	assert_int_equal(object_stat(store, key, &info, &error), BW_ABSENT);
	assert_int_equal(error.code, BW_ABSENT);
	assert_non_null(strstr(error.message, key));
	assert_int_equal(object_open(store, key, &reader, &error), BW_ABSENT);
	assert_int_equal(object_get(store, key, 10, &bytes, &length, NULL), BW_ABSENT);
	assert_null(reader);
	assert_null(bytes);
	assert_int_equal(info.size, 77);
	assert_int_equal(info.stored_at, 88);
	assert_int_equal(length, 99);
}

static void what_was_put_is_read_back(void **state)
{
	struct object_store *store = store_of(state);
	static const char bytes[] = "a\0b\xff\r\n";
	size_t length = 0;
	char *got = NULL;

	assert_int_equal(object_put(store, "a/key", bytes, sizeof(bytes), PUT_REPLACE, NULL), 0);
	assert_int_equal(object_get(store, "a/key", 100, &got, &length, NULL), BW_OK);
	assert_int_equal(length, sizeof(bytes));
	assert_memory_equal(got, bytes, sizeof(bytes));
	assert_int_equal(got[length], '\0');
	free(got);
}

static void an_empty_object_is_there(void **state)
{
	struct object_store *store = store_of(state);
	struct object_info info;
	struct object_writer *writer;

	assert_int_equal(object_put(store, "empty", NULL, 0, PUT_IF_ABSENT, NULL), BW_OK);
	assert_int_equal(object_create(store, "unwritten", &writer, NULL), BW_OK);
	assert_int_equal(object_commit(writer, NULL), BW_OK);
	assert_int_equal(object_stat(store, "empty", &info, NULL), BW_OK);
	assert_int_equal(info.size, 0);
	assert_holds(store, "empty", "");
	assert_holds(store, "unwritten", "");
}

static void what_is_not_there_is_absent(void **state)
{
	struct object_store *store = store_of(state);

	assert_absent(store, "a");
	put(store, "a/b", "x");
	assert_absent(store, "a");
	assert_absent(store, "a/b/c");
	assert_absent(store, "a/c");
	assert_absent(store, "a/bb");
}

static void stat_tells_size_and_time(void **state)
{
	struct object_store *store = store_of(state);
	struct object_info info;
	int64_t before = clock_wall_ms();

	put(store, "k", "12345");
	assert_int_equal(object_stat(store, "k", &info, NULL), BW_OK);
	assert_int_equal(info.size, 5);
	assert_in_range(info.stored_at, before - 1000, clock_wall_ms() + 1); /* HTTP: seconds */
}

static void replacing_replaces(void **state)
{
	struct object_store *store = store_of(state);

	put(store, "d/k", "first and longer");
	put(store, "d/k", "second");
	assert_holds(store, "d/k", "second");
}

static void if_absent_keeps_what_is_there(void **state)
{
	struct object_store *store = store_of(state);
	struct error error = {0};

	assert_int_equal(object_put(store, "d/k", "1", 1, PUT_IF_ABSENT, NULL), BW_OK);
	assert_int_equal(object_put(store, "d/k", "2", 1, PUT_IF_ABSENT, &error), BW_CONFLICT);
	assert_int_equal(error.code, BW_CONFLICT);
	assert_non_null(strstr(error.message, "d/k"));
	assert_holds(store, "d/k", "1");
	assert_int_equal(object_remove(store, "d/k", NULL), BW_OK);
	assert_int_equal(object_put(store, "d/k", "3", 1, PUT_IF_ABSENT, NULL), BW_OK);
	assert_holds(store, "d/k", "3");
}

static void nothing_is_visible_before_commit(void **state)
{
	struct object_store *store = store_of(state);
	struct object_writer *writer = NULL;

	assert_int_equal(object_create(store, "w/k", &writer, NULL), BW_OK);
	assert_int_equal(object_write(writer, "one ", 4, NULL), BW_OK);
	assert_absent(store, "w/k");
	assert_int_equal(object_write(writer, "", 0, NULL), BW_OK);
	assert_int_equal(object_write(writer, "two", 3, NULL), BW_OK);
	assert_absent(store, "w/k");
	assert_int_equal(object_commit(writer, NULL), BW_OK);
	assert_holds(store, "w/k", "one two");
}

static void commit_replaces(void **state)
{
	struct object_store *store = store_of(state);
	struct object_writer *writer = NULL;

	put(store, "k", "old");
	assert_int_equal(object_create(store, "k", &writer, NULL), BW_OK);
	assert_int_equal(object_write(writer, "new", 3, NULL), BW_OK);
	assert_holds(store, "k", "old");
	assert_int_equal(object_commit(writer, NULL), BW_OK);
	assert_holds(store, "k", "new");
}

static void abort_leaves_nothing(void **state)
{
	struct object_store *store = store_of(state);
	struct object_writer *writer = NULL;

	put(store, "kept", "old");
	assert_int_equal(object_create(store, "w/k", &writer, NULL), BW_OK);
	assert_int_equal(object_write(writer, "gone", 4, NULL), BW_OK);
	object_abort(writer);
	assert_absent(store, "w/k");
	assert_int_equal(object_create(store, "kept", &writer, NULL), BW_OK);
	object_abort(writer);
	assert_holds(store, "kept", "old");
	object_abort(NULL);
	object_close(NULL);
}

#define BIG ((size_t)3 * 1024 * 1024 + 17)

static void a_large_object_arrives_whole(void **state)
{
	struct object_store *store = store_of(state);
	struct object_writer *writer = NULL;
	char *bytes = xmalloc(BIG);
	size_t length = 0;
	char *got = NULL;

	for (size_t i = 0; i < BIG; i++)
		bytes[i] = (char)(i * 2654435761u >> 13);
	assert_int_equal(object_create(store, "big", &writer, NULL), BW_OK);
	for (size_t done = 0; done < BIG;) {
		size_t piece = BIG - done < 100003 ? BIG - done : 100003;

		assert_int_equal(object_write(writer, bytes + done, piece, NULL), BW_OK);
		done += piece;
	}
	assert_int_equal(object_commit(writer, NULL), BW_OK);
	assert_int_equal(object_get(store, "big", BIG, &got, &length, NULL), BW_OK);
	assert_int_equal(length, BIG);
	assert_memory_equal(got, bytes, BIG);
	free(got);
	free(bytes);
}

static void get_refuses_what_is_larger_than_asked(void **state)
{
	struct object_store *store = store_of(state);
	struct error error = {0};
	size_t length = 0;
	char *got = NULL;

	put(store, "k", "12345");
	assert_int_equal(object_get(store, "k", 4, &got, &length, &error), BW_TOO_LARGE);
	assert_null(got);
	assert_non_null(strstr(error.message, "k"));
	assert_int_equal(object_get(store, "k", 5, &got, &length, NULL), BW_OK);
	free(got);
}

static void assert_reads(struct object_reader *reader, uint64_t offset, size_t length,
			 const char *expected)
{
	char target[64] = "";
	size_t got = 1000;

	assert_int_equal(
		object_read(reader, offset, target, length, deadline_in(10000), &got, NULL), BW_OK);
	assert_int_equal(got, strlen(expected));
	assert_memory_equal(target, expected, got);
}

static void readers_read_anywhere(void **state)
{
	struct object_store *store = store_of(state);
	struct object_reader *reader = NULL;

	put(store, "k", "0123456789");
	assert_int_equal(object_open(store, "k", &reader, NULL), BW_OK);
	assert_int_equal(reader->info.size, 10);
	assert_reads(reader, 0, 10, "0123456789");
	assert_reads(reader, 7, 2, "78");
	assert_reads(reader, 0, 0, "");
	assert_reads(reader, 8, 50, "89");
	assert_reads(reader, 10, 5, "");
	assert_reads(reader, 11, 5, "");
	assert_reads(reader, UINT64_MAX, 5, "");
	object_close(reader);
}

static void a_file_when_there_is_one_holds_the_bytes(void **state)
{
	struct object_store *store = store_of(state);
	struct object_reader *reader = NULL;
	char target[16];
	int fd;

	put(store, "k", "bytes");
	assert_int_equal(object_open(store, "k", &reader, NULL), BW_OK);
	fd = object_reader_file(reader);
	if (fd >= 0) {
		assert_int_equal(file_pread_all(fd, target, sizeof(target), 0), 5);
		assert_memory_equal(target, "bytes", 5);
	}
	object_close(reader);
}

/* It may fail; it must not end early as if whole, nor mix two objects. */
static void an_open_object_outlives_its_key(void **state)
{
	struct object_store *store = store_of(state);
	struct object_reader *replaced = NULL;
	struct object_reader *removed = NULL;
	char target[16] = "";
	size_t got = 0;

	put(store, "a", "old a");
	put(store, "b", "old b");
	assert_int_equal(object_open(store, "a", &replaced, NULL), BW_OK);
	assert_int_equal(object_open(store, "b", &removed, NULL), BW_OK);
	put(store, "a", "new and longer");
	assert_int_equal(object_remove(store, "b", NULL), BW_OK);
	if (object_read(replaced, 0, target, 16, deadline_in(10000), &got, NULL) == BW_OK)
		assert_memory_equal(target, "old a", got = got == 5 ? 5 : 16);
	if (object_read(removed, 0, target, 16, deadline_in(10000), &got, NULL) == BW_OK)
		assert_memory_equal(target, "old b", got = got == 5 ? 5 : 16);
	object_close(replaced);
	object_close(removed);
}

static void removing_removes(void **state)
{
	struct object_store *store = store_of(state);

	put(store, "a/b/c", "1");
	put(store, "a/b/d", "2");
	assert_int_equal(object_remove(store, "a/b/c", NULL), BW_OK);
	assert_absent(store, "a/b/c");
	assert_holds(store, "a/b/d", "2");
}

static void removing_what_is_not_there_is_fine(void **state)
{
	struct object_store *store = store_of(state);

	put(store, "a/b/c", "1");
	assert_int_equal(object_remove(store, "nothing", NULL), BW_OK);
	assert_int_equal(object_remove(store, "no/such/folder", NULL), BW_OK);
	assert_int_equal(object_remove(store, "a/b", NULL), BW_OK);
	assert_int_equal(object_remove(store, "a/b/c/d", NULL), BW_OK);
	assert_holds(store, "a/b/c", "1");
}

/* Once "a/b" is gone nothing of it stands in the way of "a", nor vice versa. */
static void a_removed_key_leaves_no_trace(void **state)
{
	struct object_store *store = store_of(state);

	put(store, "a/b/c", "1");
	assert_int_equal(object_remove(store, "a/b/c", NULL), BW_OK);
	put(store, "a", "2");
	assert_holds(store, "a", "2");
	assert_int_equal(object_remove(store, "a", NULL), BW_OK);
	put(store, "a/b", "3");
	assert_holds(store, "a/b", "3");
}

static void adopt_takes_the_file(void **state)
{
	struct object_store *store = store_of(state);
	char *path = file_with(state, "spooled", "bytes of the file");

	assert_int_equal(object_adopt(store, "blobs/sha256/ab/abcd", path, NULL), BW_OK);
	assert_int_equal(access(path, F_OK), -1);
	assert_holds(store, "blobs/sha256/ab/abcd", "bytes of the file");
	free(path);
}

static void adopt_keeps_what_is_there(void **state)
{
	struct object_store *store = store_of(state);
	char *path = file_with(state, "spooled", "again");

	put(store, "blobs/x", "first");
	assert_int_equal(object_adopt(store, "blobs/x", path, NULL), BW_OK);
	assert_int_equal(access(path, F_OK), -1);
	assert_holds(store, "blobs/x", "first");
	free(path);
}

static void a_failed_adopt_changes_nothing(void **state)
{
	struct object_store *store = store_of(state);
	char *path = file_with(state, "spooled", "mine");
	char *missing = xasprintf("%s.missing", path);
	struct error error = {0};

	assert_int_equal(object_adopt(store, "../up", path, &error), BW_INVALID);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_not_equal(object_adopt(store, "k", missing, &error), BW_OK);
	assert_non_null(strstr(error.message, missing));
	assert_absent(store, "k");
	assert_int_not_equal(
		object_adopt(store, "k", ((struct object_fixture *)*state)->files, NULL), BW_OK);
	assert_absent(store, "k");
	free(missing);
	free(path);
}

static void a_link_is_not_adopted(void **state)
{
	struct object_store *store = store_of(state);
	char *path = file_with(state, "secret", "not yours");
	char *link = xasprintf("%s.link", path);

	assert_int_equal(symlink(path, link), 0);
	assert_int_not_equal(object_adopt(store, "k", link, NULL), BW_OK);
	assert_absent(store, "k");
	free(link);
	free(path);
}

static void assert_refused(struct object_store *store, const char *key, const char *path)
{
	struct object_reader *reader = NULL;
	struct object_writer *writer = NULL;
	struct object_info info;
	struct error error = {0};
	size_t length;
	char *bytes;

	assert_int_equal(object_stat(store, key, &info, &error), BW_INVALID);
	assert_true(error.message[0]);
	assert_null(strchr(error.message, '\n'));
	assert_int_equal(object_open(store, key, &reader, NULL), BW_INVALID);
	assert_int_equal(object_get(store, key, 9, &bytes, &length, NULL), BW_INVALID);
	assert_int_equal(object_put(store, key, "x", 1, PUT_REPLACE, NULL), BW_INVALID);
	assert_int_equal(object_put(store, key, "x", 1, PUT_IF_ABSENT, NULL), BW_INVALID);
	assert_int_equal(object_create(store, key, &writer, NULL), BW_INVALID);
	assert_int_equal(object_adopt(store, key, path, NULL), BW_INVALID);
	assert_int_equal(object_remove(store, key, NULL), BW_INVALID);
	assert_int_equal(access(path, F_OK), 0);
}

static void what_is_no_key_is_refused(void **state)
{
	static const char *const keys[] = {
		"",     ".",      "..",  "/",      "/a",       "a/",    "a//b", "../a",
		"a/..", "a/../b", "./a", "a/./b",  "a b",      "a\nb",  "a\\b", "a%2fb",
		"a*",   "a?",     "~",   "a/\x7f", "\xc3\xa4", "a\x01", "a;b",  "a+b",
	};
	struct object_store *store = store_of(state);
	char *path = file_with(state, "spooled", "mine");
	char *longest = xmalloc(OBJECT_KEY_MAX + 2);

	for (size_t i = 0; i < array_size(keys); i++)
		assert_refused(store, keys[i], path);
	for (size_t i = 0; i < OBJECT_KEY_MAX + 1; i++)
		longest[i] = i % 100 == 99 ? '/' : 'a';
	longest[OBJECT_KEY_MAX + 1] = '\0';
	assert_refused(store, longest, path);
	longest[OBJECT_KEY_MAX] = '\0';
	put(store, longest, "as long as may be");
	assert_holds(store, longest, "as long as may be");
	free(longest);
	free(path);
}

static void odd_keys_are_keys(void **state)
{
	static const char *const keys[] = {"...",       "..a",  "a..", ".a",    "-",
					   "_",         "-rf",  "a:b", "A",     "a.b/c-d/e_f",
					   "0/1/2/3/4", "tmp1", "CON", "x/tmp", "x/lock/spool"};
	struct object_store *store = store_of(state);

	for (size_t i = 0; i < array_size(keys); i++)
		put(store, keys[i], keys[i]);
	for (size_t i = 0; i < array_size(keys); i++)
		assert_holds(store, keys[i], keys[i]);
}

/* What the layout in docs/architecture.md needs: repository names nest. */
static void nested_repositories_live_side_by_side(void **state)
{
	static const char *const keys[] = {
		"repositories/a/_tags/v1/00000001",
		"repositories/a/_tags/v1/00000002",
		"repositories/a/_manifests/sha256:00",
		"repositories/a/b/_tags/v1/00000001",
		"repositories/a/b/_manifests/sha256:00",
		"repositories/a/b/_layers/sha256:00",
		"repositories/docker.io/library/alpine/_tags/3/1",
		"blobs/sha256/00/0000",
	};
	struct object_store *store = store_of(state);

	for (size_t i = 0; i < array_size(keys); i++)
		put(store, keys[i], keys[i]);
	assert_int_equal(object_remove(store, keys[0], NULL), BW_OK);
	for (size_t i = 1; i < array_size(keys); i++)
		assert_holds(store, keys[i], keys[i]);
}

static void a_working_store_says_so(void **state)
{
	struct error error = {0};

	assert_int_equal(object_check(store_of(state), &error), BW_OK);
	assert_string_equal(error.message, "");
}

int main(void)
{
	static const struct object_case cases[] = {
		OBJECT_CASE(what_was_put_is_read_back),
		OBJECT_CASE(an_empty_object_is_there),
		OBJECT_CASE(what_is_not_there_is_absent),
		OBJECT_CASE(stat_tells_size_and_time),
		OBJECT_CASE(replacing_replaces),
		OBJECT_CASE(if_absent_keeps_what_is_there),
		OBJECT_CASE(nothing_is_visible_before_commit),
		OBJECT_CASE(commit_replaces),
		OBJECT_CASE(abort_leaves_nothing),
		OBJECT_CASE(a_large_object_arrives_whole),
		OBJECT_CASE(get_refuses_what_is_larger_than_asked),
		OBJECT_CASE(readers_read_anywhere),
		OBJECT_CASE(a_file_when_there_is_one_holds_the_bytes),
		OBJECT_CASE(an_open_object_outlives_its_key),
		OBJECT_CASE(removing_removes),
		OBJECT_CASE(removing_what_is_not_there_is_fine),
		OBJECT_CASE(a_removed_key_leaves_no_trace),
		OBJECT_CASE(adopt_takes_the_file),
		OBJECT_CASE(adopt_keeps_what_is_there),
		OBJECT_CASE(a_failed_adopt_changes_nothing),
		OBJECT_CASE(a_link_is_not_adopted),
		OBJECT_CASE(what_is_no_key_is_refused),
		OBJECT_CASE(odd_keys_are_keys),
		OBJECT_CASE(nested_repositories_live_side_by_side),
		OBJECT_CASE(a_working_store_says_so),
	};

	return run_over_object_stores("object_store", cases, array_size(cases));
}
