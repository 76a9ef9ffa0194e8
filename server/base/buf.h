/*
 * A growing byte buffer with a ceiling.
 *
 * Appending past `max` (or formatting failure) sets `overflow` and changes
 * nothing more; callers append freely and check once at the end. The bytes are
 * always followed by a NUL that `length` does not count, so `buf_string()` is
 * usable as a C string when the content has no NUL of its own.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data; /* owned; NULL until the first append */
	size_t length;
	size_t capacity;
	size_t max; /* largest length allowed */
	bool overflow;
};

#define BUF_INIT(maximum) ((struct buf){.max = (maximum)})

void buf_release(struct buf *buf); /* frees and zeroes, keeps max */
void buf_reset(struct buf *buf); /* empties, keeps the memory, clears overflow */

void buf_append(struct buf *buf, const void *bytes, size_t length);
void buf_append_string(struct buf *buf, const char *string);
void buf_append_char(struct buf *buf, char c);
void buf_append_u64(struct buf *buf, uint64_t number);
/* The short decimal form that reads back as the same number; "NaN", "+Inf" and
 * "-Inf" as Prometheus spells them (JSON has none of the three). */
void buf_append_double(struct buf *buf, double number);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends `length` bytes as a JSON string with its quotes. Control bytes are
 * escaped, and bytes that are not UTF-8 become U+FFFD (so a log line or an
 * error body is always valid JSON, whatever a client sent). */
void buf_append_json(struct buf *buf, const char *string, size_t length);

/* Appends percent-encoded: everything but RFC 3986 unreserved characters and
 * those in `keep` (may be NULL). */
void buf_append_percent(struct buf *buf, const char *string, const char *keep);

/* The content as a C string ("" when empty). Valid until the next change. */
const char *buf_string(const struct buf *buf);

/* Moves the memory out, leaving the buffer empty; the caller frees it. NULL
 * when it overflowed. ret_length may be NULL. */
char *buf_detach(struct buf *buf, size_t *ret_length);

#endif
