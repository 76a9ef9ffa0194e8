/* What backends/object_store.h promises of the parts of uploads, asked of every
 * store. */
#include "server/base/str.h"
#include "tests/support/object_stores.h"

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>

#define UPLOAD "00112233445566778899aabbccddeeff"
#define OTHER "ff"
#define KEY "blobs/sha256/ab/abcd"

static struct object_store *store_of(void **state)
{
	return ((struct object_fixture *)*state)->store;
}

static struct part_writer *begin(struct object_store *store, const char *upload, unsigned number)
{
	struct part_writer *writer = NULL;
	struct error error = {0};

	if (object_part_create(store, upload, number, &writer, &error))
		fail_msg("part %u of %s: %s", number, upload, error.message);
	return writer;
}

static struct object_part finish(struct part_writer *writer)
{
	struct object_part part = {0};
	struct error error = {0};

	if (object_part_finish(writer, &part, &error))
		fail_msg("finish: %s", error.message);
	return part;
}

static struct object_part part_of(struct object_store *store, const char *upload, unsigned number,
				  const char *content)
{
	struct part_writer *writer = begin(store, upload, number);

	assert_int_equal(object_part_write(writer, content, strlen(content), NULL), BW_OK);
	return finish(writer);
}

static enum status commit(struct object_store *store, const struct object_part *parts, size_t count)
{
	return object_parts_commit(store, UPLOAD, parts, count, KEY, NULL);
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
	struct object_info info;

	assert_int_equal(object_stat(store, key, &info, NULL), BW_ABSENT);
}

static void assert_part_holds(struct object_store *store, const struct object_part *part,
			      const char *content)
{
	struct object_reader *reader = NULL;
	char target[64] = "";
	size_t got = 0;

	assert_int_equal(object_part_open(store, UPLOAD, part, &reader, NULL), BW_OK);
	assert_int_equal(reader->info.size, strlen(content));
	assert_int_equal(object_read(reader, 0, target, 60, deadline_in(10000), &got, NULL), BW_OK);
	assert_int_equal(got, strlen(content));
	assert_string_equal(target, content);
	object_close(reader);
}

static void assert_part_gone(struct object_store *store, const struct object_part *part)
{
	struct object_reader *reader = NULL;
	struct error error = {0};

	assert_int_equal(object_part_open(store, UPLOAD, part, &reader, &error), BW_ABSENT);
	assert_null(reader);
	assert_int_equal(error.code, BW_ABSENT);
}

static bool count_upload(void *context, const char *upload, int64_t newest_at)
{
	(void)upload;
	(void)newest_at;
	++*(unsigned *)context;
	return true;
}

static unsigned count_uploads(struct object_store *store)
{
	unsigned count = 0;

	assert_int_equal(object_parts_list(store, count_upload, &count, NULL), BW_OK);
	return count;
}

static bool count_key(void *context, const char *key, const struct object_info *info)
{
	(void)info;
	(void)key;
	++*(unsigned *)context;
	return true;
}

static unsigned count_keys(struct object_store *store)
{
	unsigned count = 0;

	assert_int_equal(object_list(store, "", "", count_key, &count, NULL), BW_OK);
	return count;
}

static void one_part_becomes_an_object(void **state)
{
	struct object_store *store = store_of(state);
	struct object_part part = part_of(store, UPLOAD, 1, "the whole");

	assert_int_equal(part.size, 9);
	assert_part_holds(store, &part, "the whole");
	assert_absent(store, KEY);
	assert_int_equal(count_keys(store), 0);
	assert_int_equal(commit(store, &part, 1), BW_OK);
	assert_holds(store, KEY, "the whole");
	assert_part_gone(store, &part);
	assert_int_equal(count_uploads(store), 0);
	assert_int_equal(count_keys(store), 1);
}

static void parts_are_joined_as_named(void **state)
{
	struct object_store *store = store_of(state);
	struct object_part parts[4];

	parts[2] = part_of(store, UPLOAD, 3, "three");
	parts[0] = part_of(store, UPLOAD, 1, "one ");
	parts[3] = part_of(store, UPLOAD, 4, "");
	parts[1] = part_of(store, UPLOAD, 2, "two ");
	part_of(store, UPLOAD, 2, "nobody's");
	assert_int_equal(commit(store, parts, 4), BW_OK);
	assert_holds(store, KEY, "one two three");
	assert_int_equal(count_uploads(store), 0);
}

static void fetch(const char *url, char *target, size_t size)
{
	FILE *file = fmemopen(target, size, "w");
	CURL *curl = curl_easy_init();

	assert_non_null(file);
	assert_non_null(curl);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, file);
	assert_int_equal(curl_easy_perform(curl), CURLE_OK);
	curl_easy_cleanup(curl);
	fclose(file);
}

/* Where the store has URLs, whoever holds one gets the bytes, and nobody else does. */
static void a_url_of_the_store_opens_one_object(void **state)
{
	struct object_store *store = store_of(state);
	struct object_part parts[2];
	struct error error = {0};
	char *url = NULL;
	enum status status;

	parts[0] = part_of(store, UPLOAD, 1, "one ");
	parts[1] = part_of(store, UPLOAD, 2, "two");
	assert_int_equal(commit(store, parts, 2), BW_OK);
	assert_int_equal(object_presign(store, KEY, 60, &url, &error), BW_UNSUPPORTED);
	assert_null(url);
	assert_int_equal(object_put(store, "k", "bytes", 5, PUT_REPLACE, NULL), BW_OK);
	status = object_presign(store, "k", 60, &url, &error);
	assert_true(status == BW_OK || status == BW_UNSUPPORTED);
	if (status == BW_OK) {
		char target[16] = "";

		fetch(url, target, sizeof(target));
		assert_string_equal(target, "bytes");
	}
	free(url);
}

static void no_part_is_an_empty_object(void **state)
{
	struct object_store *store = store_of(state);

	assert_int_equal(commit(store, NULL, 0), BW_OK);
	assert_holds(store, KEY, "");
	assert_int_equal(count_uploads(store), 0);
}

static void writers_of_one_number_write_two_parts(void **state)
{
	struct object_store *store = store_of(state);
	struct part_writer *first = begin(store, UPLOAD, 1);
	struct part_writer *second = begin(store, UPLOAD, 1);
	struct object_part parts[2];

	assert_int_equal(object_part_write(first, "fi", 2, NULL), BW_OK);
	assert_int_equal(object_part_write(second, "second", 6, NULL), BW_OK);
	assert_int_equal(object_part_write(first, "rst", 3, NULL), BW_OK);
	parts[0] = finish(first);
	parts[1] = finish(second);
	assert_string_not_equal(parts[0].name, parts[1].name);
	assert_part_holds(store, &parts[0], "first");
	assert_int_equal(commit(store, &parts[1], 1), BW_OK);
	assert_holds(store, KEY, "second");
	assert_part_gone(store, &parts[0]);
}

static void an_aborted_part_leaves_nothing(void **state)
{
	struct object_store *store = store_of(state);
	struct part_writer *writer = begin(store, UPLOAD, 1);

	assert_int_equal(object_part_write(writer, "gone", 4, NULL), BW_OK);
	object_part_abort(writer);
	object_part_abort(NULL);
	assert_int_equal(count_uploads(store), 0);
}

#define BIG ((size_t)9 * 1024 * 1024 + 17)

static void large_parts_arrive_whole(void **state)
{
	struct object_store *store = store_of(state);
	struct object_part parts[2];
	char *bytes = xmalloc(BIG);
	size_t length = 0;
	char *got = NULL;

	for (size_t i = 0; i < BIG; i++)
		bytes[i] = (char)(i * 2654435761u >> 13);
	for (size_t p = 0; p < 2; p++) {
		struct part_writer *writer = begin(store, UPLOAD, (unsigned)p + 1);
		size_t end = p ? BIG : BIG - 1000001;

		for (size_t done = p ? BIG - 1000001 : 0; done < end;) {
			size_t piece = end - done < 100003 ? end - done : 100003;

			assert_int_equal(object_part_write(writer, bytes + done, piece, NULL), 0);
			done += piece;
		}
		parts[p] = finish(writer);
	}
	assert_int_equal(commit(store, parts, 2), BW_OK);
	assert_int_equal(object_get(store, KEY, BIG, &got, &length, NULL), BW_OK);
	assert_int_equal(length, BIG);
	assert_memory_equal(got, bytes, BIG);
	free(got);
	free(bytes);
}

/* ---- refusals, after which everything is as it was ---- */

static void a_missing_part_is_absent(void **state)
{
	struct object_store *store = store_of(state);
	struct object_part parts[2];
	struct error error = {0};

	parts[0] = part_of(store, UPLOAD, 1, "one ");
	parts[1] = part_of(store, UPLOAD, 2, "two");
	assert_int_equal(object_part_remove(store, UPLOAD, &parts[1], NULL), BW_OK);
	assert_int_equal(object_part_remove(store, UPLOAD, &parts[1], NULL), BW_OK);
	assert_int_equal(object_parts_commit(store, UPLOAD, parts, 2, KEY, &error), BW_ABSENT);
	assert_int_equal(error.code, BW_ABSENT);
	assert_int_equal(object_parts_commit(store, UPLOAD, &parts[1], 1, KEY, NULL), BW_ABSENT);
	assert_int_equal(object_parts_commit(store, OTHER, &parts[0], 1, KEY, NULL), BW_ABSENT);
	assert_absent(store, KEY);
	assert_part_holds(store, &parts[0], "one ");
	assert_int_equal(commit(store, parts, 1), BW_OK);
	assert_holds(store, KEY, "one ");
}

static void a_part_of_another_size_is_corrupt(void **state)
{
	struct object_store *store = store_of(state);
	struct object_part part = part_of(store, UPLOAD, 1, "bytes");
	struct object_part good = part_of(store, UPLOAD, 2, "more");
	struct object_reader *reader = NULL;

	for (uint64_t size = 4; size <= 6; size += 2) {
		struct object_part parts[2] = {good, part};

		parts[1].size = size;
		assert_int_equal(commit(store, &parts[1], 1), BW_CORRUPT);
		assert_int_equal(commit(store, parts, 2), BW_CORRUPT);
		assert_int_equal(object_part_open(store, UPLOAD, &parts[1], &reader, NULL),
				 BW_CORRUPT);
		assert_null(reader);
	}
	assert_absent(store, KEY);
	assert_part_holds(store, &part, "bytes");
	assert_int_equal(commit(store, &part, 1), BW_OK);
}

static void assert_upload_refused(struct object_store *store, const char *upload)
{
	struct object_part part = part_of(store, UPLOAD, 1, "x");
	struct part_writer *writer = NULL;
	struct object_reader *reader = NULL;
	struct error error = {0};

	assert_int_equal(object_part_create(store, upload, 1, &writer, &error), BW_INVALID);
	assert_true(error.message[0]);
	assert_int_equal(object_part_open(store, upload, &part, &reader, NULL), BW_INVALID);
	assert_int_equal(object_part_remove(store, upload, &part, NULL), BW_INVALID);
	assert_int_equal(object_parts_commit(store, upload, &part, 1, KEY, NULL), BW_INVALID);
	assert_int_equal(object_parts_discard(store, upload, NULL), BW_INVALID);
	assert_null(writer);
	assert_null(reader);
	assert_part_holds(store, &part, "x");
}

static void what_is_no_upload_is_refused(void **state)
{
	static const char *const uploads[] = {"",    ".",  "..",   "/",   "ab/cd", "../ab", "AB",
					      "0x1", "ag", "ab\n", " ab", "ab.",   "-",     "\xff"};
	struct object_store *store = store_of(state);
	char longest[UPLOAD_ID_MAX + 2];

	for (size_t i = 0; i < array_size(uploads); i++)
		assert_upload_refused(store, uploads[i]);
	memset(longest, 'a', sizeof(longest));
	longest[UPLOAD_ID_MAX + 1] = '\0';
	assert_upload_refused(store, longest);
	longest[UPLOAD_ID_MAX] = '\0';
	part_of(store, longest, 1, "as long as may be");
	assert_int_equal(object_parts_discard(store, longest, NULL), BW_OK);
}

/* Names come back from an index that others may have written to. */
static void what_is_no_part_is_not_found(void **state)
{
	static const char *const names[] = {"",  ".",        "..",    "../ff",    "../../lock",
					    "/", "a/b",      "a\"b",  "a\\b",     "a'b",
					    " ", "\x01name", "a\x7f", "\xc3\xa4", "nothing"};
	struct object_store *store = store_of(state);
	struct object_part good = part_of(store, UPLOAD, 1, "x");
	struct object_part part = {.size = 1};

	for (size_t i = 0; i < array_size(names); i++) {
		struct object_reader *reader = NULL;

		str_copy(part.name, sizeof(part.name), names[i]);
		assert_int_not_equal(object_part_open(store, UPLOAD, &part, &reader, NULL), 0);
		assert_null(reader);
		object_part_remove(store, UPLOAD, &part, NULL);
		assert_int_not_equal(commit(store, &part, 1), BW_OK);
	}
	memset(part.name, 'a', sizeof(part.name)); /* not terminated */
	assert_int_equal(commit(store, &part, 1), BW_INVALID);
	assert_absent(store, KEY);
	assert_part_holds(store, &good, "x");
}

static void parts_count_from_one(void **state)
{
	struct part_writer *writer = NULL;

	assert_int_equal(object_part_create(store_of(state), UPLOAD, 0, &writer, NULL), BW_INVALID);
	assert_null(writer);
}

static void what_is_no_key_is_not_committed(void **state)
{
	struct object_store *store = store_of(state);
	struct object_part part = part_of(store, UPLOAD, 1, "x");

	assert_int_equal(object_parts_commit(store, UPLOAD, &part, 1, "../up", NULL), BW_INVALID);
	assert_int_equal(object_parts_commit(store, UPLOAD, NULL, 0, "", NULL), BW_INVALID);
	assert_part_holds(store, &part, "x");
}

/* ---- a key that is there ---- */

static void a_key_that_is_there_is_kept(void **state)
{
	struct object_store *store = store_of(state);
	struct object_part part = part_of(store, UPLOAD, 1, "second");

	assert_int_equal(object_put(store, KEY, "first", 5, PUT_REPLACE, NULL), BW_OK);
	assert_int_equal(commit(store, &part, 1), BW_OK);
	assert_holds(store, KEY, "first");
	assert_part_gone(store, &part);
	assert_int_equal(commit(store, &part, 1), BW_OK); /* asked again after a lost answer */
	assert_int_equal(count_uploads(store), 0);
}

static void discarding_frees_every_part(void **state)
{
	struct object_store *store = store_of(state);
	struct object_part part = part_of(store, UPLOAD, 1, "1");

	part_of(store, UPLOAD, 2, "2");
	part_of(store, OTHER, 1, "other");
	assert_int_equal(object_parts_discard(store, UPLOAD, NULL), BW_OK);
	assert_part_gone(store, &part);
	assert_int_equal(commit(store, &part, 1), BW_ABSENT);
	assert_int_equal(object_parts_discard(store, UPLOAD, NULL), BW_OK);
	assert_int_equal(count_uploads(store), 1);
}

struct upload_seen {
	unsigned count;
	int64_t newest_at;
};

static bool see_upload(void *context, const char *upload, int64_t newest_at)
{
	struct upload_seen *seen = context;

	seen->count++;
	if (strcmp(upload, UPLOAD) == 0)
		seen->newest_at = newest_at;
	return true;
}

static bool see_one(void *context, const char *upload, int64_t newest_at)
{
	see_upload(context, upload, newest_at);
	return false;
}

static void uploads_are_listed_with_their_age(void **state)
{
	struct object_store *store = store_of(state);
	struct upload_seen seen = {0};
	int64_t before = clock_wall_ms();

	part_of(store, OTHER, 1, "1");
	part_of(store, UPLOAD, 1, "1");
	part_of(store, UPLOAD, 2, "2");
	assert_int_equal(object_parts_list(store, see_upload, &seen, NULL), BW_OK);
	assert_int_equal(seen.count, 2);
	assert_in_range(seen.newest_at, before - 1000, clock_wall_ms() + 1); /* libs3: seconds */
	seen.count = 0;
	assert_int_equal(object_parts_list(store, see_one, &seen, NULL), BW_OK);
	assert_int_equal(seen.count, 1);
}

/* ---- at once ---- */

struct race {
	struct object_store *store;
	struct object_part parts[2];
	enum status status[4];
};

static void commit_or_discard(void *context, unsigned index)
{
	struct race *race = context;

	race->status[index] = index == 3 ? object_parts_discard(race->store, UPLOAD, NULL)
					 : commit(race->store, race->parts, 2 - index % 2);
}

/* A round over a network costs a hundred times one in memory. */
static unsigned rounds(struct object_store *store, unsigned count)
{
	return strstr(store->ops->name, "s3") ? count / 4 : count;
}

/* One of two contents, whole, or nothing; and whoever was told OK has it. */
static void commits_and_discards_may_race(void **state)
{
	struct race race = {.store = store_of(state)};

	for (unsigned round = 0; round < rounds(race.store, 60); round++) {
		unsigned threads = 3 + round % 2; /* with discard every other time */
		struct object_info info = {0};
		enum status status;

		race.parts[0] = part_of(race.store, UPLOAD, 1, "one ");
		race.parts[1] = part_of(race.store, UPLOAD, 2, "two");
		run_together(threads, commit_or_discard, &race);
		status = object_stat(race.store, KEY, &info, NULL);
		for (unsigned i = 0; i < 3; i++)
			assert_true(race.status[i] == BW_OK ||
				    (threads == 4 && race.status[i] == BW_ABSENT));
		if (threads == 3 || !race.status[0] || !race.status[1] || !race.status[2])
			assert_int_equal(status, BW_OK);
		if (status == BW_OK)
			assert_true(info.size == 4 || info.size == 7);
		assert_int_equal(count_uploads(race.store), 0);
		assert_int_equal(object_remove(race.store, KEY, NULL), BW_OK);
	}
}

static void write_or_discard(void *context, unsigned index)
{
	struct race *race = context;

	if (index < 3) {
		struct part_writer *writer = NULL;
		struct object_part part;

		race->status[index] = object_part_create(race->store, UPLOAD, 1, &writer, NULL);
		if (race->status[index])
			return;
		race->status[index] = object_part_write(writer, "x", 1, NULL);
		if (race->status[index])
			object_part_abort(writer);
		else
			race->status[index] = object_part_finish(writer, &part, NULL);
		return;
	}
	race->status[3] = object_parts_discard(race->store, UPLOAD, NULL);
}

static void writing_and_discarding_may_race(void **state)
{
	struct race race = {.store = store_of(state)};

	for (unsigned round = 0; round < rounds(race.store, 100); round++) {
		run_together(4, write_or_discard, &race);
		for (unsigned i = 0; i < 3; i++)
			assert_true(race.status[i] == BW_OK || race.status[i] == BW_ABSENT);
		assert_int_equal(race.status[3], BW_OK);
		assert_int_equal(object_parts_discard(race.store, UPLOAD, NULL), BW_OK);
		assert_int_equal(count_uploads(race.store), 0);
	}
}

int main(void)
{
	static const struct object_case cases[] = {
		OBJECT_CASE(one_part_becomes_an_object),
		OBJECT_CASE(parts_are_joined_as_named),
		OBJECT_CASE(a_url_of_the_store_opens_one_object),
		OBJECT_CASE(no_part_is_an_empty_object),
		OBJECT_CASE(writers_of_one_number_write_two_parts),
		OBJECT_CASE(an_aborted_part_leaves_nothing),
		OBJECT_CASE(large_parts_arrive_whole),
		OBJECT_CASE(a_missing_part_is_absent),
		OBJECT_CASE(a_part_of_another_size_is_corrupt),
		OBJECT_CASE(what_is_no_upload_is_refused),
		OBJECT_CASE(what_is_no_part_is_not_found),
		OBJECT_CASE(parts_count_from_one),
		OBJECT_CASE(what_is_no_key_is_not_committed),
		OBJECT_CASE(a_key_that_is_there_is_kept),
		OBJECT_CASE(discarding_frees_every_part),
		OBJECT_CASE(uploads_are_listed_with_their_age),
		OBJECT_CASE(commits_and_discards_may_race),
		OBJECT_CASE(writing_and_discarding_may_race),
	};

	return run_over_object_stores("object_store_parts", cases, array_size(cases));
}
