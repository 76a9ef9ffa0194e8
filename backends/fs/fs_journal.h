/*
 * The journal of a filesystem store: what makes a change durable with one flush,
 * however many files and folders it touches.
 *
 * A change is a record in ROOT/journal/<n>. It is done in this order:
 *
 *   append   the record is in the file; the death of the process cannot take it
 *   flush    a power cut cannot take it either; many changes share one flush
 *   place    the object gets its name, or loses it, and nothing is synced
 *   done     the journal need not keep the record for long
 *
 * So whatever can be seen below ROOT is durable, and "it is there already" is an
 * answer that needs no flush. Only when the journal has grown, or nobody writes,
 * is the filesystem synced as a whole and the journal deleted (a checkpoint).
 *
 * Replay (fs_replay.c) is done at open, before anybody looks:
 *   - Of each key only its last record counts. Changes of one key are made one
 *     after another (fs_change.c), so the last record is the last state, and an
 *     older one would bring back what was replaced or removed since.
 *   - What was acknowledged had been flushed, with all that was appended before
 *     it, so it lies before the first torn record. What lies behind that was
 *     promised to nobody and shown to nobody.
 *   - A journal is deleted only after syncfs said that its changes are on the
 *     disk, and the older ones' deletion is durable before a younger one goes: the
 *     next syncfs comes in between, or a replay syncs the folder. So no old journal
 *     outlives a younger one.
 *   - Replaying twice is replaying once: a record states what is, not what to add.
 *
 * A failed flush or syncfs ends all changes until the store is opened again: the
 * kernel may have dropped what it could not write, and a second try would say that
 * all is well. Reading goes on; what was acknowledged is in the journal.
 */
#ifndef BACKENDS_FS_FS_JOURNAL_H
#define BACKENDS_FS_FS_JOURNAL_H

#include "server/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_JOURNAL "journal"

/* Larger objects are synced where they lie, and the record says where. */
#define FS_RECORD_BODY_MAX ((size_t)256 * 1024)

enum fs_op {
	FS_OP_PUT = 1, /* the body is the object's bytes */
	FS_OP_PLACE, /* the body is a path below ROOT: that file, synced, gets the key */
	FS_OP_REMOVE, /* no body */
};

struct fs_record {
	enum fs_op op;
	int64_t stored_at; /* wall-clock ns: the object's time, also after a replay */
	const char *key;
	const void *body;
	size_t body_length;
};

/* A record's encoded form, in a buffer that the caller frees. */
char *fs_record_encode(const struct fs_record *record, size_t *ret_length);

#define FS_RECORD_HEADER_SIZE 48
struct fs_record_header {
	enum fs_op op;
	int64_t stored_at;
	size_t key_length;
	size_t body_length;
};
/* False for anything that is not the beginning of a record. */
bool fs_record_header_parse(const char bytes[FS_RECORD_HEADER_SIZE], struct fs_record_header *ret);
/* `rest` is the key and the body. */
bool fs_record_intact(const char bytes[FS_RECORD_HEADER_SIZE], const char *rest, size_t length);

struct fs_journal;

/* Where a record stands, for flush and done. */
struct fs_ticket {
	uint64_t end; /* in bytes of all journals of this process */
	unsigned turn; /* which of two journals */
};

/* Called by a checkpoint to place what was appended and put off; again and again while
 * something of that is not done. */
typedef enum status (*fs_settle_fn)(void *context, struct error *error);

/* Begins journal/<number> and the thread that makes checkpoints. */
enum status fs_journal_new(int root_fd, const char *root, uint64_t number, fs_settle_fn settle,
			   void *context, struct fs_journal **ret_journal, struct error *error);

/* After a last checkpoint, when there is something to check and nothing failed.
 * NULL is fine. */
void fs_journal_free(struct fs_journal *journal);

/* BW_OK: fs_journal_done must be called once the change is in place or given up. */
enum status fs_journal_append(struct fs_journal *journal, const struct fs_record *record,
			      struct fs_ticket *ret_ticket, struct error *error);

/* Returns when everything up to `end` is durable. One of many callers flushes for
 * all of them. */
enum status fs_journal_flush(struct fs_journal *journal, uint64_t end, struct error *error);

void fs_journal_done(struct fs_journal *journal, const struct fs_ticket *ticket);

/* BW_IO after a flush or a checkpoint has failed. */
enum status fs_journal_check(struct fs_journal *journal, struct error *error);

/* Now, whatever the size; for tests and the end. */
enum status fs_journal_checkpoint(struct fs_journal *journal, struct error *error);

#endif
