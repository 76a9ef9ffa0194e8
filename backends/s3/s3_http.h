/*
 * HTTP/1.1 to one endpoint, over libcurl: a bounded pool of connections, and exchanges
 * whose bodies are pulled by whoever reads them.
 *
 * An exchange goes through these phases, which only increase; each has its own limit,
 * and the deadline of the call holds in all of them:
 *
 *   CONNECTING  name, TCP, TLS                       connect_ms
 *   SENDING     head and body                        stall_ms since the last byte
 *   WAITING     for the answer                       first_byte_ms
 *   RECEIVING   head and body                        stall_ms since the last byte
 *   DONE
 *
 * While nobody reads, libcurl is paused: TCP itself holds the sender back, and no
 * thread waits. The time in between counts for no limit.
 */
#ifndef BACKENDS_S3_S3_HTTP_H
#define BACKENDS_S3_S3_HTTP_H

#include "backends/s3/s3_transport.h"
#include "server/base/buf.h"

struct curl_slist;
struct s3_http;
struct s3_exchange;

struct s3_http_options {
	const char *ca_file; /* "" or NULL: the system's */
	int64_t connect_ms;
	int64_t first_byte_ms;
	int64_t stall_ms;
};

struct s3_http_request {
	const char *method;
	const char *url;
	const struct curl_slist *headers;
	const void *body; /* must live until the exchange has its answer */
	size_t length;
};

/* Tells a conditional PUT of ours, whose answer was lost, from somebody else's. */
#define S3_META_WRITER "x-amz-meta-breakwater-writer"
#define S3_WRITER_SIZE 33

/* The head of an answer: what S3 tells in it. */
struct s3_answer {
	int status;
	bool has_length;
	uint64_t content_length;
	bool has_total;
	bool has_first;
	uint64_t total; /* of Content-Range, the object's size */
	uint64_t first; /* byte of a range */
	struct s3_head head; /* etag, stored_at, record; not its size */
	int64_t date; /* the server's wall clock, ms; 0: not told */
	int retry_after; /* seconds; 0: not told */
	char writer[S3_WRITER_SIZE]; /* S3_META_WRITER */
	char region[64]; /* x-amz-bucket-region */
	char error_code[64]; /* x-minio-error-code: what a HEAD cannot say in a body */
};

struct s3_http *s3_http_new(const struct s3_http_options *options);
void s3_http_free(struct s3_http *http); /* no exchange may be open */

/* Sends the request and waits for the answer's head. BW_OK, whatever the status is:
 * *ret_exchange must be given to s3_exchange_end. Otherwise, with the reason,
 * BW_TIMEOUT, BW_UNREACHABLE, or BW_DENIED where the certificate is not trusted.
 * *ret_sent: bytes may have reached the server, so that it may have done what was
 * asked; told in either case. */
enum status s3_exchange_begin(struct s3_http *http, const struct s3_http_request *request,
			      deadline_ms deadline, struct s3_exchange **ret_exchange,
			      struct s3_answer *ret_answer, bool *ret_sent, struct error *error);

/* As s3_body_ops.read. A body that is shorter than was promised is BW_UNREACHABLE. */
enum status s3_exchange_read(struct s3_exchange *exchange, void *target, size_t length,
			     deadline_ms deadline, size_t *ret_length, struct error *error);

/* Appends all that is left of the body; BW_TOO_LARGE when the buffer is too small. */
enum status s3_exchange_read_all(struct s3_exchange *exchange, struct buf *target,
				 deadline_ms deadline, struct error *error);

/* Frees it; the connection is kept when the body was read to its end. NULL is fine. */
void s3_exchange_end(struct s3_exchange *exchange);

#endif
