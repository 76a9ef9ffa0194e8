/* Many threads and one journal. This program's own fdatasync() counts, and may hold
 * the first flush at a gate until everybody has come, or fail. */
#include "backends/fs/fs_internal.h"
#include "backends/fs/fs_store.h"
#include "server/base/memory.h"
#include "tests/support/gate.h"
#include "tests/support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 8
#define ROUNDS 60

static char *scratch;
static char *root;
static struct object_store *store;
static struct gate gate;
static atomic_uint flushes;
static _Atomic bool held; /* the next flush waits at the gate */
static _Atomic bool failing; /* and fails afterwards */
static atomic_uint wrong;
static atomic_uint failures;
static atomic_uint busy;
static uint64_t ours; /* bytes of the journal that the test itself wrote */

int fdatasync(int fd)
{
	atomic_fetch_add(&flushes, 1);
	if (atomic_exchange(&held, false)) {
		gate_pass(&gate, NULL);
		if (atomic_load(&failing)) {
			errno = EIO;
			return -1;
		}
	}
	return (int)syscall(SYS_fdatasync, fd);
}

static int setup(void **state)
{
	struct error error = {0};

	(void)state;
	scratch = scratch_make();
	root = xasprintf("%s/root", scratch);
	if (fs_store_new(root, &store, &error))
		fail_msg("%s", error.message);
	gate_init(&gate);
	ours = 0;
	atomic_store(&wrong, 0);
	atomic_store(&failures, 0);
	atomic_store(&failing, false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	object_store_free(store);
	gate_release(&gate);
	scratch_remove(scratch);
	free(root);
	return 0;
}

static void put_one(void *context, unsigned index)
{
	char key[32];

	(void)context;
	snprintf(key, sizeof(key), "k/%u", index);
	if (object_put(store, key, "x", 1, PUT_REPLACE, NULL))
		atomic_fetch_add(&failures, 1);
}

static void *put_first(void *context)
{
	put_one(context, 100);
	return NULL;
}

static size_t record_size(const char *key, size_t body)
{
	return FS_RECORD_HEADER_SIZE + strlen(key) + body;
}

/* How many bytes others have written to the journal: asked by writing to it. */
static uint64_t written_by_others(void)
{
	struct fs_record record = {.op = FS_OP_REMOVE, .key = "none"};
	struct fs_ticket ticket;

	assert_int_equal(fs_journal_append(fs_store_of(store)->journal, &record, &ticket, NULL), 0);
	fs_journal_done(fs_store_of(store)->journal, &ticket);
	ours += record_size("none", 0);
	return ticket.end - ours;
}

static void *put_rest(void *context)
{
	run_together(THREADS, put_one, context);
	return NULL;
}

/* Opens the gate when one flushes and the records of all the others are written: they
 * need one flush more, together. */
static void flush_together(void)
{
	pthread_t first;
	pthread_t rest;
	uint64_t target;

	atomic_store(&held, true);
	assert_int_equal(pthread_create(&first, NULL, put_first, NULL), 0);
	gate_await(&gate, 1);
	atomic_store(&flushes, 0);
	target = written_by_others() + THREADS * record_size("k/0", 1);
	assert_int_equal(pthread_create(&rest, NULL, put_rest, NULL), 0);
	while (written_by_others() < target)
		sched_yield();
	gate_open(&gate);
	pthread_join(first, NULL);
	pthread_join(rest, NULL);
}

static bool count_key(void *context, const char *key, const struct object_info *info)
{
	(void)key;
	(void)info;
	++*(unsigned *)context;
	return true;
}

static unsigned count_keys(void)
{
	unsigned count = 0;

	assert_int_equal(object_list(store, "", "", count_key, &count, NULL), BW_OK);
	return count;
}

static void those_who_wait_share_a_flush(void **state)
{
	(void)state;
	flush_together();
	assert_int_equal(failures, 0);
	assert_int_equal(flushes, 1);
	assert_int_equal(count_keys(), THREADS + 1);
}

static void a_failed_flush_fails_all_who_waited(void **state)
{
	(void)state;
	atomic_store(&failing, true);
	flush_together();
	assert_int_equal(failures, THREADS + 1);
	assert_int_equal(flushes, 0);
	assert_int_equal(count_keys(), 0);
	assert_int_equal(object_put(store, "later", "x", 1, PUT_REPLACE, NULL), BW_IO);
}

static void expect(bool right)
{
	if (!right)
		atomic_fetch_add(&wrong, 1);
}

/* The first one makes checkpoints, the others change keys of their own and one of
 * all. */
static void change_or_checkpoint(void *context, unsigned index)
{
	struct fs_journal *journal = fs_store_of(store)->journal;
	struct object_info info;
	char key[ROUNDS + 10] = "";

	(void)context;
	if (index == 0) {
		while (atomic_load(&busy) > 0)
			expect(!fs_journal_checkpoint(journal, NULL));
		return;
	}
	for (unsigned i = 0; i < ROUNDS; i++) {
		enum put_mode mode = (i + index) % 3 ? PUT_REPLACE_SOON : PUT_REPLACE;

		snprintf(key, sizeof(key), "d/%u/%u", index, i % 5);
		expect(!object_put(store, key, key, i + 1, mode, NULL));
		if (i % 4 == 0)
			expect(!object_stat(store, key, &info, NULL) && info.size == i + 1);
		if (i % 7 == 0)
			expect(!object_remove(store, key, NULL));
		expect(!object_put(store, "shared", key, 1 + index, mode, NULL));
		expect(!object_stat(store, "shared", &info, NULL) && info.size > 1);
	}
	atomic_fetch_sub(&busy, 1);
}

static void writers_and_checkpoints_may_race(void **state)
{
	struct object_info info;
	char key[32];

	(void)state;
	atomic_store(&busy, THREADS - 1);
	run_together(THREADS, change_or_checkpoint, NULL);
	assert_int_equal(wrong, 0);
	object_store_free(store);
	assert_int_equal(fs_store_new(root, &store, NULL), BW_OK);
	for (unsigned index = 1; index < THREADS; index++)
		for (unsigned i = ROUNDS - 5; i < ROUNDS; i++) {
			snprintf(key, sizeof(key), "d/%u/%u", index, i % 5);
			assert_int_equal(object_stat(store, key, &info, NULL),
					 i % 7 ? BW_OK : BW_ABSENT);
		}
}

/* ---- what is put off too late for the first settling ---- */

struct late {
	struct fs_journal *journal;
	struct fs_ticket ticket;
	unsigned settlings;
};

static enum status settle_the_second_time(void *context, struct error *error)
{
	struct late *late = context;

	(void)error;
	if (++late->settlings == 2)
		fs_journal_done(late->journal, &late->ticket);
	return BW_OK;
}

static void a_checkpoint_settles_until_all_is_placed(void **state)
{
	struct fs_record record = {.op = FS_OP_REMOVE, .key = "k"};
	struct late late = {0};
	char *other = xasprintf("%s/other", scratch);
	char *folder = xasprintf("%s/" FS_JOURNAL, other);
	int fd;

	(void)state;
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(mkdir(folder, 0700), 0);
	fd = open(other, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(
		fs_journal_new(fd, other, 1, settle_the_second_time, &late, &late.journal, NULL),
		BW_OK);
	assert_int_equal(fs_journal_append(late.journal, &record, &late.ticket, NULL), BW_OK);
	assert_int_equal(fs_journal_checkpoint(late.journal, NULL), BW_OK);
	assert_int_equal(late.settlings, 2);
	fs_journal_free(late.journal);
	close(fd);
	free(folder);
	free(other);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(those_who_wait_share_a_flush),
		TEST(a_failed_flush_fails_all_who_waited),
		TEST(writers_and_checkpoints_may_race),
		TEST(a_checkpoint_settles_until_all_is_placed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
