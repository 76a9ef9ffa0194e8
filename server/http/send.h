/*
 * Writing answers: the loops around connection.h, with their deadlines.
 */
#ifndef HTTP_SEND_H
#define HTTP_SEND_H

#include "server/base/error.h"
#include "server/http/connection.h"
#include "server/http/pace.h"

#include <stddef.h>
#include <stdint.h>

struct sender {
	struct connection *connection;
	struct pace pace;
};

/* All of them return BW_OK when every byte was handed to the system,
 * BW_TIMEOUT when the client is too slow (pace.h), BW_CANCELLED when it is
 * gone. *sent grows by what was written, in each case. */

/* A head, and what of the body comes with it (length 0: nothing). `more`:
 * sending goes on at once. */
enum status send_head(struct sender *sender, const char *head, size_t head_length, const void *body,
		      size_t body_length, bool more, uint64_t *sent);

enum status send_bytes(struct sender *sender, const void *bytes, size_t length, uint64_t *sent);

/* Bytes [offset, end) of a file. BW_CORRUPT when it is shorter than that. */
enum status send_file(struct sender *sender, int file, uint64_t offset, uint64_t end,
		      uint64_t *sent);

#endif
