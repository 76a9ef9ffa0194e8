/*
 * What answers each route (OCI distribution-spec 1.1). All run on a worker of
 * the registry's listener, and answer exactly once.
 */
#ifndef HTTP_HANDLERS_H
#define HTTP_HANDLERS_H

#include "server/registry/push.h"

#include <stdbool.h>

struct exchange;
struct response;

/* handlers.c */
void handle_base(struct exchange *exchange);
void handle_catalog(struct exchange *exchange);
void handle_tags(struct exchange *exchange);
void handle_referrers(struct exchange *exchange);

/* manifest_handlers.c */
void handle_manifest(struct exchange *exchange);
void handle_put_manifest(struct exchange *exchange);
void handle_delete_manifest(struct exchange *exchange);

/* blob.c */
void handle_blob(struct exchange *exchange);
void handle_delete_blob(struct exchange *exchange);

/* upload_handlers.c */
void handle_begin_upload(struct exchange *exchange);
void handle_upload_status(struct exchange *exchange);
void handle_append_upload(struct exchange *exchange);
void handle_finish_upload(struct exchange *exchange);
void handle_cancel_upload(struct exchange *exchange);

/* replica_handler.c */
void handle_replica(struct exchange *exchange);

/* 404 to a path that means nothing here. */
void handler_unknown_path(struct exchange *exchange);

/* Resolves the repository of the matched path into exchange->target, which is
 * released with the exchange. Answers with the failure and returns false when
 * there is none. */
bool handler_resolve(struct exchange *exchange);
/* The same for a push. */
bool handler_resolve_push(struct exchange *exchange);

/* The request's body as the registry reads it. */
void handler_body(struct exchange *exchange, struct request_body *ret);

/* Answers a push that failed, which may have been the client's sending: then it is
 * told that instead, or nothing when it left. */
void handler_fail_push(struct exchange *exchange, const struct api_failure *failure,
		       const struct response *extra);

/* Of the query of an upload's Location: upload_handle's token. */
#define UPLOAD_TOKEN_PARAMETER "_state"

/* 202 to a deletion. */
void handler_deleted(struct exchange *exchange);

/* http.externalURL and "/v2/<name><rest>", in the exchange's arena. */
const char *handler_location(struct exchange *exchange, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Told instead of a status to nobody, in the log and the metrics; nginx' number. */
#define STATUS_CLIENT_LEFT 499
#define CLIENT_LEFT "the client went away"

#endif
