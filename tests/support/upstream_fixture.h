/*
 * Upstreams for tests: registries on the script server that answer by a list of
 * routes, and an upstream made from a configuration's text.
 */
#ifndef TESTS_SUPPORT_UPSTREAM_FIXTURE_H
#define TESTS_SUPPORT_UPSTREAM_FIXTURE_H

#include "server/base/buf.h"
#include "server/base/str.h"
#include "server/config/config.h"
#include "server/upstream/upstream.h"
#include "tests/support/script_server.h"

#include <signal.h>

#define MAX_ROUTES 16
#define FOREVER (-1)

struct route {
	const char *match; /* how the request begins */
	const char *needs; /* and what else it holds; NULL: nothing */
	int times; /* how often it is good; FOREVER */
	enum script_then then;
	char *reply;
};

/* The first route that fits answers; none: 404. */
struct registry {
	pthread_mutex_t lock; /* covers the routes */
	struct route routes[MAX_ROUTES];
	unsigned count;
	struct script_server *server;
};

static inline struct script_reply registry_answer(void *context, const char *request)
{
	struct registry *registry = context;
	struct script_reply reply = {.bytes = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
				     .then = SCRIPT_KEEP};

	pthread_mutex_lock(&registry->lock);
	for (unsigned i = 0; i < registry->count; i++) {
		struct route *route = &registry->routes[i];

		if (route->times == 0 || !str_starts_with(request, route->match) ||
		    (route->needs && !strstr(request, route->needs)))
			continue;
		if (route->times > 0)
			route->times--;
		reply.owned = xstrdup(route->reply);
		reply.bytes = reply.owned;
		reply.then = route->then;
		break;
	}
	pthread_mutex_unlock(&registry->lock);
	return reply;
}

static inline void registry_init(struct registry *registry)
{
	*registry = (struct registry){.lock = PTHREAD_MUTEX_INITIALIZER};
	registry->server = script_server_new(registry_answer, registry);
}

static inline void registry_forget(struct registry *registry)
{
	pthread_mutex_lock(&registry->lock);
	for (unsigned i = 0; i < registry->count; i++)
		free(registry->routes[i].reply);
	registry->count = 0;
	pthread_mutex_unlock(&registry->lock);
}

static inline void registry_release(struct registry *registry)
{
	script_server_free(registry->server);
	registry_forget(registry);
	pthread_mutex_destroy(&registry->lock);
}

static inline void registry_add(struct registry *registry, struct route route, char *reply)
{
	pthread_mutex_lock(&registry->lock);
	assert_true(registry->count < MAX_ROUTES);
	route.reply = reply;
	registry->routes[registry->count++] = route;
	pthread_mutex_unlock(&registry->lock);
}

/* Status, further header lines (each with its \r\n) and body. */
static inline void registry_on(struct registry *registry, struct route route, int status,
			       const char *headers, const char *body)
{
	registry_add(registry, route,
		     xasprintf("HTTP/1.1 %d X\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers,
			       strlen(body), body));
}

#define ALWAYS(begin) ((struct route){.match = (begin), .times = FOREVER})
#define ONCE(begin) ((struct route){.match = (begin), .times = 1})
#define WITH(begin, text) ((struct route){.match = (begin), .needs = (text), .times = FOREVER})

/* A set with the one upstream "fake", whose keys are given as YAML. */
static inline struct upstream_set *make_set(const char *keys, const char *credentials,
					    struct upstream_set *previous)
{
	char *environment[] = {NULL};
	char *folder = scratch_make();
	char *path = xasprintf("%s/config.yaml", folder);
	struct buf problems = BUF_INIT(1 << 16);
	struct config *config = NULL;
	struct upstream_set *set;
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fprintf(file,
		"version: 1\n%sproxy:\n  upstreams:\n    fake.test:\n%s"
		"      timeouts: {connect: 2s, firstByte: 2s, stall: 2s}\n",
		credentials, keys);
	fclose(file);
	if (config_load(path, environment, &config, &problems) != BW_OK)
		fail_msg("%s", buf_string(&problems));
	set = upstream_set_new(config, previous);
	config_unref(config);
	buf_release(&problems);
	free(path);
	scratch_remove(folder);
	return set;
}

/* Two registries; the upstream's url is the first one's, unless told otherwise. */
struct scene {
	struct registry one;
	struct registry two;
	struct upstream_set *set;
	struct upstream *upstream;
	struct error error;
};

static inline int scene_start(void **state)
{
	struct scene *scene = xcalloc(1, sizeof(*scene));

	registry_init(&scene->one);
	registry_init(&scene->two);
	*state = scene;
	return 0;
}

static inline int scene_end(void **state)
{
	struct scene *scene = *state;

	upstream_set_unref(scene->set);
	registry_release(&scene->one);
	registry_release(&scene->two);
	free(scene);
	return 0;
}

/* Replaces the set by one that inherits from it. */
static inline void scene_configure(struct scene *scene, const char *keys, const char *credentials)
{
	struct upstream_set *previous = scene->set;

	scene->set = make_set(keys, credentials, previous);
	upstream_set_unref(previous);
	scene->upstream = upstream_set_find(scene->set, "fake.test");
	assert_non_null(scene->upstream);
}

/* urls: the first registry, and the second one when `mirrors`. */
static inline void scene_use(struct scene *scene, bool mirrors)
{
	char *keys = mirrors ? xasprintf("      urls: [\"%s\", \"%s\"]\n", scene->one.server->url,
					 scene->two.server->url)
			     : xasprintf("      urls: [\"%s\"]\n", scene->one.server->url);

	scene_configure(scene, keys, "");
	free(keys);
}

static inline void assert_says(const struct scene *scene, const char *text)
{
	if (!strstr(scene->error.message, text))
		fail_msg("\"%s\" does not say \"%s\"", scene->error.message, text);
}

static inline struct reference reference_of(const char *text)
{
	struct reference reference;

	assert_true(reference_parse(text, strlen(text), &reference));
	return reference;
}

static inline enum status get_manifest(struct scene *scene, const char *repository,
				       const char *reference_text)
{
	struct reference reference = reference_of(reference_text);
	struct upstream_manifest manifest = {0};
	enum status status;

	scene->error = (struct error){0};
	status = upstream_get_manifest(scene->upstream, repository, &reference, &manifest,
				       &scene->error);
	upstream_manifest_release(&manifest);
	return status;
}

#endif
