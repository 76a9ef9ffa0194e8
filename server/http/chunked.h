/*
 * The chunked transfer coding (RFC 9112, 7.1), taken off as bytes come in. Pure.
 *
 * Only what two programs cannot read differently is taken: sizes of 1 to 15 hex
 * digits and nothing else before CRLF or ';', CRLF and no bare CR or LF
 * anywhere, no space around a size. Extensions and trailers are read over, as the
 * RFC has it, within CHUNKED_MAX_LINE and CHUNKED_MAX_TRAILER.
 */
#ifndef HTTP_CHUNKED_H
#define HTTP_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#define CHUNKED_MAX_LINE 256 /* a size and its extensions */
#define CHUNKED_MAX_TRAILER 4096 /* all fields behind the last chunk */

enum chunked_state {
	CHUNKED_SIZE_BEGINS,
	CHUNKED_SIZE,
	CHUNKED_EXTENSION,
	CHUNKED_SIZE_LF,
	CHUNKED_DATA,
	CHUNKED_DATA_CR,
	CHUNKED_DATA_LF,
	CHUNKED_TRAILER_BEGINS, /* a field, or the empty line */
	CHUNKED_TRAILER_NAME,
	CHUNKED_TRAILER_VALUE,
	CHUNKED_TRAILER_LF,
	CHUNKED_LAST_LF,
	CHUNKED_DONE,
	CHUNKED_MALFORMED,
};

/* Zero-initialise. */
struct chunked {
	enum chunked_state state;
	uint64_t left; /* of the chunk's data; while its size is read, the size so far */
	size_t line; /* bytes of the present line, or of the trailer */
};

/* Decodes in place: of bytes[0..length) the first *ret_used are taken, and the
 * content that was among them then lies at the front, *ret_content bytes of it.
 * All are taken but for what follows the end (CHUNKED_DONE) or the first wrong
 * byte (CHUNKED_MALFORMED); content before that one is still handed out. */
void chunked_decode(struct chunked *chunked, char *bytes, size_t length, size_t *ret_used,
		    size_t *ret_content);

#endif
