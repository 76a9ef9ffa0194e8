/*
 * Keys of the object store's layout (content.h), built only from parsed names
 * and digests. Every function writes at most OBJECT_KEY_MAX bytes and a NUL.
 */
#ifndef CONTENT_KEYS_H
#define CONTENT_KEYS_H

#include "backends/object_store.h"
#include "server/base/digest.h"

#include <stdint.h>

#define KEY_SIZE (OBJECT_KEY_MAX + 1)

void key_of_blob(char key[KEY_SIZE], const struct digest *digest);
void key_of_manifest(char key[KEY_SIZE], const char *repository, const struct digest *digest);
/* The prefix of every manifest record of a repository, with its last '/'. */
void key_of_manifests(char key[KEY_SIZE], const char *repository);
/* The prefix of every version of a tag, with its last '/'. */
void key_of_tag(char key[KEY_SIZE], const char *repository, const char *tag);
/* One version of a tag; a higher version sorts first. */
void key_of_tag_version(char key[KEY_SIZE], const char *repository, const char *tag,
			uint64_t version);

/* The version that a key under key_of_tag() ends with; false for a key that no
 * version of ours makes (the index takes none over INT64_MAX). */
bool key_parse_tag_version(const char *key, uint64_t *ret_version);

#endif
