/*
 * Replicas in one process: each with its own cache, cluster and HTTP server on a
 * real socket, over stores and a coordination in memory that they share. Their
 * upstreams are cache_world.h's, so that one fetch too many is seen.
 */
#ifndef TESTS_SUPPORT_REPLICAS_H
#define TESTS_SUPPORT_REPLICAS_H

#include "backends/mem/mem_coordination.h"
#include "server/cluster/cluster.h"
#include "server/http/http_server.h"
#include "server/registry/registry.h"
#include "tests/support/cache_world.h"
#include "tests/support/script_server.h"

#define REPLICAS 3
#define CLUSTER_SECRET "a secret of the tests"

struct replica {
	char address[64];
	struct cluster *cluster;
	struct content *content;
	struct cache *cache;
	struct registry *registry;
	struct http_server *server;
	char *spool;
};

struct replicas {
	struct world *world; /* the stores, the upstreams and the sources; its cache rests */
	struct coordination *coordination;
	struct replica each[REPLICAS];
	struct digest digest;
	char *bytes;
	struct gate gate; /* the upstream's */
};

/* Short, so that tests need not wait for what people do. */
static const struct cluster_timing hasty = {
	.lease_ms = 1500,
	.connect_ms = 1000,
	.first_byte_ms = 1000,
	.stall_ms = 1500,
	.grace_ms = 50,
	.patience_ms = 5000,
};

/* A port that was free a moment ago. */
static inline void pick_address(char *address, size_t size)
{
	char url[64];
	int fd = script_listen(url, sizeof(url));

	close(fd);
	assert_true(str_copy(address, size, url + strlen("http://")));
}

static inline void replica_start(struct replicas *replicas, struct replica *replica)
{
	struct cluster_options options = {
		.coordination = replicas->coordination,
		.advertise_address = replica->address,
		.secret = CLUSTER_SECRET,
		.timing = hasty,
	};
	struct http_server_options http = {
		.address = replica->address,
		.admin_address = "127.0.0.1:0",
		.threads = 16,
	};
	struct cache_options cache = {.spool_directory = replica->spool};
	struct error error = {0};

	pick_address(replica->address, sizeof(replica->address));
	assert_int_equal(cluster_new(&options, &replica->cluster, &error), BW_OK);
	replica->content = content_new(replicas->world->objects, replicas->world->metadata);
	cache.content = replica->content;
	cache.cluster = replica->cluster;
	assert_int_equal(cache_new(&cache, &replica->cache, &error), BW_OK);
	replica->registry =
		registry_new(replica->content, replica->cache, &replicas->world->config);
	http.registry = replica->registry;
	if (http_server_start(&http, &replica->server, &error) != BW_OK)
		fail_msg("%s", error.message);
}

/* What others see of a death: nobody listens, connections are reset. Its threads go
 * on, as if it were paused. */
static inline void replica_die(struct replica *replica)
{
	http_server_drain(replica->server);
	http_server_cut(replica->server);
	http_server_free(replica->server);
	replica->server = NULL;
}

static inline void replica_stop(struct replica *replica)
{
	http_server_free(replica->server);
	registry_free(replica->registry);
	cache_free(replica->cache);
	content_free(replica->content);
	cluster_free(replica->cluster);
}

static inline struct replicas *replicas_new(size_t size)
{
	struct replicas *replicas = xcalloc(1, sizeof(*replicas));

	replicas->world = world_new();
	/* the one action a test makes fail; later, threads read it */
	replicas->world->object_faults.action = "adopt";
	replicas->coordination = mem_coordination_new();
	replicas->bytes = some_bytes(size, 1, &replicas->digest);
	gate_init(&replicas->gate);
	for (unsigned i = 0; i < REPLICAS; i++) {
		replicas->each[i].spool = xasprintf("%s/spool-%u", replicas->world->scratch, i);
		replica_start(replicas, &replicas->each[i]);
	}
	return replicas;
}

static inline void replicas_free(struct replicas *replicas)
{
	gate_open(&replicas->gate);
	for (unsigned i = 0; i < REPLICAS; i++) {
		replica_stop(&replicas->each[i]);
		free(replicas->each[i].spool);
	}
	world_free(replicas->world);
	coordination_free(replicas->coordination);
	gate_release(&replicas->gate);
	free(replicas->bytes);
	free(replicas);
}

#endif
