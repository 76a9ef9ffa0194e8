/*
 * A body of anybody's, under each Content-Type that is read as a manifest.
 */
#include "tests/fuzz/fuzz.h"

#include "server/oci/manifest.h"
#include "server/oci/media_type.h"

static void check_descriptors(const struct descriptor *list, size_t count)
{
	CHECK(count <= MANIFEST_MAX_DESCRIPTORS);
	for (size_t i = 0; i < count; i++)
		CHECK(list[i].digest.algorithm != DIGEST_NONE && list[i].size < (uint64_t)1 << 53);
}

static void check(const uint8_t *data, size_t size, const char *content_type)
{
	struct manifest manifest;
	struct error error = {0};

	if (manifest_parse((const char *)data, size, content_type, &manifest, &error) != BW_OK) {
		CHECK(error.message[0] && error.code != BW_OK);
		return;
	}
	CHECK(manifest.media_type && manifest.media_type[0]);
	CHECK(manifest.blob_count == 0 || manifest.manifest_count == 0);
	check_descriptors(manifest.blobs, manifest.blob_count);
	check_descriptors(manifest.manifests, manifest.manifest_count);
	check_descriptors(&manifest.subject, manifest.has_subject);
	manifest_release(&manifest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check(data, size, NULL);
	check(data, size, MEDIA_OCI_MANIFEST);
	check(data, size, MEDIA_DOCKER_LIST);
	check(data, size, "application/vnd.example+json");
	return 0;
}
