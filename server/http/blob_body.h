/*
 * A blob's bytes on their way to who asked, as they come in: for clients (blob.c) and
 * for other replicas (replica_handler.c).
 */
#ifndef HTTP_BLOB_BODY_H
#define HTTP_BLOB_BODY_H

#include "server/http/exchange.h"
#include "server/http/range.h"

/* Waits for bytes at `offset`, as long as the source is worth it; *ret_end is how far
 * they are there then. BW_CANCELLED when the client left. */
enum status blob_body_wait(struct exchange *exchange, struct blob_source *source, uint64_t offset,
			   uint64_t *ret_end, struct error *error);

/* The range, of which what lies before `available` is there already; after a head that
 * promised it. What goes wrong cuts the exchange. */
void blob_body_send(struct exchange *exchange, struct blob_source *source,
		    const struct byte_range *range, uint64_t available);

#endif
