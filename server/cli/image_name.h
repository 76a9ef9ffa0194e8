/*
 * Images as people write them: "alpine", "quay.io/org/app:1.2",
 * "ghcr.io/org/app@sha256:...".
 */
#ifndef CLI_IMAGE_NAME_H
#define CLI_IMAGE_NAME_H

#include "server/base/error.h"
#include "server/oci/name.h"

struct image_name {
	char registry[HOST_MAX + 1]; /* "docker.io" when none is written */
	char repository[REPOSITORY_MAX + 1]; /* "library/alpine" */
	struct reference reference; /* the digest, else the tag, else "latest" */
};

/* As Docker reads them: what stands before the first slash is a registry when
 * it has a dot or a colon, or is "localhost". BW_INVALID with a sentence. */
enum status image_name_parse(const char *text, struct image_name *ret, struct error *error);

#endif
