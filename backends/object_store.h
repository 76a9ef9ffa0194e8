/*
 * Where bytes are kept: the truth of the whole system.
 *
 * An object is an immutable run of bytes under a key. A key is one or more
 * segments of [A-Za-z0-9._-] (a colon is written as such too) joined by '/',
 * at most OBJECT_KEY_MAX bytes; callers build keys only from parsed names and
 * digests. There is no rename, no append and no partial overwrite, because
 * S3 has none; there is no directory, only prefixes.
 *
 * Three answers: BW_OK found, BW_ABSENT not there (the store was asked and
 * knows), everything else: could not tell. A store never turns the third into
 * the second.
 *
 * An object is either whole or absent: put, commit and adopt make it visible
 * in one step, and only after its bytes are durable. When they return BW_OK a
 * power cut does not lose the object.
 *
 * Every operation may be called from any number of threads at once; one
 * writer or reader belongs to one thread at a time. Implementations embed
 * `struct object_store` first. Use the wrappers below the table, not the table.
 */
#ifndef BACKENDS_OBJECT_STORE_H
#define BACKENDS_OBJECT_STORE_H

#include "server/base/clock.h"
#include "server/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OBJECT_KEY_MAX 1024

struct object_store;
struct object_reader;
struct object_writer;

enum put_mode {
	PUT_REPLACE, /* the last one to finish wins */
	PUT_IF_ABSENT, /* BW_CONFLICT when the key exists; exactly one of many wins */
};

struct object_info {
	uint64_t size; /* bytes */
	int64_t stored_at; /* wall-clock ms when it became visible */
};

/* Called once per object in key order; return false to stop the listing. */
typedef bool (*object_list_fn)(void *context, const char *key, const struct object_info *info);

struct object_store_ops {
	const char *name; /* "filesystem", "memory", "s3": the metrics' label */

	/* Is the key there, and how large? */
	enum status (*stat)(struct object_store *store, const char *key,
			    struct object_info *ret_info, struct error *error);

	/* Opens for reading. BW_OK: *ret_reader is the caller's to close. An
	 * object deleted while it is open either reads on to its end or fails;
	 * it never ends early as if whole. */
	enum status (*open)(struct object_store *store, const char *key,
			    struct object_reader **ret_reader, struct error *error);

	/* Stores `length` bytes in one step. For small objects (records). Where
	 * names are folders, a key that is a folder of other keys, or lies below
	 * another key, is BW_INVALID: S3 would take it, but no layout of ours
	 * needs it. The same goes for create (told at commit) and adopt. */
	enum status (*put)(struct object_store *store, const char *key, const void *bytes,
			   size_t length, enum put_mode mode, struct error *error);

	/* Starts an object whose size is not known yet. Nothing is visible until
	 * commit. BW_OK: *ret_writer must be given to commit or abort. */
	enum status (*create)(struct object_store *store, const char *key,
			      struct object_writer **ret_writer, struct error *error);

	/* Takes a finished local file as the object's bytes. On BW_OK the file
	 * is gone from `path` (moved, or copied and unlinked); on failure it is
	 * still there and still the caller's. A key that exists already is kept
	 * as it is and counts as success: callers adopt under a digest. NULL, or
	 * BW_UNSUPPORTED (a file of another filesystem): the wrapper copies
	 * through create/write/commit. */
	enum status (*adopt)(struct object_store *store, const char *key, const char *path,
			     struct error *error);

	/* Deleting what is not there is BW_OK. Durable when it returns. */
	enum status (*remove)(struct object_store *store, const char *key, struct error *error);

	/* Lists keys that begin with `prefix` (any string), in byte order, those
	 * after `start_after` only ("" for all). Objects that come or go meanwhile
	 * may or may not be seen. `fn` must not call the store. */
	enum status (*list)(struct object_store *store, const char *prefix, const char *start_after,
			    object_list_fn fn, void *context, struct error *error);

	/* Can the store be read and written now? For /readyz and start-up; cheap
	 * enough for once a second. */
	enum status (*check)(struct object_store *store, struct error *error);

	/* Frees the store; nothing may be open. */
	void (*free)(struct object_store *store);
};

struct object_store {
	const struct object_store_ops *ops;
};

struct object_reader_ops {
	/* Reads up to `length` bytes at `offset`, fewer only at the object's end;
	 * 0 in *ret_length at or after the end. Blocks at most until `deadline`. */
	enum status (*read)(struct object_reader *reader, uint64_t offset, void *target,
			    size_t length, deadline_ms deadline, size_t *ret_length,
			    struct error *error);

	/* A file descriptor whose offset 0 is the object's first byte, good for
	 * sendfile(2) until close; never to be written, closed or moved by the
	 * caller. NULL where bytes do not lie in a file. */
	int (*file)(struct object_reader *reader);

	void (*close)(struct object_reader *reader);
};

struct object_reader {
	const struct object_reader_ops *ops;
	struct object_info info;
};

struct object_writer_ops {
	enum status (*write)(struct object_writer *writer, const void *bytes, size_t length,
			     struct error *error);
	/* Makes the object visible, replacing one under the same key. Frees the
	 * writer whatever it returns; on failure nothing is left. */
	enum status (*commit)(struct object_writer *writer, struct error *error);
	/* Frees the writer; nothing is left. */
	void (*abort)(struct object_writer *writer);
};

struct object_writer {
	const struct object_writer_ops *ops;
};

/* ---- what callers use ------------------------------------------------- */

/* True for a key as described above; the wrappers refuse others with
 * BW_INVALID ("." and ".." segments, empty segments, a leading '/'). */
bool object_key_valid(const char *key);

/* object_get gives up after this long; records are small. */
#define OBJECT_GET_TIMEOUT_MS 30000

enum status object_stat(struct object_store *store, const char *key, struct object_info *ret_info,
			struct error *error);
enum status object_open(struct object_store *store, const char *key,
			struct object_reader **ret_reader, struct error *error);
enum status object_put(struct object_store *store, const char *key, const void *bytes,
		       size_t length, enum put_mode mode, struct error *error);
enum status object_create(struct object_store *store, const char *key,
			  struct object_writer **ret_writer, struct error *error);
enum status object_adopt(struct object_store *store, const char *key, const char *path,
			 struct error *error);
enum status object_remove(struct object_store *store, const char *key, struct error *error);
enum status object_list(struct object_store *store, const char *prefix, const char *start_after,
			object_list_fn fn, void *context, struct error *error);

/* The whole object, NUL-terminated, when it is at most `max` bytes
 * (BW_TOO_LARGE otherwise). The caller frees *ret_bytes. */
enum status object_get(struct object_store *store, const char *key, size_t max, char **ret_bytes,
		       size_t *ret_length, struct error *error);

static inline enum status object_check(struct object_store *store, struct error *error)
{
	return store->ops->check(store, error);
}

static inline void object_store_free(struct object_store *store)
{
	if (store)
		store->ops->free(store);
}

static inline enum status object_read(struct object_reader *reader, uint64_t offset, void *target,
				      size_t length, deadline_ms deadline, size_t *ret_length,
				      struct error *error)
{
	return reader->ops->read(reader, offset, target, length, deadline, ret_length, error);
}

/* -1 where the bytes do not lie in a file. */
static inline int object_reader_file(struct object_reader *reader)
{
	return reader->ops->file ? reader->ops->file(reader) : -1;
}

static inline void object_close(struct object_reader *reader)
{
	if (reader)
		reader->ops->close(reader);
}

static inline enum status object_write(struct object_writer *writer, const void *bytes,
				       size_t length, struct error *error)
{
	return writer->ops->write(writer, bytes, length, error);
}

static inline enum status object_commit(struct object_writer *writer, struct error *error)
{
	return writer->ops->commit(writer, error);
}

static inline void object_abort(struct object_writer *writer)
{
	if (writer)
		writer->ops->abort(writer);
}

#endif
