/*
 * The S3 store through libs3, for gateways that take Signature V2 only. Prefer
 * s3_store_new wherever Signature V4 is understood.
 *
 * What Debian's libs3 2.0 can, and cannot, makes these limits:
 *   - One replica. There is no conditional PUT: PUT_IF_ABSENT is a HEAD before the PUT,
 *     exact among the threads of this process and a race between two processes.
 *   - Plain http, inside a network that is trusted: it checks no certificate, and so
 *     https endpoints are refused (BW_UNSUPPORTED). The gateway is trusted too: libs3
 *     bounds the headers it reads poorly.
 *   - No multipart uploads: large content is several objects of at most the part size.
 *   - Each PUT is followed by a HEAD. libs3 takes a PUT that was refused without a body
 *     for one that went well, so only an object that bears our mark counts as stored.
 *   - The size of an object is not told with a range. So a GET that begins within it is
 *     preceded by a HEAD, and one that wants its first bytes begins a GET of it all, and
 *     closes the connection when it has them.
 *   - The gateway must send Content-Length, ETag and Last-Modified, spelt like this.
 *   - The end of a listing is asked for twice: a listing that was cut looks whole.
 *   - Keys are deleted one by one.
 *   - No session tokens, no presigned redirects, no CA of one's own.
 *   - connect_ms counts towards first_byte_ms: libs3 has no clock of its own for it.
 *   - Above 1024 open descriptors, a transfer is looked after every 5 ms instead of
 *     when something happens: libs3 knows only select().
 */
#ifndef BACKENDS_S3_LIBS3_LIBS3_STORE_H
#define BACKENDS_S3_LIBS3_LIBS3_STORE_H

#include "backends/s3/s3_store.h"
#include "backends/s3/s3_transport.h"

/* As s3_store_new; `region` and `ca_file` mean nothing here. */
enum status libs3_store_new(const struct s3_options *options, struct object_store **ret_store,
			    struct error *error);

/* The client alone. Asks nobody yet. BW_INVALID and BW_UNSUPPORTED name the option. */
enum status libs3_transport_new(const struct s3_options *options,
				struct s3_transport **ret_transport, struct error *error);

#endif
