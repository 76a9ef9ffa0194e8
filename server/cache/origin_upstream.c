/*
 * Bytes from a repository of an upstream.
 */
#include "server/base/memory.h"
#include "server/cache/origin.h"

#include <stdlib.h>

struct upstream_origin {
	struct origin base;
	struct upstream_set *set; /* a reference, which keeps the upstream */
	struct upstream *upstream;
	char *repository;
	struct digest digest;
};

static enum status upstream_read(struct origin *base, uint64_t offset, const struct blob_sink *sink,
				 const _Atomic bool *cancelled, struct error *error)
{
	struct upstream_origin *origin = container_of(base, struct upstream_origin, base);

	return upstream_get_blob(origin->upstream, origin->repository, &origin->digest, offset,
				 sink, cancelled, error);
}

static enum status upstream_is_at_fault(const struct origin *base, struct error *error,
					enum status code, const char *what)
{
	const struct upstream_origin *origin =
		container_of(base, const struct upstream_origin, base);

	return upstream_fault(origin->upstream, origin->repository, error, code, "%s", what);
}

static void upstream_origin_free(struct origin *base)
{
	struct upstream_origin *origin = container_of(base, struct upstream_origin, base);

	upstream_set_unref(origin->set);
	free(origin->repository);
	free(origin);
}

struct origin *origin_upstream_new(struct upstream_set *set, struct upstream *upstream,
				   const char *repository, const struct digest *digest)
{
	static const struct origin_ops ops = {
		.read = upstream_read,
		.fault = upstream_is_at_fault,
		.free = upstream_origin_free,
	};
	struct upstream_origin *origin = xcalloc(1, sizeof(*origin));

	origin->set = upstream_set_ref(set);
	origin->upstream = upstream;
	origin->repository = xstrdup(repository);
	origin->digest = *digest;
	origin->base = (struct origin){
		.ops = &ops,
		.upstream = upstream_name(upstream),
		.repository = origin->repository,
		.concurrency = upstream_max_connections(upstream),
		.stores = true,
	};
	return &origin->base;
}
