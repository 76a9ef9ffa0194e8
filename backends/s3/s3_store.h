/*
 * Objects in a bucket of Amazon S3, MinIO, Ceph RGW or another store that speaks S3
 * with Signature V4, has conditional PUTs (`If-None-Match: *`) and is strongly
 * consistent. Any number of processes may use one bucket and prefix at once.
 *
 * Layout below the prefix:
 *   <key>                     an object's bytes, or a record of extents: where the bytes
 *                             of a blob are whose digest was known only at its end
 *                             (s3_record.h). S3 has no rename, and no byte is stored twice.
 *   data/<upload>/<n>-<r>     the bytes of one part of an upload; an extent of an object
 *                             once the upload is committed
 *   data/<upload>/-commit-<…> whoever removes parts looks at these first (s3_parts.c)
 *   data/<upload>/-discard
 *
 * "data/" is the store's own: as a key of the caller's it is BW_INVALID.
 *
 * Objects up to the part size are one PUT. Larger ones are multipart uploads, whose
 * parts are sent by a bounded number of threads; memory is a part size per writer and
 * one more per part in flight. An object counts as stored only after a HEAD has told
 * its size. Reading is one streaming GET per run of bytes, which goes on after a broken
 * connection, and notices an object that was replaced meanwhile.
 */
#ifndef BACKENDS_S3_S3_STORE_H
#define BACKENDS_S3_S3_STORE_H

#include "backends/object_store.h"

struct s3_transport;

/* Strings may be NULL or "" where nothing is said against it; they are copied. */
struct s3_options {
	const char *endpoint; /* "https://host", "http://host:port"; needed */
	const char *region; /* "": us-east-1 */
	const char *bucket; /* needed */
	const char *prefix; /* before every key, with or without '/' at its end */
	bool path_style; /* https://host/bucket/key; else https://bucket.host/key */

	/* Keys, or the files that hold them and are read again when they change. Neither:
	 * requests are not signed (a public bucket, a proxy that signs). */
	const char *access_key;
	const char *access_key_file;
	const char *secret_key;
	const char *secret_key_file;
	const char *session_token_file; /* of temporary keys */

	const char *ca_file; /* "": the system's */
	/* A store that cannot be reached when it is opened is no failure. What it refuses
	 * is. */
	bool may_be_away;
	uint64_t part_size; /* 0: S3_PART_SIZE; at least 5 MiB */
	unsigned parts_in_flight; /* of all writers together; 0: S3_PARTS_IN_FLIGHT */

	/* Milliseconds; 0: the default. Together they bound what a hung store costs. */
	int64_t connect_ms; /* name, TCP, TLS: S3_CONNECT_MS */
	int64_t first_byte_ms; /* from the request's last byte to the answer: S3_FIRST_BYTE_MS */
	int64_t stall_ms; /* without a byte either way: S3_STALL_MS */
	int64_t operation_ms; /* one operation with its retries: S3_OPERATION_MS */
};

#define S3_PART_SIZE ((uint64_t)16 << 20)
#define S3_PARTS_IN_FLIGHT 8u
#define S3_CONNECT_MS 3000
#define S3_FIRST_BYTE_MS 10000
#define S3_STALL_MS 10000
#define S3_OPERATION_MS 60000

/* Asks the bucket, and writes and removes a small object in it. Fails with a message
 * that names endpoint and bucket and says what to do when the bucket is not there,
 * cannot be read or written, the keys or the region are wrong, or the clocks differ. */
enum status s3_store_new(const struct s3_options *options, struct object_store **ret_store,
			 struct error *error);

/* What the store itself needs to know, for one over another transport. */
struct s3_layout {
	const char *prefix; /* as above; copied */
	uint64_t part_size; /* 0: S3_PART_SIZE */
	unsigned parts_in_flight; /* 0: S3_PARTS_IN_FLIGHT */
	bool may_be_away; /* as above */
};

/* The same over any transport, which it takes and frees, also on failure. */
enum status s3_store_over(struct s3_transport *transport, const struct s3_layout *layout,
			  struct object_store **ret_store, struct error *error);

#endif
