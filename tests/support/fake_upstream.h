/*
 * server/upstream/upstream.h without a network: the test says what each
 * upstream answers, and counts what it was asked.
 *
 * Included by one file of a program, whose definitions the linker then takes
 * before those of the library.
 */
#ifndef TESTS_SUPPORT_FAKE_UPSTREAM_H
#define TESTS_SUPPORT_FAKE_UPSTREAM_H

#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/upstream/upstream.h"
#include "server/upstream/upstream_news.h"
#include "tests/support/gate.h"

#include <stdlib.h>
#include <string.h>

enum fake_kind { FAKE_MANIFEST, FAKE_BLOB, FAKE_DOCUMENT };

#define FAKE_OFFSETS 16

/* What one upstream answers about one thing of one repository. Zero is a plain
 * right answer; set before requests come, or through fake_change(). */
struct fake_reply {
	enum status status; /* not BW_OK: the answer to everything */
	int http_status;
	const char *body;
	size_t length; /* 0: strlen(body) */
	const char *media_type;
	const char *next; /* of a document */

	enum status head_status; /* not BW_OK: the answer to HEAD only */
	enum status get_status; /* ...and to GET only */
	bool head_tells_no_size;

	/* blobs */
	unsigned breaks; /* so many first requests break... */
	size_t break_after; /* ...after so many bytes of their reply */
	uint64_t told_total; /* 0: the truth */
	bool without_total;
	bool ignores_range;
	size_t piece; /* bytes handed over at once; 0: 16 KiB */

	struct gate *gate; /* passed before the answer, or before byte `gate_at` of a blob */
	size_t gate_at;
};

struct fake_route {
	enum fake_kind kind;
	const char *upstream;
	const char *repository;
	char *key; /* tag, digest, or path */
	struct fake_reply reply;
	unsigned gets;
	unsigned heads;
	uint64_t offsets[FAKE_OFFSETS]; /* of the first GETs of a blob */
};

#define FAKE_ROUTES 64

static struct {
	pthread_mutex_t lock; /* covers the routes, but not what their pointers show */
	struct fake_route routes[FAKE_ROUTES];
	unsigned count;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline void fake_forget_all(void)
{
	pthread_mutex_lock(&fake.lock);
	for (unsigned i = 0; i < fake.count; i++)
		free(fake.routes[i].key);
	fake.count = 0;
	pthread_mutex_unlock(&fake.lock);
}

/* With the lock held. */
static inline struct fake_route *fake_find(enum fake_kind kind, const char *upstream,
					   const char *repository, const char *key)
{
	for (unsigned i = 0; i < fake.count; i++) {
		struct fake_route *route = &fake.routes[i];

		if (route->kind == kind && strcmp(route->upstream, upstream) == 0 &&
		    strcmp(route->repository, repository) == 0 && strcmp(route->key, key) == 0)
			return route;
	}
	return NULL;
}

/* From now on `upstream` answers so; a new route, or a new answer of one. */
static inline void fake_answer(enum fake_kind kind, const char *upstream, const char *repository,
			       const char *key, struct fake_reply reply)
{
	struct fake_route *route;

	if (reply.body && reply.length == 0)
		reply.length = strlen(reply.body);
	pthread_mutex_lock(&fake.lock);
	route = fake_find(kind, upstream, repository, key);
	if (!route) {
		assert_true(fake.count < FAKE_ROUTES);
		route = &fake.routes[fake.count++];
		*route = (struct fake_route){.kind = kind,
					     .upstream = upstream,
					     .repository = repository,
					     .key = xstrdup(key)};
	}
	route->reply = reply;
	pthread_mutex_unlock(&fake.lock);
}

static inline void fake_answer_blob(const char *upstream, const char *repository,
				    const struct digest *digest, struct fake_reply reply)
{
	char key[DIGEST_TEXT_SIZE];

	digest_format(digest, key);
	fake_answer(FAKE_BLOB, upstream, repository, key, reply);
}

/* How often it was asked; everything 0 for what has no route. */
static inline struct fake_route fake_asked(enum fake_kind kind, const char *upstream,
					   const char *repository, const char *key)
{
	struct fake_route copy = {0};
	const struct fake_route *route;

	pthread_mutex_lock(&fake.lock);
	route = fake_find(kind, upstream, repository, key);
	if (route)
		copy = *route;
	pthread_mutex_unlock(&fake.lock);
	return copy;
}

static inline struct fake_route fake_asked_blob(const char *upstream, const char *repository,
						const struct digest *digest)
{
	char key[DIGEST_TEXT_SIZE];

	digest_format(digest, key);
	return fake_asked(FAKE_BLOB, upstream, repository, key);
}

/* Counts the request and gives the answer to it; no route: 404. */
static inline struct fake_reply fake_take(enum fake_kind kind, const struct upstream *upstream,
					  const char *repository, const char *key, bool head,
					  uint64_t offset, unsigned *ret_before)
{
	struct fake_reply reply = {.status = BW_ABSENT, .http_status = 404};
	struct fake_route *route;

	pthread_mutex_lock(&fake.lock);
	route = fake_find(kind, upstream_name(upstream), repository, key);
	if (route) {
		reply = route->reply;
		*ret_before = head ? route->heads++ : route->gets++;
		if (!head && *ret_before < FAKE_OFFSETS)
			route->offsets[*ret_before] = offset;
	}
	pthread_mutex_unlock(&fake.lock);
	return reply;
}

static inline enum status fake_failure(const struct upstream *upstream,
				       const struct fake_reply *reply, struct error *error)
{
	error_set(error, reply->status, "upstream \"%s\" answered %d (credential \"anonymous\")",
		  upstream_name(upstream), reply->http_status);
	if (error)
		error->http_status = reply->http_status;
	return reply->status;
}

/* ---- upstream_news.h ---- */

void upstream_set_tell(struct upstream_set *set, upstream_news_fn fn, void *context)
{
	(void)set;
	(void)fn;
	(void)context;
}

void upstream_set_heed(struct upstream_set *set, const struct upstream_news *news)
{
	(void)set;
	(void)news;
}

/* ---- upstream.h ---- */

struct upstream {
	const struct upstream_config *config;
};

struct upstream_set {
	_Atomic unsigned references;
	struct upstream *upstreams;
	size_t count;
};

struct upstream_set *upstream_set_new(struct config *config, struct upstream_set *previous)
{
	struct upstream_set *set = xcalloc(1, sizeof(*set));

	(void)previous;
	atomic_init(&set->references, 1);
	set->count = config->proxy.upstream_count;
	set->upstreams = xcalloc(set->count + 1, sizeof(*set->upstreams));
	for (size_t i = 0; i < set->count; i++)
		set->upstreams[i].config = &config->proxy.upstreams[i];
	return set;
}

struct upstream_set *upstream_set_ref(struct upstream_set *set)
{
	atomic_fetch_add(&set->references, 1);
	return set;
}

void upstream_set_unref(struct upstream_set *set)
{
	if (!set || atomic_fetch_sub(&set->references, 1) != 1)
		return;
	free(set->upstreams);
	free(set);
}

struct upstream *upstream_set_find(struct upstream_set *set, const char *host)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct upstream_config *config = set->upstreams[i].config;

		if (strcmp(config->name, host) == 0)
			return &set->upstreams[i];
		for (size_t j = 0; j < config->aliases.count; j++) {
			if (strcmp(config->aliases.items[j], host) == 0)
				return &set->upstreams[i];
		}
	}
	return NULL;
}

const struct upstream_config *upstream_configuration(const struct upstream *upstream)
{
	return upstream->config;
}

bool upstream_allows(const struct upstream *upstream, const char *repository)
{
	for (size_t i = 0; i < upstream->config->deny.count; i++) {
		if (str_glob_match(upstream->config->deny.items[i], repository))
			return false;
	}
	return true;
}

const char *upstream_credential_name(const struct upstream *upstream, const char *repository)
{
	(void)upstream;
	(void)repository;
	return "anonymous";
}

unsigned upstream_max_connections(const struct upstream *upstream)
{
	return upstream->config->max_connections;
}

void upstream_manifest_release(struct upstream_manifest *manifest)
{
	free(manifest->media_type);
	free(manifest->body);
	*manifest = (struct upstream_manifest){0};
}

static inline enum status fake_manifest(struct upstream *upstream, const char *repository,
					const struct reference *reference, bool head,
					struct upstream_manifest *ret, struct error *error)
{
	unsigned before = 0;
	struct fake_reply reply =
		fake_take(FAKE_MANIFEST, upstream, repository, reference->text, head, 0, &before);

	if (reply.gate)
		gate_pass(reply.gate, NULL);
	if ((head ? reply.head_status : reply.get_status) != BW_OK)
		reply.status = head ? reply.head_status : reply.get_status;
	if (reply.status != BW_OK)
		return fake_failure(upstream, &reply, error);
	*ret = (struct upstream_manifest){.body_length = reply.length};
	digest_of(reference->is_digest ? reference->digest.algorithm : DIGEST_SHA256, reply.body,
		  reply.length, &ret->digest);
	ret->media_type = reply.media_type ? xstrdup(reply.media_type) : NULL;
	if (!head)
		ret->body = xmemdup(reply.body, reply.length + 1);
	return BW_OK;
}

enum status upstream_get_manifest(struct upstream *upstream, const char *repository,
				  const struct reference *reference, struct upstream_manifest *ret,
				  struct error *error)
{
	return fake_manifest(upstream, repository, reference, false, ret, error);
}

enum status upstream_head_manifest(struct upstream *upstream, const char *repository,
				   const struct reference *reference, struct upstream_manifest *ret,
				   struct error *error)
{
	return fake_manifest(upstream, repository, reference, true, ret, error);
}

/* The bytes from `start` to `end`, through the gate where it stands. */
static inline bool fake_send(const struct fake_reply *reply, size_t start, size_t end,
			     const struct blob_sink *sink, const _Atomic bool *cancelled)
{
	size_t piece = reply->piece ? reply->piece : 16384;

	for (size_t at = start; at < end;) {
		size_t length = end - at < piece ? end - at : piece;

		if (reply->gate && at == reply->gate_at)
			gate_pass(reply->gate, cancelled);
		if (reply->gate && at < reply->gate_at && length > reply->gate_at - at)
			length = reply->gate_at - at;
		if (atomic_load(cancelled) || !sink->write(sink->context, reply->body + at, length))
			return false;
		at += length;
	}
	if (reply->gate && end == reply->gate_at)
		gate_pass(reply->gate, cancelled);
	return !atomic_load(cancelled);
}

enum status upstream_get_blob(struct upstream *upstream, const char *repository,
			      const struct digest *digest, uint64_t offset,
			      const struct blob_sink *sink, const _Atomic bool *cancelled,
			      struct error *error)
{
	char key[DIGEST_TEXT_SIZE];
	unsigned before = 0;
	struct fake_reply reply;
	size_t start, end;

	digest_format(digest, key);
	reply = fake_take(FAKE_BLOB, upstream, repository, key, false, offset, &before);
	if (reply.gate && reply.status != BW_OK)
		gate_pass(reply.gate, cancelled);
	if (reply.status != BW_OK)
		return fake_failure(upstream, &reply, error);
	start = reply.ignores_range ? 0 : (size_t)offset;
	end = reply.length;
	if (before < reply.breaks && reply.length - start > reply.break_after)
		end = start + reply.break_after;
	if (!sink->begin(sink->context, start, !reply.without_total,
			 reply.told_total ? reply.told_total : reply.length) ||
	    !fake_send(&reply, start, end, sink, cancelled))
		return error_set(error, BW_CANCELLED, "not wanted any more");
	if (end < reply.length)
		return error_set(error, BW_UNREACHABLE, "upstream \"%s\" broke off",
				 upstream_name(upstream));
	return BW_OK;
}

enum status upstream_probe_blob(struct upstream *upstream, const char *repository,
				const struct digest *digest, uint64_t *ret_size,
				struct error *error)
{
	char key[DIGEST_TEXT_SIZE];
	unsigned before = 0;
	struct fake_reply reply;

	digest_format(digest, key);
	reply = fake_take(FAKE_BLOB, upstream, repository, key, true, 0, &before);
	if (reply.head_status != BW_OK)
		reply.status = reply.head_status;
	if (reply.status != BW_OK)
		return fake_failure(upstream, &reply, error);
	if (!reply.head_tells_no_size)
		*ret_size = reply.length;
	return BW_OK;
}

void upstream_document_release(struct upstream_document *document)
{
	free(document->body);
	free(document->next);
	*document = (struct upstream_document){0};
}

enum status upstream_get_document(struct upstream *upstream, const char *repository,
				  const char *path, const char *accept,
				  struct upstream_document *ret, struct error *error)
{
	unsigned before = 0;
	struct fake_reply reply =
		fake_take(FAKE_DOCUMENT, upstream, repository, path, false, 0, &before);

	(void)accept;
	if (reply.status != BW_OK)
		return fake_failure(upstream, &reply, error);
	*ret = (struct upstream_document){
		.body = xmemdup(reply.body, reply.length + 1),
		.body_length = reply.length,
		.next = reply.next ? xstrdup(reply.next) : NULL,
	};
	return BW_OK;
}

#endif
