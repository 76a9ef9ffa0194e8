#include "server/upstream/content_range.h"

#include "server/base/str.h"

#include <string.h>
#include <strings.h>

bool content_range_parse(const char *value, struct content_range *ret)
{
	struct content_range range = {0};
	const char *first, *last, *total;
	size_t first_length, last_length;

	if (strncasecmp(value, "bytes ", 6) != 0)
		return false;
	first = value + 6;
	first_length = strspn(first, "0123456789");
	last = first + first_length + 1;
	if (first[first_length] != '-')
		return false;
	last_length = strspn(last, "0123456789");
	total = last + last_length + 1;
	if (last[last_length] != '/' || !str_parse_u64(first, first_length, &range.first) ||
	    !str_parse_u64(last, last_length, &range.last) || range.last < range.first)
		return false;
	if (strcmp(total, "*") != 0) {
		range.has_total = true;
		if (!str_parse_u64(total, strlen(total), &range.total) || range.total <= range.last)
			return false;
	}
	*ret = range;
	return true;
}
