/*
 * Where an upstream's Location leads: never to a downgrade, never elsewhere
 * than the parts say.
 */
#include "tests/fuzz/fuzz.h"

#include "server/upstream/url.h"

#include <string.h>

/* The first line is the URL a redirect came from, the rest its Location. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	char origin[URL_ORIGIN_SIZE];
	char shown[256];
	struct error error = {0};
	char *location;
	char *url = NULL;

	CHECK(text);
	memcpy(text, data, size);
	text[size] = '\0';
	location = strchr(text, '\n');
	if (location)
		*location++ = '\0';
	url_for_people(text, shown, sizeof(shown));
	if (url_origin(text, origin, sizeof(origin)))
		CHECK(url_same_origin(text, text) && !strchr(origin, '@'));
	if (location && url_resolve(text, location, &url, &error) == BW_OK) {
		CHECK(strlen(url) <= URL_MAX);
		CHECK(url_is_https(url) || !url_is_https(text));
		CHECK(url_origin(url, origin, sizeof(origin)));
		free(url);
	}
	free(text);
	return 0;
}
