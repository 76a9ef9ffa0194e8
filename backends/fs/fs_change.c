/*
 * Changes of objects: in which order the journal, the names and the answers come.
 *
 * Changes of one key take turns. A change holds its key's turn from before it looks
 * at what is there until its record is in place, so the order of one key's records
 * is the order in which its values were seen, and replay, which goes by the last
 * record, ends where readers had been. A turn is waited for by nobody but writers
 * of that key.
 *
 * PUT_REPLACE_SOON appends its record and stops there, so that the flush is shared
 * with what follows. Its file waits in tmp/, and its turn stays in the table,
 * parked. It is settled, which is to say flushed (mostly that has happened) and
 * renamed, by whoever comes first: the next durable change of anybody, before it
 * returns; a reader or writer of the key; a listing; a checkpoint. So no reader can
 * tell it from PUT_REPLACE, and still nothing is to be seen below ROOT that a power
 * cut could take. (Renamed before the flush, a power cut could leave the new name
 * on a file without bytes, in place of an older value that had been durable.)
 *
 * Nobody who holds a turn waits for another turn, except for a parked one that is
 * being settled, which waits for no turn: there is no circle.
 *
 * A file that a FS_OP_PLACE record names is never unlinked by us, even if the change
 * fails: once the record is durable, it is what replay makes the key of. When the
 * file was taken away by a discard, the key, which was absent, is recorded as
 * removed: else replay would find neither file nor what to do.
 *
 * A guest (fs_store.h) has no journal. It syncs the file and the folders instead.
 */
#include "backends/fs/fs_internal.h"
#include "server/base/file.h"
#include "server/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fs_turn {
	struct fs_turn *next;
	bool busy; /* somebody's */
	bool parked; /* `name` in tmp/ is to be renamed to `key` */
	struct fs_ticket ticket;
	char name[FS_TMP_NAME_SIZE];
	char key[];
};

void fs_turns_init(struct fs_turns *turns)
{
	*turns = (struct fs_turns){0};
	pthread_mutex_init(&turns->lock, NULL);
	cond_init(&turns->moved);
}

void fs_turns_release(struct fs_turns *turns)
{
	while (turns->first) {
		struct fs_turn *turn = turns->first;

		turns->first = turn->next;
		free(turn);
	}
	pthread_cond_destroy(&turns->moved);
	pthread_mutex_destroy(&turns->lock);
}

/* ---- turns ---- */

/* Under the lock. */
static struct fs_turn *find_turn(const struct fs_turns *turns, const char *key)
{
	struct fs_turn *turn = turns->first;

	while (turn && strcmp(turn->key, key) != 0)
		turn = turn->next;
	return turn;
}

/* Under the lock. */
static struct fs_turn *new_turn(struct fs_turns *turns, const char *key)
{
	struct fs_turn *turn = xcalloc(1, sizeof(*turn) + strlen(key) + 1);

	memcpy(turn->key, key, strlen(key) + 1);
	turn->next = turns->first;
	turns->first = turn;
	return turn;
}

static void end_turn(struct fs_turns *turns, struct fs_turn *turn)
{
	pthread_mutex_lock(&turns->lock);
	turn->busy = false;
	if (!turn->parked) {
		struct fs_turn **link = &turns->first;

		while (*link != turn)
			link = &(*link)->next;
		*link = turn->next;
		free(turn);
	}
	pthread_cond_broadcast(&turns->moved);
	pthread_mutex_unlock(&turns->lock);
}

static void set_parked(struct fs_turns *turns, struct fs_turn *turn, bool parked)
{
	pthread_mutex_lock(&turns->lock);
	turn->parked = parked;
	atomic_fetch_add(&turns->parked, parked ? 1 : -1);
	pthread_cond_broadcast(&turns->moved);
	pthread_mutex_unlock(&turns->lock);
}

/* The turn is the caller's. What cannot be settled stays parked, but for what the
 * filesystem will never take. */
static enum status settle_turn(struct fs_store *store, struct fs_turn *turn, struct error *error)
{
	enum status status = fs_journal_flush(store->journal, turn->ticket.end, error);

	if (!status)
		status = fs_place(store, store->tmp_fd, turn->name, turn->key, FS_RENAME, error);
	if (status && status != BW_INVALID && status != BW_ABSENT)
		return status;
	fs_journal_done(store->journal, &turn->ticket);
	set_parked(&store->turns, turn, false);
	return status;
}

static enum status begin_turn(struct fs_store *store, const char *key, struct fs_turn **ret_turn,
			      struct error *error)
{
	struct fs_turns *turns = &store->turns;
	enum status status = BW_OK;
	struct fs_turn *turn;

	pthread_mutex_lock(&turns->lock);
	while ((turn = find_turn(turns, key)) && turn->busy)
		pthread_cond_wait(&turns->moved, &turns->lock);
	if (!turn)
		turn = new_turn(turns, key);
	turn->busy = true;
	pthread_mutex_unlock(&turns->lock);
	if (turn->parked)
		status = settle_turn(store, turn, error);
	if (status)
		end_turn(turns, turn);
	else
		*ret_turn = turn;
	return status;
}

/* Under the lock. */
static struct fs_turn *find_parked(const struct fs_turns *turns, const char *prefix, bool whole,
				   uint64_t end)
{
	struct fs_turn *turn = turns->first;

	while (turn &&
	       !(turn->parked && turn->ticket.end <= end &&
		 (whole ? strcmp(turn->key, prefix) == 0 : str_starts_with(turn->key, prefix))))
		turn = turn->next;
	return turn;
}

/* Settles what is parked, and awaits what others are settling. */
static enum status settle(struct fs_store *store, const char *prefix, bool whole, uint64_t end,
			  struct error *error)
{
	struct fs_turns *turns = &store->turns;
	enum status status = BW_OK;
	struct fs_turn *turn;

	if (atomic_load(&turns->parked) == 0)
		return BW_OK;
	pthread_mutex_lock(&turns->lock);
	while (!status && (turn = find_parked(turns, prefix, whole, end))) {
		if (turn->busy) {
			pthread_cond_wait(&turns->moved, &turns->lock);
			continue;
		}
		turn->busy = true;
		pthread_mutex_unlock(&turns->lock);
		status = settle_turn(store, turn, error);
		end_turn(turns, turn);
		pthread_mutex_lock(&turns->lock);
	}
	pthread_mutex_unlock(&turns->lock);
	return status;
}

enum status fs_settle_key(struct fs_store *store, const char *key, struct error *error)
{
	return settle(store, key, true, UINT64_MAX, error);
}

enum status fs_settle_prefix(struct fs_store *store, const char *prefix, struct error *error)
{
	return settle(store, prefix, false, UINT64_MAX, error);
}

/* ---- storing ---- */

/* May the key be given, as things are? Told before the record is written: what is
 * refused must not come back in a replay. */
static enum status admit(const struct fs_store *store, const char *key, enum put_mode mode,
			 struct error *error)
{
	struct stat file;

	if (fstatat(store->root_fd, key, &file, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? BW_OK : fs_place_failed(store, key, errno, error);
	if (S_ISDIR(file.st_mode))
		return fs_place_failed(store, key, EISDIR, error);
	return mode == PUT_IF_ABSENT ? fs_place_failed(store, key, EEXIST, error) : BW_OK;
}

/* The journal's copy of a small file. The caller frees it. */
static enum status load_body(const struct fs_store *store, const struct fs_source *source,
			     const char *key, char **ret_body, struct error *error)
{
	char *body = xmalloc((size_t)source->size + 1);
	ssize_t got = file_pread_all(source->fd, body, (size_t)source->size, 0);

	if (got == (ssize_t)source->size) {
		*ret_body = body;
		return BW_OK;
	}
	free(body);
	return error_set_errno(error, BW_IO, got < 0 ? (int)-got : EIO, "read back object %s in %s",
			       key, store->root);
}

/* Makes the record that says all about the file. */
static enum status append_source(struct fs_store *store, const struct fs_source *source,
				 const char *key, struct fs_ticket *ret_ticket, bool *ret_named,
				 struct error *error)
{
	char path[OBJECT_KEY_MAX];
	char *body = NULL;
	struct fs_record record = {.key = key};
	enum status status;

	if (source->size <= FS_RECORD_BODY_MAX) {
		record.op = FS_OP_PUT;
		record.body = source->bytes;
		record.body_length = (size_t)source->size;
		status = fs_stamp(store, source->fd, key, &record.stored_at, error);
		if (!status && !source->bytes)
			status = load_body(store, source, key, &body, error);
		if (body)
			record.body = body;
	} else {
		snprintf(path, sizeof(path), "%s/%s", source->folder, source->name);
		record.op = FS_OP_PLACE;
		record.body = path;
		record.body_length = strlen(path);
		status = fs_seal(store, source->fd, key, error);
		/* the kernel may have dropped the bytes: a part must not be tried again */
		if (status && source->folder_fd == store->uploads_fd)
			unlinkat(source->folder_fd, source->name, 0);
	}
	if (!status)
		status = fs_journal_append(store->journal, &record, ret_ticket, error);
	*ret_named = !status && record.op == FS_OP_PLACE;
	free(body);
	return status;
}

/* Flushes, and lets nothing of what was flushed along wait any longer. */
static enum status make_durable(struct fs_store *store, const struct fs_ticket *ticket,
				struct error *error)
{
	enum status status = fs_journal_flush(store->journal, ticket->end, error);

	return status ? status : settle(store, "", false, ticket->end, error);
}

static enum status record_removal(struct fs_store *store, const char *key,
				  struct fs_ticket *ret_ticket, struct error *error)
{
	struct fs_record record = {.op = FS_OP_REMOVE, .key = key};
	enum status status = fs_journal_append(store->journal, &record, ret_ticket, error);

	if (status)
		return status;
	status = make_durable(store, ret_ticket, error);
	if (status)
		fs_journal_done(store->journal, ret_ticket);
	return status;
}

/* The record is durable, and the file that it speaks of is gone. */
static void take_back(struct fs_store *store, const char *key)
{
	struct fs_ticket ticket;

	if (record_removal(store, key, &ticket, NULL) == BW_OK)
		fs_journal_done(store->journal, &ticket);
}

static enum status place_source(struct fs_store *store, const struct fs_source *source,
				const char *key, enum put_mode mode, const struct fs_ticket *ticket,
				struct error *error)
{
	enum status status = make_durable(store, ticket, error);

	if (!status) {
		status = fs_place(store, source->folder_fd, source->name, key, FS_RENAME, error);
		if (status == BW_ABSENT && mode == PUT_IF_ABSENT)
			take_back(store, key);
	}
	fs_journal_done(store->journal, ticket);
	return status;
}

static void park(struct fs_store *store, struct fs_turn *turn, const struct fs_source *source,
		 const struct fs_ticket *ticket)
{
	turn->ticket = *ticket;
	str_copy(turn->name, sizeof(turn->name), source->name);
	set_parked(&store->turns, turn, true);
}

static enum status store_by_journal(struct fs_store *store, const struct fs_source *source,
				    const char *key, enum put_mode mode, bool *ret_named,
				    struct error *error)
{
	struct fs_turn *turn = NULL;
	struct fs_ticket ticket;
	enum status status = begin_turn(store, key, &turn, error);

	if (status)
		return status;
	status = admit(store, key, mode, error);
	if (!status)
		status = append_source(store, source, key, &ticket, ret_named, error);
	if (!status && mode == PUT_REPLACE_SOON)
		park(store, turn, source, &ticket);
	else if (!status)
		status = place_source(store, source, key, mode, &ticket, error);
	end_turn(&store->turns, turn);
	return status;
}

static enum status store_by_sync(struct fs_store *store, const struct fs_source *source,
				 const char *key, enum put_mode mode, struct error *error)
{
	enum fs_place_mode place = mode == PUT_IF_ABSENT ? FS_LINK : FS_RENAME;
	enum status status = fs_seal(store, source->fd, key, error);

	if (!status)
		status = fs_place(store, source->folder_fd, source->name, key, place, error);
	if (!status && place == FS_LINK)
		unlinkat(source->folder_fd, source->name, 0);
	return status;
}

enum status fs_store_file(struct fs_store *store, const struct fs_source *source, const char *key,
			  enum put_mode mode, struct error *error)
{
	bool named = false;
	enum status status = store->journal
				     ? store_by_journal(store, source, key, mode, &named, error)
				     : store_by_sync(store, source, key, mode, error);

	if (status && source->folder_fd == store->tmp_fd && !named)
		unlinkat(store->tmp_fd, source->name, 0);
	return status;
}

/* ---- removing ---- */

/* See fs_place.c for why this is safe beside writers. Not synced: a folder
 * that a power cut brings back is empty, and nobody's object. */
void fs_prune(const struct fs_store *store, const char *key)
{
	char folder[OBJECT_KEY_MAX + 1];
	char *slash;

	memcpy(folder, key, strlen(key) + 1);
	while ((slash = strrchr(folder, '/'))) {
		*slash = '\0';
		if (unlinkat(store->root_fd, folder, AT_REMOVEDIR) < 0)
			return;
	}
}

static enum status remove_failed(const struct fs_store *store, const char *key, int errnum,
				 struct error *error)
{
	switch (errnum) {
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
	case EISDIR: /* a folder is no object */
		return BW_OK;
	default:
		return error_set_errno(error, BW_IO, errnum, "remove %s/%s", store->root, key);
	}
}

static enum status remove_by_sync(struct fs_store *store, const char *key, struct error *error)
{
	const char *slash = strrchr(key, '/');
	int parent = fs_open_parent(store, key);
	int failed = 0;

	if (parent < 0)
		return remove_failed(store, key, -parent, error);
	if (unlinkat(parent, slash ? slash + 1 : key, 0) < 0)
		failed = errno;
	/* Synced also when another thread's removal came first: it may not have
	 * got that far, and ours is acknowledged on its own. */
	if ((failed == 0 || failed == ENOENT) && fsync(parent) < 0)
		failed = errno;
	close(parent);
	if (failed)
		return remove_failed(store, key, failed, error);
	fs_prune(store, key);
	return BW_OK;
}

/* The turn is the caller's. What is not there needs no record: see fs_journal.h. */
static enum status remove_by_journal(struct fs_store *store, const char *key, struct error *error)
{
	struct fs_ticket ticket;
	enum status status;
	struct stat file;

	if (fstatat(store->root_fd, key, &file, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? fs_check_root(store, error)
				       : remove_failed(store, key, errno, error);
	if (S_ISDIR(file.st_mode))
		return BW_OK;
	status = record_removal(store, key, &ticket, error);
	if (status)
		return status;
	if (unlinkat(store->root_fd, key, 0) < 0)
		status = remove_failed(store, key, errno, error);
	if (!status)
		fs_prune(store, key);
	fs_journal_done(store->journal, &ticket);
	return status;
}

enum status fs_remove(struct object_store *base, const char *key, struct error *error)
{
	struct fs_store *store = fs_store_of(base);
	enum status status = fs_check_reserved(store, key, error);
	struct fs_turn *turn = NULL;

	if (status)
		return status;
	if (!store->journal)
		return remove_by_sync(store, key, error);
	status = begin_turn(store, key, &turn, error);
	if (status)
		return status;
	status = remove_by_journal(store, key, error);
	end_turn(&store->turns, turn);
	return status;
}
