/*
 * What the files behind upstream.h share: the running state of an upstream, and
 * one question to it (an ask) on its way over mirrors, credentials, tokens and
 * redirects.
 *
 *   upstream_set.c       the set, and which credential a repository uses
 *   upstream_state.c     what outlives a reload
 *   upstream_ask.c       one ask over the mirrors, with their breakers
 *   upstream_exchange.c  at one mirror: challenge, redirects, the answer's meaning
 *   upstream_authorize.c challenges answered, and whom a credential may meet
 *   upstream_{manifest,blob,document}.c  the asks there are
 *   upstream_news.c      what other replicas should know
 *
 * Locks: each is a leaf but for upstream_state's, under which a breaker's may
 * be taken. None is held over a request.
 */
#ifndef UPSTREAM_UPSTREAM_PRIVATE_H
#define UPSTREAM_UPSTREAM_PRIVATE_H

#include "server/base/buf.h"
#include "server/upstream/breaker.h"
#include "server/upstream/challenge.h"
#include "server/upstream/credential.h"
#include "server/upstream/token.h"
#include "server/upstream/transfer.h"
#include "server/upstream/upstream.h"
#include "server/upstream/upstream_news.h"
#include "server/upstream/url.h"

#include <pthread.h>
#include <stdatomic.h>

/* How one account stands with one mirror: one that is throttled must not hold up
 * another. */
struct standing {
	struct breaker breaker;
	pthread_mutex_t lock; /* covers what follows */
	struct error last; /* why it was last paused */
};

/* A credential at this upstream, by name; kept as long as the state. */
struct account {
	struct account *next;
	char *name;
	_Atomic uint64_t remaining; /* as its last ratelimit-remaining said */
	_Atomic int64_t remaining_at_ms; /* monotonic, of that; 0: there was none */
	_Atomic bool remaining_heeded; /* another replica read it */
	struct standing standings[]; /* one for each mirror */
};

struct mirror {
	char *url; /* without a slash at its end */
	char origin[URL_ORIGIN_SIZE];
	pthread_mutex_t lock; /* covers what follows: the challenge it last sent */
	enum challenge_scheme scheme;
	char *realm;
	char *service;
};

struct upstream_state {
	atomic_uint references;
	char *name;
	struct transfer_options options; /* ca_file is ours */
	struct transfer_pool *pool;
	struct login_memory *logins;
	struct token_cache *tokens;
	struct mirror *mirrors;
	size_t mirror_count;
	pthread_mutex_t lock; /* covers the list's head; what is in it stays */
	struct account *accounts;
};

struct upstream {
	const struct upstream_config *config;
	struct upstream_state *state;
	struct account **accounts; /* of each of the configuration's credential rules */
	struct account *anonymous;
};

struct upstream_state *upstream_state_new(const struct upstream_config *config);
struct upstream_state *upstream_state_ref(struct upstream_state *state);
void upstream_state_unref(struct upstream_state *state);
/* Same name, urls, tls and timeouts: what was learned still holds. */
bool upstream_state_fits(const struct upstream_state *state, const struct upstream_config *config);
struct account *upstream_state_account(struct upstream_state *state, const char *name);
/* Is some credential kept by its breakers from every mirror? */
bool upstream_state_is_paused(struct upstream_state *state);

/* upstream_news.c: what this state's accounts found out, and what others did. */
void upstream_state_tell(struct upstream_state *state, upstream_news_fn fn, void *context);
void upstream_state_heed(struct upstream_state *state, const struct upstream_news *news);
/* A rate limit was read, here or (`heeded`) by another replica. */
void upstream_note_remaining(const struct upstream_state *state, struct account *account,
			     uint64_t remaining, int64_t read_at_ms, bool heeded);

/* Whose credential a repository uses; *ret_credential NULL: anonymous. */
struct account *upstream_account(const struct upstream *upstream, const char *repository,
				 const struct credential_config **ret_credential);

/* One question. The callbacks and `finish` see only the final reply of a
 * mirror, and only a 200 or 206; they start anew for each mirror. */
struct ask {
	struct upstream *upstream;
	const char *repository;
	enum transfer_method method;
	const char *path; /* after /v2/<repository>/ */
	const char *accept; /* or NULL */
	const char *range; /* or NULL */
	int64_t limit_ms; /* for each mirror, its token included; 0: none */
	const _Atomic bool *cancelled; /* or NULL */

	/* As in struct transfer_request. One that returns false because something
	 * is wrong sets `refusal` before, which becomes the outcome. */
	bool (*on_headers)(struct ask *ask, const struct transfer_response *response);
	bool (*on_body)(struct ask *ask, const void *bytes, size_t length);
	/* Called when the body has come whole (or was not wanted). NULL: all is well. */
	enum status (*finish)(struct ask *ask, const struct transfer_response *response,
			      struct error *error);
	struct error refusal;
	bool committed; /* set by a callback: do not ask another mirror after this */

	struct account *account; /* set by upstream_ask */
	const struct credential_config *credential;
};

enum status upstream_ask(struct ask *ask, struct error *error);

/* At one mirror. *ret_answered: it sent an HTTP reply, of whatever status. */
enum status upstream_exchange(struct ask *ask, struct mirror *mirror, bool *ret_answered,
			      struct error *error);

/* What an exchange sends as Authorization. */
struct authorization {
	enum challenge_scheme scheme; /* of value */
	char *value; /* secret; NULL: nothing is sent */
	char *realm; /* Bearer: where `token` is from */
	char *service;
	char *token; /* secret */
	bool in_login; /* login_end is due */
};

/* From what the mirror asked for last time; nothing when it never did. */
enum status authorize_ahead(const struct ask *ask, struct mirror *mirror, deadline_ms deadline,
			    struct authorization *authorization, struct error *error);
/* After a 401: answers its challenge. */
enum status authorize_again(const struct ask *ask, struct mirror *mirror,
			    const struct transfer_headers *headers, deadline_ms deadline,
			    struct authorization *authorization, struct error *error);
/* The mirror has answered with this status; 0: it has not answered. */
void authorization_answered(const struct ask *ask, const struct mirror *mirror, int http_status,
			    struct authorization *authorization);
/* The same authorization is of no more use. */
void authorization_release(struct authorization *authorization);

/* An ask whose body is kept in memory. */
struct collecting_ask {
	struct ask ask; /* first: on_headers, on_body and finish find the rest by it */
	struct buf body;
};

/* Sets on_headers and on_body; what is over `max` bytes ends in BW_TOO_LARGE. */
void collecting_ask_init(struct collecting_ask *collecting, size_t max);
void collecting_ask_release(struct collecting_ask *collecting);

/* For asks of small bodies: what they may take at one mirror in all. */
int64_t upstream_small_limit_ms(const struct upstream *upstream);

#endif
