/*
 * What another replica is answered (server/cluster/request.h): the bytes of a fill as
 * they come, or of what is stored. Nobody is asked for a policy here, since the secret
 * opens every blob; and whoever does not have it is answered as if there were nothing.
 */
#include "server/cluster/request.h"

#include "server/base/clock.h"
#include "server/http/blob_body.h"
#include "server/http/handlers.h"
#include "server/http/response.h"
#include "server/registry/failure.h"

#include <string.h>

struct reply {
	struct exchange *exchange;
	struct cluster *cluster;
	char nonce[REPLICA_NONCE_SIZE];
	struct digest digest;
	uint64_t offset;
};

static bool read_question(struct reply *reply)
{
	struct exchange *exchange = reply->exchange;
	const struct request *request = &exchange->request;
	const char *range = request_header(request, "Range");
	const struct replica_request question = {request->path, range ? range : ""};
	const char *digest = exchange->match.last;

	return reply->cluster && request->method == METHOD_GET &&
	       digest_parse(digest, strlen(digest), &reply->digest) &&
	       replica_range_parse(question.range, &reply->offset) &&
	       replica_request_check(reply->cluster, &question,
				     request_header(request, "Authorization"), reply->nonce);
}

/* 404 and 503 are words of the protocol. */
static void refuse(const struct reply *reply, int http_status, enum api_code code,
		   const char *message)
{
	const struct replica_answer answer = {.status = http_status};
	char signature[SIGNATURE_SIZE];
	struct api_failure failure;

	replica_answer_sign(reply->cluster, reply->nonce, &answer, signature);
	failure_set(&failure, http_status, code, "%s", message);
	respond_failure_with(reply->exchange, &failure,
			     &(struct response){.replica_answer = signature});
}

static void send_blob(const struct reply *reply, struct blob_source *source)
{
	const struct byte_range range = {reply->offset, source->size - reply->offset};
	const struct replica_answer answer = {
		.status = range.length > 0 ? 206 : 200,
		.offset = range.length > 0 ? reply->offset : 0,
		.total = source->size,
	};
	char signature[SIGNATURE_SIZE];
	const struct response response = {
		.status = answer.status,
		.content_type = "application/octet-stream",
		.has_length = true,
		.content_length = range.length,
		.part = range.length > 0 ? &range : NULL,
		.full_size = source->size,
		.replica_answer = signature,
	};

	replica_answer_sign(reply->cluster, reply->nonce, &answer, signature);
	/* the head goes at once: it says that we are alive */
	if (response_begin(reply->exchange, &response, NULL, 0, false) && range.length > 0)
		blob_body_send(reply->exchange, source, &range, reply->offset);
}

void handle_replica(struct exchange *exchange)
{
	struct reply reply = {
		.exchange = exchange,
		.cluster = registry_cluster(exchange->registry),
	};
	struct blob_source source;
	struct error error = {0};
	enum status status;

	if (!read_question(&reply)) {
		handler_unknown_path(exchange);
		return;
	}
	status = registry_open_for_replica(
		exchange->registry, &reply.digest,
		deadline_in(cluster_timing(reply.cluster)->first_byte_ms / 2), &source, &error);
	if (status == BW_TIMEOUT) {
		refuse(&reply, 503, API_UNAVAILABLE, "no byte of it has come yet");
		return;
	}
	if (status != BW_OK) {
		refuse(&reply, 404, API_BLOB_UNKNOWN, "there is nothing of it here");
		return;
	}
	if (reply.offset > 0 && reply.offset >= source.size)
		refuse(&reply, 404, API_BLOB_UNKNOWN, "it is not as long as that");
	else
		send_blob(&reply, &source);
	blob_source_release(&source);
}
