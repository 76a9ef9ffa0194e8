/*
 * Bytes and manifests for tests, and stores that are told to fail.
 */
#ifndef TESTS_SUPPORT_IMAGES_H
#define TESTS_SUPPORT_IMAGES_H

#include "backends/decorators/faulty_store.h"
#include "server/base/digest.h"
#include "server/base/memory.h"
#include "server/oci/media_type.h"

#include <stdatomic.h>
#include <string.h>

/* Bytes that differ everywhere, so that a shifted copy is a wrong one. The
 * caller frees them. */
static inline char *some_bytes(size_t length, unsigned seed, struct digest *ret_digest)
{
	char *bytes = xmalloc(length + 1);
	uint32_t state = seed * 2654435761u + 1;

	for (size_t i = 0; i < length; i++) {
		state = state * 1664525u + 1013904223u;
		bytes[i] = (char)(state >> 24);
	}
	bytes[length] = '\0';
	digest_of(DIGEST_SHA256, bytes, length, ret_digest);
	return bytes;
}

/* An image manifest with one config and one layer. The caller frees it. */
static inline char *image_of(const struct digest *config, uint64_t config_size,
			     const struct digest *layer, uint64_t layer_size,
			     struct digest *ret_digest)
{
	char config_text[DIGEST_TEXT_SIZE], layer_text[DIGEST_TEXT_SIZE];
	char *body;

	digest_format(config, config_text);
	digest_format(layer, layer_text);
	body = xasprintf(
		"{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST
		"\",\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\","
		"\"digest\":\"%s\",\"size\":%llu},\"layers\":[{\"mediaType\":"
		"\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\","
		"\"size\":%llu}]}",
		config_text, (unsigned long long)config_size, layer_text,
		(unsigned long long)layer_size);
	digest_of(DIGEST_SHA256, body, strlen(body), ret_digest);
	return body;
}

/* Makes every call of `action` (NULL: all) fail; BW_OK: none any more. Not while
 * a store is in use: `action` is no atomic. */
static inline void make_fail(struct fault_plan *plan, const char *action, enum status status)
{
	plan->action = action;
	atomic_store(&plan->status, (int)status);
	atomic_store(&plan->every, status == BW_OK ? 0 : 1);
}

#endif
