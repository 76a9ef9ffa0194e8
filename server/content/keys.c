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

void key_of_link(char key[KEY_SIZE], const char *repository, const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	snprintf(key, KEY_SIZE, "repositories/%s/_layers/%s", repository, text);
}

void key_of_referrers(char key[KEY_SIZE], const char *repository, const struct digest *subject)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(subject, text);
	snprintf(key, KEY_SIZE, "repositories/%s/_referrers/%s/", repository, text);
}

void key_of_referrer(char key[KEY_SIZE], const char *repository, const struct digest *subject,
		     const struct digest *digest)
{
	char subject_text[DIGEST_TEXT_SIZE];
	char text[DIGEST_TEXT_SIZE];

	digest_format(subject, subject_text);
	digest_format(digest, text);
	snprintf(key, KEY_SIZE, "repositories/%s/_referrers/%s/%s", repository, subject_text, text);
}

void key_of_repository(char key[KEY_SIZE], const char *repository)
{
	snprintf(key, KEY_SIZE, "repositories/%s/_", repository);
}

void key_of_tags(char key[KEY_SIZE], const char *repository)
{
	snprintf(key, KEY_SIZE, "repositories/%s/_tags/", repository);
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

/* The repository of a key, which is what stands before its first component that
 * begins with '_' (no component of a name does). *ret_rest is that component. */
static bool take_repository(const char *key, char target[REPOSITORY_STORED_MAX + 1],
			    const char **ret_rest)
{
	static const char prefix[] = "repositories/";
	const char *name = key + sizeof(prefix) - 1;
	const char *end;

	if (!str_starts_with(key, prefix))
		return false;
	end = strstr(name, "/_");
	if (!end || end == name || (size_t)(end - name) > REPOSITORY_STORED_MAX)
		return false;
	memcpy(target, name, (size_t)(end - name));
	target[end - name] = '\0';
	*ret_rest = end + 1;
	return true;
}

static bool take_tag(const char *rest, struct parsed_key *parsed)
{
	const char *slash = strchr(rest, '/');

	if (!slash || !tag_valid(rest, (size_t)(slash - rest)) || strchr(slash + 1, '/') ||
	    !key_parse_tag_version(slash, &parsed->version))
		return false;
	memcpy(parsed->tag, rest, (size_t)(slash - rest));
	parsed->tag[slash - rest] = '\0';
	return true;
}

static bool take_referrer(const char *rest, struct parsed_key *parsed)
{
	const char *slash = strchr(rest, '/');

	return slash && digest_parse(rest, (size_t)(slash - rest), &parsed->subject) &&
	       digest_parse(slash + 1, strlen(slash + 1), &parsed->digest);
}

static bool skip(const char **rest, const char *folder)
{
	if (!str_starts_with(*rest, folder))
		return false;
	*rest += strlen(folder);
	return true;
}

static enum key_kind parse_rest(const char *rest, struct parsed_key *parsed)
{
	enum key_kind kind = KEY_FOREIGN;
	bool good = false;

	if (skip(&rest, "_tags/")) {
		kind = KEY_TAG_VERSION;
		good = take_tag(rest, parsed);
	} else if (skip(&rest, "_referrers/")) {
		kind = KEY_REFERRER;
		good = take_referrer(rest, parsed);
	} else if (skip(&rest, "_manifests/")) {
		kind = KEY_MANIFEST;
		good = digest_parse(rest, strlen(rest), &parsed->digest);
	} else if (skip(&rest, "_layers/")) {
		kind = KEY_LINK;
		good = digest_parse(rest, strlen(rest), &parsed->digest);
	}
	return good ? kind : KEY_FOREIGN;
}

void key_parse(const char *key, struct parsed_key *ret)
{
	const char *rest;

	*ret = (struct parsed_key){.kind = KEY_FOREIGN};
	if (take_repository(key, ret->repository, &rest))
		ret->kind = parse_rest(rest, ret);
}

/* Only the key that key_of_blob makes of the digest: a file in another folder is
 * nobody's. */
bool key_parse_blob(const char *key, struct digest *ret_digest)
{
	const char *hex = strrchr(key, '/');
	char text[DIGEST_TEXT_SIZE];
	char made[KEY_SIZE];
	struct digest digest;
	int length;

	if (!hex)
		return false;
	length = snprintf(text, sizeof(text), "%s:%s",
			  str_starts_with(key, "blobs/sha512/") ? "sha512" : "sha256", hex + 1);
	if (length < 0 || (size_t)length >= sizeof(text) ||
	    !digest_parse(text, (size_t)length, &digest))
		return false;
	key_of_blob(made, &digest);
	if (strcmp(made, key) != 0)
		return false;
	*ret_digest = digest;
	return true;
}
