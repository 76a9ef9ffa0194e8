/*
 * What the S3 object store (s3_store.h) needs of a client of S3: the requests, and
 * nothing of keys' meaning. There are two: our own, which signs with Signature V4
 * (sigv4_transport.h), and one through libs3 for older gateways (libs3/), which signs
 * with V2 and has neither multipart uploads nor conditional PUTs.
 *
 * Keys are whole: the store has put its prefix before them. They are of
 * [A-Za-z0-9._:~/-], at most S3_KEY_MAX bytes.
 *
 * Every operation may be called from any number of threads at once; one body belongs
 * to one thread at a time. Every operation bounds its own time, retries what may be
 * retried, and says one of three things (error.h): BW_OK; BW_ABSENT, only when the
 * store was asked and answered that the *object* is not there (a bucket that is not
 * there is BW_UNAVAILABLE); anything else is "could not tell":
 *   BW_UNAVAILABLE  the breaker is open, SlowDown, 503, no bucket
 *   BW_UNREACHABLE  no usable answer: refused, reset, TLS, 5xx, nonsense
 *   BW_TIMEOUT      a deadline passed
 *   BW_DENIED       wrong keys, no permission
 *   BW_CORRUPT      the store refused bytes that do not match their digest
 *   BW_INVALID      a key or a name that the store does not take
 *   BW_NO_SPACE     a quota, or a full disk behind the gateway
 * Messages name endpoint, bucket, key and what to do; never a secret or a signed query.
 */
#ifndef BACKENDS_S3_S3_TRANSPORT_H
#define BACKENDS_S3_S3_TRANSPORT_H

#include "server/base/clock.h"
#include "server/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S3_KEY_MAX 1024 /* the protocol's own limit, in bytes */
#define S3_ETAG_MAX 128 /* with its quotes and NUL */
#define S3_UPLOAD_ID_MAX 512 /* of a multipart upload, with its NUL */
#define S3_PART_MIN ((uint64_t)5 << 20) /* of every part but the last */
#define S3_PARTS_MAX 10000u /* of one multipart upload */
#define S3_DELETE_MAX 1000u /* keys of one `remove` */

/* Marks an object as a record of extents; its value is the size of what it stands for,
 * in decimal digits. */
#define S3_META_SIZE "x-amz-meta-breakwater-size"

/* What HEAD and GET tell of an object. */
struct s3_head {
	uint64_t size; /* bytes of the object itself, also when a range was asked for */
	int64_t stored_at; /* Last-Modified, wall-clock ms of the store's clock */
	char etag[S3_ETAG_MAX]; /* as it came, with quotes; "" when there was none */
	bool is_record; /* S3_META_SIZE was there */
	uint64_t record_size; /* its value */
};

struct s3_get {
	const char *key;
	uint64_t offset; /* of the first byte wanted */
	uint64_t length; /* 0: to the end; bytes after the end are left out */
	const char *if_match; /* an ETag that the object must still have; NULL: any */
};

struct s3_put {
	const char *key;
	const void *bytes; /* may be NULL when length is 0 */
	size_t length;
	bool if_absent; /* BW_CONFLICT when the key exists */
	const unsigned char *sha256; /* of the bytes, 32 of it, for the store to check; or NULL */
	bool is_record; /* S3_META_SIZE is sent, with: */
	uint64_t record_size;
};

struct s3_entry {
	const char *key;
	uint64_t size;
	int64_t stored_at; /* wall-clock ms of the store's clock */
};
/* Once per object in byte order of keys; false stops. It must not call the transport. */
typedef bool (*s3_list_fn)(void *context, const struct s3_entry *entry);

/* A multipart upload that was begun and neither completed nor aborted. */
struct s3_pending {
	const char *key;
	const char *upload_id;
	int64_t started_at; /* wall-clock ms of the store's clock; 0: not told */
};
typedef bool (*s3_pending_fn)(void *context, const struct s3_pending *pending);

/* The bytes of one GET, as they arrive. A transport embeds it first. */
struct s3_body;
struct s3_body_ops {
	/* At least one byte unless it is the end (*ret_length is 0), which is told only
	 * after the last byte that was promised; waits until `deadline` at most. Bytes
	 * that nobody reads are not fetched beyond a bounded buffer. After a failure the
	 * body can only be closed. */
	enum status (*read)(struct s3_body *body, void *target, size_t length, deadline_ms deadline,
			    size_t *ret_length, struct error *error);
	void (*close)(struct s3_body *body);
};
struct s3_body {
	const struct s3_body_ops *ops;
};

struct s3_transport;
struct s3_transport_ops {
	enum status (*head)(struct s3_transport *transport, const char *key,
			    struct s3_head *ret_head, struct error *error);

	/* Answers when the head is there; the bytes come through the body, which is the
	 * caller's to close. An empty object, or an offset at or after the end: a body
	 * that is at its end at once. BW_CONFLICT: the object is another one than
	 * `if_match` says. It does not go on after a broken connection: the reader
	 * does, with if_match. */
	enum status (*get)(struct s3_transport *transport, const struct s3_get *get,
			   struct s3_head *ret_head, struct s3_body **ret_body,
			   struct error *error);

	/* Durable when it returns BW_OK. An own earlier attempt whose answer was lost
	 * is no conflict. Without conditional PUTs a transport may answer if_absent
	 * by a HEAD under a lock of its own, and says in its header what that is worth. */
	enum status (*put)(struct s3_transport *transport, const struct s3_put *put,
			   struct error *error);

	/* 1 to S3_DELETE_MAX keys, in one request where there is one. Absent is BW_OK.
	 * BW_OK: none of them is there. */
	enum status (*remove)(struct s3_transport *transport, const char *const *keys, size_t count,
			      struct error *error);

	/* One page: at most `max` (1 to 1000) entries after `start_after` ("": all) whose
	 * keys begin with `prefix`. *ret_more: there may be others after the last one. */
	enum status (*list)(struct s3_transport *transport, const char *prefix,
			    const char *start_after, unsigned max, s3_list_fn fn, void *context,
			    bool *ret_more, struct error *error);

	/* The bucket is there and the keys are good for it. One cheap request. */
	enum status (*check)(struct s3_transport *transport, struct error *error);

	/* ---- all of these or none (NULL): without them large content is several
	 * objects of at most the part size ---- */

	enum status (*multipart_create)(struct s3_transport *transport, const char *key,
					char ret_upload_id[S3_UPLOAD_ID_MAX], struct error *error);
	/* `number` counts from 1. A number sent twice is the later one. */
	enum status (*multipart_send)(struct s3_transport *transport, const char *key,
				      const char *upload_id, unsigned number, const void *bytes,
				      size_t length, char ret_etag[S3_ETAG_MAX],
				      struct error *error);
	/* The object becomes visible, whole. Whatever this returns, only a HEAD tells
	 * whether it did: answers get lost, and some that said 200 were not true.
	 * BW_ABSENT: no such upload (any more). */
	enum status (*multipart_complete)(struct s3_transport *transport, const char *key,
					  const char *upload_id, const char (*etags)[S3_ETAG_MAX],
					  size_t count, struct error *error);
	/* Frees its parts. No such upload is BW_OK. */
	enum status (*multipart_abort)(struct s3_transport *transport, const char *key,
				       const char *upload_id, struct error *error);
	/* All of them under the prefix, in any order. */
	enum status (*multipart_list)(struct s3_transport *transport, const char *prefix,
				      s3_pending_fn fn, void *context, struct error *error);

	/* ---- optional (NULL) ---- */

	/* A URL with which anybody can GET the key for the next `seconds` (1 to 604800).
	 * No request. The caller frees *ret_url, and shows it to nobody but its client. */
	enum status (*presign)(struct s3_transport *transport, const char *key, unsigned seconds,
			       char **ret_url, struct error *error);

	/* Nothing may be running or open. */
	void (*free)(struct s3_transport *transport);
};

struct s3_transport {
	const struct s3_transport_ops *ops;
	const char *name; /* "s3", "libs3": becomes the object store's name; static */
};

#endif
