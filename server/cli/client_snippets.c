#include "server/cli/client_snippets.h"

#include "server/base/buf.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/config/config.h"

#include <stdbool.h>
#include <string.h>

#define ENDPOINT_SIZE 2200 /* a URL of the configuration is at most 2048 bytes */

/* How clients reach the registry. */
struct endpoint {
	char url[ENDPOINT_SIZE]; /* scheme://host[:port][/path] */
	const char *host; /* within url: what follows the scheme */
	bool has_path;
	bool is_http;
	bool every_interface; /* the address is not one that can be dialled */
	bool loopback;
};

struct client_runtime {
	const char *name;
	bool takes_path; /* a mirror's URL may have one */
	void (*write)(const struct config *config, const struct endpoint *endpoint,
		      struct buf *buf);
};

/* "0.0.0.0:5000", "[::]:5000" and ":5000" are for listening only. */
static bool is_every_interface(const char *address)
{
	return address[0] == ':' || str_starts_with(address, "0.0.0.0:") ||
	       str_starts_with(address, "[::]:");
}

static void find_endpoint(const struct config *config, struct endpoint *ret)
{
	const char *address = config->http.address;
	struct endpoint endpoint = {.is_http = true};

	if (*config->http.external_url) {
		str_copy(endpoint.url, sizeof(endpoint.url), config->http.external_url);
		endpoint.is_http = str_starts_with(endpoint.url, "http://");
	} else {
		endpoint.every_interface = is_every_interface(address);
		endpoint.loopback = config_address_is_loopback(address);
		snprintf(endpoint.url, sizeof(endpoint.url), "http://%s%s",
			 endpoint.every_interface ? "127.0.0.1" : "",
			 endpoint.every_interface ? strrchr(address, ':') : address);
	}
	*ret = endpoint;
	ret->host = strstr(ret->url, "://") + 3;
	ret->has_path = strchr(ret->host, '/') != NULL;
}

/* What holds for every runtime: where the address comes from, and the proof. */
static void write_notes(const struct config *config, const struct endpoint *endpoint,
			struct buf *buf)
{
	if (endpoint->every_interface)
		buf_printf(buf,
			   "# http.address is \"%s\", which nobody can dial: 127.0.0.1 stands in "
			   "for it.\n# Set http.externalURL to the address that clients reach.\n",
			   config->http.address);
	else if (endpoint->loopback)
		buf_append_string(buf, "# The registry listens on loopback: only this machine can "
				       "use it. For others,\n# change http.address, and "
				       "http.externalURL when they reach it by a name.\n");
}

static void write_check(const struct config *config, const char *pull, struct buf *buf)
{
	buf_printf(buf,
		   "# Check: pull something, and see requests counted where Breakwater runs:\n"
		   "#   %s\n"
		   "#   curl -s http://%s%s/metrics | grep registry_proxy_requests_total\n",
		   pull, is_every_interface(config->http.admin_address) ? "127.0.0.1" : "",
		   is_every_interface(config->http.admin_address)
			   ? strrchr(config->http.admin_address, ':')
			   : config->http.admin_address);
}

/* An image of the configuration to try, under the first upstream's name. */
static const char *example_registry(const struct config *config)
{
	return config->proxy.upstream_count ? config->proxy.upstreams[0].name : "docker.io";
}

static void write_pull_check(const struct config *config, const char *command, struct buf *buf)
{
	const char *registry = example_registry(config);
	char *pull = xasprintf("%s %s/%s", command, registry,
			       strcmp(registry, "docker.io") == 0 ? "library/alpine:latest"
								  : "NAME:TAG");

	write_check(config, pull, buf);
	free(pull);
}

static void write_containerd(const struct config *config, const struct endpoint *endpoint,
			     struct buf *buf)
{
	buf_append_string(
		buf,
		"# Goes to /etc/containerd/certs.d/_default/hosts.toml\n"
		"# on every node. containerd reads it at each pull, provided that its own\n"
		"# /etc/containerd/config.toml has a config_path (restart containerd after "
		"adding it):\n"
		"#   [plugins.\"io.containerd.cri.v1.images\".registry]       # containerd 2.x\n"
		"#   [plugins.\"io.containerd.grpc.v1.cri\".registry]         # containerd 1.x\n"
		"#     config_path = \"/etc/containerd/certs.d\"\n");
	write_notes(config, endpoint, buf);
	write_pull_check(config, "crictl pull", buf);
	buf_append_string(buf, "# Undo: remove the file.\n"
			       "\n"
			       "# There is no `server` line on purpose: what Breakwater cannot "
			       "answer,\n# containerd asks the registry itself for.\n");
	buf_printf(buf, "[host.\"%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n", endpoint->url);
}

static void write_docker(const struct config *config, const struct endpoint *endpoint,
			 struct buf *buf)
{
	buf_append_string(buf, "# Goes to /etc/docker/daemon.json (without these comments; join it "
			       "with what is there),\n# then: systemctl restart docker\n"
			       "# Docker can mirror docker.io only.\n");
	if (strcmp(config->proxy.default_upstream, "docker.io") != 0)
		buf_append_string(buf,
				  "# This configuration is not ready for it yet: Docker asks for "
				  "names without a registry.\n# Say what they mean, and have "
				  "docker.io among the upstreams:\n"
				  "#   proxy: {defaultUpstream: docker.io}\n");
	write_notes(config, endpoint, buf);
	write_check(config, "docker pull alpine:latest", buf);
	buf_append_string(buf, "# Undo: remove \"registry-mirrors\" and restart docker.\n\n");
	buf_printf(buf, "{\n  \"registry-mirrors\": [\"%s\"]\n}\n", endpoint->url);
}

/* One mirror per upstream: these clients put the registry's name into the path. */
static void write_registries_conf(const struct config *config, const struct endpoint *endpoint,
				  struct buf *buf)
{
	for (size_t i = 0; i < config->proxy.upstream_count; i++) {
		const char *name = config->proxy.upstreams[i].name;

		buf_printf(buf,
			   "\n[[registry]]\nprefix = \"%s\"\nlocation = \"%s\"\n"
			   "[[registry.mirror]]\nlocation = \"%s/%s\"\n",
			   name, name, endpoint->host, name);
		if (endpoint->is_http)
			buf_append_string(buf, "insecure = true\n");
	}
}

static void write_podman(const struct config *config, const struct endpoint *endpoint,
			 struct buf *buf)
{
	buf_append_string(buf, "# Goes to /etc/containers/registries.conf.d/50-breakwater.conf\n"
			       "# and is read at each pull, by podman, buildah and skopeo.\n");
	write_notes(config, endpoint, buf);
	write_pull_check(config, "podman pull", buf);
	buf_append_string(buf, "# Undo: remove the file.\n");
	write_registries_conf(config, endpoint, buf);
}

static void write_crio(const struct config *config, const struct endpoint *endpoint,
		       struct buf *buf)
{
	buf_append_string(buf, "# Goes to /etc/containers/registries.conf.d/50-breakwater.conf\n"
			       "# on every node, then: systemctl reload crio\n");
	write_notes(config, endpoint, buf);
	write_pull_check(config, "crictl pull", buf);
	buf_append_string(buf, "# Undo: remove the file and reload crio.\n");
	write_registries_conf(config, endpoint, buf);
}

static void write_k3s(const struct config *config, const struct endpoint *endpoint, struct buf *buf)
{
	buf_append_string(buf,
			  "# Goes to /etc/rancher/k3s/registries.yaml (RKE2: "
			  "/etc/rancher/rke2/registries.yaml)\n"
			  "# on every node, then: systemctl restart k3s (agents: k3s-agent)\n");
	write_notes(config, endpoint, buf);
	write_pull_check(config, "crictl pull", buf);
	buf_append_string(buf, "# Undo: remove the file and restart.\n");
	/* k3s adds /v2 itself only when there is no path */
	buf_printf(buf, "mirrors:\n  \"*\":\n    endpoint:\n      - \"%s%s\"\n", endpoint->url,
		   endpoint->has_path ? "/v2" : "");
}

static const struct client_runtime runtimes[] = {
	{"containerd", true, write_containerd},
	{"docker", false, write_docker},
	{"podman", false, write_podman},
	{"crio", false, write_crio},
	{"k3s", true, write_k3s},
};

const struct client_runtime *client_runtime_find(const char *name)
{
	for (size_t i = 0; i < array_size(runtimes); i++)
		if (strcmp(runtimes[i].name, name) == 0)
			return &runtimes[i];
	return NULL;
}

enum status client_snippet_write(const struct client_runtime *runtime, const struct config *config,
				 struct buf *buf, struct error *error)
{
	struct endpoint endpoint;

	find_endpoint(config, &endpoint);
	if (endpoint.has_path && !runtime->takes_path)
		return error_set(
			error, BW_INVALID,
			"http.externalURL has a path, and %s cannot use a mirror below one",
			runtime->name);
	if (!*config->http.external_url && str_ends_with(endpoint.url, ":0"))
		return error_set(error, BW_INVALID,
				 "http.address has port 0, any free one; set a port, or "
				 "http.externalURL");
	runtime->write(config, &endpoint, buf);
	return BW_OK;
}
