#include "tests/support/support.h"

#include "server/base/buf.h"
#include "server/oci/manifest.h"
#include "server/oci/media_type.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define D3 "sha256:3333333333333333333333333333333333333333333333333333333333333333"
#define CONFIG \
	"{\"mediaType\":\"application/vnd.oci.image.config.v1+json\"," \
	"\"digest\":\"" D1 "\",\"size\":10}"
#define LAYER \
	"{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\"," \
	"\"digest\":\"" D2 "\",\"size\":20}"
#define IMAGE_OF(members) \
	"{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\"," members "}"
#define INDEX_OF(members) "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\"," members "}"
#define IMAGE IMAGE_OF("\"config\":" CONFIG ",\"layers\":[" LAYER "]")

static struct manifest manifest;
static struct error error;

static enum status parse_as(const char *body, const char *content_type)
{
	manifest_release(&manifest);
	error = (struct error){0};
	return manifest_parse(body, strlen(body), content_type, &manifest, &error);
}

static enum status parse(const char *body)
{
	return parse_as(body, NULL);
}

static int forget(void **state)
{
	(void)state;
	manifest_release(&manifest);
	return 0;
}

static void assert_digest(const struct descriptor *descriptor, const char *text)
{
	char own[DIGEST_TEXT_SIZE];

	digest_format(&descriptor->digest, own);
	assert_string_equal(own, text);
}

/* Refused with that status, a sentence, and nothing handed out. */
static void assert_refused(const char *body, const char *content_type, enum status expected)
{
	enum status status = parse_as(body, content_type);

	if (status != expected)
		fail_msg("%s: %s", body, status_name(status));
	assert_true(error.message[0] != '\0');
	assert_int_equal(error.code, expected);
	assert_null(manifest.media_type);
	assert_null(manifest.blobs);
}

static void reads_an_image(void **state)
{
	(void)state;
	assert_int_equal(parse(IMAGE), BW_OK);
	assert_int_equal(manifest.kind, MANIFEST_IMAGE);
	assert_string_equal(manifest.media_type, MEDIA_OCI_MANIFEST);
	assert_string_equal(manifest.artifact_type, "application/vnd.oci.image.config.v1+json");
	assert_int_equal(manifest.blob_count, 2);
	assert_digest(&manifest.blobs[0], D1);
	assert_digest(&manifest.blobs[1], D2);
	assert_int_equal(manifest.blobs[1].size, 20);
	assert_int_equal(manifest.manifest_count, 0);
	assert_false(manifest.has_subject);
}

static void reads_an_index(void **state)
{
	(void)state;
	assert_int_equal(parse(INDEX_OF("\"manifests\":[" CONFIG "," LAYER "]")), BW_OK);
	assert_int_equal(manifest.kind, MANIFEST_INDEX);
	assert_int_equal(manifest.manifest_count, 2);
	assert_digest(&manifest.manifests[1], D2);
	assert_int_equal(manifest.blob_count, 0);
	assert_null(manifest.artifact_type);
}

static void reads_subject_and_artifact_type(void **state)
{
	(void)state;
	assert_int_equal(
		parse(IMAGE_OF("\"artifactType\":\"application/x.sbom\",\"config\":" CONFIG
			       ",\"layers\":[],\"subject\":{\"digest\":\"" D3 "\",\"size\":7}")),
		BW_OK);
	assert_string_equal(manifest.artifact_type, "application/x.sbom");
	assert_true(manifest.has_subject);
	assert_digest(&manifest.subject, D3);
	assert_int_equal(manifest.subject.size, 7);
}

static void marks_foreign_layers(void **state)
{
	(void)state;
	assert_int_equal(parse(IMAGE_OF("\"config\":" CONFIG ",\"layers\":[{\"mediaType\":"
					"\"application/vnd.docker.image.rootfs.foreign.diff.tar."
					"gzip\",\"digest\":\"" D2 "\",\"size\":1},{\"mediaType\":"
					"\"application/vnd.oci.image.layer.nondistributable.v1.tar"
					"\",\"digest\":\"" D3 "\",\"size\":1}]")),
			 BW_OK);
	assert_false(manifest.blobs[0].foreign);
	assert_true(manifest.blobs[1].foreign);
	assert_true(manifest.blobs[2].foreign);
}

static void whatever_has_urls_is_foreign(void **state)
{
	(void)state;
	assert_int_equal(parse(IMAGE_OF("\"config\":" CONFIG ",\"layers\":[{\"mediaType\":"
					"\"application/x-any\",\"urls\":[],\"digest\":\"" D2
					"\",\"size\":1},{\"mediaType\":\"application/x-any\","
					"\"URLs\":[\"https://a.test/\"],\"digest\":\"" D3
					"\",\"size\":1},{\"url\u017f\":[],\"digest\":\"" D3
					"\",\"size\":1}]")),
			 BW_OK);
	assert_false(manifest.blobs[0].foreign);
	for (size_t i = 1; i <= 3; i++)
		assert_true(manifest.blobs[i].foreign);
}

static void null_lists_are_empty(void **state)
{
	(void)state;
	assert_int_equal(parse(IMAGE_OF("\"config\":" CONFIG ",\"layers\":null,\"subject\":null")),
			 BW_OK);
	assert_int_equal(manifest.blob_count, 1);
	assert_int_equal(parse(INDEX_OF("\"manifests\":null")), BW_OK);
	assert_int_equal(manifest.manifest_count, 0);
}

static void reads_a_draft_artifact(void **state)
{
	(void)state;
	assert_int_equal(parse("{\"mediaType\":\"application/vnd.oci.artifact.manifest.v1+json\","
			       "\"artifactType\":\"application/x\",\"blobs\":[" LAYER "]}"),
			 BW_OK);
	assert_int_equal(manifest.kind, MANIFEST_IMAGE);
	assert_int_equal(manifest.blob_count, 1);
}

static void unknown_types_list_nothing(void **state)
{
	(void)state;
	assert_int_equal(parse_as("{\"layers\":[" LAYER "],\"subject\":\"a word\"}",
				  "application/vnd.example+json"),
			 BW_OK);
	assert_int_equal(manifest.kind, MANIFEST_OTHER);
	assert_string_equal(manifest.media_type, "application/vnd.example+json");
	assert_int_equal(manifest.blob_count, 0);
	assert_false(manifest.has_subject);
}

static void settles_the_media_type(void **state)
{
	static const char untyped[] = "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[]}";

	(void)state;
	assert_int_equal(parse_as(IMAGE, MEDIA_OCI_MANIFEST "; charset=utf-8"), BW_OK);
	assert_int_equal(parse_as(IMAGE, "application/json"), BW_OK);
	assert_string_equal(manifest.media_type, MEDIA_OCI_MANIFEST);
	assert_int_equal(parse_as(untyped, MEDIA_DOCKER_MANIFEST), BW_OK);
	assert_string_equal(manifest.media_type, MEDIA_DOCKER_MANIFEST);
	assert_int_equal(parse_as(untyped, NULL), BW_OK);
	assert_string_equal(manifest.media_type, MEDIA_OCI_MANIFEST);
	assert_int_equal(parse_as("{\"schemaVersion\":2,\"manifests\":[]}", "text/plain"), BW_OK);
	assert_string_equal(manifest.media_type, MEDIA_OCI_INDEX);

	assert_refused(IMAGE, MEDIA_DOCKER_MANIFEST, BW_INVALID);
	assert_refused(IMAGE, MEDIA_OCI_INDEX, BW_INVALID);
	assert_refused(IMAGE, "nonsense", BW_INVALID);
	assert_refused("{\"schemaVersion\":2}", NULL, BW_INVALID);
	assert_refused("{\"schemaVersion\":2,\"mediaType\":\"no type\"}", NULL, BW_INVALID);
	assert_refused("{\"schemaVersion\":2,\"mediaType\":5}", NULL, BW_INVALID);
}

/* CVE-2021-41190: two readers must never see two different documents. */
static void refuses_ambiguous_documents(void **state)
{
	static const char *const bad[] = {
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[],\"manifests\":[]"),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[],\"manifests\":null"),
		IMAGE_OF("\"manifests\":[]"),
		INDEX_OF("\"manifests\":[],\"layers\":[]"),
		INDEX_OF("\"manifests\":[],\"config\":" CONFIG),
		INDEX_OF("\"config\":" CONFIG ",\"layers\":[]"),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[],\"layers\":[]"),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[],\"Layers\":[]"),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[],\"MANIFESTS\":[]"),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[],\"mediatype\":\"a/b\""),
		/* an "s" to readers that fold case as Unicode does */
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[],\"layer\u017f\":[]"),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[],\"manife\u017fts\":[]"),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[],\"manife\\u017Fts\":[]"),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[],\"\u017fubject\":null"),
		INDEX_OF("\"manifests\":[],\"layer\u017f\":[]"),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[{\"digest\":\"" D1 "\",\"size\":1,"
			 "\"dige\u017ft\":\"" D2 "\"}]"),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[{\"digest\":\"" D1 "\",\"size\":1,"
			 "\"Digest\":\"" D2 "\"}]"),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[{\"digest\":\"" D1 "\",\"size\":1,"
			 "\"size\":2}]"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(bad[i], NULL, BW_INVALID);
	assert_refused("{\"manifests\":[],\"layers\":[]}", "application/vnd.example+json",
		       BW_INVALID);
}

static void refuses_schema_1(void **state)
{
	(void)state;
	assert_refused("{\"schemaVersion\":1,\"fsLayers\":[]}", NULL, BW_UNSUPPORTED);
	assert_refused("{\"schemaVersion\":1}", MEDIA_DOCKER_SCHEMA1_SIGNED, BW_UNSUPPORTED);
	assert_refused("{}", MEDIA_DOCKER_SCHEMA1, BW_UNSUPPORTED);
	assert_refused("{\"schemaVersion\":1}", MEDIA_OCI_MANIFEST, BW_UNSUPPORTED);
}

static void refuses_broken_documents(void **state)
{
	static const char *const bad[] = {
		"",
		"null",
		"[]",
		"\"text\"",
		"{",
		"<html>",
		IMAGE_OF("\"config\":" CONFIG),
		IMAGE_OF("\"layers\":[]"),
		IMAGE_OF("\"config\":null,\"layers\":[]"),
		IMAGE_OF("\"config\":[],\"layers\":[]"),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":{}"),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[null]"),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[\"" D1 "\"]"),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[],\"subject\":\"" D1 "\""),
		IMAGE_OF("\"config\":" CONFIG ",\"layers\":[],\"artifactType\":1"),
		INDEX_OF("\"other\":1"),
		INDEX_OF("\"manifests\":\"x\""),
		"{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"config\":" CONFIG ",\"layers\":[]}",
		"{\"schemaVersion\":3,\"config\":" CONFIG ",\"layers\":[]}",
		"{\"schemaVersion\":\"2\",\"config\":" CONFIG ",\"layers\":[]}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(bad[i], NULL, BW_INVALID);
}

static void refuses_bad_descriptors(void **state)
{
	static const char *const bad[] = {
		"{\"size\":1}",
		"{\"digest\":5,\"size\":1}",
		"{\"digest\":\"sha256:../../../etc/passwd\",\"size\":1}",
		"{\"digest\":\"sha256:AA\",\"size\":1}",
		"{\"digest\":\"md5:d41d8cd98f00b204e9800998ecf8427e\",\"size\":1}",
		"{\"digest\":\"" D1 "\"}",
		"{\"digest\":\"" D1 "\",\"size\":-1}",
		"{\"digest\":\"" D1 "\",\"size\":1.5}",
		"{\"digest\":\"" D1 "\",\"size\":\"1\"}",
		"{\"digest\":\"" D1 "\",\"size\":9007199254740992}",
		"{\"digest\":\"" D1 "\",\"size\":1e300}",
		"{\"digest\":\"" D1 "\",\"size\":1,\"mediaType\":[]}",
	};
	char body[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(body, sizeof(body),
			 IMAGE_OF("\"config\":" CONFIG ",\"layers\":[" LAYER ",%s]"), bad[i]);
		assert_refused(body, NULL, BW_INVALID);
		assert_non_null(strstr(error.message, "layers[1]"));
	}
}

static enum status parse_with_layers(unsigned count)
{
	struct buf body = BUF_INIT(MANIFEST_MAX_BYTES);
	enum status status;

	buf_append_string(&body, "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[");
	for (unsigned i = 0; i < count; i++) {
		buf_append_string(&body, i ? "," : "");
		buf_append_string(&body, "{\"digest\":\"" D2 "\",\"size\":1}");
	}
	buf_append_string(&body, "]}");
	status = parse(buf_string(&body));
	buf_release(&body);
	return status;
}

static void bounds_what_it_reads(void **state)
{
	char *big = malloc(MANIFEST_MAX_BYTES + 1);
	char deep[256];

	(void)state;
	assert_int_equal(parse_with_layers(MANIFEST_MAX_DESCRIPTORS - 1), BW_OK);
	assert_int_equal(manifest.blob_count, MANIFEST_MAX_DESCRIPTORS);
	assert_int_equal(parse_with_layers(MANIFEST_MAX_DESCRIPTORS), BW_TOO_LARGE);

	manifest_release(&manifest);
	memset(big, ' ', MANIFEST_MAX_BYTES + 1);
	memcpy(big, IMAGE, strlen(IMAGE));
	assert_int_equal(manifest_parse(big, MANIFEST_MAX_BYTES + 1, NULL, &manifest, &error),
			 BW_TOO_LARGE);
	assert_int_equal(manifest_parse(big, MANIFEST_MAX_BYTES, NULL, &manifest, &error), BW_OK);
	free(big);

	memset(deep, '[', 100);
	memset(deep + 100, ']', 100);
	deep[200] = '\0';
	assert_refused(deep, NULL, BW_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(reads_an_image, forget),
		cmocka_unit_test_teardown(reads_an_index, forget),
		cmocka_unit_test_teardown(reads_subject_and_artifact_type, forget),
		cmocka_unit_test_teardown(marks_foreign_layers, forget),
		cmocka_unit_test_teardown(whatever_has_urls_is_foreign, forget),
		cmocka_unit_test_teardown(null_lists_are_empty, forget),
		cmocka_unit_test_teardown(reads_a_draft_artifact, forget),
		cmocka_unit_test_teardown(unknown_types_list_nothing, forget),
		cmocka_unit_test_teardown(settles_the_media_type, forget),
		cmocka_unit_test_teardown(refuses_ambiguous_documents, forget),
		cmocka_unit_test_teardown(refuses_schema_1, forget),
		cmocka_unit_test_teardown(refuses_broken_documents, forget),
		cmocka_unit_test_teardown(refuses_bad_descriptors, forget),
		cmocka_unit_test_teardown(bounds_what_it_reads, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
