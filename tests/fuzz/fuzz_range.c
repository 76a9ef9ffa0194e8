/*
 * Range, If-Range and If-None-Match of a client: what is served lies inside of
 * the blob, whatever was asked for.
 */
#include "tests/fuzz/fuzz.h"

#include "server/http/range.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t sizes[] = {0, 1, 10, 1000, UINT64_MAX};
	static const char etag[] = "\"sha256:abc\"";
	char *text = strndup((const char *)data, size);

	CHECK(text);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct byte_range range = {0};

		if (range_parse(text, sizes[i], &range) == RANGE_PART)
			CHECK(range.length > 0 && range.first < sizes[i] &&
			      range.length <= sizes[i] - range.first);
	}
	etag_listed(text, etag);
	if (etag_allows_range(text, etag))
		CHECK(strstr(text, etag));
	free(text);
	return 0;
}
