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
/* cJSON spends some 80 bytes on each value, however short its text: without a
 * limit a body of 4 MiB could ask for 160 MiB. */
#define JSON_MAX_VALUES (256 * 1024)

/* One JSON value (RFC 8259, to the letter) and nothing after it but white space;
 * no deeper than JSON_MAX_DEPTH, no more than JSON_MAX_VALUES values; no NUL,
 * neither as a byte nor escaped in a string; valid UTF-8. `text` needs no NUL
 * at its end. The caller frees it with cJSON_Delete. BW_INVALID otherwise. */
enum status json_parse(const char *text, size_t length, cJSON **ret, struct error *error);

/* To be called around the life of the tree of a text that came from a client, with
 * the text's length: a tree may take ten times that, so that of large ones only
 * JSON_LARGE_AT_ONCE are there at a time. In between there must be no waiting for
 * anything, and no second one. */
#define JSON_LARGE_BYTES ((size_t)64 << 10)
#define JSON_LARGE_AT_ONCE 4
void json_large_begin(size_t length);
void json_large_end(size_t length);

/* Members of an object, matched with exact case. NULL when the member is not
 * there, is not of that type, stands there twice, or `object` is none (NULL
 * included, so that look-ups can be chained). */
const cJSON *json_member(const cJSON *object, const char *name);
const char *json_string(const cJSON *object, const char *name);

/* A whole number from 0 to 2^53 - 1. False when absent or anything else. */
bool json_u64(const cJSON *object, const char *name, uint64_t *ret);

#endif
