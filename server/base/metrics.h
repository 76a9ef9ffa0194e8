/*
 * Counters, gauges and histograms in Prometheus' text format.
 *
 * Every metric of the program is a line of the table below; names that
 * distribution has are kept so that people's dashboards go on working. Label
 * values have low cardinality: upstream, credential, handler; never a
 * repository, a digest or anything a client chose freely.
 *
 * Updating is lock-free once a label combination has been seen; the first
 * sight takes the family's lock.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdint.h>

struct buf;

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

#define METRIC_MAX_LABELS 3
#define METRIC_MAX_LABEL_BYTES 128 /* a longer value is cut */
/* Combinations a metric may have. What comes later is counted under "other", so
 * that a mistake in a label costs neither our memory nor Prometheus'. */
#define METRIC_MAX_SERIES 4096

/* clang-format off */
/*     id                     name                                     type       labels ("" unused)                help */
#define METRICS(X) \
	X(M_BUILD_INFO,           "registry_build_info",                    METRIC_GAUGE,     "version", "", "",               "The program that runs; always 1.") \
	X(M_HTTP_REQUESTS,        "registry_http_requests_total",           METRIC_COUNTER,   "handler", "method", "code",     "Requests answered.") \
	X(M_HTTP_DURATION,        "registry_http_request_duration_seconds", METRIC_HISTOGRAM, "handler", "method", "",         "Time from the request's head read to its last byte written.") \
	X(M_HTTP_IN_FLIGHT,       "registry_http_in_flight_requests",       METRIC_GAUGE,     "", "", "",                      "Requests being answered now.") \
	X(M_HTTP_CONNECTIONS,     "registry_http_connections",              METRIC_GAUGE,     "", "", "",                      "Client connections that hold a worker now.") \
	X(M_HTTP_RECEIVED_BYTES,  "registry_http_request_bytes_total",      METRIC_COUNTER,   "handler", "", "",               "Body bytes received from clients.") \
	X(M_HTTP_SENT_BYTES,      "registry_http_response_bytes_total",     METRIC_COUNTER,   "handler", "", "",               "Body bytes sent to clients.") \
	X(M_PROXY_REQUESTS,       "registry_proxy_requests_total",          METRIC_COUNTER,   "type", "upstream", "",          "Requests for cached content, by type (manifest, blob, tags, referrers).") \
	X(M_PROXY_HITS,           "registry_proxy_hits_total",              METRIC_COUNTER,   "type", "upstream", "",          "Requests answered from the cache.") \
	X(M_PROXY_MISSES,         "registry_proxy_misses_total",            METRIC_COUNTER,   "type", "upstream", "",          "Requests that had to ask the upstream for content.") \
	X(M_PROXY_STALE,          "registry_proxy_stale_served_total",      METRIC_COUNTER,   "upstream", "", "",              "Answers given from an expired copy because the upstream failed.") \
	X(M_PROXY_PULLED_BYTES,   "registry_proxy_pulled_bytes_total",      METRIC_COUNTER,   "type", "upstream", "",          "Bytes fetched from upstreams.") \
	X(M_PROXY_PUSHED_BYTES,   "registry_proxy_pushed_bytes_total",      METRIC_COUNTER,   "type", "upstream", "",          "Bytes of cached content sent to clients.") \
	X(M_UPSTREAM_REQUESTS,    "registry_proxy_upstream_requests_total", METRIC_COUNTER,   "upstream", "method", "code",    "Requests sent to upstreams; code is the status or the kind of failure.") \
	X(M_UPSTREAM_RATELIMIT,   "registry_proxy_ratelimit_remaining",     METRIC_GAUGE,     "upstream", "credential", "",    "Pulls the upstream says are left for this credential.") \
	X(M_UPSTREAM_BREAKER,     "registry_proxy_breaker_open",            METRIC_GAUGE,     "upstream", "", "",              "1 while the circuit breaker keeps us from asking.") \
	X(M_FILLS_IN_FLIGHT,      "registry_proxy_fills_in_flight",         METRIC_GAUGE,     "", "", "",                      "Blobs being fetched now.") \
	X(M_FILLS,                "registry_proxy_fills_total",             METRIC_COUNTER,   "upstream", "result", "",        "Fills ended, by result (stored, or the kind of failure).") \
	X(M_FILL_RESUMES,         "registry_proxy_fill_resumes_total",      METRIC_COUNTER,   "upstream", "", "",              "Broken upstream reads continued with Range.") \
	X(M_HOT_CACHE_BYTES,      "registry_hot_cache_bytes",               METRIC_GAUGE,     "", "", "",                      "Bytes of blobs on the local disk in front of the object store.") \
	X(M_HOT_CACHE_HITS,       "registry_hot_cache_hits_total",          METRIC_COUNTER,   "", "", "",                      "Blobs opened from the hot cache.") \
	X(M_HOT_CACHE_MISSES,     "registry_hot_cache_misses_total",        METRIC_COUNTER,   "", "", "",                      "Blobs that the hot cache did not have.") \
	X(M_HOT_CACHE_ADMITTED,   "registry_hot_cache_admitted_total",      METRIC_COUNTER,   "", "", "",                      "Blobs that the hot cache took.") \
	X(M_HOT_CACHE_REJECTED,   "registry_hot_cache_rejected_total",      METRIC_COUNTER,   "", "", "",                      "Blobs that left the hot cache, or never entered, because others are asked for more often or the disk failed.") \
	X(M_HOT_CACHE_BYPASS,     "registry_hot_cache_bypass",              METRIC_GAUGE,     "", "", "",                      "1 while the local disk cannot be written and is left alone.") \
	X(M_SPOOL_MEMORY_BYTES,   "registry_spool_memory_bytes",            METRIC_GAUGE,     "", "", "",                      "Bytes of blobs on their way in that are in memory because the local disk cannot be written.") \
	X(M_STORE_FILLS,          "registry_storage_fills_total",           METRIC_COUNTER,   "result", "", "",                "Stored blobs read from a remote object store for all who waited, by result (verified, or the kind of failure).") \
	X(M_CLUSTER_REPLICAS,     "registry_cluster_replicas",              METRIC_GAUGE,     "", "", "",                      "Replicas that live, this one among them; shares of maxConnections go by it.") \
	X(M_CLUSTER_FOLLOWED,     "registry_cluster_fills_followed_total",  METRIC_COUNTER,   "result", "", "",                "Reads of a blob from the replica that fetches it, by result (whole, or what ended them).") \
	X(M_CLUSTER_TAKEOVERS,    "registry_cluster_takeovers_total",       METRIC_COUNTER,   "", "", "",                      "Fetches gone on with here after the replica that ran them was gone.") \
	X(M_CLUSTER_LEASES_LOST,  "registry_cluster_leases_lost_total",     METRIC_COUNTER,   "", "", "",                      "Fetches whose lease was lost while they ran; another replica may have fetched the same.") \
	X(M_STORAGE_SECONDS,      "registry_storage_action_seconds",        METRIC_HISTOGRAM, "store", "action", "",           "Time of each action on a store.") \
	X(M_STORAGE_ERRORS,       "registry_storage_errors_total",          METRIC_COUNTER,   "store", "action", "",           "Actions on a store that could not tell or failed.") \
	X(M_STORE_UP,             "registry_store_up",                      METRIC_GAUGE,     "store", "", "",                 "1 while the store (objects, index) can be used; /readyz says why not.") \
	X(M_UPLOADS_EXPIRED,      "registry_uploads_expired_total",         METRIC_COUNTER,   "", "", "",                      "Abandoned uploads removed.") \
	X(M_CACHE_BYTES,          "registry_cache_bytes",                   METRIC_GAUGE,     "", "", "",                      "Bytes of stored blobs that nobody pushed, as storage.maxCacheSize counts them.") \
	X(M_CACHE_LIMIT,          "registry_cache_limit_bytes",             METRIC_GAUGE,     "", "", "",                      "storage.maxCacheSize; 0: no limit.") \
	X(M_CACHE_EVICTED,        "registry_cache_evicted_total",           METRIC_COUNTER,   "type", "", "",                  "What was evicted to keep the limit, by type (manifest, blob).") \
	X(M_CACHE_EVICTED_BYTES,  "registry_cache_evicted_bytes_total",     METRIC_COUNTER,   "", "", "",                      "Bytes of blobs evicted.") \
	X(M_CACHE_STUCK,          "registry_cache_eviction_stuck",          METRIC_GAUGE,     "", "", "",                      "1 while the cache is over its limit and nothing may be evicted: all of it was used a moment ago, or the index is not complete.") \
	X(M_RELOADS,              "registry_config_reloads_total",          METRIC_COUNTER,   "result", "", "",                "Reloads by SIGHUP, by result (ok, refused).")
/* clang-format on */

#define METRIC_ENUM(id, name, type, l1, l2, l3, help) id,
enum metric { METRICS(METRIC_ENUM) METRIC_COUNT };
#undef METRIC_ENUM

/* Label values in the table's order, NULL-terminated when fewer than three; a
 * missing one is "". For a histogram `value` is an observation in seconds.
 * NaN is ignored, and so is less than 0 where a number can only grow. Setting
 * a histogram does nothing. */
void metric_add_labelled(enum metric metric, double value, const char *const *labels);
void metric_set_labelled(enum metric metric, double value, const char *const *labels);

#define METRIC_LABELS(...) ((const char *const[METRIC_MAX_LABELS + 1]){__VA_ARGS__})
#define metric_inc(metric, ...) metric_add_labelled((metric), 1.0, METRIC_LABELS(__VA_ARGS__))
#define metric_add(metric, value, ...) \
	metric_add_labelled((metric), (double)(value), METRIC_LABELS(__VA_ARGS__))
#define metric_set(metric, value, ...) \
	metric_set_labelled((metric), (double)(value), METRIC_LABELS(__VA_ARGS__))

/* Unlabelled: metric_add(M_FILLS_IN_FLIGHT, 1, NULL). */

/* Writes everything, HELP and TYPE lines included (text format 0.0.4), in the
 * table's order and then in order of first sight. */
void metrics_write(struct buf *buf);

/* The value of one combination (of a histogram: how many were observed), 0 when
 * never seen; for tests. */
double metric_value(enum metric metric, const char *const *labels);

#endif
