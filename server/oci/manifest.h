/*
 * Reading manifests and indexes (OCI image-spec manifest.md, image-index.md;
 * Docker schema 2 and manifest lists).
 *
 * Only what the registry must know is read: what the document is, and which
 * content it lists. The bytes themselves are never rewritten. Refused:
 * a document that is both a manifest and an index (CVE-2021-41190), schema 1,
 * a body over 4 MiB, nesting over 32, more than MANIFEST_MAX_DESCRIPTORS
 * descriptors, a descriptor with a bad digest or a size over 2^53, a mediaType
 * in the body that contradicts the Content-Type it came with. Descriptor
 * `urls` are never followed.
 */
#ifndef OCI_MANIFEST_H
#define OCI_MANIFEST_H

#include "server/base/digest.h"
#include "server/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MANIFEST_MAX_BYTES ((size_t)4 << 20)
#define MANIFEST_MAX_DESCRIPTORS 10000

enum manifest_kind {
	MANIFEST_IMAGE, /* lists blobs: config and layers (artifacts too) */
	MANIFEST_INDEX, /* lists manifests */
	MANIFEST_OTHER, /* JSON of a type we do not know; lists nothing */
};

struct descriptor {
	struct digest digest;
	uint64_t size;
	/* a non-distributable layer, or one with `urls`: the registry that took
	 * the manifest need not have the blob, so listing it proves nothing */
	bool foreign;
};

struct manifest {
	enum manifest_kind kind;
	char *media_type; /* the body's own mediaType, else the Content-Type */
	char *artifact_type; /* artifactType, else the config's mediaType; NULL: none */
	struct descriptor *blobs; /* config first, then layers, in order */
	size_t blob_count;
	struct descriptor *manifests; /* an index's children, in order */
	size_t manifest_count;
	bool has_subject;
	struct descriptor subject;
};

/* `content_type` is what the body was served or pushed with (NULL: unknown).
 * BW_OK: the caller releases *ret. BW_INVALID, BW_TOO_LARGE, BW_UNSUPPORTED
 * (schema 1) with a sentence that names the fault. */
enum status manifest_parse(const char *body, size_t length, const char *content_type,
			   struct manifest *ret, struct error *error);
void manifest_release(struct manifest *manifest);

#endif
