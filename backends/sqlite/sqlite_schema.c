#include "backends/sqlite/sqlite_internal.h"

#include "server/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCHEMA_VERSION 1
#define APPLICATION_ID 0x42574b52 /* "BWKR": whose file this is */
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

/* Rows of a manifest or document hold a body of up to 4 MiB, which would make
 * a tree without row ids deep; the others are small and found by their key. */
static const char schema[] =
	"BEGIN IMMEDIATE;"
	"CREATE TABLE tag (repository TEXT NOT NULL, tag TEXT NOT NULL, digest BLOB NOT NULL,"
	" version INTEGER NOT NULL, stored_at INTEGER NOT NULL, validated_at INTEGER NOT NULL,"
	" PRIMARY KEY (repository, tag)) WITHOUT ROWID;"
	"CREATE TABLE manifest (repository TEXT NOT NULL, digest BLOB NOT NULL,"
	" media_type TEXT NOT NULL, stored_at INTEGER NOT NULL, body BLOB NOT NULL,"
	" PRIMARY KEY (repository, digest));"
	"CREATE TABLE listed (repository TEXT NOT NULL, digest BLOB NOT NULL,"
	" manifest BLOB NOT NULL, size INTEGER NOT NULL,"
	" PRIMARY KEY (repository, digest, manifest)) WITHOUT ROWID;"
	"CREATE INDEX listed_by_manifest ON listed (repository, manifest);"
	"CREATE TABLE blob (digest BLOB NOT NULL PRIMARY KEY, size INTEGER NOT NULL,"
	" stored_at INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE document (repository TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,"
	" media_type TEXT NOT NULL, validated_at INTEGER NOT NULL, body BLOB NOT NULL,"
	" PRIMARY KEY (repository, kind, key));"
	"PRAGMA application_id = " NUMBER_TEXT(APPLICATION_ID) ";"
							       "PRAGMA user_version = " NUMBER_TEXT(
								       SCHEMA_VERSION) ";"
										       "COMMIT;";

static enum status db_failed(sqlite3 *db, const char *path, struct error *error)
{
	return error_set(error, sqlite_status(sqlite3_extended_errcode(db)), "index %s: %s", path,
			 sqlite3_errmsg(db));
}

static enum status run(sqlite3 *db, const char *path, const char *sql, struct error *error)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return db_failed(db, path, error);
	return BW_OK;
}

/* The first column of the first row, as a number. */
static enum status ask(sqlite3 *db, const char *path, const char *sql, int64_t *ret,
		       struct error *error)
{
	sqlite3_stmt *statement = NULL;
	enum status status = BW_OK;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_ROW)
		status = db_failed(db, path, error);
	else
		*ret = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return status;
}

enum status sqlite_open_more(const char *path, sqlite3 **ret_db, struct error *error)
{
	/* NOMUTEX: a connection has one user at a time. */
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	enum status status;
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(path, &db, flags, NULL) != SQLITE_OK) {
		status = db ? db_failed(db, path, error)
			    : error_set(error, BW_INTERNAL, "index %s: out of memory", path);
		goto out;
	}
	sqlite3_extended_result_codes(db, 1);
	status = run(db, path, settings, error);
	if (status)
		goto out;
	*ret_db = db;
	db = NULL;
out:
	sqlite3_close(db);
	return status;
}

static enum status make_schema(sqlite3 *db, const char *path, struct error *error)
{
	int64_t objects = 0;
	enum status status = ask(db, path, "SELECT count(*) FROM sqlite_schema", &objects, error);

	if (status)
		return status;
	if (objects)
		return error_set(error, BW_INVALID,
				 "%s is the database of another program; it was left alone", path);
	return run(db, path, schema, error);
}

static enum status check_schema(sqlite3 *db, const char *path, struct error *error)
{
	int64_t application = 0;
	int64_t version = 0;
	enum status status = ask(db, path, "PRAGMA application_id", &application, error);

	if (!status)
		status = ask(db, path, "PRAGMA user_version", &version, error);
	if (status)
		return status;
	if (version == 0 && application == 0)
		return make_schema(db, path, error);
	if (application != APPLICATION_ID)
		return error_set(error, BW_INVALID,
				 "%s is the database of another program; it was left alone", path);
	if (version != SCHEMA_VERSION)
		return error_set(error, BW_UNSUPPORTED,
				 "index %s has schema version %lld, this program knows %d: run "
				 "the newer program, or move the file away and it is rebuilt",
				 path, (long long)version, SCHEMA_VERSION);
	return BW_OK;
}

/* Settings, schema, version checked. BW_CORRUPT when the file is no database, or
 * damaged. */
static enum status open_with_schema(const char *path, sqlite3 **ret_db, struct error *error)
{
	sqlite3 *db = NULL;
	enum status status = sqlite_open_more(path, &db, error);

	if (!status)
		status = check_schema(db, path, error);
	if (status) {
		sqlite3_close(db);
		return status;
	}
	*ret_db = db;
	return BW_OK;
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
		status = db_failed(db, path, error);
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

enum status sqlite_open_first(const char *path, sqlite3 **ret_db, bool *ret_rebuilt,
			      struct error *error)
{
	struct error why = {0};
	bool rebuilt = false;
	enum status status = make_parent(path, error);

	if (status)
		return status;
	status = make_and_open(path, ret_db, &why);
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
