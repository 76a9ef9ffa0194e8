/*
 * An index file in a folder of its own, and what tests do to it behind the store's
 * back.
 */
#ifndef TESTS_SUPPORT_SQLITE_FIXTURE_H
#define TESTS_SUPPORT_SQLITE_FIXTURE_H

#include "backends/sqlite/sqlite_store.h"
#include "server/base/file.h"
#include "server/base/memory.h"
#include "tests/support/support.h"

#include <fcntl.h>
#include <glob.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct sqlite_fixture {
	char *scratch;
	char *path;
	char *suspect;
};

static inline int sqlite_fixture_setup(void **state)
{
	struct sqlite_fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->scratch = scratch_make();
	fixture->path = xasprintf("%s/index.db", fixture->scratch);
	fixture->suspect = xasprintf("%s.suspect", fixture->path);
	*state = fixture;
	return 0;
}

static inline int sqlite_fixture_teardown(void **state)
{
	struct sqlite_fixture *fixture = *state;

	scratch_remove(fixture->scratch);
	free(fixture->path);
	free(fixture->suspect);
	free(fixture);
	return 0;
}

static inline struct metadata_store *open_index(const char *path, bool expect_rebuilt)
{
	struct metadata_store *store = NULL;
	struct error error = {0};
	bool rebuilt = !expect_rebuilt;

	if (sqlite_store_new(path, &store, &rebuilt, &error))
		fail_msg("%s", error.message);
	assert_int_equal(rebuilt, expect_rebuilt);
	return store;
}

static inline void run_sql(const char *path, const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* Overwrites the file from `offset` on with what no page looks like. */
static inline void damage(const char *path, off_t offset)
{
	struct stat info;
	char *junk;
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &info), 0);
	assert_true(info.st_size > offset);
	junk = xmalloc((size_t)(info.st_size - offset));
	memset(junk, 0xa5, (size_t)(info.st_size - offset));
	assert_int_equal(
		file_pwrite_all(fd, junk, (size_t)(info.st_size - offset), (uint64_t)offset), 0);
	free(junk);
	close(fd);
}

static inline size_t count_set_aside(const struct sqlite_fixture *fixture, char **ret_first)
{
	char *pattern = xasprintf("%s.damaged-*Z", fixture->path);
	glob_t found = {0};
	size_t count;

	glob(pattern, 0, NULL, &found);
	count = found.gl_pathc;
	if (count && ret_first)
		*ret_first = xstrdup(found.gl_pathv[0]);
	globfree(&found);
	free(pattern);
	return count;
}

/* The tables of the first schema, as the program of that time made them. */
static const char sqlite_schema_1[] =
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
	"PRAGMA application_id = 0x42574b52;"
	"PRAGMA user_version = 1;"
	"PRAGMA journal_mode = WAL;";

/* What the second one added. */
static const char sqlite_schema_2[] =
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
	" WITHOUT ROWID;"
	"PRAGMA user_version = 2;";

#define SQLITE_TEST(function) \
	cmocka_unit_test_setup_teardown(function, sqlite_fixture_setup, sqlite_fixture_teardown)

#endif
