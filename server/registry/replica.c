#include "server/registry/registry_private.h"

struct cluster *registry_cluster(struct registry *registry)
{
	return cache_cluster(registry->cache);
}

enum status registry_open_for_replica(struct registry *registry, const struct digest *digest,
				      deadline_ms deadline, struct blob_source *ret_blob,
				      struct error *error)
{
	return cache_open_for_replica(registry->cache, digest, deadline, ret_blob, error);
}
