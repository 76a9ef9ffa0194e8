/*
 * The registry's life, and the calls that are little more than a parse and a
 * question to the cache.
 */
#include "server/base/memory.h"
#include "server/cluster/cluster.h"
#include "server/content/content.h"
#include "server/registry/failure.h"
#include "server/registry/local.h"
#include "server/upstream/upstream.h"

#include <stdlib.h>
#include <string.h>

/* Takes over the reference to `set`. */
static void install(struct registry *registry, struct config *config, struct upstream_set *set)
{
	struct cluster *cluster = cache_cluster(registry->cache);
	const char *name = config->proxy.default_upstream;
	struct upstream_set *old;

	pthread_mutex_lock(&registry->lock);
	old = registry->set;
	registry->set = set;
	registry->default_upstream = name && *name ? upstream_set_find(set, name) : NULL;
	registry->checks = config->uploads.check_references;
	pthread_mutex_unlock(&registry->lock);
	if (cluster)
		cluster_set_upstreams(cluster, set);
	upstream_set_unref(old);
}

struct registry *registry_new(struct content *content, struct cache *cache, struct config *config)
{
	struct registry *registry = xcalloc(1, sizeof(*registry));

	registry->content = content;
	registry->cache = cache;
	pthread_mutex_init(&registry->lock, NULL);
	install(registry, config, upstream_set_new(config, NULL));
	return registry;
}

void registry_reload(struct registry *registry, struct config *config)
{
	/* only reloads change registry->set, and there is one at a time */
	install(registry, config, upstream_set_new(config, registry->set));
}

void registry_free(struct registry *registry)
{
	if (!registry)
		return;
	upstream_set_unref(registry->set);
	pthread_mutex_destroy(&registry->lock);
	free(registry);
}

enum check_references registry_checks(struct registry *registry)
{
	enum check_references checks;

	pthread_mutex_lock(&registry->lock);
	checks = registry->checks;
	pthread_mutex_unlock(&registry->lock);
	return checks;
}

enum status registry_check_objects(struct registry *registry, struct error *error)
{
	return object_check(content_objects(registry->content), error);
}

enum status registry_check_index(struct registry *registry, struct error *error)
{
	return metadata_check(content_metadata(registry->content), error);
}

bool require_index(struct registry *registry, const struct target *target,
		   struct api_failure *failure)
{
	struct error error = {0};
	enum status status = metadata_get_repository(content_metadata(registry->content),
						     target->stored, &error);

	return status == BW_OK || status == BW_ABSENT ||
	       failure_from_stores(failure, status, &error, API_NAME_UNKNOWN);
}

bool parse_path_digest(const char *text, struct digest *ret_digest, struct api_failure *failure)
{
	if (digest_parse(text, strlen(text), ret_digest))
		return true;
	return failure_set(failure, 400, API_DIGEST_INVALID,
			   "\"%.200s\" is not a digest: sha256 or sha512, a colon, lower-case hex",
			   text);
}

bool parse_path_reference(const char *text, struct reference *ret_reference,
			  struct api_failure *failure)
{
	struct digest unused;

	if (reference_parse(text, strlen(text), ret_reference))
		return true;
	if (strchr(text, ':'))
		return parse_path_digest(text, &unused, failure);
	return failure_set(failure, 400, API_TAG_INVALID, "\"%.200s\" is not a tag", text);
}

bool registry_get_manifest(struct registry *registry, const struct target *target,
			   const char *reference_text, bool head, struct manifest_view **ret_view,
			   enum cache_verdict *ret_verdict, struct api_failure *failure)
{
	struct cache_source source = source_of(target);
	struct reference reference;
	struct error error = {0};
	enum status status;

	if (!parse_path_reference(reference_text, &reference, failure))
		return false;
	if (!target->upstream) {
		*ret_verdict = CACHE_LOCAL;
		return local_get_manifest(registry, target, &reference, ret_view, failure);
	}
	status = cache_get_manifest(registry->cache, &source, &reference, !head, ret_view,
				    ret_verdict, &error);
	return status == BW_OK || failure_from_error(failure, status, &error, API_MANIFEST_UNKNOWN);
}

bool registry_open_blob(struct registry *registry, const struct target *target,
			const char *digest_text, struct blob_source *ret_blob,
			struct api_failure *failure)
{
	struct cache_source source = source_of(target);
	struct error error = {0};
	struct digest digest;
	enum status status;

	if (!parse_path_digest(digest_text, &digest, failure))
		return false;
	if (!target->upstream)
		return local_open_blob(registry, target, &digest, ret_blob, failure);
	status = cache_open_blob(registry->cache, &source, &digest, ret_blob, &error);
	return status == BW_OK || failure_from_error(failure, status, &error, API_BLOB_UNKNOWN);
}

bool registry_stat_blob(struct registry *registry, const struct target *target,
			const char *digest_text, uint64_t *ret_size,
			enum cache_verdict *ret_verdict, struct api_failure *failure)
{
	struct cache_source source = source_of(target);
	struct error error = {0};
	struct digest digest;
	enum status status;

	if (!parse_path_digest(digest_text, &digest, failure))
		return false;
	if (!target->upstream) {
		*ret_verdict = CACHE_LOCAL;
		return local_stat_blob(registry, target, &digest, ret_size, failure);
	}
	status = cache_stat_blob(registry->cache, &source, &digest, ret_size, ret_verdict, &error);
	return status == BW_OK || failure_from_error(failure, status, &error, API_BLOB_UNKNOWN);
}
