#include "backends/fs/fs_journal.h"

#include "server/base/clock.h"
#include "server/base/file.h"
#include "server/base/memory.h"
#include "server/base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECKPOINT_SIZE ((uint64_t)8 << 20)
#define CHECKPOINT_IDLE_MS 30000 /* since the last record */
#define RETRY_MS 5000 /* after a checkpoint that could not be made, or not yet */
#define SETTLE_AGAIN_MS 100 /* what was appended before, and is put off only now */

struct journal_file {
	int fd; /* -1: none */
	uint64_t number;
	uint64_t size;
};

struct fs_journal {
	int root_fd; /* the store's */
	int folder_fd;
	char *root;
	fs_settle_fn settle;
	void *context;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock; /* covers what follows, and is a leaf */
	pthread_cond_t moved; /* anything below */
	pthread_cond_t work; /* for the thread: the size, stopping */
	struct journal_file current;
	struct journal_file older; /* until its checkpoint is through */
	uint64_t appended; /* bytes of all journals, as tickets count */
	uint64_t flushed;
	int64_t last_append; /* clock_monotonic_ms */
	unsigned turn; /* of current: 0 or 1 */
	unsigned in_flight[2]; /* appended, not done */
	int failed; /* errno of what must not be tried again */
	bool writing; /* one appends, without the lock */
	bool flushing; /* one flushes, without the lock */
	bool checkpointing;
	bool stopping;
};

/* Under the lock. */
static enum status refused(const struct fs_journal *journal, struct error *error)
{
	return error_set_errno(error, BW_IO, journal->failed,
			       "%s could not be flushed to its disk; nothing is stored or removed "
			       "until a restart, which repairs from %s/" FS_JOURNAL,
			       journal->root, journal->root);
}

enum status fs_journal_check(struct fs_journal *journal, struct error *error)
{
	enum status status = BW_OK;

	pthread_mutex_lock(&journal->lock);
	if (journal->failed)
		status = refused(journal, error);
	pthread_mutex_unlock(&journal->lock);
	return status;
}

/* ---- append ---- */

/* Half a record would hide the ones behind it. */
static int append_bytes(const struct journal_file *file, const char *bytes, size_t length,
			bool *ret_broken)
{
	int failed = file_pwrite_all(file->fd, bytes, length, file->size);

	*ret_broken = failed && ftruncate(file->fd, (off_t)file->size) < 0;
	return failed;
}

/* Under the lock. */
static void appended(struct fs_journal *journal, size_t length, struct fs_ticket *ret_ticket)
{
	journal->current.size += length;
	journal->appended += length;
	journal->last_append = clock_monotonic_ms();
	journal->in_flight[journal->turn]++;
	*ret_ticket = (struct fs_ticket){.end = journal->appended, .turn = journal->turn};
	if (journal->current.size >= CHECKPOINT_SIZE)
		pthread_cond_signal(&journal->work);
}

enum status fs_journal_append(struct fs_journal *journal, const struct fs_record *record,
			      struct fs_ticket *ret_ticket, struct error *error)
{
	enum status status = BW_OK;
	struct journal_file file;
	bool broken = false;
	size_t length;
	char *bytes = fs_record_encode(record, &length);
	int failed;

	pthread_mutex_lock(&journal->lock);
	while (journal->writing)
		pthread_cond_wait(&journal->moved, &journal->lock);
	if (journal->failed) {
		status = refused(journal, error);
		goto out;
	}
	journal->writing = true;
	file = journal->current;
	pthread_mutex_unlock(&journal->lock);
	failed = append_bytes(&file, bytes, length, &broken);
	pthread_mutex_lock(&journal->lock);
	journal->writing = false;
	if (failed)
		status = error_set_errno(error, status_from_errno(-failed), -failed,
					 "write %s/" FS_JOURNAL "/%llu", journal->root,
					 (unsigned long long)file.number);
	else
		appended(journal, length, ret_ticket);
	if (broken)
		journal->failed = -failed;
	pthread_cond_broadcast(&journal->moved);
out:
	pthread_mutex_unlock(&journal->lock);
	free(bytes);
	return status;
}

void fs_journal_done(struct fs_journal *journal, const struct fs_ticket *ticket)
{
	pthread_mutex_lock(&journal->lock);
	if (--journal->in_flight[ticket->turn] == 0)
		pthread_cond_broadcast(&journal->moved);
	pthread_mutex_unlock(&journal->lock);
}

/* ---- flush ---- */

/* The older one first: a record counts only when all before it do. 0 or errno. */
static int flush_files(int older, int current)
{
	if (older >= 0 && fdatasync(older) < 0)
		return errno;
	return fdatasync(current) < 0 ? errno : 0;
}

/* Under the lock, which is given back meanwhile. */
static void lead_flush(struct fs_journal *journal)
{
	uint64_t target = journal->appended;
	int older = journal->older.fd;
	int current = journal->current.fd;
	int failed;

	journal->flushing = true;
	pthread_mutex_unlock(&journal->lock);
	failed = flush_files(older, current);
	pthread_mutex_lock(&journal->lock);
	journal->flushing = false;
	if (failed)
		journal->failed = failed;
	else
		journal->flushed = target;
	pthread_cond_broadcast(&journal->moved);
}

enum status fs_journal_flush(struct fs_journal *journal, uint64_t end, struct error *error)
{
	enum status status = BW_OK;

	pthread_mutex_lock(&journal->lock);
	while (journal->flushed < end && !journal->failed) {
		if (journal->flushing)
			pthread_cond_wait(&journal->moved, &journal->lock);
		else
			lead_flush(journal);
	}
	if (journal->flushed < end)
		status = refused(journal, error);
	pthread_mutex_unlock(&journal->lock);
	return status;
}

/* ---- checkpoint ---- */

static void name_of(uint64_t number, char target[24])
{
	snprintf(target, 24, "%llu", (unsigned long long)number);
}

/* Its name is durable before the first record is. */
static enum status create_file(const struct fs_journal *journal, uint64_t number,
			       struct journal_file *ret_file, struct error *error)
{
	char name[24];
	int fd;

	name_of(number, name);
	fd = openat(journal->folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || fsync(journal->folder_fd) < 0) {
		int failed = errno;

		if (fd >= 0)
			close(fd);
		return error_set_errno(error, status_from_errno(failed), failed,
				       "create %s/" FS_JOURNAL "/%s", journal->root, name);
	}
	*ret_file = (struct journal_file){.fd = fd, .number = number};
	return BW_OK;
}

/* What is appended from now on goes to `next`. */
static void switch_to(struct fs_journal *journal, const struct journal_file *next)
{
	pthread_mutex_lock(&journal->lock);
	while (journal->writing)
		pthread_cond_wait(&journal->moved, &journal->lock);
	journal->older = journal->current;
	journal->current = *next;
	journal->turn ^= 1;
	pthread_mutex_unlock(&journal->lock);
}

/* Until all that was appended to the older one is in place. Nobody says when a change
 * is put off, and what was put off after one settling may find no other caller to
 * settle it. */
static enum status await_placed(struct fs_journal *journal, struct error *error)
{
	bool placed = false;

	while (!placed) {
		enum status status = journal->settle(journal->context, error);
		deadline_ms again = deadline_in(SETTLE_AGAIN_MS);

		if (status)
			return status;
		pthread_mutex_lock(&journal->lock);
		while (journal->in_flight[journal->turn ^ 1] > 0 && !deadline_passed(again))
			cond_wait_until(&journal->moved, &journal->lock, again);
		placed = journal->in_flight[journal->turn ^ 1] == 0;
		pthread_mutex_unlock(&journal->lock);
	}
	return BW_OK;
}

static enum status sync_all(struct fs_journal *journal, struct error *error)
{
	enum status status = BW_OK;
	int failed = syncfs(journal->root_fd) < 0 ? errno : 0;

	pthread_mutex_lock(&journal->lock);
	if (failed && !journal->failed)
		journal->failed = failed;
	if (journal->failed)
		status = refused(journal, error);
	pthread_mutex_unlock(&journal->lock);
	return status;
}

static void drop_older(struct fs_journal *journal)
{
	struct journal_file older;
	char name[24];

	pthread_mutex_lock(&journal->lock);
	while (journal->flushing)
		pthread_cond_wait(&journal->moved, &journal->lock);
	older = journal->older;
	journal->older.fd = -1;
	pthread_mutex_unlock(&journal->lock);
	close(older.fd);
	name_of(older.number, name);
	unlinkat(journal->folder_fd, name, 0);
}

/* One at a time. A checkpoint that failed half-way is taken up again by the next:
 * its journal is still `older`. */
static enum status checkpoint(struct fs_journal *journal, struct error *error)
{
	struct journal_file next;
	enum status status = fs_journal_check(journal, error);
	uint64_t end;

	if (!status && journal->older.fd < 0) {
		status = create_file(journal, journal->current.number + 1, &next, error);
		if (!status)
			switch_to(journal, &next);
	}
	if (status)
		return status;
	pthread_mutex_lock(&journal->lock);
	end = journal->appended;
	pthread_mutex_unlock(&journal->lock);
	status = fs_journal_flush(journal, end, error);
	if (!status)
		status = await_placed(journal, error);
	if (!status)
		status = sync_all(journal, error);
	if (!status)
		drop_older(journal);
	return status;
}

enum status fs_journal_checkpoint(struct fs_journal *journal, struct error *error)
{
	enum status status = BW_OK;
	bool needed;

	pthread_mutex_lock(&journal->lock);
	while (journal->checkpointing)
		pthread_cond_wait(&journal->moved, &journal->lock);
	needed = journal->current.size > 0 || journal->older.fd >= 0;
	journal->checkpointing = needed;
	pthread_mutex_unlock(&journal->lock);
	if (!needed)
		return BW_OK;
	status = checkpoint(journal, error);
	pthread_mutex_lock(&journal->lock);
	journal->checkpointing = false;
	pthread_cond_broadcast(&journal->moved);
	pthread_mutex_unlock(&journal->lock);
	return status;
}

/* Under the lock: when to look again; in the past when it is time now. */
static deadline_ms next_checkpoint(const struct fs_journal *journal)
{
	if (journal->failed || (journal->current.size == 0 && journal->older.fd < 0))
		return deadline_in(CHECKPOINT_IDLE_MS);
	if (journal->current.size >= CHECKPOINT_SIZE || journal->older.fd >= 0)
		return 0;
	return journal->last_append + CHECKPOINT_IDLE_MS;
}

static void *make_checkpoints(void *context)
{
	struct fs_journal *journal = context;

	pthread_mutex_lock(&journal->lock);
	while (!journal->stopping) {
		deadline_ms next = next_checkpoint(journal);
		bool failed;

		if (!deadline_passed(next)) {
			cond_wait_until(&journal->work, &journal->lock, next);
			continue;
		}
		pthread_mutex_unlock(&journal->lock);
		failed = fs_journal_checkpoint(journal, NULL) != BW_OK;
		pthread_mutex_lock(&journal->lock);
		next = deadline_in(RETRY_MS);
		while (failed && !journal->stopping && !deadline_passed(next))
			cond_wait_until(&journal->work, &journal->lock, next);
	}
	pthread_mutex_unlock(&journal->lock);
	return NULL;
}

/* ---- lifecycle ---- */

static void journal_release(struct fs_journal *journal)
{
	if (journal->current.fd >= 0)
		close(journal->current.fd);
	if (journal->older.fd >= 0)
		close(journal->older.fd);
	if (journal->folder_fd >= 0)
		close(journal->folder_fd);
	pthread_cond_destroy(&journal->work);
	pthread_cond_destroy(&journal->moved);
	pthread_mutex_destroy(&journal->lock);
	free(journal->root);
	free(journal);
}

void fs_journal_free(struct fs_journal *journal)
{
	char name[24];

	if (!journal)
		return;
	if (journal->started) {
		pthread_mutex_lock(&journal->lock);
		journal->stopping = true;
		pthread_cond_signal(&journal->work);
		pthread_mutex_unlock(&journal->lock);
		pthread_join(journal->thread, NULL);
		if (fs_journal_checkpoint(journal, NULL) == BW_OK) {
			name_of(journal->current.number, name);
			unlinkat(journal->folder_fd, name, 0);
		}
	}
	journal_release(journal);
}

static int start_thread(struct fs_journal *journal)
{
	int failed = thread_start(&journal->thread, "checkpoints", 0, make_checkpoints, journal);

	journal->started = failed == 0;
	return failed;
}

enum status fs_journal_new(int root_fd, const char *root, uint64_t number, fs_settle_fn settle,
			   void *context, struct fs_journal **ret_journal, struct error *error)
{
	struct fs_journal *journal = xcalloc(1, sizeof(*journal));
	enum status status;
	int failed;

	*journal = (struct fs_journal){
		.root_fd = root_fd,
		.root = xstrdup(root),
		.settle = settle,
		.context = context,
		.current.fd = -1,
		.older.fd = -1,
	};
	pthread_mutex_init(&journal->lock, NULL);
	cond_init(&journal->moved);
	cond_init(&journal->work);
	journal->folder_fd = openat(root_fd, FS_JOURNAL, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (journal->folder_fd < 0)
		status = error_set_errno(error, BW_IO, errno, "open %s/" FS_JOURNAL, root);
	else
		status = create_file(journal, number, &journal->current, error);
	failed = status ? 0 : start_thread(journal);
	if (failed)
		status = error_set_errno(error, BW_UNAVAILABLE, failed,
					 "start the thread of %s/" FS_JOURNAL, root);
	if (status)
		journal_release(journal);
	else
		*ret_journal = journal;
	return status;
}
