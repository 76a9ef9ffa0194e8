/*
 * Names in the registry API (OCI distribution-spec, "Pulling manifests").
 *
 * Hand-written, length-bounded grammars; no regular expressions (a name comes
 * from anybody). What passes here may be part of a storage key.
 *
 *   repository  components joined by '/', 255 bytes at most; a component is
 *               [a-z0-9]+ runs joined by one of  .  _  __  -+
 *   tag         [A-Za-z0-9_] then up to 127 of [A-Za-z0-9._-]
 *   reference   a tag, or a digest (server/base/digest.h)
 *   host        a registry's name: DNS labels or an IPv4 address, with an
 *               optional :port; lower case; 253 bytes at most
 */
#ifndef OCI_NAME_H
#define OCI_NAME_H

#include "server/base/digest.h"

#include <stdbool.h>
#include <stddef.h>

#define REPOSITORY_MAX 255
#define TAG_MAX 128
#define HOST_MAX 253

bool repository_name_valid(const char *name, size_t length);
/* Does the first component of a name with several read like a registry's host (a
 * dot, a colon, or "localhost"), as image names are read everywhere? Such names are
 * never local repositories, configured as an upstream or not: what somebody
 * pushed before an upstream was configured must not be taken for its content. */
bool repository_names_registry(const char *name);
bool tag_valid(const char *tag, size_t length);

/* Lower-cases into target and checks. */
bool host_normalize(const char *host, size_t length, char target[HOST_MAX + 1]);

/* A reference as it stands in a URL. Value type. */
struct reference {
	bool is_digest;
	struct digest digest; /* when is_digest */
	char text[DIGEST_TEXT_SIZE]; /* the tag, or the digest's text; NUL-terminated */
};

bool reference_parse(const char *text, size_t length, struct reference *ret);
void reference_from_digest(const struct digest *digest, struct reference *ret);

#endif
