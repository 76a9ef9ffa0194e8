/*
 * Keys of the object store's layout (content.h), built only from parsed names
 * and digests. Every function writes at most OBJECT_KEY_MAX bytes and a NUL.
 */
#ifndef CONTENT_KEYS_H
#define CONTENT_KEYS_H

#include "backends/object_store.h"
#include "server/base/digest.h"
#include "server/oci/name.h"

#include <stdbool.h>
#include <stdint.h>

#define KEY_SIZE (OBJECT_KEY_MAX + 1)
/* A registry's host, a slash, a repository. */
#define REPOSITORY_STORED_MAX (HOST_MAX + 1 + REPOSITORY_MAX)

void key_of_blob(char key[KEY_SIZE], const struct digest *digest);
void key_of_manifest(char key[KEY_SIZE], const char *repository, const struct digest *digest);
/* The prefix of every manifest record of a repository, with its last '/'. */
void key_of_manifests(char key[KEY_SIZE], const char *repository);
/* The same of every tag, and of every referrer of a subject. */
void key_of_tags(char key[KEY_SIZE], const char *repository);
void key_of_referrers(char key[KEY_SIZE], const char *repository, const struct digest *subject);
/* The link of a pushed blob; the record of one referrer. */
void key_of_link(char key[KEY_SIZE], const char *repository, const struct digest *digest);
void key_of_referrer(char key[KEY_SIZE], const char *repository, const struct digest *subject,
		     const struct digest *digest);
/* What every key of a repository begins with, and none of a repository whose name
 * goes on after it ("team" and "team/app"): up to the '_' of its folders. */
void key_of_repository(char key[KEY_SIZE], const char *repository);

/* What a key under "repositories/" is, for those who walk all of them. */
enum key_kind { KEY_MANIFEST, KEY_TAG_VERSION, KEY_LINK, KEY_REFERRER, KEY_FOREIGN };
struct parsed_key {
	enum key_kind kind; /* KEY_FOREIGN: none of ours; the rest is not set */
	char repository[REPOSITORY_STORED_MAX + 1]; /* its full name */
	char tag[TAG_MAX + 1]; /* of KEY_TAG_VERSION */
	uint64_t version; /* of KEY_TAG_VERSION */
	struct digest digest; /* of the others */
	struct digest subject; /* of KEY_REFERRER */
};
void key_parse(const char *key, struct parsed_key *ret);
/* The digest of a key under "blobs/"; false: none of ours. */
bool key_parse_blob(const char *key, struct digest *ret_digest);

/* The prefix of every version of a tag, with its last '/'. */
void key_of_tag(char key[KEY_SIZE], const char *repository, const char *tag);
/* One version of a tag; a higher version sorts first. */
void key_of_tag_version(char key[KEY_SIZE], const char *repository, const char *tag,
			uint64_t version);

/* The version that a key under key_of_tag() ends with; false for a key that no
 * version of ours makes (the index takes none over INT64_MAX). */
bool key_parse_tag_version(const char *key, uint64_t *ret_version);

#endif
