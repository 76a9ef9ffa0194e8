/*
 * PUT of a manifest (OCI distribution-spec, "Pushing Manifests"). All that can be
 * wrong with it is found before anything is stored; the order of what is stored is
 * content_push_manifest's.
 */
#include "server/base/str.h"
#include "server/content/content.h"
#include "server/oci/descriptor.h"
#include "server/oci/manifest.h"
#include "server/registry/failure.h"
#include "server/registry/push.h"
#include "server/registry/registry_private.h"

#include <stdlib.h>
#include <string.h>

/* ---- what it is called ---------------------------------------------------- */

static bool check_tags(const struct manifest_push *push, const struct reference *reference,
		       struct api_failure *failure)
{
	if (push->tag_count > 0 && !reference->is_digest)
		return failure_set(failure, 400, API_TAG_INVALID,
				   "?tag= names further tags of a manifest that is pushed by its "
				   "digest; this one is pushed by a tag");
	if (push->tag_count > PUSH_MAX_TAGS)
		return failure_set(failure, 414, API_TAG_INVALID,
				   "more than %d tags in one request", PUSH_MAX_TAGS);
	for (size_t i = 0; i < push->tag_count; i++) {
		if (!tag_valid(push->tags[i], strlen(push->tags[i])))
			return failure_set(failure, 400, API_TAG_INVALID, "\"%.200s\" is not a tag",
					   push->tags[i]);
	}
	return true;
}

static bool find_digest(const struct manifest_push *push, const struct reference *reference,
			struct digest *ret_digest, struct api_failure *failure)
{
	enum digest_algorithm algorithm =
		reference->is_digest ? reference->digest.algorithm : DIGEST_SHA256;
	char text[DIGEST_TEXT_SIZE];

	digest_of(algorithm, push->body, push->length, ret_digest);
	if (!reference->is_digest || digest_equals(ret_digest, &reference->digest))
		return true;
	digest_format(ret_digest, text);
	return failure_set(failure, 400, API_DIGEST_INVALID, "the digest of the manifest is %s",
			   text);
}

/* ---- what it lists -------------------------------------------------------- */

static enum status has_blob(struct registry *registry, const struct target *target,
			    const struct digest *digest, struct error *error)
{
	uint64_t size;

	return content_get_link(registry->content, target->stored, digest, &size, error);
}

static enum status has_manifest(struct registry *registry, const struct target *target,
				const struct digest *digest, struct error *error)
{
	struct manifest_entry entry = {0};
	enum status status =
		content_get_manifest(registry->content, target->stored, digest, &entry, error);

	manifest_entry_release(&entry);
	return status;
}

typedef enum status (*has_fn)(struct registry *registry, const struct target *target,
			      const struct digest *digest, struct error *error);

/* Foreign layers are had from elsewhere. */
static bool check_listed(struct registry *registry, const struct target *target,
			 const struct descriptor *listed, size_t count, has_fn has,
			 struct api_failure *failure)
{
	char text[DIGEST_TEXT_SIZE];

	for (size_t i = 0; i < count; i++) {
		struct error error = {0};
		enum status status = BW_OK;

		if (!listed[i].foreign)
			status = has(registry, target, &listed[i].digest, &error);
		if (status == BW_ABSENT) {
			digest_format(&listed[i].digest, text);
			return failure_set(failure, 400, API_MANIFEST_BLOB_UNKNOWN,
					   "the manifest lists %s, which is not in \"%s\"; push it "
					   "first",
					   text, target->stored);
		}
		if (status != BW_OK)
			return failure_from_stores(failure, status, &error,
						   API_MANIFEST_BLOB_UNKNOWN);
	}
	return true;
}

/* The subject may come later (OCI distribution-spec, "Push"). */
static bool check_references(struct registry *registry, const struct target *target,
			     const struct manifest *parsed, struct api_failure *failure)
{
	enum check_references checks = registry_checks(registry);

	return (checks == CHECK_NOTHING || check_listed(registry, target, parsed->blobs,
							parsed->blob_count, has_blob, failure)) &&
	       (checks != CHECK_ALL || check_listed(registry, target, parsed->manifests,
						    parsed->manifest_count, has_manifest, failure));
}

/* A list of referrers has to hold its descriptor, which the index makes: that is too
 * late to find out, since by then the manifest is stored. */
static bool check_referrer(const struct manifest_push *push, const struct manifest *parsed,
			   const struct digest *digest, struct api_failure *failure)
{
	char *descriptor = NULL;
	struct error error = {0};
	enum status status;

	if (!parsed->has_subject)
		return true;
	status = referrer_descriptor(push->body, push->length, parsed->media_type, digest, parsed,
				     &descriptor, &error);
	free(descriptor);
	return status == BW_OK || failure_set(failure, 413, API_SIZE_INVALID,
					      "the manifest's annotations are too large for a list "
					      "of referrers: %s",
					      error.message);
}

/* ---- storing it ----------------------------------------------------------- */

static bool store(struct registry *registry, const struct target *target,
		  const struct manifest_push *push, const struct reference *reference,
		  const struct digest *digest, const struct manifest *parsed,
		  struct api_failure *failure)
{
	const char *const path_tag[] = {reference->text};
	struct cache_source source = source_of(target);
	struct manifest_entry entry = {
		.digest = *digest,
		.body = (char *)(uintptr_t)push->body, /* only read */
		.body_length = push->length,
		.stored_at = clock_wall_ms(),
	};
	struct error error = {0};
	enum status status;

	str_copy(entry.media_type, sizeof(entry.media_type), parsed->media_type);
	status = content_push_manifest(registry->content, target->stored, &entry, parsed,
				       registry_checks(registry) != CHECK_NOTHING,
				       reference->is_digest ? push->tags : path_tag,
				       reference->is_digest ? push->tag_count : 1, &error);
	/* these bytes may be here already, under another media type */
	cache_forget_manifest(registry->cache, &source, digest);
	return status == BW_OK ||
	       failure_from_stores(failure, status, &error, API_MANIFEST_UNKNOWN);
}

static bool parse(const struct manifest_push *push, struct manifest *ret_parsed,
		  struct api_failure *failure)
{
	struct error error = {0};
	enum status status;

	if (push->length > MANIFEST_MAX_BYTES)
		return failure_set(failure, 413, API_SIZE_INVALID,
				   "a manifest has at most %zu bytes", MANIFEST_MAX_BYTES);
	status = manifest_parse(push->body, push->length, push->content_type, ret_parsed, &error);
	if (status == BW_TOO_LARGE)
		return failure_set(failure, 413, API_SIZE_INVALID, "%s", error.message);
	return status == BW_OK ||
	       failure_set(failure, 400, API_MANIFEST_INVALID, "%s", error.message);
}

bool registry_put_manifest(struct registry *registry, const struct target *target,
			   const struct manifest_push *push, struct pushed_manifest *ret_pushed,
			   struct api_failure *failure)
{
	struct pushed_manifest pushed = {0};
	struct reference reference;
	struct manifest parsed;
	struct digest digest;
	bool done;

	if (!parse_path_reference(push->reference, &reference, failure) ||
	    !check_tags(push, &reference, failure) || !parse(push, &parsed, failure))
		return false;
	done = find_digest(push, &reference, &digest, failure) &&
	       require_index(registry, target, failure) &&
	       check_references(registry, target, &parsed, failure) &&
	       check_referrer(push, &parsed, &digest, failure) &&
	       store(registry, target, push, &reference, &digest, &parsed, failure);
	if (done) {
		digest_format(&digest, pushed.digest);
		if (parsed.has_subject)
			digest_format(&parsed.subject.digest, pushed.subject);
		*ret_pushed = pushed;
	}
	manifest_release(&parsed);
	return done;
}
