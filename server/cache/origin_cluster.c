/*
 * One read goes round these until bytes come, or a failure that is an answer:
 *
 *   take the claim    ours: look into the store once more, then ask the upstream
 *                     somebody's: follow him
 *                     could not tell: ask the upstream, alone
 *   follow            whole: done; he stores it
 *                     nothing there, or twice no connection: he has died, take over
 *                     no byte yet: wait, for as long as patience lasts
 *                     silent, twice: alone
 *                     no replica of ours: alone
 *
 * What broke after bytes came is returned, so that the fill comes again with its
 * new offset. Whoever is alone stores what he fetched, under its digest, as the
 * others do: a blob that is there already is left as it is.
 */
#include "server/cache/origin_cluster.h"

#include "backends/object_store.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/cluster/budget.h"
#include "server/cluster/claim.h"
#include "server/cluster/follow.h"
#include "server/content/content.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Times round before a claim that always is somebody else's is left alone. */
#define ROUNDS_MAX 64
#define SILENCES_MAX 2
/* No connection, or a broken one, as often as this in a row: he has died. */
#define BREAKS_MAX 2
#define BUDGET_MS 1000
#define NOT_YET_MS 100
#define STORED_LOOK_MS 200
#define STORED_PATIENCE_MS 60000

struct cluster_origin {
	struct origin base;
	struct cluster_origin_options options;
	bool has_told_size; /* what the upstream said when it was asked to confirm */
	uint64_t told_size;
	bool confirmed;
	bool alone; /* for the rest of this fill */
	struct claim *claim; /* ours, or NULL */
	bool followed; /* somebody, at some time */
	uint64_t fence; /* whose breaks and silences are counted */
	unsigned breaks;
	unsigned silences;
	deadline_ms patience; /* for a first byte of his; 0: not begun */
};

/* The fill's sink, and what went through it. */
struct counting {
	struct cluster_origin *origin;
	const struct blob_sink *sink;
	bool any; /* byte came */
	bool mistold; /* the size is not what the upstream said */
};

enum step { STEP_AGAIN, STEP_END };

static struct cluster_origin *of(struct origin *base)
{
	return container_of(base, struct cluster_origin, base);
}

/* ---- following --------------------------------------------------------- */

static bool counting_begin(void *context, uint64_t offset, bool has_total, uint64_t total)
{
	struct counting *counting = context;
	const struct cluster_origin *origin = counting->origin;

	/* an answer of 200 to everything, as a login page gives it, confirms nothing */
	counting->mistold = origin->has_told_size && has_total && origin->told_size != total;
	return !counting->mistold &&
	       counting->sink->begin(counting->sink->context, offset, has_total, total);
}

static bool counting_write(void *context, const void *bytes, size_t length)
{
	struct counting *counting = context;

	counting->any = true;
	return counting->sink->write(counting->sink->context, bytes, length);
}

static enum status confirm(struct cluster_origin *origin, struct error *error)
{
	uint64_t size = UINT64_MAX;
	enum status status;

	if (!origin->options.must_confirm || origin->confirmed)
		return BW_OK;
	status = upstream_probe_blob(origin->options.upstream, origin->base.repository,
				     &origin->options.digest, &size, error);
	if (status != BW_OK)
		return status;
	origin->confirmed = true;
	origin->has_told_size = size != UINT64_MAX;
	origin->told_size = size;
	return BW_OK;
}

static void go_alone(struct cluster_origin *origin, const char *holder, const struct error *why)
{
	char digest[DIGEST_TEXT_SIZE];

	origin->alone = true;
	digest_format(&origin->options.digest, digest);
	log_event(LOG_WARNING, "a blob that another replica fetches is fetched here as well",
		  LOG_S("replica", holder), LOG_S("digest", digest),
		  LOG_S("err.message", why->message));
}

static void note_claim(struct cluster_origin *origin, struct claim *claim)
{
	origin->claim = claim;
	if (origin->followed)
		metric_inc(M_CLUSTER_TAKEOVERS, NULL);
}

static void take_over(struct cluster_origin *origin, const struct claim_holder *dead,
		      const struct error *why)
{
	struct claim_holder holder;
	struct claim *claim;
	struct error error = {0};
	enum status status = claim_take_over(origin->options.cluster, &origin->options.digest, dead,
					     &claim, &holder, &error);

	if (status == BW_OK) {
		note_claim(origin, claim);
		log_event(LOG_WARNING, "a blob that another replica was fetching is fetched here",
			  LOG_S("replica", dead->address), LOG_S("err.message", why->message));
	} else if (status != BW_CONFLICT) {
		go_alone(origin, dead->address, &error);
	}
}

/* What is to be done after a read from the holder that did not bring the whole. */
static void judge_holder(struct cluster_origin *origin, const struct claim_holder *holder,
			 enum follow_result result, const _Atomic bool *cancelled,
			 const struct error *why)
{
	const struct cluster_timing *timing = cluster_timing(origin->options.cluster);

	switch (result) {
	case FOLLOW_NOT_YET:
		if (!origin->patience)
			origin->patience = deadline_in(timing->patience_ms);
		if (deadline_passed(origin->patience))
			go_alone(origin, holder->address, why);
		else
			clock_pause(NOT_YET_MS, cancelled);
		break;
	case FOLLOW_GONE:
		take_over(origin, holder, why);
		break;
	case FOLLOW_BROKEN:
		if (++origin->breaks >= BREAKS_MAX)
			take_over(origin, holder, why);
		else
			clock_pause(timing->grace_ms, cancelled);
		break;
	case FOLLOW_SILENT:
		if (++origin->silences >= SILENCES_MAX)
			go_alone(origin, holder->address, why);
		break;
	default:
		go_alone(origin, holder->address, why);
		break;
	}
}

static void meet(struct cluster_origin *origin, const struct claim_holder *holder)
{
	if (origin->followed && origin->fence == holder->fence)
		return;
	origin->followed = true;
	origin->fence = holder->fence;
	origin->breaks = 0;
	origin->silences = 0;
	origin->patience = 0;
}

static enum step follow_holder(struct cluster_origin *origin, const struct claim_holder *holder,
			       uint64_t offset, const struct blob_sink *sink,
			       const _Atomic bool *cancelled, enum status *ret_status,
			       struct error *error)
{
	struct counting counting = {.origin = origin, .sink = sink};
	const struct blob_sink counted = {counting_begin, counting_write, &counting};
	struct error why = {0};
	enum follow_result result;

	*ret_status = confirm(origin, error);
	if (*ret_status != BW_OK)
		return STEP_END;
	meet(origin, holder);
	result = follow(origin->options.cluster, holder->address, &origin->options.digest, offset,
			&counted, cancelled, &why);
	metric_inc(M_CLUSTER_FOLLOWED, follow_result_name(result));
	origin->base.from_replica = true;
	if (result == FOLLOW_WHOLE) {
		origin->base.stores = false;
		return STEP_END;
	}
	if (counting.mistold) {
		*ret_status =
			origin_fault(&origin->base, error, BW_UNREACHABLE,
				     "says that it has a blob, of a size that its digest does "
				     "not have");
		return STEP_END;
	}
	if (result == FOLLOW_UNWANTED) {
		*ret_status = error_set(error, BW_CANCELLED, "%s", why.message);
		return STEP_END;
	}
	judge_holder(origin, holder, result, cancelled, &why);
	if (!counting.any)
		return STEP_AGAIN;
	*ret_status = error_set(error, BW_UNREACHABLE, "%s", why.message);
	return STEP_END;
}

/* ---- fetching ---------------------------------------------------------- */

static bool is_stored(const struct cluster_origin *origin)
{
	struct object_reader *reader;

	if (content_open_blob(origin->options.content, &origin->options.digest, NULL, &reader,
			      NULL) != BW_OK)
		return false;
	object_close(reader);
	return true;
}

static enum step fetch(struct cluster_origin *origin, uint64_t offset, const struct blob_sink *sink,
		       const _Atomic bool *cancelled, enum status *ret_status, struct error *error)
{
	const struct cluster_origin_options *options = &origin->options;
	const char *name = origin->base.upstream;

	/* others must not wait for us while we wait for a connection */
	if (!budget_enter(options->cluster, name, upstream_max_connections(options->upstream),
			  deadline_in(BUDGET_MS))) {
		claim_drop(origin->claim);
		origin->claim = NULL;
		return STEP_AGAIN;
	}
	origin->base.stores = true;
	origin->base.from_replica = false;
	*ret_status = origin_read(options->upstream_origin, offset, sink, cancelled, error);
	budget_leave(options->cluster, name);
	return STEP_END;
}

/* Takes the claim or tells whose it is; says in *ret_alone that neither is known. */
static enum status claim(struct cluster_origin *origin, struct claim_holder *ret_holder,
			 bool *ret_alone)
{
	struct claim *taken;
	enum status status;

	*ret_alone = origin->alone;
	if (origin->alone || origin->claim)
		return BW_OK;
	status = claim_take(origin->options.cluster, &origin->options.digest, &taken, ret_holder,
			    NULL);
	if (status == BW_OK)
		note_claim(origin, taken);
	else if (status == BW_CONFLICT && ret_holder->address[0])
		return BW_CONFLICT;
	else if (status == BW_CONFLICT)
		go_alone(origin, "(unknown)",
			 &(struct error){.message = "its claim is not signed with our "
						    "cluster.secret, which has to be the same at "
						    "all replicas"});
	*ret_alone = !origin->claim;
	return BW_OK;
}

static enum status cluster_read(struct origin *base, uint64_t offset, const struct blob_sink *sink,
				const _Atomic bool *cancelled, struct error *error)
{
	struct cluster_origin *origin = of(base);
	struct claim_holder holder = {0};
	enum status status = BW_OK;
	enum step step = STEP_AGAIN;
	unsigned rounds = 0;

	while (step == STEP_AGAIN) {
		bool alone, had = origin->claim != NULL;

		if (atomic_load(cancelled))
			return error_set(error, BW_CANCELLED, "stopping");
		if (claim(origin, &holder, &alone) == BW_CONFLICT) {
			step = follow_holder(origin, &holder, offset, sink, cancelled, &status,
					     error);
			if (++rounds == ROUNDS_MAX && !origin->alone)
				go_alone(origin, holder.address, &(struct error){0});
			continue;
		}
		/* whoever had it before us may have stored it since we looked */
		if (!alone && !had && offset == 0 && is_stored(origin))
			return error_set(error, BW_CONFLICT, "the blob is stored already");
		step = fetch(origin, offset, sink, cancelled, &status, error);
	}
	return status;
}

/* ---- afterwards -------------------------------------------------------- */

static bool cluster_must_store(struct origin *base, const _Atomic bool *cancelled)
{
	struct cluster_origin *origin = of(base);
	deadline_ms deadline = deadline_in(STORED_PATIENCE_MS);
	struct claim_holder holder;

	while (!is_stored(origin)) {
		/* he who stores it holds the claim until it is there */
		if (!origin->claim &&
		    claim_take(origin->options.cluster, &origin->options.digest, &origin->claim,
			       &holder, NULL) == BW_CONFLICT &&
		    !deadline_passed(deadline) && clock_pause(STORED_LOOK_MS, cancelled))
			continue;
		return !is_stored(origin);
	}
	return false;
}

static void cluster_end(struct origin *base)
{
	struct cluster_origin *origin = of(base);

	claim_drop(origin->claim);
	origin->claim = NULL;
}

static enum status cluster_is_at_fault(const struct origin *base, struct error *error,
				       enum status code, const char *what)
{
	const struct cluster_origin *origin = container_of(base, const struct cluster_origin, base);
	const struct origin *inner = origin->options.upstream_origin;

	return inner->ops->fault(inner, error, code, what);
}

static void cluster_origin_free(struct origin *base)
{
	struct cluster_origin *origin = of(base);

	cluster_end(base);
	origin_free(origin->options.upstream_origin);
	free(origin);
}

struct origin *origin_cluster_new(const struct cluster_origin_options *options)
{
	static const struct origin_ops ops = {
		.read = cluster_read,
		.fault = cluster_is_at_fault,
		.must_store = cluster_must_store,
		.end = cluster_end,
		.free = cluster_origin_free,
	};
	struct cluster_origin *origin = xcalloc(1, sizeof(*origin));

	origin->options = *options;
	origin->base = *options->upstream_origin;
	origin->base.ops = &ops;
	return &origin->base;
}
