/*
 * A blob that another repository has becomes one of this repository
 * (OCI distribution-spec, "Mounting a blob from another repository").
 *
 * Whatever keeps it from being found, a store that could not tell included, is no
 * failure: the client then sends the bytes. (With the index away it could not.) What
 * is absent and what may not be read look alike, and cost alike.
 */
#include "server/base/str.h"
#include "server/content/content.h"
#include "server/registry/failure.h"
#include "server/registry/push.h"
#include "server/registry/registry_private.h"

#include <stdlib.h>

/* Repositories that are looked at for one to mount from. Links of cached ones are
 * among those listed; with more of them than this the client uploads. */
#define SOURCES_MAX 256

/* May its readers read the blob there? */
static bool has_blob(struct registry *registry, const struct target *from,
		     const struct digest *digest)
{
	uint64_t size;

	if (from->upstream)
		return content_get_listed(registry->content, from->stored, digest, &size, NULL) ==
		       BW_OK;
	return content_get_link(registry->content, from->stored, digest, &size, NULL) == BW_OK;
}

struct search {
	const struct target *target;
	bool found;
};

/* Links of cached repositories are grants by their upstreams, to their readers. */
static bool look_at(void *context, const char *repository)
{
	struct search *search = context;

	search->found = repository_is_local(search->target->set, repository);
	return !search->found;
}

static bool is_anywhere(struct registry *registry, const struct target *target,
			const struct digest *digest)
{
	struct search search = {.target = target};

	return content_list_links_of(registry->content, digest, SOURCES_MAX, look_at, &search,
				     NULL) == BW_OK &&
	       search.found;
}

bool registry_mount_blob(struct registry *registry, const struct target *target,
			 const char *digest_text, const struct target *from, bool *ret_mounted,
			 struct api_failure *failure)
{
	struct digest digest;
	uint64_t size;
	bool readable;

	if (!parse_path_digest(digest_text, &digest, failure) ||
	    !require_index(registry, target, failure))
		return false;
	readable =
		from ? has_blob(registry, from, &digest) : is_anywhere(registry, target, &digest);
	*ret_mounted = readable && content_mount_blob(registry->content, target->stored, &digest,
						      &size, NULL) == BW_OK;
	return true;
}
