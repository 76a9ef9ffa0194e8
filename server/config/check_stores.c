#include "server/config/check_stores.h"

#include "server/base/file.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/config/string_list.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_HOT_DIRECTORY "./data/hot"

/* A section with something in it: what stands there commented out is not. */
static bool is_given(const struct node *section)
{
	return section && section->kind == NODE_MAP && section->count > 0;
}

static void check_host_and_port(const char *value, const char *path, struct mark mark,
				struct problems *problems)
{
	size_t host_length;
	unsigned port;

	if (*value && !str_split_host_port(value, &host_length, &port))
		problems_add(problems, mark,
			     "%s: \"%.200s\": a host and a port are needed, such as "
			     "\"redis.example:6379\"",
			     path, value);
}

/* A value and its file: not both, and one of them where it is needed. */
static void check_twins(const struct node *section, const char *path, const char *name, bool needed,
			struct problems *problems)
{
	char *file = xasprintf("%sFile", name);
	const struct node *value = node_get(section, name);
	const struct node *twin = node_get(section, file);

	if (value && twin)
		problems_add(problems, twin->key_mark, "%s: both %s and %s; remove one", path, name,
			     file);
	else if (needed && !value && !twin)
		problems_add(problems, section->key_mark, "%s: neither %s nor %s", path, name,
			     file);
	free(file);
}

/* ---- the object store -------------------------------------------------- */

/* Keys are built from it, and signed. */
static bool is_prefix(const char *text)
{
	if (*text == '/' || strstr(text, "//") || strstr(text, "..") || strlen(text) > 256)
		return false;
	for (; *text; text++)
		if (!ascii_is_alnum(*text) && !strchr("-._/", *text))
			return false;
	return true;
}

static void check_s3(const struct s3_config *s3, const struct node *node, struct problems *problems)
{
	check_twins(node, "storage.s3", "accessKey", true, problems);
	check_twins(node, "storage.s3", "secretKey", true, problems);
	if (!is_prefix(s3->prefix))
		problems_add(problems, node_member_mark(node, "prefix"),
			     "storage.s3.prefix: \"%.200s\": letters, digits and - . _ parted by "
			     "single slashes are needed, at most 256",
			     s3->prefix);
	if (s3->signature == S3_V2 && s3->redirect)
		problems_add(problems, node_member_mark(node, "redirect"),
			     "storage.s3.redirect: not with `signature: v2`");
	if (s3->signature == S3_V2 && *s3->session_token_file)
		problems_add(problems, node_member_mark(node, "sessionTokenFile"),
			     "storage.s3.sessionTokenFile: not with `signature: v2`");
}

static void check_storage(struct config *config, const struct node *storage,
			  struct problems *problems)
{
	const struct node *s3 = node_get(storage, "s3");
	const struct node *filesystem = node_get(storage, "filesystem");

	config->storage.use_s3 = is_given(s3);
	if (config->storage.use_s3 && is_given(filesystem))
		problems_add(problems, s3->key_mark,
			     "storage: both filesystem and s3; content is in one place, remove the "
			     "other");
	if (config->storage.use_s3)
		check_s3(&config->storage.s3, s3, problems);
	else if (*config->storage.hot_cache.directory)
		string_list_append(&config->warnings,
				   xstrdup("storage.hotCache is not used: content is on this "
					   "machine's disk already"));
	if (*config->storage.hot_cache.directory == '\0') {
		free(config->storage.hot_cache.directory);
		config->storage.hot_cache.directory = xstrdup(DEFAULT_HOT_DIRECTORY);
	}
}

/* ---- the index --------------------------------------------------------- */

static void check_redis(const struct redis_config *redis, const struct node *node,
			struct problems *problems)
{
	bool by_sentinels = redis->sentinels.count > 0;

	check_twins(node, "metadata.redis", "password", false, problems);
	if (by_sentinels && *redis->address)
		problems_add(problems, node_member_mark(node, "sentinels"),
			     "metadata.redis: both address and sentinels; the sentinels say where "
			     "the master is, remove address");
	if (!by_sentinels && *redis->address == '\0')
		problems_add(problems, node->key_mark,
			     "metadata.redis: neither address nor sentinels");
	if (by_sentinels != (*redis->master != '\0'))
		problems_add(problems,
			     node_member_mark(node, by_sentinels ? "sentinels" : "master"),
			     "metadata.redis: sentinels and master belong together, one is "
			     "missing");
	check_host_and_port(redis->address, "metadata.redis.address",
			    node_member_mark(node, "address"), problems);
	for (size_t i = 0; i < redis->sentinels.count; i++)
		check_host_and_port(redis->sentinels.items[i], "metadata.redis.sentinels",
				    node_member_mark(node, "sentinels"), problems);
}

static void check_metadata(struct config *config, const struct node *metadata,
			   struct problems *problems)
{
	const struct node *redis = node_get(metadata, "redis");

	config->metadata.use_redis = is_given(redis);
	if (!config->metadata.use_redis)
		return;
	if (is_given(node_get(metadata, "sqlite")))
		problems_add(problems, redis->key_mark,
			     "metadata: both sqlite and redis; the index is in one place, remove "
			     "the other");
	check_redis(&config->metadata.redis, redis, problems);
}

/* Versions of a tag that two replicas write at once are told apart by conditional PUTs. */
static void check_replicas_can_share(struct config *config)
{
	if (config->storage.use_s3 && config->storage.s3.signature == S3_V2 &&
	    config->metadata.use_redis)
		string_list_append(&config->warnings,
				   xstrdup("storage.s3.signature: with v2 there are no conditional "
					   "PUTs; run no more than one replica"));
}

/* ---- the cluster ------------------------------------------------------- */

/* What is meant for listening: the others would connect to themselves. */
static bool is_every_address(const char *address)
{
	return str_starts_with(address, "0.0.0.0:") || str_starts_with(address, "[::]:");
}

static void read_secret(struct config *config, const struct node *cluster,
			struct problems *problems)
{
	struct error error = {0};
	char *secret;

	if (*config->cluster.secret_file) {
		if (file_read_secret(config->cluster.secret_file, &secret, &error) != BW_OK) {
			problems_add(problems, node_member_mark(cluster, "secretFile"),
				     "cluster.secretFile: %s", error.message);
			return;
		}
		free(config->cluster.secret);
		config->cluster.secret = secret;
	}
	if (*config->cluster.secret && strlen(config->cluster.secret) < CLUSTER_SECRET_MIN)
		problems_add(problems,
			     node_member_mark(cluster, *config->cluster.secret_file ? "secretFile"
										    : "secret"),
			     "cluster: the secret has fewer than %d bytes; make one with "
			     "`openssl rand -hex 32`",
			     CLUSTER_SECRET_MIN);
}

static void check_cluster(struct config *config, const struct node *cluster,
			  struct problems *problems)
{
	struct mark mark = node_member_mark(cluster, "advertiseAddress");

	if (!cluster)
		return;
	check_twins(cluster, "cluster", "secret", false, problems);
	read_secret(config, cluster, problems);
	if (*config->cluster.advertise_address == '\0')
		return;
	check_host_and_port(config->cluster.advertise_address, "cluster.advertiseAddress", mark,
			    problems);
	if (is_every_address(config->cluster.advertise_address))
		problems_add(problems, mark,
			     "cluster.advertiseAddress: \"%.200s\": nobody can connect to that; "
			     "this replica's own address is needed",
			     config->cluster.advertise_address);
	if (!config->metadata.use_redis)
		problems_add(problems, mark,
			     "cluster.advertiseAddress: replicas find each other through "
			     "metadata.redis, which is missing");
	if (*config->cluster.secret == '\0' && *config->cluster.secret_file == '\0')
		problems_add(problems, mark,
			     "cluster.advertiseAddress: replicas know each other by "
			     "cluster.secretFile, which is missing");
}

void check_stores(struct config *config, const struct node *root, struct problems *problems)
{
	check_storage(config, node_get(root, "storage"), problems);
	check_metadata(config, node_get(root, "metadata"), problems);
	check_replicas_can_share(config);
	check_cluster(config, node_get(root, "cluster"), problems);
}
