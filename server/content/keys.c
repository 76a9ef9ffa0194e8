#include "server/content/keys.h"

#include "server/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define VERSION_DIGITS 16 /* hexadecimal */

void key_of_blob(char key[KEY_SIZE], const struct digest *digest)
{
	char hex[DIGEST_TEXT_SIZE];

	digest_format_hex(digest, hex);
	snprintf(key, KEY_SIZE, "blobs/%s/%.2s/%s", digest_algorithm_name(digest->algorithm), hex,
		 hex);
}

void key_of_manifests(char key[KEY_SIZE], const char *repository)
{
	snprintf(key, KEY_SIZE, "repositories/%s/_manifests/", repository);
}

void key_of_manifest(char key[KEY_SIZE], const char *repository, const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	snprintf(key, KEY_SIZE, "repositories/%s/_manifests/%s", repository, text);
}

void key_of_tag(char key[KEY_SIZE], const char *repository, const char *tag)
{
	snprintf(key, KEY_SIZE, "repositories/%s/_tags/%s/", repository, tag);
}

void key_of_tag_version(char key[KEY_SIZE], const char *repository, const char *tag,
			uint64_t version)
{
	snprintf(key, KEY_SIZE, "repositories/%s/_tags/%s/%016" PRIx64, repository, tag, ~version);
}

bool key_parse_tag_version(const char *key, uint64_t *ret_version)
{
	const char *slash = strrchr(key, '/');
	const char *hex = slash ? slash + 1 : key;
	unsigned char bytes[VERSION_DIGITS / 2];
	uint64_t inverted = 0;

	if (strlen(hex) != VERSION_DIGITS || !str_unhex(hex, VERSION_DIGITS, bytes))
		return false;
	for (size_t i = 0; i < sizeof(bytes); i++)
		inverted = inverted << 8 | bytes[i];
	if (~inverted > INT64_MAX)
		return false;
	*ret_version = ~inverted;
	return true;
}
