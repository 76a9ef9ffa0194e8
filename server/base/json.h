/*
 * JSON from outside, read with limits: depth, size, no duplicate surprises.
 * A thin gate in front of cJSON: json_parse() refuses what the recursive
 * parser should never see.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "server/base/error.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_MAX_DEPTH 32

/* One JSON value and nothing after it but white space; no deeper than
 * JSON_MAX_DEPTH; no NUL byte; valid UTF-8. The caller frees it with
 * cJSON_Delete. BW_INVALID otherwise. */
enum status json_parse(const char *text, size_t length, cJSON **ret, struct error *error);

/* Members of an object, matched with exact case. NULL when the member is not
 * there, is not of that type, or stands there twice. */
const cJSON *json_member(const cJSON *object, const char *name);
const char *json_string(const cJSON *object, const char *name);

/* A whole number from 0 to 2^53 - 1. False when absent or anything else. */
bool json_u64(const cJSON *object, const char *name, uint64_t *ret);

#endif
