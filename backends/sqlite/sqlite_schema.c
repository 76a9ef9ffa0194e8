#include "backends/sqlite/sqlite_internal.h"

#include <stdio.h>

#define APPLICATION_ID 0x42574b52 /* "BWKR": whose file this is */
#define NUMBER_TEXT_(number) #number
#define NUMBER_TEXT(number) NUMBER_TEXT_(number)

/* Step n makes version n+1 of version n; a new file goes through all of them. A
 * program of the version before may have the file open meanwhile: what a step adds
 * must not hinder it. Rows of a manifest, a document or an upload hold a body of up
 * to 4 MiB, which would make a tree without row ids deep; a descriptor with many
 * annotations likewise; the others are small and found by their key. */
static const char *const steps[] = {
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
	"PRAGMA application_id = " NUMBER_TEXT(APPLICATION_ID),

	"ALTER TABLE tag ADD COLUMN pending INTEGER NOT NULL DEFAULT 0;"
	"CREATE INDEX tag_by_digest ON tag (repository, digest, tag);"
	"CREATE INDEX link_by_digest ON listed (digest, repository) WHERE manifest = x'';"
	"CREATE TABLE referrer (repository TEXT NOT NULL, subject BLOB NOT NULL,"
	" manifest TEXT NOT NULL, descriptor TEXT NOT NULL,"
	" PRIMARY KEY (repository, subject, manifest));"
	"CREATE INDEX referrer_by_manifest ON referrer (repository, manifest);"
	"CREATE TABLE repository (name TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;"
	"CREATE TABLE upload (id TEXT NOT NULL PRIMARY KEY, repository TEXT NOT NULL,"
	" caller TEXT NOT NULL, revision INTEGER NOT NULL, started_at INTEGER NOT NULL,"
	" touched_at INTEGER NOT NULL, state BLOB NOT NULL);"
	"CREATE INDEX upload_by_age ON upload (touched_at, id);"
	"CREATE TABLE mark (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL)"
	" WITHOUT ROWID;",

	/* Triggers, so that a program of the version before keeps them right as well: it
	 * does not know that there is something to keep. A blob's bytes count as linked
	 * from its first link to its last, while the blob itself is known. */
	"CREATE TABLE used (repository TEXT NOT NULL, digest BLOB NOT NULL,"
	" used_at INTEGER NOT NULL, PRIMARY KEY (repository, digest)) WITHOUT ROWID;"
	/* cached repositories, whose names begin with a host, as server/oci/name.h has it */
	"INSERT INTO used SELECT repository, digest, CAST(strftime('%s', 'now') AS INTEGER) *"
	" 1000 FROM manifest WHERE repository GLOB 'localhost/*'"
	" OR substr(repository, 1, instr(repository, '/')) GLOB '*[.:]*';"
	"CREATE INDEX used_by_age ON used (used_at, repository, digest);"
	"CREATE INDEX manifest_by_digest ON manifest (digest, repository);"
	"CREATE INDEX listed_by_digest ON listed (digest, repository);"
	"CREATE TABLE usage (id INTEGER NOT NULL PRIMARY KEY, bytes INTEGER NOT NULL,"
	" linked_bytes INTEGER NOT NULL);"
	"INSERT INTO usage SELECT 1, coalesce(sum(size), 0), coalesce(sum(size * "
	"EXISTS (SELECT 1 FROM listed WHERE digest = blob.digest AND manifest = x'')), 0) FROM "
	"blob;"
	"CREATE TRIGGER manifest_removed AFTER DELETE ON manifest BEGIN"
	" DELETE FROM used WHERE repository = OLD.repository AND digest = OLD.digest; END;"
	"CREATE TRIGGER blob_put AFTER INSERT ON blob BEGIN"
	" UPDATE usage SET bytes = bytes + NEW.size, linked_bytes = linked_bytes + NEW.size *"
	" EXISTS (SELECT 1 FROM listed WHERE digest = NEW.digest AND manifest = x''); END;"
	"CREATE TRIGGER blob_changed AFTER UPDATE OF size ON blob BEGIN"
	" UPDATE usage SET bytes = bytes + NEW.size - OLD.size,"
	" linked_bytes = linked_bytes + (NEW.size - OLD.size) *"
	" EXISTS (SELECT 1 FROM listed WHERE digest = NEW.digest AND manifest = x''); END;"
	"CREATE TRIGGER blob_removed AFTER DELETE ON blob BEGIN"
	" UPDATE usage SET bytes = bytes - OLD.size, linked_bytes = linked_bytes - OLD.size *"
	" EXISTS (SELECT 1 FROM listed WHERE digest = OLD.digest AND manifest = x''); END;"
	"CREATE TRIGGER link_put AFTER INSERT ON listed WHEN NEW.manifest = x''"
	" AND NOT EXISTS (SELECT 1 FROM listed WHERE digest = NEW.digest AND manifest = x''"
	" AND repository <> NEW.repository) BEGIN"
	" UPDATE usage SET linked_bytes = linked_bytes +"
	" coalesce((SELECT size FROM blob WHERE digest = NEW.digest), 0); END;"
	"CREATE TRIGGER link_removed AFTER DELETE ON listed WHEN OLD.manifest = x''"
	" AND NOT EXISTS (SELECT 1 FROM listed WHERE digest = OLD.digest AND manifest = x'') BEGIN"
	" UPDATE usage SET linked_bytes = linked_bytes -"
	" coalesce((SELECT size FROM blob WHERE digest = OLD.digest), 0); END;",
};

#define SCHEMA_VERSION ((int64_t)array_size(steps))

enum status sqlite_db_failed(sqlite3 *db, const char *path, struct error *error)
{
	return error_set(error, sqlite_status(sqlite3_extended_errcode(db)), "index %s: %s", path,
			 sqlite3_errmsg(db));
}

enum status sqlite_script(sqlite3 *db, const char *path, const char *sql, struct error *error)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return sqlite_db_failed(db, path, error);
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
		status = sqlite_db_failed(db, path, error);
	else
		*ret = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return status;
}

static enum status not_ours(const char *path, struct error *error)
{
	return error_set(error, BW_INVALID,
			 "%s is the database of another program; it was left alone", path);
}

/* The version of a file that is ours; 0 of one with nothing in it. */
static enum status read_version(sqlite3 *db, const char *path, int64_t *ret_version,
				struct error *error)
{
	int64_t application = 0;
	int64_t version = 0;
	int64_t objects = 0;
	enum status status = ask(db, path, "PRAGMA application_id", &application, error);

	if (!status)
		status = ask(db, path, "PRAGMA user_version", &version, error);
	if (!status && version == 0 && application == 0)
		status = ask(db, path, "SELECT count(*) FROM sqlite_schema", &objects, error);
	if (status)
		return status;
	if (objects > 0 || version < 0 || application != (version > 0 ? APPLICATION_ID : 0))
		return not_ours(path, error);
	if (version > SCHEMA_VERSION)
		return error_set(error, BW_UNSUPPORTED,
				 "index %s has schema version %lld, this program knows %lld: run "
				 "the newer program, or move the file away and it is rebuilt",
				 path, (long long)version, (long long)SCHEMA_VERSION);
	*ret_version = version;
	return BW_OK;
}

/* Under the write lock. The version is read again: another process may have been
 * faster. */
static enum status take_steps(sqlite3 *db, const char *path, struct error *error)
{
	int64_t version = 0;
	char set_version[64];
	enum status status = read_version(db, path, &version, error);

	while (!status && version < SCHEMA_VERSION)
		status = sqlite_script(db, path, steps[version++], error);
	if (status)
		return status;
	snprintf(set_version, sizeof(set_version), "PRAGMA user_version = %lld",
		 (long long)SCHEMA_VERSION);
	return sqlite_script(db, path, set_version, error);
}

enum status sqlite_schema_prepare(sqlite3 *db, const char *path, struct error *error)
{
	int64_t version = 0;
	enum status status = read_version(db, path, &version, error);

	if (status || version == SCHEMA_VERSION)
		return status;
	status = sqlite_script(db, path, "BEGIN IMMEDIATE", error);
	if (!status)
		status = take_steps(db, path, error);
	/* When a step failed, closing the connection rolls back. */
	return status ? status : sqlite_script(db, path, "COMMIT", error);
}
