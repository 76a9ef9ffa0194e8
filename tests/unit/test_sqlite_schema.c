/* The SQLite index's tables: bringing older ones up to date, and that every
 * statement finds its rows by an index. */
#include "backends/sqlite/sqlite_internal.h"
#include "tests/support/sqlite_fixture.h"

/* ---- older versions ---- */

#define DIGEST_A "x'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"
#define DIGEST_B "x'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'"

static const char rows_of_1[] =
	"INSERT INTO tag VALUES ('a/b', 'v1', " DIGEST_A ", 7, 70, 700);"
	"INSERT INTO tag VALUES ('a/b', 'v2', " DIGEST_A ", 8, 80, 800);"
	"INSERT INTO manifest VALUES ('a/b', " DIGEST_A ", 'x/y', 5, 'body');"
	"INSERT INTO listed VALUES ('a/b', " DIGEST_B ", " DIGEST_A ", 11);"
	"INSERT INTO listed VALUES ('mounted', " DIGEST_B ", x'', 11);"
	"INSERT INTO blob VALUES (" DIGEST_B ", 11, 5);"
	"INSERT INTO document VALUES ('a/b', 'tags', 'n=1', 'x/y', 5, 'document');";

static void make_version_1(const char *path)
{
	run_sql(path, sqlite_schema_1);
	run_sql(path, rows_of_1);
}

static struct digest filled(int byte)
{
	struct digest digest = {.algorithm = DIGEST_SHA256};

	memset(digest.bytes, byte, 32);
	return digest;
}

static int64_t ask_file(const char *path, const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *statement = NULL;
	int64_t value;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return value;
}

static void assert_rows_of_1(struct metadata_store *store)
{
	struct digest manifest = filled(0xaa);
	struct digest blob = filled(0xbb);
	struct manifest_entry entry;
	struct document_entry document;
	struct tag_entry tag;
	uint64_t size = 0;

	assert_int_equal(metadata_get_tag(store, "a/b", "v1", &tag, NULL), BW_OK);
	assert_true(digest_equals(&tag.digest, &manifest));
	assert_int_equal(tag.version, 7);
	assert_int_equal(tag.validated_at, 700);
	assert_int_equal(metadata_get_manifest(store, "a/b", &manifest, &entry, NULL), BW_OK);
	assert_string_equal(entry.body, "body");
	manifest_entry_release(&entry);
	assert_int_equal(metadata_get_listed(store, "a/b", &blob, &size, NULL), BW_OK);
	assert_int_equal(size, 11);
	assert_int_equal(metadata_get_blob(store, &blob, &size, NULL), BW_OK);
	assert_int_equal(metadata_get_document(store, "a/b", "tags", "n=1", &document, NULL),
			 BW_OK);
	assert_string_equal(document.body, "document");
	document_entry_release(&document);
}

static bool collect(void *context, const char *name)
{
	char *text = context;

	snprintf(text + strlen(text), 64 - strlen(text), "%s ", name);
	return true;
}

/* What was learned stays, and is found in the new ways too. */
static void an_older_index_is_brought_up_to_date(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct digest manifest = filled(0xaa);
	struct digest blob = filled(0xbb);
	struct metadata_store *store;
	char tags[64] = "";
	char links[64] = "";

	make_version_1(fixture->path);
	store = open_index(fixture->path, false);
	assert_rows_of_1(store);
	assert_int_equal(metadata_list_tags_of(store, "a/b", &manifest, 9, collect, tags, NULL),
			 BW_OK);
	assert_string_equal(tags, "v1 v2 ");
	assert_int_equal(metadata_list_links_of(store, &blob, 9, collect, links, NULL), BW_OK);
	assert_string_equal(links, "mounted ");
	assert_int_equal(metadata_put_mark(store, "m", 1, NULL), BW_OK);
	metadata_store_free(store);
	assert_int_equal(ask_file(fixture->path, "PRAGMA user_version"), 3);
	assert_int_equal(count_set_aside(fixture, NULL), 0);
	store = open_index(fixture->path, false);
	assert_rows_of_1(store);
	metadata_store_free(store);
}

static void make_version_2(const char *path)
{
	make_version_1(path);
	run_sql(path, sqlite_schema_2);
}

/* What older programs stored counts, and so does what they do while they have the
 * file open still. */
static void usage_begins_with_what_is_there(void **state)
{
	static const char rows[] =
		"INSERT INTO blob VALUES (" DIGEST_A ", 100, 5);"
		"INSERT INTO listed VALUES ('mounted elsewhere', " DIGEST_B ", x'', 11);"
		"INSERT INTO manifest VALUES ('h.test/a', " DIGEST_A ", 'x/y', 5, 'body');"
		"INSERT INTO manifest VALUES ('localhost/a', " DIGEST_A ", 'x/y', 5, 'body');"
		"INSERT INTO manifest VALUES ('no/h.test', " DIGEST_A ", 'x/y', 5, 'body');";
	struct sqlite_fixture *fixture = *state;
	struct digest manifest = filled(0xaa);
	struct usage usage = {0};
	struct metadata_store *store;

	make_version_2(fixture->path);
	run_sql(fixture->path, rows);
	store = open_index(fixture->path, false);
	assert_int_equal(metadata_get_usage(store, &usage, NULL), BW_OK);
	assert_int_equal(usage.bytes, 111);
	assert_int_equal(usage.linked_bytes, 11);
	/* what was cached counts as used when it was brought up to date */
	assert_int_equal(ask_file(fixture->path, "SELECT count(*) FROM used"), 2);
	assert_int_equal(metadata_touch_manifests(store, "a/b", &manifest, 1, 5, NULL), BW_OK);
	run_sql(fixture->path, "DELETE FROM listed WHERE digest = " DIGEST_B ";"
			       "DELETE FROM manifest; INSERT INTO blob VALUES (x'00', 1, 5);");
	assert_int_equal(metadata_get_usage(store, &usage, NULL), BW_OK);
	assert_int_equal(usage.bytes, 112);
	assert_int_equal(usage.linked_bytes, 0);
	assert_int_equal(ask_file(fixture->path, "SELECT count(*) FROM used"), 0);
	metadata_store_free(store);
}

static void a_step_that_fails_leaves_the_older_index(void **state)
{
	struct sqlite_fixture *fixture = *state;
	struct metadata_store *store = NULL;
	struct error error = {0};

	make_version_1(fixture->path);
	run_sql(fixture->path, "CREATE TABLE mark (in_the_way)"); /* the step's last */
	assert_int_equal(sqlite_store_new(fixture->path, &store, NULL, &error), BW_INTERNAL);
	assert_non_null(strstr(error.message, fixture->path));
	assert_int_equal(ask_file(fixture->path, "PRAGMA user_version"), 1);
	assert_int_equal(ask_file(fixture->path, "SELECT count(*) FROM sqlite_schema"
						 " WHERE name = 'tag_by_digest'"),
			 0);
	assert_int_equal(count_set_aside(fixture, NULL), 0);
	run_sql(fixture->path, "DROP TABLE mark");
	store = open_index(fixture->path, false);
	assert_rows_of_1(store);
	metadata_store_free(store);
}

/* New and brought up to date are the same, or tests of the one say nothing of the
 * other. */
static void an_index_brought_up_to_date_is_like_a_new_one(void **state)
{
	struct sqlite_fixture *fixture = *state;
	char *newer = xasprintf("%s/new.db", fixture->scratch);
	char *attach = xasprintf("ATTACH '%s' AS newer", newer);
	sqlite3_stmt *statement = NULL;
	sqlite3 *db = NULL;

	make_version_2(fixture->path);
	metadata_store_free(open_index(fixture->path, false));
	metadata_store_free(open_index(newer, false));
	assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, attach, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db,
					    "SELECT name, sql FROM main.sqlite_schema EXCEPT"
					    " SELECT name, sql FROM newer.sqlite_schema",
					    -1, &statement, NULL),
			 SQLITE_OK);
	if (sqlite3_step(statement) == SQLITE_ROW)
		fail_msg("%s differs", (const char *)sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	sqlite3_close(db);
	free(attach);
	free(newer);
}

/* ---- plans ---- */

struct statement_text {
	const char *name;
	const char *text;
};

#define STATEMENT_ROW(id, text) {#id, text},
static const struct statement_text statements[] = {STATEMENTS(STATEMENT_ROW)};
#undef STATEMENT_ROW

/* Looks whether a table can be read at all, at its first row. */
static bool may_scan(const char *name)
{
	return strcmp(name, "SQL_CHECK") == 0;
}

static void assert_no_scan(sqlite3 *db, const struct statement_text *statement)
{
	char *sql = xasprintf("EXPLAIN QUERY PLAN %s", statement->text);
	sqlite3_stmt *plan = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &plan, NULL) != SQLITE_OK)
		fail_msg("%s: %s", statement->name, sqlite3_errmsg(db));
	while (sqlite3_step(plan) == SQLITE_ROW) {
		const char *detail = (const char *)sqlite3_column_text(plan, 3);
		bool scans = strncmp(detail, "SCAN ", 5) == 0 &&
			     strcmp(detail, "SCAN CONSTANT ROW") != 0;

		if ((scans && !may_scan(statement->name)) || strstr(detail, "TEMP B-TREE"))
			fail_msg("%s: %s", statement->name, detail);
	}
	sqlite3_finalize(plan);
	free(sql);
}

static void no_statement_reads_a_whole_table(void **state)
{
	struct sqlite_fixture *fixture = *state;
	sqlite3 *db = NULL;

	metadata_store_free(open_index(fixture->path, false));
	assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
	for (size_t i = 0; i < array_size(statements); i++)
		assert_no_scan(db, &statements[i]);
	sqlite3_close(db);
}

/* An index that has only the repository in common would do for assert_no_scan, and
 * read all of a repository's rows. */
static void those_that_an_index_was_made_for_use_all_of_it(void **state)
{
	static const struct {
		enum sqlite_statement statement;
		const char *key;
	} expected[] = {
		{SQL_LIST_TAGS_OF, "tag_by_digest (repository=? AND digest=?)"},
		{SQL_LIST_LINKS_OF, "link_by_digest (digest=?)"},
		{SQL_REMOVE_LISTED, "listed_by_manifest (repository=? AND manifest=?)"},
		{SQL_REMOVE_REFERRER, "referrer_by_manifest (repository=? AND manifest=?)"},
		{SQL_LIST_REFERRERS, "(repository=? AND subject=? AND manifest>?)"},
		{SQL_LIST_IDLE, "COVERING INDEX used_by_age (used_at<?)"},
		{SQL_LIST_UPLOADS, "COVERING INDEX upload_by_age (touched_at<?)"},
	};
	struct sqlite_fixture *fixture = *state;
	sqlite3 *db = NULL;

	metadata_store_free(open_index(fixture->path, false));
	assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
	for (size_t i = 0; i < array_size(expected); i++) {
		char *sql =
			xasprintf("EXPLAIN QUERY PLAN %s", statements[expected[i].statement].text);
		sqlite3_stmt *plan = NULL;

		assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &plan, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_step(plan), SQLITE_ROW);
		if (!strstr((const char *)sqlite3_column_text(plan, 3), expected[i].key))
			fail_msg("%s: %s", statements[expected[i].statement].name,
				 (const char *)sqlite3_column_text(plan, 3));
		sqlite3_finalize(plan);
		free(sql);
	}
	sqlite3_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SQLITE_TEST(an_older_index_is_brought_up_to_date),
		SQLITE_TEST(usage_begins_with_what_is_there),
		SQLITE_TEST(a_step_that_fails_leaves_the_older_index),
		SQLITE_TEST(an_index_brought_up_to_date_is_like_a_new_one),
		SQLITE_TEST(no_statement_reads_a_whole_table),
		SQLITE_TEST(those_that_an_index_was_made_for_use_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
