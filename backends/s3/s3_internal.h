/* What the files of the S3 object store share. */
#ifndef BACKENDS_S3_S3_INTERNAL_H
#define BACKENDS_S3_S3_INTERNAL_H

#include "backends/object_store.h"
#include "backends/s3/s3_record.h"
#include "backends/s3/s3_transport.h"
#include "server/base/memory.h"
#include "server/base/work_pool.h"

#include <pthread.h>

#define S3_KEY_SIZE (S3_KEY_MAX + 1)
#define S3_DATA "data/" /* the store's own keys */
#define S3_BLOBS "blobs/" /* the keys that may be records */
#define S3_LIST_PAGE 1000u

struct s3_store {
	struct object_store base;
	struct object_store_ops ops; /* a copy, with the transport's name */
	struct s3_transport *transport;
	char *prefix; /* "" or with '/' at its end */
	uint64_t part_size;
	struct work_pool *senders; /* of parts; one thread each in flight */
	unsigned parts_in_flight;
};

static inline struct s3_store *s3_store_of(struct object_store *store)
{
	return container_of(store, struct s3_store, base);
}

static inline bool s3_has_multipart(const struct s3_store *store)
{
	return store->transport->ops->multipart_create != NULL;
}

/* The key in the bucket; BW_INVALID when it is too long or the store's own. */
enum status s3_full_key(const struct s3_store *store, const char *key, char target[S3_KEY_SIZE],
			struct error *error);
/* "<prefix>data/<upload>/<name>"; `name` may be "". Always fits: the store's prefix is
 * bounded so that it does. */
void s3_data_key(const struct s3_store *store, const char *upload, const char *name,
		 char target[S3_KEY_SIZE]);

/* Reads a whole small object. BW_TOO_LARGE over `target`'s maximum. */
enum status s3_read_small(struct s3_store *store, const char *full_key, struct buf *target,
			  struct s3_head *ret_head, struct error *error);
/* The record under a key; BW_ABSENT also when the object there is none. */
enum status s3_read_record(struct s3_store *store, const char *full_key,
			   struct s3_record *ret_record, struct error *error);
/* The same from a body that is open at its first byte, and that ends with it. */
enum status s3_read_record_body(struct s3_body *body, const char *full_key,
				struct s3_record *ret_record, struct error *error);
/* Removes any number of keys of one data folder, markers last (they sort first, and
 * are found by the next who looks when we die in between). */
enum status s3_remove_names(struct s3_store *store, const char *upload, char *const *names,
			    size_t count, struct error *error);

/* ---- s3_reader.c ---- */

/* A run of bytes of one object each. */
struct s3_run {
	char *key; /* in the bucket; owned */
	uint64_t size;
	char etag[S3_ETAG_MAX]; /* "": not known yet */
};
/* Of a record's extents, in data/<upload>/; the caller's. */
struct s3_run *s3_runs_of(const struct s3_store *store, const char *upload,
			  const struct s3_record *record);
/* Takes the runs and the body, which is at the first byte of the first run, or NULL;
 * it holds `body_length` bytes. `key` is for messages. */
struct object_reader *s3_reader_new(struct s3_store *store, const char *key, struct s3_run *runs,
				    size_t run_count, struct object_info info, struct s3_body *body,
				    uint64_t body_length);
enum status s3_open(struct object_store *base, const char *key, struct object_reader **ret_reader,
		    struct error *error);

/* ---- s3_sink.c: the bytes of one object, whose number is not known yet ---- */

struct s3_sink;
enum s3_sink_kind {
	S3_SINK_OBJECT, /* one object, whatever it takes; the last one wins */
	S3_SINK_SEGMENTS, /* where there is no multipart: "<key>", "<key>.0001", ... */
};
struct s3_sink *s3_sink_new(struct s3_store *store, const char *full_key, enum s3_sink_kind kind);
/* SHA-256 of all the bytes, for the store to check them when it is one PUT. */
void s3_sink_expect(struct s3_sink *sink, const unsigned char sha256[32]);
/* Where the next bytes may be put, at least one; s3_sink_advance takes them. */
enum status s3_sink_reserve(struct s3_sink *sink, void **ret_room, size_t *ret_length,
			    struct error *error);
void s3_sink_advance(struct s3_sink *sink, size_t length);
enum status s3_sink_write(struct s3_sink *sink, const void *bytes, size_t length,
			  struct error *error);
uint64_t s3_sink_size(const struct s3_sink *sink);
/* Stored whole, and asked whether it is. Frees the sink, also on failure, when nothing
 * is left. */
enum status s3_sink_finish(struct s3_sink *sink, struct error *error);
void s3_sink_abort(struct s3_sink *sink);

/* ---- s3_writer.c ---- */
enum status s3_put(struct object_store *base, const char *key, const void *bytes, size_t length,
		   enum put_mode mode, struct error *error);
enum status s3_create(struct object_store *base, const char *key, struct object_writer **ret_writer,
		      struct error *error);
enum status s3_adopt(struct object_store *base, const char *key, const char *path,
		     struct error *error);

/* ---- s3_parts.c ---- */
enum status s3_part_create(struct object_store *base, const char *upload, unsigned part_number,
			   struct part_writer **ret_writer, struct error *error);
enum status s3_part_open(struct object_store *base, const char *upload,
			 const struct object_part *part, struct object_reader **ret_reader,
			 struct error *error);
enum status s3_part_remove(struct object_store *base, const char *upload,
			   const struct object_part *part, struct error *error);

/* ---- s3_commit.c ---- */
enum status s3_parts_commit(struct object_store *base, const char *upload,
			    const struct object_part *parts, size_t count, const char *key,
			    struct error *error);
enum status s3_parts_discard(struct object_store *base, const char *upload, struct error *error);
/* Frees an object of any kind; BW_OK when it is not there. */
enum status s3_remove(struct object_store *base, const char *key, struct error *error);

/* ---- s3_list.c ---- */
enum status s3_list(struct object_store *base, const char *prefix, const char *start_after,
		    object_list_fn fn, void *context, struct error *error);
enum status s3_parts_list(struct object_store *base, part_list_fn fn, void *context,
			  struct error *error);

/* ---- s3_folder.c: what lies in data/<upload>/ ---- */

#define S3_COMMIT_MARK "-commit-" /* and something unique: each attempt has its own */
#define S3_COMMIT_NAME_SIZE (sizeof(S3_COMMIT_MARK) + 16)
#define S3_DISCARD_MARK "-discard"
#define S3_DONE_MARK "-done"

struct s3_item {
	char *name; /* owned */
	uint64_t size;
	int64_t stored_at; /* of the store's clock */
};
struct s3_folder {
	struct s3_item *items; /* parts and markers, in byte order: markers first */
	size_t count;
	bool is_discarded;
	bool is_done;
	bool is_committing; /* some commit marker is there */
};
enum status s3_folder_read(struct s3_store *store, const char *upload, struct s3_folder *ret_folder,
			   struct error *error);
void s3_folder_release(struct s3_folder *folder);
/* Appends the objects that a part consists of to the record (their own sizes). BW_ABSENT
 * when it is not there, BW_CORRUPT when it has another size. */
enum status s3_folder_find(const struct s3_folder *folder, const char *upload,
			   const struct object_part *part, struct s3_record *record,
			   struct error *error);
void s3_commit_name(char target[S3_COMMIT_NAME_SIZE]);
/* Puts a marker; its body says what for. */
enum status s3_mark(struct s3_store *store, const char *upload, const char *name, const char *body,
		    struct error *error);

#endif
