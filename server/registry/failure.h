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

/* A failure of our own making. Always returns false. */
bool failure_set(struct api_failure *failure, int http_status, enum api_code code,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
