#include "server/config/defaults.h"

#include "server/base/memory.h"
#include "server/config/node.h"
#include "server/config/string_list.h"

#include <string.h>

const char defaults_file[] = "version: 1\n"
			     "proxy:\n"
			     "  upstreams:\n"
			     "    docker.io: {}\n"
			     "    quay.io: {}\n"
			     "    ghcr.io: {}\n"
			     "    registry.k8s.io: {}\n"
			     "    gcr.io: {}\n"
			     "    public.ecr.aws: {}\n"
			     "    mcr.microsoft.com: {}\n";

/* Registries that are not reached at the host that images are named with, or
 * whose token service is not their own host (quay.io, ghcr.io, gcr.io and
 * public.ecr.aws issue their own; registry.k8s.io and mcr.microsoft.com ask for
 * no token). */
static const struct known_registry {
	const char *name;
	const char *url;
	const char *aliases[3];
	const char *realm;
} known_registries[] = {
	{"docker.io",
	 "https://registry-1.docker.io",
	 {"index.docker.io", "registry-1.docker.io"},
	 "https://auth.docker.io"},
};

static const struct known_registry *known_registry(const char *name)
{
	for (size_t i = 0; i < array_size(known_registries); i++)
		if (strcmp(known_registries[i].name, name) == 0)
			return &known_registries[i];
	return NULL;
}

/* Whether somebody has configured that host, as an upstream or as an alias. */
static bool is_taken(const struct config *config, const char *host)
{
	for (size_t i = 0; i < config->proxy.upstream_count; i++)
		if (strcmp(config->proxy.upstreams[i].name, host) == 0 ||
		    string_list_contains(&config->proxy.upstreams[i].aliases, host))
			return true;
	return false;
}

static void complete(const struct config *config, struct upstream_config *upstream,
		     const struct node *node)
{
	const struct known_registry *known = known_registry(upstream->name);

	if (!node_get(node, "urls"))
		string_list_append(&upstream->urls,
				   known ? xstrdup(known->url)
					 : xasprintf("https://%s", upstream->name));
	if (!known)
		return;
	for (size_t i = 0; !node_get(node, "aliases") && known->aliases[i]; i++)
		if (!is_taken(config, known->aliases[i]))
			string_list_append(&upstream->aliases, xstrdup(known->aliases[i]));
	/* a mirror of somebody's must not have our credential sent there */
	if (!node_get(node, "tokenRealms") && string_list_contains(&upstream->urls, known->url))
		string_list_append(&upstream->token_realms, xstrdup(known->realm));
}

void defaults_complete(struct config *config, const struct node *upstreams)
{
	for (size_t i = 0; i < config->proxy.upstream_count; i++)
		complete(config, &config->proxy.upstreams[i], upstreams->items[i]);
}
