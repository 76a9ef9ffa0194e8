#include "server/base/memory.h"
#include "server/oci/manifest.h"
#include "server/oci/media_type.h"
#include "server/upstream/upstream_private.h"

#include <stdlib.h>
#include <string.h>

#define MEDIA_TYPE_SIZE 256

struct manifest_ask {
	struct collecting_ask collecting; /* first */
	const struct reference *reference;
	struct upstream_manifest manifest; /* made by finish */
};

void upstream_manifest_release(struct upstream_manifest *manifest)
{
	free(manifest->media_type);
	free(manifest->body);
	*manifest = (struct upstream_manifest){0};
}

/* The digest the upstream tells. False with BW_OK: none of an algorithm that we
 * know. */
static bool told_digest(const struct transfer_response *response, struct digest *ret,
			enum status *ret_status, struct error *error)
{
	const char *text = response->headers.docker_content_digest;

	*ret_status = BW_OK;
	if (!text || (strncmp(text, "sha256:", 7) != 0 && strncmp(text, "sha512:", 7) != 0))
		return false;
	if (digest_parse(text, strlen(text), ret))
		return true;
	*ret_status = error_set(error, BW_CORRUPT, "sent a malformed Docker-Content-Digest");
	return false;
}

static enum status mismatch(const char *what, const struct digest *got, const struct digest *wanted,
			    struct error *error)
{
	char got_text[DIGEST_TEXT_SIZE], wanted_text[DIGEST_TEXT_SIZE];

	digest_format(got, got_text);
	digest_format(wanted, wanted_text);
	return error_set(error, BW_CORRUPT, "%s %s, not %s", what, got_text, wanted_text);
}

static char *told_media_type(const struct transfer_response *response)
{
	char type[MEDIA_TYPE_SIZE];

	if (!response->headers.content_type ||
	    !media_type_parse(response->headers.content_type, type, sizeof(type)))
		return NULL;
	return xstrdup(type);
}

static enum status check_body(const struct buf *body, const struct digest *wanted,
			      struct error *error)
{
	struct digest got;

	digest_of(wanted->algorithm, buf_string(body), body->length, &got);
	if (digest_equals(&got, wanted))
		return BW_OK;
	return mismatch("sent a manifest with the digest", &got, wanted, error);
}

static enum status finish_get(struct ask *ask, const struct transfer_response *response,
			      struct error *error)
{
	struct manifest_ask *manifest = (struct manifest_ask *)ask;
	struct buf *body = &manifest->collecting.body;
	const struct reference *reference = manifest->reference;
	struct digest told, digest;
	enum status status;
	bool is_told = told_digest(response, &told, &status, error);

	if (status == BW_OK && reference->is_digest)
		status = check_body(body, &reference->digest, error);
	if (status == BW_OK && is_told &&
	    !(reference->is_digest && digest_equals(&told, &reference->digest)))
		status = check_body(body, &told, error);
	if (status != BW_OK)
		return status;
	if (reference->is_digest)
		digest = reference->digest;
	else if (is_told)
		digest = told;
	else
		digest_of(DIGEST_SHA256, buf_string(body), body->length, &digest);
	manifest->manifest.digest = digest;
	manifest->manifest.media_type = told_media_type(response);
	manifest->manifest.body_length = body->length;
	manifest->manifest.body = body->length ? buf_detach(body, NULL) : xstrdup("");
	return BW_OK;
}

static enum status finish_head(struct ask *ask, const struct transfer_response *response,
			       struct error *error)
{
	struct manifest_ask *manifest = (struct manifest_ask *)ask;
	const struct reference *reference = manifest->reference;
	struct digest told;
	enum status status;
	bool is_told = told_digest(response, &told, &status, error);

	if (status != BW_OK)
		return status;
	if (!is_told && !reference->is_digest)
		return error_set(error, BW_UNSUPPORTED, "tells no digest in answer to HEAD");
	if (is_told && reference->is_digest && told.algorithm == reference->digest.algorithm &&
	    !digest_equals(&told, &reference->digest))
		return mismatch("has a manifest with the digest", &told, &reference->digest, error);
	manifest->manifest.digest = reference->is_digest ? reference->digest : told;
	manifest->manifest.media_type = told_media_type(response);
	manifest->manifest.body_length = (size_t)response->headers.content_length;
	return BW_OK;
}

static enum status ask_for_manifest(struct upstream *upstream, enum transfer_method method,
				    const char *repository, const struct reference *reference,
				    struct upstream_manifest *ret, struct error *error)
{
	struct manifest_ask manifest = {.reference = reference};
	struct ask *ask = &manifest.collecting.ask;
	char *path = xasprintf("manifests/%s", reference->text);
	enum status status;

	collecting_ask_init(&manifest.collecting, MANIFEST_MAX_BYTES);
	ask->upstream = upstream;
	ask->repository = repository;
	ask->method = method;
	ask->path = path;
	ask->accept = MEDIA_ACCEPT_MANIFESTS;
	ask->limit_ms = upstream_small_limit_ms(upstream);
	ask->finish = method == TRANSFER_HEAD ? finish_head : finish_get;
	status = upstream_ask(ask, error);
	if (status == BW_OK)
		*ret = manifest.manifest;
	collecting_ask_release(&manifest.collecting);
	free(path);
	return status;
}

enum status upstream_get_manifest(struct upstream *upstream, const char *repository,
				  const struct reference *reference, struct upstream_manifest *ret,
				  struct error *error)
{
	return ask_for_manifest(upstream, TRANSFER_GET, repository, reference, ret, error);
}

enum status upstream_head_manifest(struct upstream *upstream, const char *repository,
				   const struct reference *reference, struct upstream_manifest *ret,
				   struct error *error)
{
	struct error failure = {0};
	enum status status =
		ask_for_manifest(upstream, TRANSFER_HEAD, repository, reference, ret, &failure);

	/* a mirror that does not do HEAD has not said anything about the manifest */
	if (failure.http_status == 405 || failure.http_status == 501)
		status = failure.code = BW_UNSUPPORTED;
	if (status != BW_OK && error)
		*error = failure;
	return status;
}
