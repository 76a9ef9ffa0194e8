/*
 * The media types this program has to know by name. Others are carried through
 * untouched.
 */
#ifndef OCI_MEDIA_TYPE_H
#define OCI_MEDIA_TYPE_H

#include <stdbool.h>
#include <stddef.h>

#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_SCHEMA1 "application/vnd.docker.distribution.manifest.v1+json"
#define MEDIA_DOCKER_SCHEMA1_SIGNED "application/vnd.docker.distribution.manifest.v1+prettyjws"

/* What we ask upstreams for: every manifest form but schema 1. */
#define MEDIA_ACCEPT_MANIFESTS \
	MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_LIST ", " MEDIA_DOCKER_MANIFEST \
			", application/vnd.oci.artifact.manifest.v1+json"

bool media_type_is_index(const char *media_type);
bool media_type_is_schema1(const char *media_type);

/* The type of a Content-Type value, without parameters, lower-cased; false
 * when it is not type/subtype of RFC 6838 characters or does not fit. */
bool media_type_parse(const char *content_type, char *target, size_t target_size);

#endif
