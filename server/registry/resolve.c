/*
 * Which repository a request means. Everything a client says here is a key to
 * look up in the configured upstreams, or in our stores; an unknown one is a 404,
 * so that the client goes on to its next host.
 *
 * Every request on a repository passes through registry_resolve, or
 * registry_resolve_push when it writes, before anything of the repository is looked
 * at. So this is where it is asked, and nowhere else, whether who asks may do so:
 * today the allow and deny lists of an upstream, and that nobody writes into what
 * belongs to one.
 */
#include "server/content/content.h"
#include "server/registry/failure.h"
#include "server/registry/push.h"
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

/* The upstream that the request names, by ?ns=, Host or prefix; NULL in target: it
 * names none. */
static bool choose(struct target *target, const char *name, const char *ns, const char *host,
		   const char **ret_repository, struct api_failure *failure)
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
	return true;
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

/* ---- local repositories --------------------------------------------------- */

bool repository_is_local(struct upstream_set *set, const char *stored)
{
	const char *rest;

	return !repository_names_registry(stored) && !find_prefix(set, stored, &rest);
}

static bool name_local(struct target *target, const char *name, struct api_failure *failure)
{
	if (!repository_name_valid(name, strlen(name)))
		return failure_set(failure, 400, API_NAME_INVALID,
				   "\"%.300s\" is not a repository name", name);
	target->upstream = NULL;
	snprintf(target->repository, sizeof(target->repository), "%s", name);
	snprintf(target->stored, sizeof(target->stored), "%s", name);
	return true;
}

/* Of a name that names no upstream. Whether there is a local repository matters
 * only where the default upstream could have it too. */
static bool choose_local(struct registry *registry, struct target *target, const char *name,
			 struct upstream *default_upstream, struct api_failure *failure)
{
	struct error error = {0};
	enum status status;

	if (repository_names_registry(name)) {
		target->upstream = default_upstream;
		return default_upstream ||
		       failure_set(failure, 404, API_NAME_UNKNOWN,
				   "no repository \"%.300s\" here: its first part names no "
				   "upstream, and proxy.defaultUpstream is not set",
				   name);
	}
	if (!name_local(target, name, failure))
		return false;
	if (!default_upstream)
		return true;
	status = content_has_repository(registry->content, name, &error);
	if (status == BW_ABSENT)
		target->upstream = default_upstream;
	else if (status != BW_OK)
		return failure_from_stores(failure, status, &error, API_NAME_UNKNOWN);
	return true;
}

static struct upstream *begin(struct registry *registry, struct target *target)
{
	struct upstream *default_upstream;

	*target = (struct target){0};
	pthread_mutex_lock(&registry->lock);
	target->set = upstream_set_ref(registry->set);
	default_upstream = registry->default_upstream;
	pthread_mutex_unlock(&registry->lock);
	return default_upstream;
}

bool registry_resolve(struct registry *registry, const char *name, const char *ns, const char *host,
		      struct target *ret_target, struct api_failure *failure)
{
	struct target target;
	struct upstream *default_upstream = begin(registry, &target);
	const char *repository;

	if (choose(&target, name, ns, host, &repository, failure) &&
	    (target.upstream || choose_local(registry, &target, name, default_upstream, failure)) &&
	    (!target.upstream || name_repository(&target, repository, failure))) {
		*ret_target = target;
		return true;
	}
	target_release(&target);
	return false;
}

static bool refuse_push(struct api_failure *failure, const char *name, const char *why)
{
	return failure_set(failure, 403, API_DENIED, "nothing is pushed into \"%.200s\": %s", name,
			   why);
}

bool registry_resolve_push(struct registry *registry, const char *name, const char *ns,
			   const char *host, struct target *ret_target, struct api_failure *failure)
{
	struct target target;
	const char *rest;
	bool local;

	begin(registry, &target);
	if (ns && *ns)
		local = refuse_push(failure, name, "?ns= asks for another registry's repository");
	else if (host && find_host_header(target.set, host))
		local = refuse_push(failure, name, "the Host header names an upstream");
	else if (find_prefix(target.set, name, &rest))
		local = refuse_push(failure, name,
				    "it is an upstream's, which is only cached here");
	else if (!name_local(&target, name, failure))
		local = false;
	else if (repository_names_registry(name))
		local = refuse_push(failure, name,
				    "its first part reads like a registry's name, and what is "
				    "pushed here must not be taken for that registry's");
	else
		local = true;
	if (!local) {
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
