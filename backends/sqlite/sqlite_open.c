#include "backends/sqlite/sqlite_internal.h"

#include "server/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NUMBER_TEXT_(number) #number
#define NUMBER_TEXT(number) NUMBER_TEXT_(number)

/* A quick_check reads the whole file; larger ones are checked by being used,
 * and looked at here when a query has met damage. */
#define QUICK_CHECK_MAX_BYTES ((off_t)64 * 1024 * 1024)

/* Per connection: waiting is bounded, a page cache small enough for all of
 * SQLITE_MAX_READERS. The log may grow to 16 MiB (manifest bodies are up to
 * 4) before a writer checkpoints it, and is cut back after a burst. */
static const char settings[] =
	"PRAGMA busy_timeout = " NUMBER_TEXT(SQLITE_WAIT_MS) ";"
							     "PRAGMA journal_mode = WAL;"
							     "PRAGMA synchronous = NORMAL;"
							     "PRAGMA wal_autocheckpoint = 4000;"
							     "PRAGMA journal_size_limit = 67108864;"
							     "PRAGMA cache_size = -1024;"
							     "PRAGMA temp_store = MEMORY;"
							     "PRAGMA trusted_schema = OFF;";

enum status sqlite_open_more(const char *path, sqlite3 **ret_db, struct error *error)
{
	/* NOMUTEX: a connection has one user at a time. */
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	enum status status;
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(path, &db, flags, NULL) != SQLITE_OK) {
		status = db ? sqlite_db_failed(db, path, error)
			    : error_set(error, BW_INTERNAL, "index %s: out of memory", path);
		goto out;
	}
	sqlite3_extended_result_codes(db, 1);
	status = sqlite_script(db, path, settings, error);
	if (status)
		goto out;
	*ret_db = db;
	db = NULL;
out:
	sqlite3_close(db);
	return status;
}

/* Settings, schema. BW_CORRUPT when the file is no database, or damaged. */
static enum status open_with_schema(const char *path, sqlite3 **ret_db, struct error *error)
{
	sqlite3 *db = NULL;
	enum status status = sqlite_open_more(path, &db, error);

	if (!status)
		status = sqlite_schema_prepare(db, path, error);
	if (status) {
		sqlite3_close(db);
		return status;
	}
	*ret_db = db;
	return BW_OK;
}

/* ---- who else has it open ---- */

/* Every store holds a read lock on PATH.in-use as long as it has the file open,
 * and a write lock while it makes, checks, migrates or sets aside the file. These
 * are locks of the open file and not of the process: SQLite's own would be lost by
 * opening and closing the database to look, and turning one into the other leaves
 * no moment without. The lock file stays, as removing it would race. */
static bool try_lock(int fd, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static enum status open_lock(const char *path, int *ret_fd, struct error *error)
{
	char *name = xasprintf("%s.in-use", path);
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	enum status status = BW_OK;

	if (fd < 0)
		status = error_set_errno(error, status_from_errno(errno), errno, "open %s", name);
	else
		*ret_fd = fd;
	free(name);
	return status;
}

/* *ret_alone: nobody else has the file open, or can open it before
 * share_lock(). */
static enum status take_lock(int fd, const char *path, bool *ret_alone, struct error *error)
{
	static const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
	deadline_ms deadline = deadline_in(SQLITE_WAIT_MS);

	for (;;) {
		*ret_alone = try_lock(fd, F_WRLCK);
		if (*ret_alone || try_lock(fd, F_RDLCK))
			return BW_OK;
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return error_set_errno(error, BW_IO, errno, "lock %s.in-use", path);
		if (deadline_passed(deadline))
			return error_set(error, BW_UNAVAILABLE,
					 "index %s is being opened by another process for more "
					 "than %d ms; try again",
					 path, SQLITE_WAIT_MS);
		nanosleep(&pause, NULL);
	}
}

static void share_lock(int fd)
{
	/* from a write lock this cannot fail */
	try_lock(fd, F_RDLCK);
}

/* ---- damage ---- */

void sqlite_mark_suspect(const char *path)
{
	char *note = xasprintf("%s.suspect", path);
	int fd = open(note, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	free(note);
}

static bool worth_checking(const char *path)
{
	char *note = xasprintf("%s.suspect", path);
	struct stat file;
	bool worth = access(note, F_OK) == 0 ||
		     (stat(path, &file) == 0 && file.st_size <= QUICK_CHECK_MAX_BYTES);

	free(note);
	return worth;
}

static enum status quick_check(sqlite3 *db, const char *path, struct error *error)
{
	sqlite3_stmt *statement = NULL;
	enum status status = BW_OK;

	if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL) != SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_ROW)
		status = sqlite_db_failed(db, path, error);
	else if (strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0)
		status = error_set(error, BW_CORRUPT, "index %s: %s", path,
				   (const char *)sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	return status;
}

static enum status open_checked(const char *path, sqlite3 **ret_db, struct error *error)
{
	sqlite3 *db = NULL;
	enum status status = open_with_schema(path, &db, error);

	if (!status && worth_checking(path))
		status = quick_check(db, path, error);
	if (status) {
		sqlite3_close(db);
		return status;
	}
	*ret_db = db;
	return BW_OK;
}

static enum status move_aside(const char *path, const char *suffix, const char *stamp,
			      struct error *error)
{
	char *from = xasprintf("%s%s", path, suffix);
	char *to = xasprintf("%s.damaged-%s%s", path, stamp, suffix);
	enum status status = BW_OK;

	if (rename(from, to) < 0 && errno != ENOENT)
		status = error_set_errno(error, BW_IO, errno, "set the damaged index %s aside",
					 from);
	free(from);
	free(to);
	return status;
}

/* The log first: a new database must not meet the old one's. (SQLite has often
 * played it into the old file by now, when it closed that.) */
static enum status set_aside(const char *path, struct error *error)
{
	static const char *const suffixes[] = {"-wal", "-shm", ""};
	char text[CLOCK_TEXT_SIZE];
	size_t length = 0;
	enum status status = BW_OK;

	clock_format_rfc3339(clock_wall_ms(), text);
	for (const char *c = text; *c; c++) /* 20260131T080509123Z */
		if (*c != '-' && *c != ':' && *c != '.')
			text[length++] = *c;
	text[length] = '\0';
	for (size_t i = 0; i < array_size(suffixes) && !status; i++)
		status = move_aside(path, suffixes[i], text, error);
	return status;
}

static void clear_suspect(const char *path)
{
	char *note = xasprintf("%s.suspect", path);

	unlink(note);
	free(note);
}

static enum status make_parent(const char *path, struct error *error)
{
	const char *slash = strrchr(path, '/');
	char *folder;
	int failed;

	if (!slash || slash == path)
		return BW_OK;
	folder = xstrndup(path, (size_t)(slash - path));
	failed = file_make_directories(folder);
	if (failed)
		error_set_errno(error, status_from_errno(-failed), -failed,
				"make the folder %s for the index", folder);
	free(folder);
	return failed ? status_from_errno(-failed) : BW_OK;
}

/* SQLite would make the file readable to all, and gives its log the file's
 * mode; manifests of private images are in there. Opened only when it is not
 * there: closing it would drop the locks of another connection (fcntl(2)). */
static enum status make_and_open(const char *path, sqlite3 **ret_db, struct error *error)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	else if (errno != EEXIST)
		return error_set_errno(error, status_from_errno(errno), errno, "make the index %s",
				       path);
	return open_checked(path, ret_db, error);
}

static enum status open_alone(const char *path, sqlite3 **ret_db, bool *ret_rebuilt,
			      struct error *error)
{
	struct error why = {0};
	bool rebuilt = false;
	enum status status = make_and_open(path, ret_db, &why);

	if (status == BW_CORRUPT) {
		status = set_aside(path, error);
		if (status)
			return status;
		rebuilt = true;
		status = make_and_open(path, ret_db, &why);
	}
	if (status) {
		if (error)
			*error = why;
		return status;
	}
	clear_suspect(path);
	if (ret_rebuilt)
		*ret_rebuilt = rebuilt;
	return BW_OK;
}

/* Damage is for the next who is alone to deal with. A new file beside one that was
 * deleted would not hear what the other process still writes to that, and be taken
 * for complete later. */
static enum status open_shared(const char *path, sqlite3 **ret_db, bool *ret_rebuilt,
			       struct error *error)
{
	enum status status;

	if (access(path, F_OK) < 0 && errno == ENOENT)
		return error_set(error, BW_UNAVAILABLE,
				 "index %s was deleted while another process uses it: restart "
				 "that one, and it begins a new one",
				 path);
	status = open_with_schema(path, ret_db, error);
	if (status == BW_CORRUPT) {
		sqlite_mark_suspect(path);
		error_prefix(error, "another process has it open: stop that one, and the next to "
				    "start begins a new one");
	}
	if (!status && ret_rebuilt)
		*ret_rebuilt = false;
	return status;
}

enum status sqlite_open_first(const char *path, sqlite3 **ret_db, int *ret_in_use,
			      bool *ret_rebuilt, struct error *error)
{
	bool alone = false;
	int fd = -1;
	enum status status = make_parent(path, error);

	if (!status)
		status = open_lock(path, &fd, error);
	if (status)
		return status;
	status = take_lock(fd, path, &alone, error);
	if (status)
		goto out;
	status = alone ? open_alone(path, ret_db, ret_rebuilt, error)
		       : open_shared(path, ret_db, ret_rebuilt, error);
	if (status)
		goto out;
	share_lock(fd);
	*ret_in_use = fd;
	fd = -1;
out:
	if (fd >= 0)
		close(fd);
	return status;
}
