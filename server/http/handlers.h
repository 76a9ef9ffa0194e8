/*
 * What answers each route (OCI distribution-spec 1.1). All run on a worker of
 * the registry's listener, and answer exactly once.
 */
#ifndef HTTP_HANDLERS_H
#define HTTP_HANDLERS_H

#include <stdbool.h>

struct exchange;

void handle_base(struct exchange *exchange);
void handle_manifest(struct exchange *exchange);
void handle_blob(struct exchange *exchange);
void handle_tags(struct exchange *exchange);
void handle_referrers(struct exchange *exchange);

/* Resolves the repository of the matched path into exchange->target, which is
 * released with the exchange. Answers with the failure and returns false when
 * there is none. */
bool handler_resolve(struct exchange *exchange);

#endif
