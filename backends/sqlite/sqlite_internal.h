/*
 * What the files of the SQLite index share: the statements, and borrowing a
 * connection that has them prepared.
 */
#ifndef BACKENDS_SQLITE_SQLITE_INTERNAL_H
#define BACKENDS_SQLITE_SQLITE_INTERNAL_H

#include "backends/metadata_store.h"
#include "backends/sqlite/sqlite_store.h"
#include "server/base/clock.h"
#include "server/base/memory.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

/* How long anybody waits, for a connection or for another process's lock. */
#define SQLITE_WAIT_MS 5000

/* Digests are bound as their bytes: 32 are SHA-256, 64 SHA-512. A listing with
 * an empty manifest is a link; x'' stands in the text, which is what lets SQLite
 * use the index over links alone. A referrer's digest is bound as text, whose order
 * is the one referrers are listed in. What is put again unchanged writes nothing. */
#define STATEMENTS(X) \
	X(SQL_BEGIN, "BEGIN IMMEDIATE") \
	X(SQL_COMMIT, "COMMIT") \
	X(SQL_ROLLBACK, "ROLLBACK") \
	X(SQL_CHECK, "SELECT 1 FROM tag LIMIT 1") \
	X(SQL_GET_TAG, "SELECT digest, version, stored_at, validated_at, pending FROM tag" \
		       " WHERE repository = ?1 AND tag = ?2") \
	X(SQL_PUT_TAG, "INSERT INTO tag (repository, tag, digest, version, stored_at," \
		       " validated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)" \
		       " ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest," \
		       " version = excluded.version, stored_at = excluded.stored_at," \
		       " validated_at = excluded.validated_at," \
		       " pending = CASE WHEN pending > excluded.version THEN pending ELSE 0 END" \
		       " WHERE excluded.version > tag.version") \
	X(SQL_BEGIN_TAG, "UPDATE tag SET pending = ?3 WHERE repository = ?1 AND tag = ?2" \
			 " AND version < ?3 AND pending < ?3") \
	X(SQL_TOUCH_TAG, "UPDATE tag SET validated_at = ?4" \
			 " WHERE repository = ?1 AND tag = ?2 AND version = ?3") \
	X(SQL_REMOVE_TAG, "DELETE FROM tag" \
			  " WHERE repository = ?1 AND tag = ?2 AND version <= ?3") \
	X(SQL_LIST_TAGS, "SELECT tag FROM tag WHERE repository = ?1 AND tag > ?2" \
			 " ORDER BY tag LIMIT ?3") \
	X(SQL_LIST_TAGS_OF, "SELECT tag FROM tag WHERE repository = ?1 AND digest = ?2" \
			    " ORDER BY tag LIMIT ?3") \
	X(SQL_GET_MANIFEST, "SELECT media_type, stored_at, body FROM manifest" \
			    " WHERE repository = ?1 AND digest = ?2") \
	X(SQL_PUT_MANIFEST, "INSERT INTO manifest (repository, digest, media_type, stored_at," \
			    " body) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING") \
	X(SQL_REMOVE_MANIFEST, "DELETE FROM manifest WHERE repository = ?1 AND digest = ?2") \
	X(SQL_TOUCH_MANIFEST, "INSERT INTO used (repository, digest, used_at)" \
			      " SELECT repository, digest, ?3 FROM manifest" \
			      " WHERE repository = ?1 AND digest = ?2" \
			      " ON CONFLICT (repository, digest)" \
			      " DO UPDATE SET used_at = excluded.used_at" \
			      " WHERE excluded.used_at > used.used_at") \
	X(SQL_LIST_IDLE, "SELECT repository, digest, used_at FROM used WHERE used_at < ?1" \
			 " ORDER BY used_at, repository, digest LIMIT ?2") \
	X(SQL_LIST_HOLDERS_OF, "SELECT repository FROM listed WHERE digest = ?1" \
			       " UNION SELECT repository FROM manifest WHERE digest = ?1" \
			       " ORDER BY repository LIMIT ?2") \
	X(SQL_GET_USAGE, "SELECT bytes, linked_bytes FROM usage WHERE id = 1") \
	X(SQL_PUT_REFERRER, "INSERT INTO referrer (repository, subject, manifest, descriptor)" \
			    " VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING") \
	X(SQL_REMOVE_REFERRER, "DELETE FROM referrer WHERE repository = ?1 AND manifest = ?2") \
	X(SQL_LIST_REFERRERS, "SELECT manifest, descriptor FROM referrer" \
			      " WHERE repository = ?1 AND subject = ?2 AND manifest > ?3" \
			      " ORDER BY manifest") \
	X(SQL_GET_LISTED, "SELECT size FROM listed WHERE repository = ?1 AND digest = ?2" \
			  " LIMIT 1") \
	X(SQL_PUT_LISTED, "INSERT INTO listed (repository, digest, manifest, size)" \
			  " VALUES (?1, ?2, ?3, ?4)" \
			  " ON CONFLICT (repository, digest, manifest)" \
			  " DO UPDATE SET size = excluded.size" \
			  " WHERE excluded.size <> listed.size") \
	X(SQL_REMOVE_LISTED, "DELETE FROM listed WHERE repository = ?1 AND manifest = ?2") \
	X(SQL_GET_LINK, "SELECT size FROM listed WHERE repository = ?1 AND digest = ?2" \
			" AND manifest = x''") \
	X(SQL_REMOVE_LINK, "DELETE FROM listed WHERE repository = ?1 AND digest = ?2" \
			   " AND manifest = x''") \
	X(SQL_LIST_LINKS_OF, "SELECT repository FROM listed WHERE digest = ?1" \
			     " AND manifest = x'' ORDER BY repository LIMIT ?2") \
	X(SQL_GET_REPOSITORY, "SELECT 1 FROM repository WHERE name = ?1") \
	X(SQL_PUT_REPOSITORY, "INSERT INTO repository (name) VALUES (?1)" \
			      " ON CONFLICT DO NOTHING") \
	X(SQL_REMOVE_REPOSITORY, "DELETE FROM repository WHERE name = ?1") \
	X(SQL_LIST_REPOSITORIES, "SELECT name FROM repository WHERE name > ?1" \
				 " ORDER BY name LIMIT ?2") \
	X(SQL_IN_USE, "SELECT 1 WHERE EXISTS (SELECT 1 FROM tag WHERE repository = ?1)" \
		      " OR EXISTS (SELECT 1 FROM manifest WHERE repository = ?1)" \
		      " OR EXISTS (SELECT 1 FROM listed WHERE repository = ?1" \
		      " AND manifest = x'')") \
	X(SQL_CREATE_UPLOAD, "INSERT INTO upload (id, repository, caller, revision, started_at," \
			     " touched_at, state) VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6)" \
			     " ON CONFLICT DO NOTHING") \
	X(SQL_GET_UPLOAD, "SELECT repository, caller, revision, started_at, touched_at, state" \
			  " FROM upload WHERE id = ?1") \
	X(SQL_ADVANCE_UPLOAD, "UPDATE upload SET revision = revision + 1, touched_at = ?3," \
			      " state = ?4 WHERE id = ?1 AND revision = ?2") \
	X(SQL_HAS_UPLOAD, "SELECT 1 FROM upload WHERE id = ?1") \
	X(SQL_REMOVE_UPLOAD, "DELETE FROM upload WHERE id = ?1") \
	X(SQL_LIST_UPLOADS, "SELECT id FROM upload WHERE touched_at < ?1" \
			    " ORDER BY touched_at, id LIMIT ?2") \
	X(SQL_GET_MARK, "SELECT value FROM mark WHERE name = ?1") \
	X(SQL_PUT_MARK, "INSERT INTO mark (name, value) VALUES (?1, ?2)" \
			" ON CONFLICT (name) DO UPDATE SET value = excluded.value") \
	X(SQL_GET_BLOB, "SELECT size FROM blob WHERE digest = ?1") \
	X(SQL_PUT_BLOB, "INSERT INTO blob (digest, size, stored_at) VALUES (?1, ?2, ?3)" \
			" ON CONFLICT (digest) DO UPDATE SET size = excluded.size" \
			" WHERE excluded.size <> blob.size") \
	X(SQL_REMOVE_BLOB, "DELETE FROM blob WHERE digest = ?1") \
	X(SQL_GET_DOCUMENT, "SELECT media_type, validated_at, body FROM document" \
			    " WHERE repository = ?1 AND kind = ?2 AND key = ?3") \
	X(SQL_PUT_DOCUMENT, "INSERT INTO document (repository, kind, key, media_type," \
			    " validated_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)" \
			    " ON CONFLICT (repository, kind, key) DO UPDATE SET" \
			    " media_type = excluded.media_type," \
			    " validated_at = excluded.validated_at, body = excluded.body")

#define STATEMENT_ENUM(id, text) id,
enum sqlite_statement { STATEMENTS(STATEMENT_ENUM) SQL_COUNT };
#undef STATEMENT_ENUM

/* Belongs to the thread that borrowed it until it is given back. */
struct sqlite_connection {
	struct sqlite_connection *next; /* among those nobody uses */
	sqlite3 *db;
	sqlite3_stmt *statements[SQL_COUNT]; /* prepared at first use */
};

struct sqlite_store {
	struct metadata_store base;
	char *path;
	int in_use; /* the descriptor that tells other processes; see sqlite_open.c */
	atomic_bool suspect; /* PATH.suspect was written */

	/* Covers what follows. Connections are opened and used outside it. */
	pthread_mutex_t lock;
	pthread_cond_t writer_back;
	pthread_cond_t reader_back;
	struct sqlite_connection *writer; /* NULL while borrowed */
	struct sqlite_connection *idle; /* readers, the last used first */
	unsigned readers; /* idle and borrowed */
};

static inline struct sqlite_store *sqlite_store_of(struct metadata_store *store)
{
	return container_of(store, struct sqlite_store, base);
}

/* ---- sqlite_schema.c ---- */

/* Makes the tables of a new file, or brings those of an older version up to date,
 * in one transaction. */
enum status sqlite_schema_prepare(sqlite3 *db, const char *path, struct error *error);

/* What a connection to `path` said last. */
enum status sqlite_db_failed(sqlite3 *db, const char *path, struct error *error);
enum status sqlite_script(sqlite3 *db, const char *path, const char *sql, struct error *error);

/* ---- sqlite_open.c ---- */

/* Opens a file that is known to be fine, with our settings. */
enum status sqlite_open_more(const char *path, sqlite3 **ret_db, struct error *error);
/* Makes or opens the file for the first connection of a store, setting a damaged
 * one aside unless somebody else is using it. *ret_in_use is to be closed after
 * the last connection. */
enum status sqlite_open_first(const char *path, sqlite3 **ret_db, int *ret_in_use,
			      bool *ret_rebuilt, struct error *error);
/* Makes the next start look closely; best effort. */
void sqlite_mark_suspect(const char *path);

/* ---- sqlite_connection.c ---- */

struct sqlite_connection *sqlite_connection_new(sqlite3 *db);
void sqlite_connection_free(struct sqlite_connection *connection);

enum sqlite_purpose {
	FOR_READING,
	FOR_WRITING,
	FOR_WRITING_DURABLY, /* a power cut takes nothing of it, nor of what came before */
};

/* One use of one statement, or several in a transaction: a borrowed connection
 * and what became of it. Begin, run, then end in any case. */
struct sqlite_call {
	struct sqlite_store *store;
	struct sqlite_connection *connection;
	enum sqlite_purpose purpose;
	sqlite3_stmt *statement; /* the one chosen last */
	struct error *error;
};

enum status sqlite_begin(struct sqlite_call *call, struct metadata_store *base,
			 enum sqlite_purpose purpose, struct error *error);
void sqlite_end(struct sqlite_call *call);

/* Chooses the statement to bind to and run. NULL-safe use afterwards: failures
 * to prepare or bind are told by sqlite_row and sqlite_run. */
void sqlite_use(struct sqlite_call *call, enum sqlite_statement statement);
/* Strings and bytes must stay until the statement has run. */
void sqlite_bind_string(struct sqlite_call *call, int index, const char *string);
void sqlite_bind_bytes(struct sqlite_call *call, int index, const void *bytes, size_t length);
void sqlite_bind_number(struct sqlite_call *call, int index, int64_t number);
void sqlite_bind_digest(struct sqlite_call *call, int index, const struct digest *digest);

/* BW_OK: there is a row; BW_ABSENT, with no error set: no more. */
enum status sqlite_row(struct sqlite_call *call);
/* Runs a statement that gives no rows; *ret_changes (may be NULL) rows changed. */
enum status sqlite_run(struct sqlite_call *call, int *ret_changes);

/* Runs the statement to its end, or until fn stops it, and gives each row's first
 * column to fn. */
enum status sqlite_each_name(struct sqlite_call *call, bool (*fn)(void *context, const char *name),
			     void *context);

enum status sqlite_transaction_begin(struct sqlite_call *call);
/* Commits when `status` is BW_OK, else rolls back and returns it. */
enum status sqlite_transaction_end(struct sqlite_call *call, enum status status);

/* A column of the row, copied. False when the database holds nonsense there. */
bool sqlite_column_digest(struct sqlite_call *call, int column, struct digest *ret);
/* NUL-terminated; the caller frees it. */
char *sqlite_column_body(struct sqlite_call *call, int column, size_t *ret_length);
void sqlite_column_media_type(struct sqlite_call *call, int column, char target[MEDIA_TYPE_MAX]);

/* BW_CORRUPT for a row that we could not have written. */
enum status sqlite_nonsense(struct sqlite_call *call);

enum status sqlite_status(int code);
/* BW_INVALID for what SQLite's integers cannot hold. */
enum status sqlite_check_number(uint64_t number, struct error *error);

/* ---- the operations of the table, by file ---- */

/* sqlite_tags.c */
enum status sqlite_begin_tag(struct metadata_store *base, const char *repository, const char *tag,
			     uint64_t version, struct error *error);
enum status sqlite_get_tag(struct metadata_store *base, const char *repository, const char *tag,
			   struct tag_entry *ret, struct error *error);
enum status sqlite_put_tag(struct metadata_store *base, const char *repository, const char *tag,
			   const struct tag_entry *entry, struct error *error);
enum status sqlite_touch_tag(struct metadata_store *base, const char *repository, const char *tag,
			     uint64_t version, int64_t validated_at, struct error *error);
enum status sqlite_remove_tag(struct metadata_store *base, const char *repository, const char *tag,
			      uint64_t version, struct error *error);
enum status sqlite_list_tags(struct metadata_store *base, const char *repository, const char *after,
			     unsigned limit, tag_list_fn fn, void *context, struct error *error);
enum status sqlite_list_tags_of(struct metadata_store *base, const char *repository,
				const struct digest *digest, unsigned limit, tag_list_fn fn,
				void *context, struct error *error);

/* sqlite_manifests.c: manifests, and their referrers */
enum status sqlite_get_manifest(struct metadata_store *base, const char *repository,
				const struct digest *digest, struct manifest_entry *ret,
				struct error *error);
enum status sqlite_put_manifest(struct metadata_store *base, const char *repository,
				const struct manifest_entry *entry,
				const struct listed_content *listed, size_t listed_count,
				struct error *error);
enum status sqlite_remove_manifest(struct metadata_store *base, const char *repository,
				   const struct digest *digest, struct error *error);
enum status sqlite_list_referrers(struct metadata_store *base, const char *repository,
				  const struct digest *subject, const struct digest *after,
				  referrer_list_fn fn, void *context, struct error *error);

/* sqlite_use.c: what was last used when, how much there is */
enum status sqlite_touch_manifests(struct metadata_store *base, const char *repository,
				   const struct digest *digests, size_t count, int64_t used_at,
				   struct error *error);
enum status sqlite_list_idle_manifests(struct metadata_store *base, int64_t used_before,
				       unsigned limit, idle_list_fn fn, void *context,
				       struct error *error);
enum status sqlite_get_usage(struct metadata_store *base, struct usage *ret, struct error *error);

/* sqlite_links.c: what may be read where, and who has it */
enum status sqlite_put_listed(struct sqlite_call *call, const char *repository,
			      const struct listed_content *listed, const struct digest *manifest);
enum status sqlite_get_listed(struct metadata_store *base, const char *repository,
			      const struct digest *digest, uint64_t *ret_size, struct error *error);
enum status sqlite_put_link(struct metadata_store *base, const char *repository,
			    const struct listed_content *link, struct error *error);

enum status sqlite_get_link(struct metadata_store *base, const char *repository,
			    const struct digest *digest, uint64_t *ret_size, struct error *error);
enum status sqlite_remove_link(struct metadata_store *base, const char *repository,
			       const struct digest *digest, struct error *error);
enum status sqlite_list_links_of(struct metadata_store *base, const struct digest *digest,
				 unsigned limit, repository_list_fn fn, void *context,
				 struct error *error);
enum status sqlite_list_holders_of(struct metadata_store *base, const struct digest *digest,
				   unsigned limit, repository_list_fn fn, void *context,
				   struct error *error);

/* sqlite_catalog.c: the catalog, and marks */
enum status sqlite_get_repository(struct metadata_store *base, const char *repository,
				  struct error *error);
enum status sqlite_put_repository(struct metadata_store *base, const char *repository,
				  struct error *error);
enum status sqlite_remove_repository(struct metadata_store *base, const char *repository,
				     struct error *error);
enum status sqlite_list_repositories(struct metadata_store *base, const char *after, unsigned limit,
				     repository_list_fn fn, void *context, struct error *error);
enum status sqlite_get_mark(struct metadata_store *base, const char *name, int64_t *ret_value,
			    struct error *error);
enum status sqlite_put_mark(struct metadata_store *base, const char *name, int64_t value,
			    struct error *error);

/* sqlite_uploads.c */
enum status sqlite_create_upload(struct metadata_store *base, const char *id,
				 const struct upload_entry *entry, struct error *error);
enum status sqlite_get_upload(struct metadata_store *base, const char *id, struct upload_entry *ret,
			      struct error *error);
enum status sqlite_advance_upload(struct metadata_store *base, const char *id,
				  const struct upload_entry *entry, struct error *error);
enum status sqlite_remove_upload(struct metadata_store *base, const char *id, struct error *error);
enum status sqlite_list_uploads(struct metadata_store *base, int64_t touched_before, unsigned limit,
				upload_list_fn fn, void *context, struct error *error);

/* sqlite_blobs.c */
enum status sqlite_get_blob(struct metadata_store *base, const struct digest *digest,
			    uint64_t *ret_size, struct error *error);
enum status sqlite_put_blob(struct metadata_store *base, const struct digest *digest, uint64_t size,
			    int64_t stored_at, struct error *error);
enum status sqlite_remove_blob(struct metadata_store *base, const struct digest *digest,
			       struct error *error);

/* sqlite_documents.c */
enum status sqlite_get_document(struct metadata_store *base, const char *repository,
				const char *kind, const char *key, struct document_entry *ret,
				struct error *error);
enum status sqlite_put_document(struct metadata_store *base, const char *repository,
				const char *kind, const char *key,
				const struct document_entry *entry, struct error *error);

#endif
