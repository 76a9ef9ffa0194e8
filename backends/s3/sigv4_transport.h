/*
 * Our own client of S3: Signature V4, multipart uploads, conditional PUTs.
 */
#ifndef BACKENDS_S3_SIGV4_TRANSPORT_H
#define BACKENDS_S3_SIGV4_TRANSPORT_H

#include "backends/s3/s3_transport.h"

struct s3_options;

/* Asks nobody yet. BW_INVALID names the option that is wrong. */
enum status sigv4_transport_new(const struct s3_options *options,
				struct s3_transport **ret_transport, struct error *error);

#endif
