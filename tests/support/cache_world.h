/*
 * Stores in memory that can be made to fail, two upstreams that answer what the
 * test says, and the cache between them.
 */
#ifndef TESTS_SUPPORT_CACHE_WORLD_H
#define TESTS_SUPPORT_CACHE_WORLD_H

#include "backends/decorators/faulty_store.h"
#include "backends/mem/mem_metadata_store.h"
#include "backends/mem/mem_object_store.h"
#include "server/base/log.h"
#include "server/cache/fill.h"
#include "server/cache/pull_through.h"
#include "server/content/content.h"
#include "tests/support/fake_upstream.h"
#include "tests/support/images.h"

#include <stdio.h>

#define HOUR_MS ((int64_t)3600 * 1000)

struct world {
	struct object_store *objects;
	struct metadata_store *metadata;
	struct fault_plan object_faults;
	struct fault_plan metadata_faults;
	struct content *content;
	char *scratch;
	char *spool;
	struct cache_options options; /* what else the test wants */
	struct cache *cache;
	struct upstream_config upstreams[2];
	struct config config;
	struct upstream_set *set;
	struct cache_source a; /* upstream "a.test", repository "team/app" */
	struct cache_source b; /* upstream "b.test", repository "other/app" */
};

static char world_url[] = "https://registry.test";
static char *world_urls[] = {world_url};

static inline void world_upstream(struct upstream_config *upstream, const char *name)
{
	*upstream = (struct upstream_config){
		.name = xstrdup(name),
		.urls = {.items = world_urls, .count = 1},
		.manifest_ttl_ms = HOUR_MS,
		.prefetch_layers = true,
		.stale_on = STALE_ON_NETWORK | STALE_ON_5XX | STALE_ON_429,
		.negative_ttl_ms = 30000,
		.max_connections = 8,
		.timeouts = {.connect_ms = 3000, .first_byte_ms = 15000, .stall_ms = 30000},
	};
}

/* Content and cache as a process that has just begun has them. */
static inline void world_start(struct world *world)
{
	struct error error = {0};

	world->content = content_new(world->objects, world->metadata);
	world->options.content = world->content;
	world->options.spool_directory = world->spool;
	assert_int_equal(cache_new(&world->options, &world->cache, &error), BW_OK);
}

static inline void world_stop(struct world *world)
{
	cache_free(world->cache);
	content_free(world->content);
	world->cache = NULL;
	world->content = NULL;
}

/* What an index that comes back empty does to a process that goes on. Nothing
 * may be running. */
static inline void world_swap_index(struct world *world)
{
	metadata_store_free(world->metadata);
	world->metadata =
		faulty_metadata_store_new(mem_metadata_store_new(), &world->metadata_faults);
}

/* ...and to one that begins anew. */
static inline void world_lose_index(struct world *world)
{
	world_stop(world);
	world_swap_index(world);
	world_start(world);
}

static inline struct cache_source world_source(struct world *world, const char *host,
					       const char *repository, const char *stored)
{
	return (struct cache_source){
		.set = world->set,
		.upstream = upstream_set_find(world->set, host),
		.repository = repository,
		.stored = stored,
	};
}

static inline struct world *world_new(void)
{
	struct world *world = xcalloc(1, sizeof(*world));

	log_configure(LOG_ERROR, LOG_TEXT);
	world->objects = faulty_object_store_new(mem_object_store_new(), &world->object_faults);
	world->metadata =
		faulty_metadata_store_new(mem_metadata_store_new(), &world->metadata_faults);
	world->scratch = scratch_make();
	world->spool = xasprintf("%s/spool", world->scratch);
	world_upstream(&world->upstreams[0], "a.test");
	world_upstream(&world->upstreams[1], "b.test");
	world->config.proxy.upstreams = world->upstreams;
	world->config.proxy.upstream_count = 2;
	world->set = upstream_set_new(&world->config, NULL);
	world->a = world_source(world, "a.test", "team/app", "a.test/team/app");
	world->b = world_source(world, "b.test", "other/app", "b.test/other/app");
	world_start(world);
	return world;
}

static inline void world_free(struct world *world)
{
	world_stop(world);
	upstream_set_unref(world->set);
	object_store_free(world->objects);
	metadata_store_free(world->metadata);
	free(world->upstreams[0].name);
	free(world->upstreams[1].name);
	scratch_remove(world->scratch);
	free(world->spool);
	free(world);
	fake_forget_all();
}

static inline struct reference tag_named(const char *tag)
{
	struct reference reference;

	assert_true(reference_parse(tag, strlen(tag), &reference));
	return reference;
}

/* Reads what `blob` gives from `offset` to the end, as a client would, and
 * compares; false as soon as a byte is wrong or the source fails. */
static inline bool reads_like(struct blob_source *blob, uint64_t offset, const char *expected,
			      struct error *error)
{
	char piece[8192];

	while (offset < blob->size) {
		deadline_ms deadline = deadline_in(blob->patience_ms);
		uint64_t end = 0;
		size_t length = 0;

		if (blob_source_wait(blob, offset, deadline, &end, error) != BW_OK)
			return false;
		if (end > blob->size || end <= offset)
			return false;
		if (end - offset > sizeof(piece))
			end = offset + sizeof(piece);
		if (blob_source_read(blob, offset, piece, (size_t)(end - offset), &length, error) !=
			    BW_OK ||
		    length != end - offset || memcmp(piece, expected + offset, length) != 0)
			return false;
		offset = end;
	}
	return true;
}

static inline bool count_object(void *context, const char *key, const struct object_info *info)
{
	unsigned *count = context;

	(void)key;
	(void)info;
	(*count)++;
	return true;
}

static inline unsigned objects_under(struct world *world, const char *prefix)
{
	unsigned count = 0;

	assert_int_equal(object_list(world->objects, prefix, "", count_object, &count, NULL),
			 BW_OK);
	return count;
}

#endif
