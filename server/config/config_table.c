#include "server/config/config_table.h"

#include "server/config/config.h"

#include <string.h>

#define SECOND ((uint64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

#define MIB ((uint64_t)1 << 20)
#define GIB (1024 * MIB)
#define PIB (1024 * 1024 * GIB)

#define AT(type, member) .offset = offsetof(struct type, member)
#define ITEMS(type, list, number, item_type) \
	.offset = offsetof(struct type, list), .count_offset = offsetof(struct type, number), \
	.item_size = sizeof(struct item_type)
#define LATER .later = true

_Static_assert(offsetof(struct credential_config, name) == 0, "a KEY_MAP's item begins with it");
_Static_assert(offsetof(struct upstream_config, name) == 0, "a KEY_MAP's item begins with it");
_Static_assert(sizeof(enum log_level) == sizeof(int) && sizeof(enum log_format) == sizeof(int),
	       "a KEY_CHOICE is stored as an int");

#define CHOICE(word, number, ...) \
	{ \
		.name = (word), .value = (int)(number), __VA_ARGS__ \
	}
#define NO_MORE_CHOICES \
	{ \
		.name = NULL \
	}

static const struct key_choice levels[] = {
	CHOICE("debug", LOG_DEBUG),     CHOICE("info", LOG_INFO),   CHOICE("warn", LOG_WARNING),
	CHOICE("warning", LOG_WARNING), CHOICE("error", LOG_ERROR), NO_MORE_CHOICES,
};
static const struct key_choice formats[] = {
	CHOICE("json", LOG_JSON),
	CHOICE("text", LOG_TEXT),
	NO_MORE_CHOICES,
};
static const struct key_choice stale_reasons[] = {
	CHOICE("network", STALE_ON_NETWORK),
	CHOICE("5xx", STALE_ON_5XX),
	CHOICE("429", STALE_ON_429),
	NO_MORE_CHOICES,
};
static const struct key_choice checks[] = {
	CHOICE("all", CHECK_ALL),
	CHOICE("blobs", CHECK_BLOBS),
	CHOICE("none", CHECK_NOTHING),
	NO_MORE_CHOICES,
};
static const struct key_choice signatures[] = {
	CHOICE("v4", S3_V4),
	CHOICE("v2", S3_V2),
	NO_MORE_CHOICES,
};
static const struct key_choice accesses[] = {
	CHOICE("policy", ACCESS_POLICY),
	CHOICE("upstream", 0, LATER),
	CHOICE("upstream-challenge", 0, LATER),
	NO_MORE_CHOICES,
};

#define KEY(where, kind, text, ...) \
	{ \
		.path = (where), .type = (kind), .help = (text), __VA_ARGS__ \
	}

const struct config_key config_keys[] = {
	KEY("version", KEY_UINT, "The format of this file; always 1.", AT(config, version),
	    .fallback = "1", .min = 1, .max = 1, .required = true),

	KEY("log", KEY_SECTION, "What is written to standard error."),
	KEY("log.level", KEY_CHOICE, "The least severe messages that are written.",
	    AT(config, log.level), .fallback = "info", .choices = levels),
	KEY("log.format", KEY_CHOICE, "`json`: an object a line; `text`: for people.",
	    AT(config, log.format), .fallback = "json", .choices = formats),

	KEY("http", KEY_SECTION, "The listeners."),
	KEY("http.address", KEY_ADDRESS, "Where the registry listens.", AT(config, http.address),
	    .fallback = "127.0.0.1:5000"),
	KEY("http.adminAddress", KEY_ADDRESS, "Where /metrics, /livez and /readyz are served.",
	    AT(config, http.admin_address), .fallback = "127.0.0.1:5001"),
	KEY("http.threads", KEY_UINT, "Connections served at once; each holds a thread.",
	    AT(config, http.threads), .fallback = "512", .min = 2, .max = 16384),
	KEY("http.externalURL", KEY_URL,
	    "How clients reach the registry; without it Locations are relative.",
	    AT(config, http.external_url), .may_be_empty = true),
	KEY("http.drainDelay", KEY_DURATION,
	    "How long SIGTERM goes on taking connections after /readyz says no.",
	    AT(config, http.drain_delay_ms), .fallback = "0s", .max = DAY),
	KEY("http.drainTimeout", KEY_DURATION, "How long SIGTERM waits for responses to end.",
	    AT(config, http.drain_timeout_ms), .fallback = "60s", .max = DAY),
	KEY("http.tls", KEY_SECTION, "Serve HTTPS.", LATER),
	KEY("http.tls.certificateFile", KEY_FILE, "Certificate chain (PEM).", LATER),
	KEY("http.tls.keyFile", KEY_FILE, "Private key (PEM).", LATER),

	KEY("storage", KEY_SECTION, "Where content is kept."),
	KEY("storage.filesystem", KEY_SECTION, "Content in a folder of this machine."),
	KEY("storage.filesystem.rootDirectory", KEY_PATH,
	    "The folder; made when it is not there. Relative to the working directory.",
	    AT(config, storage.root_directory), .fallback = "./data"),
	KEY("storage.s3", KEY_SECTION,
	    "Content in a bucket (Amazon S3, MinIO, Ceph), which replicas share; in place of "
	    "`storage.filesystem`."),
	KEY("storage.s3.endpoint", KEY_ORIGIN, "The store's URL, such as http://minio:9000.",
	    AT(config, storage.s3.endpoint), .required = true),
	KEY("storage.s3.region", KEY_STRING, "The region requests are signed for.",
	    AT(config, storage.s3.region), .fallback = "us-east-1"),
	KEY("storage.s3.bucket", KEY_STRING, "The bucket. It must exist.",
	    AT(config, storage.s3.bucket), .required = true),
	KEY("storage.s3.prefix", KEY_STRING, "What every key in the bucket begins with.",
	    AT(config, storage.s3.prefix), .may_be_empty = true),
	KEY("storage.s3.pathStyle", KEY_BOOL,
	    "The bucket in the path, not in the host's name. Amazon wants false.",
	    AT(config, storage.s3.path_style), .fallback = "true"),
	KEY("storage.s3.signature", KEY_CHOICE,
	    "Version of the signature: v4; or v2, by libs3, for Ceph gateways that know no other.",
	    AT(config, storage.s3.signature), .fallback = "v4", .choices = signatures),
	KEY("storage.s3.accessKey", KEY_STRING, "The access key.",
	    AT(config, storage.s3.access_key), .may_be_empty = true),
	KEY("storage.s3.accessKeyFile", KEY_FILE,
	    "File with the access key; read again when it changes.",
	    AT(config, storage.s3.access_key_file), .may_be_empty = true),
	KEY("storage.s3.secretKey", KEY_SECRET, "The secret key; better in a file.",
	    AT(config, storage.s3.secret_key), .may_be_empty = true),
	KEY("storage.s3.secretKeyFile", KEY_FILE,
	    "File with the secret key; read again when it changes.",
	    AT(config, storage.s3.secret_key_file), .may_be_empty = true),
	KEY("storage.s3.sessionTokenFile", KEY_FILE,
	    "File with the session token that belongs to temporary keys.",
	    AT(config, storage.s3.session_token_file), .may_be_empty = true),
	KEY("storage.s3.caFile", KEY_FILE, "Certificates to trust (PEM), besides the system's.",
	    AT(config, storage.s3.ca_file), .may_be_empty = true),
	KEY("storage.s3.partSize", KEY_SIZE,
	    "Larger objects are sent in parts of this size; each one in flight is held in memory.",
	    AT(config, storage.s3.part_size), .fallback = "16MiB", .min = 5 * MIB, .max = GIB),
	KEY("storage.s3.redirect", KEY_BOOL,
	    "Send clients to the store for blobs that the hot cache does not have, by a signed "
	    "URL. They must be able to reach it.",
	    AT(config, storage.s3.redirect), .fallback = "false"),
	KEY("storage.hotCache", KEY_SECTION,
	    "Local disk in front of `storage.s3`: blobs often asked for, and those on their way."),
	KEY("storage.hotCache.directory", KEY_PATH,
	    "The folder, one for each process. Default: `./data/hot`.",
	    AT(config, storage.hot_cache.directory), .may_be_empty = true),
	KEY("storage.hotCache.maxSize", KEY_SIZE, "What it may hold.",
	    AT(config, storage.hot_cache.max_size), .fallback = "10GiB", .min = 0, .max = PIB),
	KEY("storage.maxCacheSize", KEY_SIZE,
	    "Evict cached images, never pushed ones, above this, those first that nobody has asked "
	    "for longest. 0: no limit.",
	    AT(config, storage.max_cache_size), .fallback = "0", .max = PIB),

	KEY("metadata", KEY_SECTION, "The index, which can be rebuilt from the content."),
	KEY("metadata.sqlite", KEY_SECTION, "The index in a file of this machine."),
	KEY("metadata.sqlite.path", KEY_PATH, "The file. Relative to the working directory.",
	    AT(config, metadata.sqlite_path), .fallback = "./data/index.db"),
	KEY("metadata.redis", KEY_SECTION,
	    "The index in Redis, which replicas share; in place of `metadata.sqlite`."),
	KEY("metadata.redis.address", KEY_STRING, "host:port. Not with `sentinels`.",
	    AT(config, metadata.redis.address), .may_be_empty = true),
	KEY("metadata.redis.username", KEY_STRING, "User, when it is not the default one.",
	    AT(config, metadata.redis.username), .may_be_empty = true),
	KEY("metadata.redis.password", KEY_SECRET, "Password; better in a file.",
	    AT(config, metadata.redis.password), .may_be_empty = true),
	KEY("metadata.redis.passwordFile", KEY_FILE,
	    "File with the password; read for every new connection.",
	    AT(config, metadata.redis.password_file), .may_be_empty = true),
	KEY("metadata.redis.database", KEY_UINT, "Number of the database.",
	    AT(config, metadata.redis.database), .fallback = "0", .max = 65535),
	KEY("metadata.redis.sentinels", KEY_LIST,
	    "Addresses (host:port) of sentinels, which know where the master is.",
	    AT(config, metadata.redis.sentinels), .item = KEY_STRING),
	KEY("metadata.redis.master", KEY_STRING, "The master's name at the sentinels.",
	    AT(config, metadata.redis.master), .may_be_empty = true),
	KEY("metadata.redis.tls", KEY_SECTION, "TLS towards Redis."),
	KEY("metadata.redis.tls.enabled", KEY_BOOL,
	    "Speak TLS, and verify the certificate and its name.",
	    AT(config, metadata.redis.tls.enabled), .fallback = "false"),
	KEY("metadata.redis.tls.caFile", KEY_FILE,
	    "Certificates to trust (PEM) in place of the system's.",
	    AT(config, metadata.redis.tls.ca_file), .may_be_empty = true),
	KEY("metadata.redis.tls.serverName", KEY_STRING,
	    "Name in its certificate. Default: the address's host.",
	    AT(config, metadata.redis.tls.server_name), .may_be_empty = true),

	KEY("uploads", KEY_SECTION, "What is pushed."),
	KEY("uploads.maxAge", KEY_DURATION, "When an abandoned upload is removed.",
	    AT(config, uploads.max_age_ms), .fallback = "24h", .min = 1000, .max = 365 * DAY),
	KEY("uploads.checkReferences", KEY_CHOICE,
	    "What must be in the repository when a manifest is pushed: `blobs`, those of an "
	    "image; `all`, an index's manifests too; `none`.",
	    AT(config, uploads.check_references), .fallback = "blobs", .choices = checks),

	KEY("cluster", KEY_SECTION, "Replicas that fetch each blob once for all of them."),
	KEY("cluster.advertiseAddress", KEY_STRING,
	    "host:port where the others reach this replica's http.address. Needs `metadata.redis` "
	    "and a secret.",
	    AT(config, cluster.advertise_address), .may_be_empty = true),
	KEY("cluster.secret", KEY_SECRET,
	    "What the replicas know each other by, the same for all; at least 16 bytes. Better in "
	    "a file.",
	    AT(config, cluster.secret), .may_be_empty = true),
	KEY("cluster.secretFile", KEY_FILE, "File with the secret.",
	    AT(config, cluster.secret_file), .may_be_empty = true),

	KEY("auth", KEY_SECTION,
	    "Who may pull and push. `none`: everybody, off loopback too. Absent: everybody, and "
	    "`serve` refuses to listen off loopback.",
	    AT(config, auth_none), .word = "none"),
	KEY("auth.htpasswd", KEY_SECTION, "Users and their passwords.", LATER),
	KEY("auth.htpasswd.path", KEY_FILE, "The file (bcrypt).", LATER),
	KEY("auth.htpasswd.realm", KEY_STRING, "Name of the realm.", LATER),
	KEY("auth.policies", KEY_ITEMS, "Who may do what where.", LATER),
	KEY("auth.policies[].repositories", KEY_LIST, "Patterns.", LATER),
	KEY("auth.policies[].users", KEY_LIST, "Users.", LATER),
	KEY("auth.policies[].groups", KEY_LIST, "Groups.", LATER),
	KEY("auth.policies[].anonymous", KEY_BOOL, "Everybody.", LATER),
	KEY("auth.policies[].actions", KEY_LIST, "What they may do.", LATER),
	KEY("auth.groups", KEY_MAP, "Users by the name of their group.", LATER),
	KEY("auth.token", KEY_SECTION, "Bearer tokens.", LATER),
	KEY("auth.token.enabled", KEY_BOOL, "Whether they are issued.", LATER),
	KEY("auth.token.lifetime", KEY_DURATION, "How long one is good.", LATER),
	KEY("auth.token.key", KEY_SECRET, "The key they are signed with.", LATER),
	KEY("auth.token.keyFile", KEY_FILE, "File with the key.", LATER),

	KEY("credentials", KEY_MAP, "Accounts at upstreams, by a name of yours.",
	    ITEMS(config, credentials, credential_count, credential_config), .item = KEY_NAME),
	KEY("credentials.*.username", KEY_STRING, "The account.", AT(credential_config, username)),
	KEY("credentials.*.password", KEY_SECRET, "Its password or token; better in a file.",
	    AT(credential_config, password)),
	KEY("credentials.*.passwordFile", KEY_PATH,
	    "File with the password; read at start and on SIGHUP.",
	    AT(credential_config, password_file)),
	KEY("credentials.*.dockerConfigFile", KEY_FILE, "A .dockerconfigjson.", LATER),
	KEY("credentials.*.exec", KEY_SECTION, "A credential helper.", LATER),
	KEY("credentials.*.exec.command", KEY_LIST, "The command.", LATER),
	KEY("credentials.*.exec.lifetime", KEY_DURATION, "How long its answer is good.", LATER),

	KEY("proxy", KEY_SECTION, "The registries that are cached."),
	KEY("proxy.defaultUpstream", KEY_HOST,
	    "The upstream that names without a registry mean, such as docker.io.",
	    AT(config, proxy.default_upstream), .may_be_empty = true),
	KEY("proxy.upstreams", KEY_MAP,
	    "Upstream registries, by the host that images are named with.",
	    ITEMS(config, proxy.upstreams, proxy.upstream_count, upstream_config),
	    .item = KEY_HOST),
	KEY("proxy.upstreams.*.urls", KEY_LIST,
	    "Where it is reached, tried in order. Default: https:// and the name (docker.io: "
	    "https://registry-1.docker.io).",
	    AT(upstream_config, urls), .item = KEY_URL),
	KEY("proxy.upstreams.*.aliases", KEY_LIST,
	    "Other hosts that mean the same registry. Default for docker.io: index.docker.io and "
	    "registry-1.docker.io.",
	    AT(upstream_config, aliases), .item = KEY_HOST),
	KEY("proxy.upstreams.*.tokenRealms", KEY_LIST,
	    "Token services that may be sent the credential, besides the registry's own origin. "
	    "Default for docker.io: https://auth.docker.io.",
	    AT(upstream_config, token_realms), .item = KEY_ORIGIN),
	KEY("proxy.upstreams.*.credentials", KEY_ITEMS,
	    "Which credential which repositories use; the longest match wins, none: anonymous.",
	    ITEMS(upstream_config, credentials, credential_count, credential_rule)),
	KEY("proxy.upstreams.*.credentials[].match", KEY_PATTERN,
	    "Repositories, such as \"acme/**\".", AT(credential_rule, match), .required = true),
	KEY("proxy.upstreams.*.credentials[].use", KEY_LIST,
	    "One name of `credentials`, or `anonymous`.", AT(credential_rule, use),
	    .item = KEY_NAME, .required = true),
	KEY("proxy.upstreams.*.allow", KEY_LIST, "Repositories that may be pulled.",
	    AT(upstream_config, allow), .item = KEY_PATTERN, .fallback = "**"),
	KEY("proxy.upstreams.*.deny", KEY_LIST, "Repositories that may not, although allowed.",
	    AT(upstream_config, deny), .item = KEY_PATTERN),
	KEY("proxy.upstreams.*.access", KEY_CHOICE, "Who decides about a pull: our own policy.",
	    AT(upstream_config, access), .fallback = "policy", .choices = accesses),
	KEY("proxy.upstreams.*.accessTTL", KEY_DURATION, "How long a verdict is kept.", LATER),
	KEY("proxy.upstreams.*.accessGrace", KEY_DURATION, "How much longer in an outage.", LATER),
	KEY("proxy.upstreams.*.manifestTTL", KEY_DURATION,
	    "How long a tag is served without asking the upstream.",
	    AT(upstream_config, manifest_ttl_ms), .fallback = "10m", .max = 3650 * DAY),
	KEY("proxy.upstreams.*.staleWhileRevalidate", KEY_DURATION,
	    "How long after that the old tag is still served at once, while the upstream is asked.",
	    AT(upstream_config, stale_while_revalidate_ms), .fallback = "0s", .max = 3650 * DAY),
	KEY("proxy.upstreams.*.prefetchLayers", KEY_BOOL,
	    "Fetch an image's blobs as soon as its manifest is served.",
	    AT(upstream_config, prefetch_layers), .fallback = "true"),
	KEY("proxy.upstreams.*.tagTTLs", KEY_ITEMS,
	    "Tags with a time of their own; the first match wins.",
	    ITEMS(upstream_config, tag_ttls, tag_ttl_count, tag_ttl)),
	KEY("proxy.upstreams.*.tagTTLs[].tags", KEY_TAGS, "Tags, such as \"v*\".",
	    AT(tag_ttl, tags), .required = true),
	KEY("proxy.upstreams.*.tagTTLs[].ttl", KEY_DURATION, "Their time, in place of manifestTTL.",
	    AT(tag_ttl, ttl_ms), .max = 3650 * DAY, .required = true),
	KEY("proxy.upstreams.*.staleOn", KEY_FLAGS,
	    "Failures of the upstream that are answered with the cached copy, however old.",
	    AT(upstream_config, stale_on), .fallback = "network 5xx 429", .choices = stale_reasons),
	KEY("proxy.upstreams.*.negativeTTL", KEY_DURATION, "How long an absence is remembered.",
	    AT(upstream_config, negative_ttl_ms), .fallback = "30s", .max = DAY),
	KEY("proxy.upstreams.*.maxConnections", KEY_UINT, "Blobs fetched from it at once.",
	    AT(upstream_config, max_connections), .fallback = "32", .min = 1, .max = 1024),
	KEY("proxy.upstreams.*.tls", KEY_SECTION, "How its certificate is checked."),
	KEY("proxy.upstreams.*.tls.caFile", KEY_FILE,
	    "Certificates to trust (PEM), besides the system's.", AT(upstream_config, tls.ca_file),
	    .may_be_empty = true),
	KEY("proxy.upstreams.*.tls.insecureSkipVerify", KEY_BOOL,
	    "Accept any certificate. Only for tests.",
	    AT(upstream_config, tls.insecure_skip_verify), .fallback = "false"),
	KEY("proxy.upstreams.*.timeouts", KEY_SECTION, "When it is given up."),
	KEY("proxy.upstreams.*.timeouts.connect", KEY_DURATION, "To connect, TLS included.",
	    AT(upstream_config, timeouts.connect_ms), .fallback = "3s", .min = 1,
	    .max = 10 * MINUTE),
	KEY("proxy.upstreams.*.timeouts.firstByte", KEY_DURATION,
	    "From the request to the response's head.", AT(upstream_config, timeouts.first_byte_ms),
	    .fallback = "15s", .min = 1, .max = HOUR),
	KEY("proxy.upstreams.*.timeouts.stall", KEY_DURATION, "Without a byte of a body.",
	    AT(upstream_config, timeouts.stall_ms), .fallback = "30s", .min = 1, .max = HOUR),
	{.path = NULL},
};

/* What the path of a row below `parent` has between its parent's and its name. */
static const char *joint(const struct config_key *parent)
{
	if (!parent)
		return "";
	if (parent->type == KEY_MAP)
		return ".*.";
	return parent->type == KEY_ITEMS ? "[]." : ".";
}

static bool is_below(const struct config_key *parent, const struct config_key *key)
{
	const char *between = joint(parent);
	size_t prefix = parent ? strlen(parent->path) : 0;
	size_t length = strlen(between);

	return (!parent || strncmp(key->path, parent->path, prefix) == 0) &&
	       strncmp(key->path + prefix, between, length) == 0 &&
	       !strchr(key->path + prefix + length, '.');
}

const struct config_key *config_key_next(const struct config_key *parent,
					 const struct config_key *previous)
{
	const struct config_key *key = previous ? previous + 1 : config_keys;

	for (; key->path; key++)
		if (is_below(parent, key))
			return key;
	return NULL;
}

const char *config_key_name(const struct config_key *key)
{
	const char *dot = strrchr(key->path, '.');

	return dot ? dot + 1 : key->path;
}

bool config_key_is_scalar(const struct config_key *key)
{
	return key->type < KEY_LIST;
}
