/*
 * Which repository a request means. Everything a client says here is a key to
 * look up in the configured upstreams; an unknown one is a 404, so that the
 * client goes on to its next host.
 */
#include "server/registry/failure.h"
#include "server/registry/registry_private.h"
#include "server/upstream/upstream.h"

#include <stdio.h>
#include <string.h>

static struct upstream *find(struct upstream_set *set, const char *host, size_t length)
{
	char normalized[HOST_MAX + 1];

	if (!host_normalize(host, length, normalized))
		return NULL;
	return upstream_set_find(set, normalized);
}

/* A Host header names an upstream with or without its port. */
static struct upstream *find_host_header(struct upstream_set *set, const char *host)
{
	struct upstream *upstream = find(set, host, strlen(host));
	const char *colon = strrchr(host, ':');

	if (!upstream && colon)
		upstream = find(set, host, (size_t)(colon - host));
	return upstream;
}

/* The upstream that the first component of the name is, and the rest. */
static struct upstream *find_prefix(struct upstream_set *set, const char *name,
				    const char **ret_rest)
{
	const char *slash = strchr(name, '/');
	struct upstream *upstream;

	if (!slash)
		return NULL;
	upstream = find(set, name, (size_t)(slash - name));
	if (upstream)
		*ret_rest = slash + 1;
	return upstream;
}

/* containerd sends ns even when its configured path names the upstream too:
 * the name is not prefixed twice. */
static const char *without_own_prefix(struct upstream_set *set, struct upstream *upstream,
				      const char *name)
{
	const char *rest = name;

	return find_prefix(set, name, &rest) == upstream ? rest : name;
}

static bool choose(struct target *target, struct upstream *default_upstream, const char *name,
		   const char *ns, const char *host, const char **ret_repository,
		   struct api_failure *failure)
{
	*ret_repository = name;
	if (ns && *ns) {
		target->by_ns = true;
		target->upstream = find(target->set, ns, strlen(ns));
		if (!target->upstream)
			return failure_set(failure, 404, API_NAME_UNKNOWN,
					   "\"%.200s\" is not an upstream of this registry", ns);
		*ret_repository = without_own_prefix(target->set, target->upstream, name);
		return true;
	}
	if (host)
		target->upstream = find_host_header(target->set, host);
	if (!target->upstream)
		target->upstream = find_prefix(target->set, name, ret_repository);
	if (!target->upstream)
		target->upstream = default_upstream;
	return target->upstream ||
	       failure_set(failure, 404, API_NAME_UNKNOWN,
			   "no repository \"%.300s\" here: its first part names no upstream, and "
			   "proxy.defaultUpstream is not set",
			   name);
}

/* Docker Hub's official images live under library/. */
static bool is_short_hub_name(const struct upstream *upstream, const char *repository)
{
	return !strchr(repository, '/') && strcmp(upstream_name(upstream), "docker.io") == 0;
}

static bool name_repository(struct target *target, const char *repository,
			    struct api_failure *failure)
{
	const char *prefix = is_short_hub_name(target->upstream, repository) ? "library/" : "";
	int length = snprintf(target->repository, sizeof(target->repository), "%s%s", prefix,
			      repository);

	if ((size_t)length >= sizeof(target->repository) ||
	    !repository_name_valid(target->repository, (size_t)length))
		return failure_set(failure, 400, API_NAME_INVALID,
				   "\"%.300s\" is not a repository name", repository);
	snprintf(target->stored, sizeof(target->stored), "%s/%s", upstream_name(target->upstream),
		 target->repository);
	if (!upstream_allows(target->upstream, target->repository))
		return failure_set(failure, 403, API_DENIED,
				   "\"%s\" of upstream \"%s\" is not allowed here by "
				   "proxy.upstreams allow and deny",
				   target->repository, upstream_name(target->upstream));
	return true;
}

bool registry_resolve(struct registry *registry, const char *name, const char *ns, const char *host,
		      struct target *ret_target, struct api_failure *failure)
{
	struct target target = {0};
	struct upstream *default_upstream;
	const char *repository;

	pthread_mutex_lock(&registry->lock);
	target.set = upstream_set_ref(registry->set);
	default_upstream = registry->default_upstream;
	pthread_mutex_unlock(&registry->lock);

	if (!choose(&target, default_upstream, name, ns, host, &repository, failure) ||
	    !name_repository(&target, repository, failure)) {
		target_release(&target);
		return false;
	}
	*ret_target = target;
	return true;
}

void target_release(struct target *target)
{
	upstream_set_unref(target->set);
	target->set = NULL;
	target->upstream = NULL;
}

const char *target_namespace(const struct target *target)
{
	return target->upstream ? upstream_name(target->upstream) : NULL;
}
