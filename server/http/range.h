/*
 * Byte ranges (RFC 9110, 14) and entity tags (13.1) of requests for blobs.
 * Pure functions of header values.
 */
#ifndef HTTP_RANGE_H
#define HTTP_RANGE_H

#include <stdbool.h>
#include <stdint.h>

struct byte_range {
	uint64_t first;
	uint64_t length; /* at least 1 */
};

enum range_result {
	RANGE_WHOLE, /* none asked for, or one we do not do: answer 200 */
	RANGE_PART, /* answer 206 */
	RANGE_UNSATISFIABLE, /* answer 416 */
};

/* `value` of Range, NULL when there is none, for a representation of `size`
 * bytes. What is malformed, in another unit, or names several ranges is
 * answered with the whole, as the RFC allows: several ranges would be
 * multipart, which no client of a registry asks for. One that ends before it
 * begins is unsatisfiable: the RFC would have it ignored, the registry's
 * conformance suite wants 416. */
enum range_result range_parse(const char *value, uint64_t size, struct byte_range *ret);

/* Does If-None-Match (a list, or "*"; weak comparison) name this tag? `etag`
 * with its quotes; `value` may be NULL. */
bool etag_listed(const char *value, const char *etag);

/* Does If-Range let Range count? True when there is none, or it is this very
 * (strong) tag; false for a date, since blobs have no other validator. */
bool etag_allows_range(const char *if_range, const char *etag);

#endif
