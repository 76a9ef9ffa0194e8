/*
 * From an outcome to what the client is told: status, code, sentence.
 */
#ifndef REGISTRY_FAILURE_H
#define REGISTRY_FAILURE_H

#include "server/base/error.h"
#include "server/registry/registry.h"

/* `absent` is the code of a 404: which kind of thing is not there. Always
 * returns false, so that a call ends with `return failure_from_error(...)`. */
bool failure_from_error(struct api_failure *failure, enum status status, const struct error *error,
			enum api_code absent);

/* Of our own stores, where there is no upstream to blame: but for absence, and for
 * bugs, trying again later makes sense (503). Always returns false. */
bool failure_from_stores(struct api_failure *failure, enum status status, const struct error *error,
			 enum api_code absent);

/* Of reading the body of a request (push.h). Always returns false. */
bool failure_from_body(struct api_failure *failure, enum status status, const struct error *error);

/* A failure of our own making. Always returns false. */
bool failure_set(struct api_failure *failure, int http_status, enum api_code code,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
