/*
 * Content-Range of a 206 (RFC 9110, 14.4).
 */
#ifndef UPSTREAM_CONTENT_RANGE_H
#define UPSTREAM_CONTENT_RANGE_H

#include <stdbool.h>
#include <stdint.h>

struct content_range {
	uint64_t first;
	uint64_t last; /* inclusive */
	bool has_total;
	uint64_t total;
};

/* "bytes 5-9/10", or an asterisk for the total. False when it is anything else
 * or makes no sense (last before first, total not after last). */
bool content_range_parse(const char *value, struct content_range *ret);

#endif
