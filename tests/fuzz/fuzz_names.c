/*
 * Whatever is accepted as a name can be part of a storage key.
 */
#include "tests/fuzz/fuzz.h"

#include "server/oci/media_type.h"
#include "server/oci/name.h"

#include <string.h>

/* No way out of a folder, no hidden file, nothing a shell or a URL treats specially. */
static void check_key(const char *text, size_t length)
{
	CHECK(length > 0 && text[0] != '/' && text[length - 1] != '/');
	CHECK(!memmem(text, length, "..", 2) && !memmem(text, length, "//", 2));
	CHECK(text[0] != '.' && !memmem(text, length, "/.", 2) && !memmem(text, length, "/_", 2));
	for (size_t i = 0; i < length; i++)
		CHECK(strchr("abcdefghijklmnopqrstuvwxyz0123456789./_-", text[i]) && text[i]);
}

static void check_reference(const char *text, size_t size)
{
	struct reference reference;
	struct reference again;

	if (!reference_parse(text, size, &reference))
		return;
	CHECK(strlen(reference.text) == size && memcmp(reference.text, text, size) == 0);
	CHECK(!strchr(reference.text, '/') && reference.text[0] != '.');
	if (!reference.is_digest)
		return;
	reference_from_digest(&reference.digest, &again);
	CHECK(strcmp(again.text, reference.text) == 0);
}

static void check_host(const char *text, size_t size)
{
	char once[HOST_MAX + 1];
	char twice[HOST_MAX + 1];

	if (!host_normalize(text, size, once))
		return;
	CHECK(strlen(once) == size && !strpbrk(once, "/@?#%[] "));
	CHECK(host_normalize(once, strlen(once), twice) && strcmp(once, twice) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	char *string = strndup(text, size);
	char type[64];

	if (repository_name_valid(text, size))
		check_key(text, size);
	if (tag_valid(text, size))
		CHECK(!memchr(text, '/', size) && text[0] != '.' && size <= TAG_MAX);
	check_reference(text, size);
	check_host(text, size);
	if (string && media_type_parse(string, type, sizeof(type)))
		CHECK(strlen(type) < sizeof(type) && strchr(type, '/'));
	free(string);
	return 0;
}
