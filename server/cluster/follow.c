#include "server/cluster/follow.h"

#include "server/base/memory.h"
#include "server/cluster/cluster_private.h"
#include "server/cluster/request.h"
#include "server/upstream/content_range.h"

#include <inttypes.h>
#include <stdlib.h>

struct following {
	struct cluster *cluster;
	const struct blob_sink *sink;
	char nonce[REPLICA_NONCE_SIZE];
	uint64_t offset;
	struct replica_answer answer;
	bool headed; /* an answer came */
	bool genuine; /* and a replica signed it */
	bool unwanted; /* the sink does not want it */
};

const char *follow_result_name(enum follow_result result)
{
	static const char *const names[] = {
		[FOLLOW_WHOLE] = "whole",       [FOLLOW_UNWANTED] = "unwanted",
		[FOLLOW_NOT_YET] = "not_yet",   [FOLLOW_GONE] = "gone",
		[FOLLOW_BROKEN] = "broken",     [FOLLOW_SILENT] = "silent",
		[FOLLOW_STRANGER] = "stranger",
	};

	return names[result];
}

/* What the head says of the bytes that follow. False: it does not say it. */
static bool read_answer(const struct transfer_response *response, struct replica_answer *ret)
{
	const struct transfer_headers *headers = &response->headers;
	struct content_range range;

	*ret = (struct replica_answer){.status = response->status};
	if (response->status != 206)
		return true;
	if (!headers->content_range || !content_range_parse(headers->content_range, &range) ||
	    !range.has_total || range.last + 1 != range.total)
		return false;
	ret->offset = range.first;
	ret->total = range.total;
	return true;
}

static bool on_headers(void *context, const struct transfer_response *response)
{
	struct following *following = context;
	const char *signature = response->headers.replica_answer;
	struct replica_answer *answer = &following->answer;

	following->headed = true;
	following->genuine =
		signature && read_answer(response, answer) &&
		replica_answer_check(following->cluster, following->nonce, answer, signature);
	if (!following->genuine || (answer->status != 206 && answer->status != 200))
		return false;
	if (answer->offset != following->offset) {
		following->genuine = false;
		return false;
	}
	following->unwanted = !following->sink->begin(following->sink->context, answer->offset,
						      true, answer->total);
	return !following->unwanted;
}

static bool on_body(void *context, const void *bytes, size_t length)
{
	struct following *following = context;

	following->unwanted = !following->sink->write(following->sink->context, bytes, length);
	return !following->unwanted;
}

static enum follow_result judge(const struct following *following, enum status status,
				struct error *error)
{
	if (following->unwanted || status == BW_CANCELLED)
		return FOLLOW_UNWANTED;
	if (following->headed && !following->genuine) {
		error_set(error, BW_UNREACHABLE, "who answers there is no replica with our secret");
		return FOLLOW_STRANGER;
	}
	if (following->headed && following->answer.status == 404) {
		error_set(error, BW_ABSENT, "it has nothing of the blob");
		return FOLLOW_GONE;
	}
	if (following->headed && following->answer.status == 503) {
		error_set(error, BW_UNAVAILABLE, "it has no byte of the blob yet");
		return FOLLOW_NOT_YET;
	}
	if (status == BW_TIMEOUT)
		return FOLLOW_SILENT;
	return status == BW_OK ? FOLLOW_WHOLE : FOLLOW_BROKEN;
}

enum follow_result follow(struct cluster *cluster, const char *address, const struct digest *digest,
			  uint64_t offset, const struct blob_sink *sink,
			  const _Atomic bool *cancelled, struct error *error)
{
	struct following following = {.cluster = cluster, .sink = sink, .offset = offset};
	char authorization[REPLICA_AUTHORIZATION_SIZE];
	char path[sizeof(REPLICA_PATH) + DIGEST_TEXT_SIZE] = REPLICA_PATH;
	char range[REPLICA_RANGE_SIZE];
	const struct replica_request question = {.path = path, .range = range};
	char *url;
	struct transfer_request request = {
		.method = TRANSFER_GET,
		.connection_key = address,
		.authorization = authorization,
		.range = range,
		.redirected = true, /* it came from others: no link-local address */
		.deadline = DEADLINE_NEVER,
		.cancelled = cancelled,
		.on_headers = on_headers,
		.on_body = on_body,
		.context = &following,
	};
	struct transfer_response response;
	struct error failure = {0};
	enum follow_result result;

	digest_format(digest, path + strlen(REPLICA_PATH));
	snprintf(range, sizeof(range), "bytes=%" PRIu64 "-", offset);
	replica_request_sign(cluster, &question, address, authorization, following.nonce);
	url = xasprintf("http://%s%s", address, path);
	request.url = url;
	result = judge(&following, transfer_run(cluster->transfers, &request, &response, &failure),
		       &failure);
	if (error) {
		*error = failure;
		error_prefix(error, "replica %s", address);
	}
	transfer_response_release(&response);
	free(url);
	return result;
}
