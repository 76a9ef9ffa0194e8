/*
 * The descriptor of a manifest that has a subject, as the referrers API lists it
 * (OCI distribution-spec, "Listing Referrers").
 */
#ifndef OCI_DESCRIPTOR_H
#define OCI_DESCRIPTOR_H

#include "server/base/error.h"
#include "server/oci/manifest.h"

/* {"mediaType","digest","size","artifactType","annotations"}: artifactType from
 * the manifest, else from an image's config, else left out; annotations as the
 * manifest has them, left out when it has none. `body` is what `parsed` was read
 * from. The caller frees *ret_json. BW_INVALID: the body is not that manifest. */
enum status referrer_descriptor(const char *body, size_t length, const char *media_type,
				const struct digest *digest, const struct manifest *parsed,
				char **ret_json, struct error *error);

#endif
