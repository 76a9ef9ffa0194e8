/*
 * AWS Signature Version 4: of a request's headers, and of a URL that carries its own
 * signature ("presigned").
 *
 * The caller says what is sent, in the spelling in which it is sent: a signature over
 * anything else is refused by the other side. Values here are never logged: a
 * presigned URL is as good as the key until it expires.
 */
#ifndef BACKENDS_S3_S3_SIGN_H
#define BACKENDS_S3_S3_SIGN_H

#include <stddef.h>
#include <stdint.h>

struct buf;

/* What the credential is good for. */
struct s3_scope {
	const char *region;
	const char *service; /* "s3" */
	int64_t wall_ms; /* the time of signing */
};

struct s3_keys {
	const char *access_key;
	const char *secret_key;
	const char *session_token; /* "" or NULL: none */
};

struct s3_header {
	const char *name; /* lower case */
	const char *value; /* as sent; spaces around it do not count, runs of them count once */
};

struct s3_signed {
	const char *method;
	const char *path; /* percent-encoded, with its '/' */
	const char *query; /* parameters percent-encoded, "name=value", sorted, joined by '&' */
	const struct s3_header *headers; /* sorted by name, "host" among them */
	size_t header_count;
	const char *payload; /* SHA-256 of the body in hex, or "UNSIGNED-PAYLOAD" */
};

#define S3_DATE_SIZE 17 /* "20130524T000000Z" */
void s3_sign_date(int64_t wall_ms, char target[S3_DATE_SIZE]);

#define S3_HEX_SIZE 65
extern const char s3_sha256_of_nothing[S3_HEX_SIZE];

/* Appends the value of an Authorization header. The headers must hold "x-amz-date"
 * with s3_sign_date(), and with a session token "x-amz-security-token". */
void s3_sign(const struct s3_signed *request, const struct s3_scope *scope,
	     const struct s3_keys *keys, struct buf *ret_authorization);

/* Appends the query with which `host` lets anybody GET `path` for `seconds`. */
void s3_sign_query(const char *host, const char *path, unsigned seconds,
		   const struct s3_scope *scope, const struct s3_keys *keys, struct buf *ret_query);

#endif
