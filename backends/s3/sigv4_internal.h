/* What the files of the V4 transport share. */
#ifndef BACKENDS_S3_SIGV4_INTERNAL_H
#define BACKENDS_S3_SIGV4_INTERNAL_H

#include "backends/s3/s3_client.h"
#include "server/base/memory.h"

struct sigv4_transport {
	struct s3_transport base;
	struct s3_client *client;
};

static inline struct s3_client *client_of(struct s3_transport *transport)
{
	return container_of(transport, struct sigv4_transport, base)->client;
}

/* Asks and lets the answer's body go; ret_answer may be NULL. */
enum status sigv4_ask(struct s3_client *client, const struct s3_request *request,
		      struct s3_answer *ret_answer, struct error *error);

#define QUERY_MAX ((size_t)8 << 10)
/* Appends "&name=value" (without the '&' at the beginning), percent-encoded. */
void sigv4_query_add(struct buf *query, const char *name, const char *value);
/* Appends text so that it is text in XML, too. */
void sigv4_append_xml(struct buf *buf, const char *text);

/* sigv4_list.c */
enum status sigv4_list(struct s3_transport *transport, const char *prefix, const char *start_after,
		       unsigned max, s3_list_fn fn, void *context, bool *ret_more,
		       struct error *error);
enum status sigv4_multipart_list(struct s3_transport *transport, const char *prefix,
				 s3_pending_fn fn, void *context, struct error *error);

/* sigv4_multipart.c */
enum status sigv4_multipart_create(struct s3_transport *transport, const char *key,
				   char ret_upload_id[S3_UPLOAD_ID_MAX], struct error *error);
enum status sigv4_multipart_send(struct s3_transport *transport, const char *key,
				 const char *upload_id, unsigned number, const void *bytes,
				 size_t length, char ret_etag[S3_ETAG_MAX], struct error *error);
enum status sigv4_multipart_complete(struct s3_transport *transport, const char *key,
				     const char *upload_id, const char (*etags)[S3_ETAG_MAX],
				     size_t count, struct error *error);
enum status sigv4_multipart_abort(struct s3_transport *transport, const char *key,
				  const char *upload_id, struct error *error);

#endif
