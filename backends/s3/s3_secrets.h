/*
 * The keys, from the configuration or from files that somebody replaces now and then.
 *
 * Files are looked at once a second at most, and read when they are others than before.
 * A file that cannot be read while it is being replaced leaves the keys as they are.
 */
#ifndef BACKENDS_S3_S3_SECRETS_H
#define BACKENDS_S3_S3_SECRETS_H

#include "server/base/error.h"

#include <stdbool.h>

struct s3_options;
struct s3_secrets;

/* A copy of the keys of one moment. */
struct s3_secret {
	char *access_key; /* NULL: requests are not signed */
	char *secret_key;
	char *session_token; /* "" when there is none */
};
void s3_secret_release(struct s3_secret *secret);

/* Fails with the file's name when a file cannot be read, or one key is without the
 * other. */
enum status s3_secrets_new(const struct s3_options *options, struct s3_secrets **ret_secrets,
			   struct error *error);
void s3_secrets_free(struct s3_secrets *secrets);

/* The keys of now; s3_secret_release frees them. */
void s3_secrets_get(struct s3_secrets *secrets, struct s3_secret *ret_secret);

/* The server refused `refused`: looks at the files at once. True when the keys are
 * others now, so that asking again makes sense. */
bool s3_secrets_renewed(struct s3_secrets *secrets, const struct s3_secret *refused);

#endif
