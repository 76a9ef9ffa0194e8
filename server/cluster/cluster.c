#include "server/cluster/cluster_private.h"

#include "backends/coordination.h"
#include "server/base/file.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/base/str.h"
#include "server/base/thread.h"
#include "server/config/config.h"
#include "server/upstream/upstream.h"

#include <stdlib.h>
#include <string.h>

#define NONCES_MAX ((size_t)64 << 10)
#define IDLE_TRANSFERS 16

static int64_t given_or(int64_t given, int64_t otherwise)
{
	return given > 0 ? given : otherwise;
}

static struct cluster_timing complete(const struct cluster_timing *given)
{
	return (struct cluster_timing){
		.lease_ms = given_or(given->lease_ms, 6000),
		.connect_ms = given_or(given->connect_ms, 2000),
		.first_byte_ms = given_or(given->first_byte_ms, 8000),
		.stall_ms = given_or(given->stall_ms, 8000),
		.grace_ms = given_or(given->grace_ms, 300),
		.patience_ms = given_or(given->patience_ms, 25000),
	};
}

static enum status check_address(const char *address, struct error *error)
{
	size_t host_length;
	unsigned port;

	if (strlen(address) < CLUSTER_ADDRESS_SIZE &&
	    str_split_host_port(address, &host_length, &port))
		return BW_OK;
	return error_set(error, BW_INVALID,
			 "cluster.advertiseAddress: \"%.200s\" is not host:port, where the other "
			 "replicas reach this one",
			 address);
}

static enum status check_secret(const char *secret, struct error *error)
{
	if (strlen(secret) >= CLUSTER_SECRET_MIN)
		return BW_OK;
	return error_set(error, BW_INVALID, "the cluster's secret has less than %d bytes",
			 CLUSTER_SECRET_MIN);
}

static enum status read_secret(const char *path, char **ret_secret, struct error *error)
{
	char *secret;
	enum status status = file_read_secret(path, &secret, error);

	if (status != BW_OK)
		return status;
	status = check_secret(secret, error);
	if (status == BW_OK)
		*ret_secret = secret;
	else
		free(secret);
	return status;
}

enum status cluster_look_at_secret(struct cluster *cluster, struct error *error)
{
	static const struct file_stamp nothing = {0};
	struct file_stamp now;
	enum status status;
	char *secret;

	if (!cluster->secret_file)
		return BW_OK;
	now = file_stamp_of(cluster->secret_file);
	if (file_stamp_equals(&now, &nothing) || file_stamp_equals(&now, &cluster->secret_seen))
		return BW_OK;
	cluster->secret_seen = now;
	status = read_secret(cluster->secret_file, &secret, error);
	if (status != BW_OK)
		return status;
	keyring_replace(cluster->keys, secret);
	explicit_bzero(secret, strlen(secret));
	free(secret);
	return BW_OK;
}

static bool has_secret_file(const struct cluster_options *options)
{
	return options->secret_file && *options->secret_file;
}

static struct cluster *build(const struct cluster_options *options, const char *secret)
{
	struct cluster *cluster = xcalloc(1, sizeof(*cluster));
	struct transfer_options transfers = {.direct = true, .max_idle = IDLE_TRANSFERS};

	cluster->coordination = options->coordination;
	cluster->address = xstrdup(options->advertise_address);
	cluster->timing = complete(&options->timing);
	cluster->keys = keyring_new(secret);
	cluster->secret_file = has_secret_file(options) ? xstrdup(options->secret_file) : NULL;
	/* a request may be of the future by the clocks' difference, and is good for as
	 * long again */
	cluster->nonces = nonces_new((int64_t)2 * CLUSTER_CLOCK_SKEW_MS + 1000, NONCES_MAX);
	transfers.connect_ms = cluster->timing.connect_ms;
	transfers.first_byte_ms = cluster->timing.first_byte_ms;
	transfers.stall_ms = cluster->timing.stall_ms;
	cluster->transfers = transfer_pool_new(&transfers);
	atomic_init(&cluster->replicas, 1);
	pthread_mutex_init(&cluster->lock, NULL);
	cond_init(&cluster->moved);
	LIST_INIT(&cluster->claims);
	return cluster;
}

static void destroy(struct cluster *cluster)
{
	news_release(cluster);
	slots_release(cluster);
	upstream_set_unref(cluster->upstreams);
	transfer_pool_free(cluster->transfers);
	nonces_free(cluster->nonces);
	keyring_free(cluster->keys);
	pthread_cond_destroy(&cluster->moved);
	pthread_mutex_destroy(&cluster->lock);
	free(cluster->secret_file);
	free(cluster->address);
	free(cluster);
}

static void stop_threads(struct cluster *cluster, bool renewer, bool newsman)
{
	pthread_mutex_lock(&cluster->lock);
	cluster->stopping = true;
	pthread_cond_broadcast(&cluster->moved);
	pthread_mutex_unlock(&cluster->lock);
	if (renewer)
		pthread_join(cluster->renewer, NULL);
	if (newsman)
		pthread_join(cluster->newsman, NULL);
}

static enum status start_threads(struct cluster *cluster, struct error *error)
{
	int renewer = thread_start(&cluster->renewer, "leases", 0, claims_renew, cluster);
	int newsman = thread_start(&cluster->newsman, "news", 0, news_run, cluster);

	if (renewer == 0 && newsman == 0)
		return BW_OK;
	stop_threads(cluster, renewer == 0, newsman == 0);
	return error_set_errno(error, BW_IO, renewer ? renewer : newsman, "a thread's start");
}

enum status cluster_new(const struct cluster_options *options, struct cluster **ret_cluster,
			struct error *error)
{
	enum status status = check_address(options->advertise_address, error);
	struct cluster *cluster;
	char *secret = NULL;

	if (status == BW_OK && has_secret_file(options))
		status = read_secret(options->secret_file, &secret, error);
	else if (status == BW_OK)
		status = check_secret(options->secret ? options->secret : "", error);
	if (status != BW_OK)
		return status;
	cluster = build(options, secret ? secret : options->secret);
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
	status = start_threads(cluster, error);
	if (status == BW_OK)
		*ret_cluster = cluster;
	else
		destroy(cluster);
	return status;
}

void cluster_free(struct cluster *cluster)
{
	if (!cluster)
		return;
	stop_threads(cluster, true, true);
	destroy(cluster);
}

bool cluster_pause(struct cluster *cluster, int64_t ms)
{
	deadline_ms deadline = deadline_in(ms);
	bool stopping;

	pthread_mutex_lock(&cluster->lock);
	while (!cluster->stopping && !deadline_passed(deadline))
		cond_wait_until(&cluster->moved, &cluster->lock, deadline);
	stopping = cluster->stopping;
	pthread_mutex_unlock(&cluster->lock);
	return !stopping;
}

void cluster_set_upstreams(struct cluster *cluster, struct upstream_set *set)
{
	struct upstream_set *old;

	if (set)
		upstream_set_ref(set);
	pthread_mutex_lock(&cluster->lock);
	old = cluster->upstreams;
	cluster->upstreams = set;
	pthread_mutex_unlock(&cluster->lock);
	upstream_set_unref(old);
}

const char *cluster_address(const struct cluster *cluster)
{
	return cluster->address;
}

const struct cluster_timing *cluster_timing(const struct cluster *cluster)
{
	return &cluster->timing;
}

unsigned cluster_replicas(const struct cluster *cluster)
{
	return atomic_load(&cluster->replicas);
}
