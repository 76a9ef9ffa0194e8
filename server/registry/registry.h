/*
 * The OCI registry API without HTTP: what is being asked for, whether it may
 * be had, and where it comes from.
 *
 * server/http parses requests and writes responses; everything it needs to
 * answer one is a call here. A call fails with a `struct api_failure`, ready to
 * be sent.
 */
#ifndef REGISTRY_REGISTRY_H
#define REGISTRY_REGISTRY_H

#include "server/base/error.h"
#include "server/cache/pull_through.h"
#include "server/config/config.h"
#include "server/oci/api_error.h"
#include "server/oci/manifest.h"
#include "server/oci/name.h"

struct registry;
struct content;

/* Keeps a reference to `config`; `content` and `cache` stay the caller's. */
struct registry *registry_new(struct content *content, struct cache *cache, struct config *config);
/* New upstreams and policies for the requests that begin from now on. */
void registry_reload(struct registry *registry, struct config *config);
void registry_free(struct registry *registry);

/* An error to be sent. */
struct api_failure {
	int http_status;
	enum api_code code;
	int retry_after; /* seconds; 0: none */
	char message[512];
};

/* Which repository a request means:
 *   ?ns=, else a Host that names an upstream, else a path prefix that does, else a
 *   local repository of that name if there is one, else proxy.defaultUpstream,
 *   else a local repository that is not there.
 * Names only look something up in the configured list; nothing is dialled. */
struct target {
	struct upstream_set *set; /* held while the target lives */
	struct upstream *upstream; /* NULL: a local repository */
	char repository[REPOSITORY_MAX + 1]; /* at the upstream, or here */
	char stored[HOST_MAX + 1 + REPOSITORY_MAX + 1]; /* in our stores */
	bool by_ns; /* named by ?ns=, which links to further pages then carry on */
};

/* For reading and for deletion. `name` is the <name> of the path, percent-decoding
 * done. `ns` and `host` may be NULL. False: *failure is set (400 NAME_INVALID, 404
 * NAME_UNKNOWN, 403 DENIED by allow/deny, 503 when the stores could not tell
 * whether there is a local repository). */
bool registry_resolve(struct registry *registry, const char *name, const char *ns, const char *host,
		      struct target *ret_target, struct api_failure *failure);
void target_release(struct target *target);
const char *target_namespace(const struct target *target); /* for OCI-Namespace; NULL: none */

/* GET and HEAD of /v2/<name>/manifests/<reference>. `reference` as it stands
 * in the path. *ret_view is the caller's to unref. */
bool registry_get_manifest(struct registry *registry, const struct target *target,
			   const char *reference, bool head, struct manifest_view **ret_view,
			   enum cache_verdict *ret_verdict, struct api_failure *failure);

/* GET of /v2/<name>/blobs/<digest>; release *ret_blob. */
bool registry_open_blob(struct registry *registry, const struct target *target, const char *digest,
			struct blob_source *ret_blob, struct api_failure *failure);
/* HEAD. */
bool registry_stat_blob(struct registry *registry, const struct target *target, const char *digest,
			uint64_t *ret_size, enum cache_verdict *ret_verdict,
			struct api_failure *failure);

/* A finished JSON body. */
struct registry_document {
	struct buf *body; /* owned */
	const char *content_type;
	char *link; /* owned; the path and query of the next page, NULL at the end */
	bool filters_applied;
	enum cache_verdict verdict;
};
void registry_document_release(struct registry_document *document);

#define TAGS_PAGE_MAX 10000

/* GET of /v2/<name>/tags/list. `n` as the query has it (NULL: all, up to
 * TAGS_PAGE_MAX), `last` likewise. `name` is how the client called the
 * repository and is what the body and the link say. */
bool registry_list_tags(struct registry *registry, const struct target *target, const char *name,
			const char *n, const char *last, struct registry_document *ret_document,
			struct api_failure *failure);

/* One page is at most this long, so that clients take it as a manifest. */
#define REFERRERS_PAGE_BYTES MANIFEST_MAX_BYTES

/* GET of /v2/<name>/referrers/<digest>?artifactType=&last=. `last` is what the
 * link of the page before says (NULL: the first page); `name` as above. */
bool registry_get_referrers(struct registry *registry, const struct target *target,
			    const char *name, const char *digest, const char *artifact_type,
			    const char *last, struct registry_document *ret_document,
			    struct api_failure *failure);

#define CATALOG_PAGE_MAX 10000

/* GET of /v2/_catalog: repositories by the names they are pulled with, cached ones
 * included, in byte order. `n` and `last` as in registry_list_tags. */
bool registry_list_repositories(struct registry *registry, const char *n, const char *last,
				struct registry_document *ret_document,
				struct api_failure *failure);

/* --- other replicas (server/cluster) --- */

/* NULL: alone. */
struct cluster *registry_cluster(struct registry *registry);

/* A blob for another replica, whoever may pull it: what is being fetched here, or what
 * is stored. BW_TIMEOUT: it is being fetched, and by the deadline no size was known;
 * everything else: there is nothing to be had here. Release *ret_blob. */
enum status registry_open_for_replica(struct registry *registry, const struct digest *digest,
				      deadline_ms deadline, struct blob_source *ret_blob,
				      struct error *error);

/* For /readyz: can our own stores be used? */
enum status registry_check_objects(struct registry *registry, struct error *error);
enum status registry_check_index(struct registry *registry, struct error *error);

#endif
