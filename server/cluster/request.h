/*
 * One replica's question to another: GET of a blob's bytes from an offset on.
 *
 *   GET /cluster/v1/fills/<digest>
 *   Range: bytes=<offset>-
 *   Authorization: Breakwater-Replica <time> <nonce> <signature>
 *
 * The signature covers method, path, range, the address of who is asked, the time
 * (ms since 1970) and the nonce (32 hex digits). The address keeps a question that
 * went to one host from being put to another by that host; time and nonce make it
 * good once. Nothing in the request is secret.
 *
 * The answer's head is signed as well, over the question's nonce:
 *
 *   X-Breakwater-Answer: <signature over nonce, status, offset, total>
 *
 * so that whoever merely sits at a replica's old address is told from a replica,
 * before a byte is taken from him. 206 brings the bytes from the offset on (200: an
 * empty blob), 404 says that there is neither a fill nor a blob, 503 that there is a
 * fill without a size yet. A question that is not signed well is answered as a path
 * that does not exist is.
 */
#ifndef CLUSTER_REQUEST_H
#define CLUSTER_REQUEST_H

#include "server/cluster/cluster.h"
#include "server/cluster/keyring.h"

#define REPLICA_PATH "/cluster/v1/fills/"
#define REPLICA_NONCE_SIZE 33
#define REPLICA_AUTHORIZATION_SIZE 160
#define REPLICA_RANGE_SIZE 32 /* "bytes=<offset>-" */

struct replica_request {
	const char *path; /* as in the request line */
	const char *range; /* the header's value; "": none came */
};

struct replica_answer {
	int status;
	uint64_t offset;
	uint64_t total;
};

/* Of a question to the replica at `address`. */
void replica_request_sign(struct cluster *cluster, const struct replica_request *request,
			  const char *address, char authorization[REPLICA_AUTHORIZATION_SIZE],
			  char nonce[REPLICA_NONCE_SIZE]);

/* Is it a replica's question to us, of now, and asked for the first time? The nonce
 * is for the answer. `authorization` may be NULL. */
bool replica_request_check(struct cluster *cluster, const struct replica_request *request,
			   const char *authorization, char ret_nonce[REPLICA_NONCE_SIZE]);

void replica_answer_sign(struct cluster *cluster, const char *nonce,
			 const struct replica_answer *answer, char signature[SIGNATURE_SIZE]);
bool replica_answer_check(struct cluster *cluster, const char *nonce,
			  const struct replica_answer *answer, const char *signature);

/* "bytes=<offset>-", and nothing else. */
bool replica_range_parse(const char *range, uint64_t *ret_offset);

#endif
