#include "server/cluster/request.h"

#include "server/base/str.h"
#include "server/cluster/cluster_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SCHEME "Breakwater-Replica "
#define NUMBER_SIZE 24

/* Over what a question's signature goes; `time` and `nonce` as they are sent. */
static void sign_question(struct keyring *keys, const struct replica_request *request,
			  const char *address, const char *time, const char *nonce,
			  char signature[SIGNATURE_SIZE])
{
	keyring_sign(keys, "question",
		     SIGNED_TEXTS("GET", request->path, request->range, address, time, nonce),
		     signature);
}

void replica_request_sign(struct cluster *cluster, const struct replica_request *request,
			  const char *address, char authorization[REPLICA_AUTHORIZATION_SIZE],
			  char nonce[REPLICA_NONCE_SIZE])
{
	unsigned char random[NONCE_LENGTH / 2];
	char signature[SIGNATURE_SIZE];
	char time[NUMBER_SIZE];

	random_bytes(random, sizeof(random));
	str_hex(random, sizeof(random), nonce);
	snprintf(time, sizeof(time), "%" PRId64, clock_wall_ms());
	sign_question(cluster->keys, request, address, time, nonce, signature);
	snprintf(authorization, REPLICA_AUTHORIZATION_SIZE, SCHEME "%s %s %s", time, nonce,
		 signature);
}

/* Copies what comes before the next space, of which there is one; returns what comes
 * after it. NULL: it is not there, does not fit, or is not `length` long (0: any). */
static const char *cut_word(const char *text, char *target, size_t size, size_t length)
{
	size_t found = strcspn(text, " ");

	if (text[found] != ' ' || found == 0 || found >= size || (length && found != length))
		return NULL;
	memcpy(target, text, found);
	target[found] = '\0';
	return text + found + 1;
}

bool cluster_is_now(const char *time)
{
	int64_t now = clock_wall_ms();
	uint64_t sent;

	if (!str_parse_u64(time, strlen(time), &sent) || sent > INT64_MAX)
		return false;
	return (int64_t)sent >= now - CLUSTER_CLOCK_SKEW_MS &&
	       (int64_t)sent <= now + CLUSTER_CLOCK_SKEW_MS;
}

bool replica_request_check(struct cluster *cluster, const struct replica_request *request,
			   const char *authorization, char ret_nonce[REPLICA_NONCE_SIZE])
{
	char nonce[REPLICA_NONCE_SIZE];
	char time[NUMBER_SIZE];
	const char *rest;

	if (!authorization || !str_starts_with(authorization, SCHEME))
		return false;
	rest = cut_word(authorization + strlen(SCHEME), time, sizeof(time), 0);
	rest = rest ? cut_word(rest, nonce, sizeof(nonce), NONCE_LENGTH) : NULL;
	if (!rest)
		return false;
	if (!keyring_check(cluster->keys, "question",
			   SIGNED_TEXTS("GET", request->path, request->range, cluster->address,
					time, nonce),
			   rest))
		return false;
	/* last: only what was signed takes room there */
	if (!cluster_is_now(time) || !nonces_use(cluster->nonces, nonce, clock_monotonic_ms()))
		return false;
	memcpy(ret_nonce, nonce, sizeof(nonce));
	return true;
}

struct answer_text {
	char status[NUMBER_SIZE];
	char offset[NUMBER_SIZE];
	char total[NUMBER_SIZE];
};

static struct answer_text answer_text(const struct replica_answer *answer)
{
	struct answer_text text;

	snprintf(text.status, sizeof(text.status), "%d", answer->status);
	snprintf(text.offset, sizeof(text.offset), "%" PRIu64, answer->offset);
	snprintf(text.total, sizeof(text.total), "%" PRIu64, answer->total);
	return text;
}

void replica_answer_sign(struct cluster *cluster, const char *nonce,
			 const struct replica_answer *answer, char signature[SIGNATURE_SIZE])
{
	struct answer_text text = answer_text(answer);

	keyring_sign(cluster->keys, "answer",
		     SIGNED_TEXTS(nonce, text.status, text.offset, text.total), signature);
}

bool replica_answer_check(struct cluster *cluster, const char *nonce,
			  const struct replica_answer *answer, const char *signature)
{
	struct answer_text text = answer_text(answer);

	return keyring_check(cluster->keys, "answer",
			     SIGNED_TEXTS(nonce, text.status, text.offset, text.total), signature);
}

bool replica_range_parse(const char *range, uint64_t *ret_offset)
{
	size_t length = strlen(range);

	return str_starts_with(range, "bytes=") && range[length - 1] == '-' &&
	       str_parse_u64(range + strlen("bytes="), length - strlen("bytes=") - 1, ret_offset);
}
