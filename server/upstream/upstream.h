/*
 * Upstream registries: asking one for manifests, blobs and lists, with its
 * mirrors, credentials, tokens, redirects, breaker and rate limits behind one
 * call.
 *
 * An upstream_set is made from a configuration and is immutable; a reload makes
 * a new one that inherits the running state (connections, tokens, breakers) of
 * upstreams whose name and urls are the same. Hold a reference to the set while
 * using an upstream of it.
 *
 * Outcomes, for every call below:
 *   BW_OK           the upstream answered with the thing
 *   BW_ABSENT       it answered 404
 *   BW_DENIED       it answered 401 or 403 to the credential we have
 *   BW_UNAVAILABLE  429, or its breaker is open (error.retry_after is set)
 *   BW_UNREACHABLE  network, TLS, 5xx, redirects without end, nonsense
 *   BW_TIMEOUT      connect, first byte or stall
 *   BW_CORRUPT      a body whose digest or length is not what was asked for
 *   BW_TOO_LARGE    a body over our limit
 *   BW_CANCELLED    the asker did not want the rest, or we are stopping
 * A challenge whose token service we may not ask is BW_UNREACHABLE too: we have
 * not been denied anything. error.http_status holds the status when an answer
 * (429, 5xx, 401...) was the failure, and does so while a breaker that it opened
 * is open; 0 when none came.
 * The error names the upstream, the credential (by name) and the reason:
 *   upstream "quay.io" answered 429 (credential "robot-b"); retry in 57 s
 * Each call tries the upstream's urls in order, going on to the next one on
 * everything but BW_OK, and reports the most telling failure (an answer such as
 * 404 or 401 of a mirror that is up beats the silence of one that is down only
 * when no mirror failed in a way that could hide the content: ABSENT needs all
 * mirrors that answered to agree and at least the last one to have answered).
 */
#ifndef UPSTREAM_UPSTREAM_H
#define UPSTREAM_UPSTREAM_H

#include "server/base/clock.h"
#include "server/base/digest.h"
#include "server/base/error.h"
#include "server/config/config.h"
#include "server/oci/name.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct upstream;
struct upstream_set;

/* `previous` (or NULL) is the set to inherit running state from. Keeps a
 * reference to `config`. */
struct upstream_set *upstream_set_new(struct config *config, struct upstream_set *previous);
struct upstream_set *upstream_set_ref(struct upstream_set *set);
void upstream_set_unref(struct upstream_set *set);

/* By name or alias, already normalized (host_normalize); NULL: not one of ours. */
struct upstream *upstream_set_find(struct upstream_set *set, const char *host);

const struct upstream_config *upstream_configuration(const struct upstream *upstream);
static inline const char *upstream_name(const struct upstream *upstream)
{
	return upstream_configuration(upstream)->name;
}

/* allow/deny of the configuration, before anything is asked or looked up. */
bool upstream_allows(const struct upstream *upstream, const char *repository);

/* The name of the credential that a repository uses: "anonymous" or one of the
 * configuration's. Static for the set's life. */
const char *upstream_credential_name(const struct upstream *upstream, const char *repository);

/* Signs a fault that was found in what an upstream sent the way its own failures
 * are signed: upstream "x" (credential "y"): <text>. Returns code. */
enum status upstream_fault(const struct upstream *upstream, const char *repository,
			   struct error *error, enum status code, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* A manifest or its head. */
struct upstream_manifest {
	struct digest digest; /* of the body, or (HEAD) as the upstream says */
	char *media_type; /* owned; lower case, no parameters; NULL: none that is well-formed */
	char *body; /* owned, NUL-terminated; NULL after a HEAD */
	size_t body_length; /* HEAD: Content-Length */
};
void upstream_manifest_release(struct upstream_manifest *manifest);

/* GET. The body is hashed: it must match the reference when that is a digest,
 * and a Docker-Content-Digest of sha256/sha512 when the upstream sent one. */
enum status upstream_get_manifest(struct upstream *upstream, const char *repository,
				  const struct reference *reference, struct upstream_manifest *ret,
				  struct error *error);

/* HEAD. BW_UNSUPPORTED when the reply lacks a digest or the upstream does not do
 * HEAD (405, 501): ask with GET then. */
enum status upstream_head_manifest(struct upstream *upstream, const char *repository,
				   const struct reference *reference, struct upstream_manifest *ret,
				   struct error *error);

/* Where a blob's bytes go. */
struct blob_sink {
	/* The reply's head: `offset` is where the bytes that follow begin (0 when
	 * the upstream ignored our Range), `total` the blob's size when known
	 * (has_total). False: not wanted, end with BW_CANCELLED. */
	bool (*begin)(void *context, uint64_t offset, bool has_total, uint64_t total);
	/* The next bytes. False: end with BW_CANCELLED. */
	bool (*write)(void *context, const void *bytes, size_t length);
	void *context;
};

/* Streams a blob from `offset` on. One attempt over the mirrors: when a read
 * breaks after bytes were written, the failure is returned and the caller
 * resumes with a new call at its new offset. Content-Encoding is identity. */
enum status upstream_get_blob(struct upstream *upstream, const char *repository,
			      const struct digest *digest, uint64_t offset,
			      const struct blob_sink *sink, const _Atomic bool *cancelled,
			      struct error *error);

/* Does this repository have the blob, for the credential we use there? HEAD,
 * or a one-byte GET where HEAD is refused (public ECR). *ret_size is left
 * untouched when the size is not told. */
enum status upstream_probe_blob(struct upstream *upstream, const char *repository,
				const struct digest *digest, uint64_t *ret_size,
				struct error *error);

/* A small JSON body: `path` comes after /v2/<repository>/ ("tags/list",
 * "referrers/sha256:..."), with pages (Link: rel=next) joined by the caller
 * through *ret_next (the path and query to ask next, NULL at the end; owned by
 * the caller). At most 4 MiB. */
struct upstream_document {
	char *body; /* owned, NUL-terminated */
	size_t body_length;
	char *next; /* owned; NULL: this was the last page */
};
void upstream_document_release(struct upstream_document *document);
enum status upstream_get_document(struct upstream *upstream, const char *repository,
				  const char *path, const char *accept,
				  struct upstream_document *ret, struct error *error);

/* How many fetches of blobs may run at once (maxConnections). */
unsigned upstream_max_connections(const struct upstream *upstream);

#endif
