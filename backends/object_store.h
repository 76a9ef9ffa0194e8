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
	/* As PUT_REPLACE, but a power cut (not the death of the process) may take
	 * the object until the next operation that promises durability has returned
	 * BW_OK to the same caller: that one makes this one durable first. What is
	 * written together is flushed together. */
	PUT_REPLACE_SOON,
};

struct object_info {
	uint64_t size; /* bytes */
	int64_t stored_at; /* wall-clock ms when it became visible; S3 tells seconds */
};

/* Called once per object in key order; return false to stop the listing. */
typedef bool (*object_list_fn)(void *context, const char *key, const struct object_info *info);

/* ---- parts ----
 *
 * The bytes of an upload before their digest is known. Each request of an upload
 * writes one part, whichever process it reaches; who sent which bytes in which
 * order is the caller's to remember (a row of the metadata store), and the store
 * makes one object of the parts that the caller names. Parts that nobody names
 * cost space until parts_discard and nothing else: two requests that write at
 * once write two parts, and only one of them is ever named.
 *
 * `upload` is 1 to 64 of [0-9a-f], chosen by the caller and never used twice. Parts
 * are not objects: stat, open and list do not know them.
 */
#define PART_NAME_SIZE 96

/* Where a part's bytes are, in the store's own words. Plain data: it may be
 * written down and handed to the store of another process. */
struct object_part {
	uint64_t size; /* bytes */
	char name[PART_NAME_SIZE]; /* printable ASCII without quotes or backslashes */
};

struct part_writer;

/* Called once per upload that has parts; `newest_at` is when the youngest of
 * them was last written (wall-clock ms). Return false to stop. */
typedef bool (*part_list_fn)(void *context, const char *upload, int64_t newest_at);

struct object_store_ops {
	const char *name; /* "filesystem", "memory", "s3": the metrics' label */
	uint64_t part_min_size; /* of every part but the last one, in bytes; 0: any */

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

	/* A part that is `part_number`th of its upload (from 1; several writers may
	 * use one number). BW_OK: *ret_writer must be given to finish or abort. */
	enum status (*part_create)(struct object_store *store, const char *upload,
				   unsigned part_number, struct part_writer **ret_writer,
				   struct error *error);
	/* Reads a finished part back. BW_OK: *ret_reader is the caller's to close. */
	enum status (*part_open)(struct object_store *store, const char *upload,
				 const struct object_part *part, struct object_reader **ret_reader,
				 struct error *error);
	/* Frees one part that is not going to be named. Absent is BW_OK. */
	enum status (*part_remove)(struct object_store *store, const char *upload,
				   const struct object_part *part, struct error *error);
	/* The bytes of `count` parts (0: no bytes), in order, become the object
	 * `key`: whole or absent, and durable when it returns BW_OK. A key that exists
	 * already is kept and is BW_OK, even when the parts are gone: callers commit
	 * under a digest. BW_ABSENT: a part is gone, and so is the upload. BW_CORRUPT:
	 * a part has not the size it was finished with. After BW_OK the upload's
	 * parts are gone; after anything else they are still there, except for bytes
	 * that a disk refused: they may be lost although a second try would not say
	 * so, and are gone (BW_ABSENT from then on). */
	enum status (*parts_commit)(struct object_store *store, const char *upload,
				    const struct object_part *parts, size_t count, const char *key,
				    struct error *error);
	/* Frees whatever parts the upload has. None is BW_OK. */
	enum status (*parts_discard)(struct object_store *store, const char *upload,
				     struct error *error);
	/* Which uploads have parts? `fn` must not call the store. What writers left that
	 * died a day ago or earlier, and nobody can name, may be freed on the way. */
	enum status (*parts_list)(struct object_store *store, part_list_fn fn, void *context,
				  struct error *error);

	/* Deleting what is not there is BW_OK. Durable when it returns. */
	enum status (*remove)(struct object_store *store, const char *key, struct error *error);

	/* Lists keys that begin with `prefix` (any string), in byte order, those
	 * after `start_after` only ("" for all). Objects that come or go meanwhile
	 * may or may not be seen. `fn` must not call the store. */
	enum status (*list)(struct object_store *store, const char *prefix, const char *start_after,
			    object_list_fn fn, void *context, struct error *error);

	/* A URL under which anybody can GET the object's bytes from the store itself for
	 * the next `seconds` (1 to 604800). It is as good as a key: for one client, and no
	 * log. The caller frees *ret_url. NULL, or BW_UNSUPPORTED (bytes that lie in more
	 * than one piece): they have to be read here. */
	enum status (*presign)(struct object_store *store, const char *key, unsigned seconds,
			       char **ret_url, struct error *error);

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

struct part_writer_ops {
	enum status (*write)(struct part_writer *writer, const void *bytes, size_t length,
			     struct error *error);
	/* The part can be named from now on, by any process. A power cut may take
	 * it until parts_commit. Frees the writer whatever it returns; on failure
	 * nothing is left. */
	enum status (*finish)(struct part_writer *writer, struct object_part *ret_part,
			      struct error *error);
	/* Frees the writer; nothing is left. */
	void (*abort)(struct part_writer *writer);
};

struct part_writer {
	const struct part_writer_ops *ops;
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

/* BW_UNSUPPORTED also where the store has no such thing. */
enum status object_presign(struct object_store *store, const char *key, unsigned seconds,
			   char **ret_url, struct error *error);

/* The whole object, NUL-terminated, when it is at most `max` bytes
 * (BW_TOO_LARGE otherwise). The caller frees *ret_bytes. */
enum status object_get(struct object_store *store, const char *key, size_t max, char **ret_bytes,
		       size_t *ret_length, struct error *error);

/* 1 to 64 of [0-9a-f]; the wrappers refuse others with BW_INVALID, and parts whose
 * name is no part's. */
#define UPLOAD_ID_MAX 64
bool object_upload_valid(const char *upload);

enum status object_part_create(struct object_store *store, const char *upload, unsigned part_number,
			       struct part_writer **ret_writer, struct error *error);
enum status object_part_open(struct object_store *store, const char *upload,
			     const struct object_part *part, struct object_reader **ret_reader,
			     struct error *error);
enum status object_part_remove(struct object_store *store, const char *upload,
			       const struct object_part *part, struct error *error);
enum status object_parts_commit(struct object_store *store, const char *upload,
				const struct object_part *parts, size_t count, const char *key,
				struct error *error);

enum status object_parts_discard(struct object_store *store, const char *upload,
				 struct error *error);

static inline enum status object_parts_list(struct object_store *store, part_list_fn fn,
					    void *context, struct error *error)
{
	return store->ops->parts_list(store, fn, context, error);
}

static inline enum status object_part_write(struct part_writer *writer, const void *bytes,
					    size_t length, struct error *error)
{
	return writer->ops->write(writer, bytes, length, error);
}

static inline enum status object_part_finish(struct part_writer *writer,
					     struct object_part *ret_part, struct error *error)
{
	return writer->ops->finish(writer, ret_part, error);
}

static inline void object_part_abort(struct part_writer *writer)
{
	if (writer)
		writer->ops->abort(writer);
}

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
