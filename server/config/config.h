/*
 * The configuration: one immutable tree, made from defaults, a YAML file and
 * BREAKWATER_* variables, in this order.
 *
 * Every key is a line of the table in config_table.c; parsing, checking, the
 * JSON schema and the README's table come from it. An unknown key is an error
 * with its line and the nearest known key; a key whose capability this version
 * lacks is an error too, never ignored. Every scalar can be overridden by
 * BREAKWATER_<PATH>, levels joined by '_', case ignored (BREAKWATER_LOG_LEVEL);
 * names of maps (upstreams, credentials) have every character that a variable
 * cannot have replaced by '_' (BREAKWATER_PROXY_UPSTREAMS_DOCKER_IO_MANIFESTTTL).
 *
 * Variables that name no key become warnings, not errors: Kubernetes injects
 * some of its own (those, BREAKWATER_SERVICE_HOST and such, are passed over).
 *
 * A struct config is reference-counted and never changes once loaded; a reload
 * makes a new one. Secrets are read from their files at load.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "server/base/error.h"
#include "server/base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* Bytes of cluster.secret. Shorter ones can be guessed by whoever sees one request that
 * they sign. */
#define CLUSTER_SECRET_MIN 16

/* A list of strings; `items` and each item owned by the configuration. */
struct string_list {
	char **items;
	size_t count;
};

/* A credential towards upstreams, by its name in `credentials`. */
struct credential_config {
	char *name; /* letters, digits, '.', '_', '-'; never "anonymous" */
	char *username;
	char *password; /* from `password` or the content of `passwordFile`; secret */
	char *password_file;
};

/* One line of an upstream's `credentials`: repositories that match use it. */
struct credential_rule {
	char *match; /* a pattern (str_glob_match); the longest match wins */
	struct string_list use; /* exactly one name here: of `credentials`, or "anonymous" */
	const struct credential_config *credential; /* resolved; NULL: anonymous */
};

struct tag_ttl {
	char *tags; /* a pattern */
	int64_t ttl_ms;
};

/* Who decides about a pull from an upstream. */
enum access_mode { ACCESS_POLICY };

enum stale_reason { STALE_ON_NETWORK = 1, STALE_ON_5XX = 2, STALE_ON_429 = 4 };

struct upstream_config {
	char *name; /* the registry's host as images are named, lower case: "docker.io" */
	/* scheme://host[:port][/path] without a '/' at its end, tried in order; never
	 * empty */
	struct string_list urls;
	struct string_list aliases; /* lower case; no name or alias stands twice */
	struct string_list token_realms; /* scheme://host[:port] allowed besides the urls' own */
	struct credential_rule *credentials;
	size_t credential_count;
	struct string_list allow; /* repository patterns; default ["**"] */
	struct string_list deny;
	enum access_mode access;
	int64_t manifest_ttl_ms;
	int64_t stale_while_revalidate_ms;
	bool prefetch_layers;
	struct tag_ttl *tag_ttls; /* first match wins, else manifest_ttl_ms */
	size_t tag_ttl_count;
	unsigned stale_on; /* enum stale_reason bits */
	int64_t negative_ttl_ms;
	unsigned max_connections;
	struct {
		char *ca_file; /* trusted besides the system's; "": only those */
		bool insecure_skip_verify;
	} tls;
	struct {
		int64_t connect_ms;
		int64_t first_byte_ms;
		int64_t stall_ms; /* no byte for this long ends a transfer */
	} timeouts;
};

enum s3_signature { S3_V4, S3_V2 };

/* storage.s3. Keys in files are read by the store, again when they change. */
struct s3_config {
	char *endpoint; /* scheme://host[:port] */
	char *region;
	char *bucket;
	char *prefix;
	bool path_style;
	enum s3_signature signature;
	char *access_key;
	char *access_key_file;
	char *secret_key;
	char *secret_key_file;
	char *session_token_file;
	char *ca_file;
	uint64_t part_size; /* bytes */
	bool redirect;
};

/* metadata.redis. The password in a file is read for every new connection. */
struct redis_config {
	char *address; /* host:port; "" with sentinels */
	char *username;
	char *password;
	char *password_file;
	unsigned database;
	struct string_list sentinels; /* host:port each */
	char *master;
	struct {
		bool enabled;
		char *ca_file;
		char *server_name;
	} tls;
};

/* uploads.checkReferences: what a pushed manifest may name only when the
 * repository has it. */
enum check_references {
	CHECK_ALL, /* blobs, and the manifests of an index */
	CHECK_BLOBS, /* an image's config and layers; indexes may be sparse */
	CHECK_NOTHING,
};

struct config {
	unsigned version; /* of the file's format */
	struct {
		enum log_level level;
		enum log_format format;
	} log;
	struct {
		/* host:port. The host is an IPv4 address, an IPv6 address in brackets, or
		 * empty for every interface ("localhost" becomes 127.0.0.1); port 0 is
		 * any free one. */
		char *address; /* the registry */
		char *admin_address;
		unsigned threads;
		char *external_url; /* no trailing '/'; "" : relative Locations */
		int64_t drain_delay_ms;
		int64_t drain_timeout_ms;
	} http;
	struct {
		char *root_directory; /* storage.filesystem.rootDirectory */
		bool use_s3; /* storage.s3 is there, and root_directory not looked at */
		struct s3_config s3;
		struct {
			char *directory;
			uint64_t max_size; /* bytes */
		} hot_cache;
		uint64_t max_cache_size; /* bytes; 0: no limit */
	} storage;
	struct {
		char *sqlite_path; /* metadata.sqlite.path */
		bool use_redis; /* metadata.redis is there, and sqlite_path not looked at */
		struct redis_config redis;
	} metadata;
	struct {
		int64_t max_age_ms;
		enum check_references check_references;
	} uploads;
	struct {
		char *advertise_address; /* host:port; "": this replica works alone */
		char *secret; /* from `secret` or the content of `secretFile` */
		char *secret_file;
	} cluster;
	bool auth_none; /* `auth: none` was written */
	struct credential_config *credentials;
	size_t credential_count;
	struct {
		char *default_upstream; /* a name of `upstreams` (aliases are resolved), or "" */
		struct upstream_config *upstreams;
		size_t upstream_count;
	} proxy;
	char *source; /* the file's path, or "built-in defaults" */
	struct string_list warnings; /* one sentence each; to be said once, by who loads */
	_Atomic unsigned references; /* config_ref, config_unref */
};

/* Loads and checks. `path` NULL: the embedded default (docker.io, quay.io,
 * ghcr.io, registry.k8s.io, gcr.io, public.ecr.aws, mcr.microsoft.com,
 * anonymous; loopback; ./data), still subject to the environment. `environment`
 * (may be NULL) is a NULL-terminated "NAME=value" array (environ). BW_INVALID
 * with a message of one or more lines in *ret_problems when it is not usable:
 *   FILE:LINE:COLUMN: proxy.upstreams.docker.io.manifestTtl: unknown key; did
 *   you mean "manifestTTL"?
 * or VARIABLE: KEY: ... for one that came from the environment. All problems are
 * reported, not only the first, in the order of the file. A value that is secret
 * is never shown. The caller unrefs *ret. */
enum status config_load(const char *path, char *const *environment, struct config **ret,
			struct buf *ret_problems);

struct config *config_ref(struct config *config);
void config_unref(struct config *config);

/* True when the host part is loopback (127.0.0.0/8, ::1, localhost). */
bool config_address_is_loopback(const char *address);

/* True when `serve` must not open these listeners: one is off loopback, nothing
 * says who may pull and push, and `auth: none` does not say that everybody may.
 * The error names the key and the two ways out. */
bool config_refuses_to_listen(const struct config *config, struct error *error);

/* The JSON schema (draft 2020-12) of a configuration file, from the table. */
void config_write_schema(struct buf *buf);

/* The keys as a Markdown table, for the README: key, default, meaning. */
void config_write_markdown(struct buf *buf);

#endif
