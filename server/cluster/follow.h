/*
 * The bytes of a blob from the replica that fetches it, or has it: one question,
 * and its answer into a sink, as an upstream's would go there.
 *
 * The path is fixed, no redirect is followed, no proxy is used, and nothing is
 * sent to a link-local address, where clouds keep what is none of a registry's
 * business.
 */
#ifndef CLUSTER_FOLLOW_H
#define CLUSTER_FOLLOW_H

#include "server/base/digest.h"
#include "server/base/error.h"
#include "server/cluster/cluster.h"
#include "server/upstream/upstream.h"

enum follow_result {
	FOLLOW_WHOLE, /* all bytes from the offset to the end */
	FOLLOW_UNWANTED, /* the sink refused some, or it was cancelled */
	FOLLOW_NOT_YET, /* it is fetching, and knows no size yet */
	FOLLOW_GONE, /* it has nothing of this blob */
	FOLLOW_BROKEN, /* refused, reset, ended early: it may have died */
	FOLLOW_SILENT, /* a deadline passed */
	FOLLOW_STRANGER, /* who answers there does not know the secret, or not ours */
};

const char *follow_result_name(enum follow_result result);

/* `error` says more about everything but FOLLOW_WHOLE. */
enum follow_result follow(struct cluster *cluster, const char *address, const struct digest *digest,
			  uint64_t offset, const struct blob_sink *sink,
			  const _Atomic bool *cancelled, struct error *error);

#endif
