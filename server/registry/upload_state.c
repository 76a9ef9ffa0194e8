#include "server/registry/upload_state.h"

#include "server/base/buf.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdlib.h>
#include <string.h>

#define VERSION_WITHOUT_TAIL 1
#define VERSION_WITH_TAIL 2

void upload_state_init(struct upload_state *state, enum digest_algorithm algorithm)
{
	*state = (struct upload_state){0};
	random_bytes(state->secret, sizeof(state->secret));
	hasher_init(&state->hasher, algorithm);
}

void upload_state_release(struct upload_state *state)
{
	free(state->parts);
	free(state->tail);
	explicit_bzero(state, sizeof(*state));
}

void upload_state_append(struct upload_state *state, const struct object_part *part,
			 const struct hasher *hasher)
{
	state->parts = xrealloc(state->parts, (state->part_count + 1) * sizeof(*state->parts));
	state->parts[state->part_count++] = *part;
	state->hasher = *hasher;
	free(state->tail);
	state->tail = NULL;
	state->tail_length = 0;
}

void upload_state_hold(struct upload_state *state, char **tail, size_t length,
		       const struct hasher *hasher)
{
	free(state->tail);
	state->tail = *tail;
	state->tail_length = length;
	state->hasher = *hasher;
	*tail = NULL;
}

/* ---- writing -------------------------------------------------------------- */

static void put_number(struct buf *buf, uint64_t number, unsigned size)
{
	for (unsigned shift = size * 8; shift > 0; shift -= 8)
		buf_append_char(buf, (char)(number >> (shift - 8) & 0xff));
}

/* nettle's contexts count whole blocks, and keep the rest in `block`: both follow
 * from the offset, and are not written down a second time. */
static void put_hasher(struct buf *buf, const struct hasher *hasher)
{
	const struct sha256_ctx *sha256 = &hasher->state.sha256;
	const struct sha512_ctx *sha512 = &hasher->state.sha512;

	put_number(buf, hasher->algorithm, 1);
	if (hasher->algorithm == DIGEST_SHA512) {
		for (size_t i = 0; i < array_size(sha512->state); i++)
			put_number(buf, sha512->state[i], 8);
		buf_append(buf, sha512->block, sha512->index);
	} else {
		for (size_t i = 0; i < array_size(sha256->state); i++)
			put_number(buf, sha256->state[i], 4);
		buf_append(buf, sha256->block, sha256->index);
	}
}

void upload_state_write(const struct upload_state *state, struct buf *buf)
{
	put_number(buf, state->tail_length > 0 ? VERSION_WITH_TAIL : VERSION_WITHOUT_TAIL, 1);
	buf_append(buf, state->secret, sizeof(state->secret));
	put_number(buf, state->hasher.length, 8);
	put_hasher(buf, &state->hasher);
	put_number(buf, state->part_count, 4);
	for (size_t i = 0; i < state->part_count; i++) {
		const struct object_part *part = &state->parts[i];

		put_number(buf, part->size, 8);
		put_number(buf, strlen(part->name), 1);
		buf_append_string(buf, part->name);
	}
	if (state->tail_length == 0)
		return;
	put_number(buf, state->tail_length, 4);
	buf_append(buf, state->tail, state->tail_length);
}

/* ---- reading -------------------------------------------------------------- */

/* Reading past the end gives zeros and sets `short_of_bytes`, which is looked at
 * once, at the end. */
struct cursor {
	const unsigned char *bytes;
	size_t left;
	bool short_of_bytes;
};

static void take(struct cursor *cursor, void *target, size_t length)
{
	if (length > cursor->left) {
		cursor->short_of_bytes = true;
		cursor->left = 0;
		memset(target, 0, length);
		return;
	}
	memcpy(target, cursor->bytes, length);
	cursor->bytes += length;
	cursor->left -= length;
}

static uint64_t take_number(struct cursor *cursor, unsigned size)
{
	unsigned char bytes[8];
	uint64_t number = 0;

	take(cursor, bytes, size);
	for (unsigned i = 0; i < size; i++)
		number = number << 8 | bytes[i];
	return number;
}

static void take_sha256(struct cursor *cursor, uint64_t length, struct sha256_ctx *context)
{
	for (size_t i = 0; i < array_size(context->state); i++)
		context->state[i] = (uint32_t)take_number(cursor, 4);
	context->count = length / SHA256_BLOCK_SIZE;
	context->index = (unsigned)(length % SHA256_BLOCK_SIZE);
	take(cursor, context->block, context->index);
}

static void take_sha512(struct cursor *cursor, uint64_t length, struct sha512_ctx *context)
{
	for (size_t i = 0; i < array_size(context->state); i++)
		context->state[i] = take_number(cursor, 8);
	context->count_low = length / SHA512_BLOCK_SIZE;
	context->index = (unsigned)(length % SHA512_BLOCK_SIZE);
	take(cursor, context->block, context->index);
}

static bool take_hasher(struct cursor *cursor, struct hasher *hasher)
{
	uint64_t length = take_number(cursor, 8);
	uint64_t algorithm = take_number(cursor, 1);

	if (length > INT64_MAX || (algorithm != DIGEST_SHA256 && algorithm != DIGEST_SHA512))
		return false;
	hasher_init(hasher, (enum digest_algorithm)algorithm);
	hasher->length = length;
	if (algorithm == DIGEST_SHA512)
		take_sha512(cursor, length, &hasher->state.sha512);
	else
		take_sha256(cursor, length, &hasher->state.sha256);
	return true;
}

static bool take_part(struct cursor *cursor, struct object_part *part)
{
	size_t length;

	part->size = take_number(cursor, 8);
	length = (size_t)take_number(cursor, 1);
	if (part->size == 0 || length == 0 || length >= sizeof(part->name))
		return false;
	take(cursor, part->name, length);
	for (size_t i = 0; i < length; i++) {
		char c = part->name[i];

		if (c <= ' ' || c > '~' || strchr("\"'\\", c))
			return false;
	}
	return true;
}

/* A part takes ten bytes at least, so a count never asks for more memory than the
 * bytes that came with it bear out. */
static bool take_parts(struct cursor *cursor, struct upload_state *state, uint64_t *left)
{
	uint64_t count = take_number(cursor, 4);

	if (count > UPLOAD_PARTS_MAX || count > cursor->left / 10)
		return false;
	if (count > 0)
		state->parts = xcalloc((size_t)count, sizeof(*state->parts));
	while (state->part_count < count) {
		struct object_part *part = &state->parts[state->part_count++];

		if (!take_part(cursor, part) || part->size > *left)
			return false;
		*left -= part->size;
	}
	return true;
}

static bool take_tail(struct cursor *cursor, struct upload_state *state, uint64_t *left)
{
	uint64_t length = take_number(cursor, 4);

	if (length == 0 || length > UPLOAD_TAIL_MAX || length > cursor->left || length > *left)
		return false;
	state->tail_length = (size_t)length;
	state->tail = xmalloc(state->tail_length);
	take(cursor, state->tail, state->tail_length);
	*left -= length;
	return true;
}

/* What makes up the offset. */
static bool take_bytes(struct cursor *cursor, bool with_tail, struct upload_state *state)
{
	uint64_t left = state->hasher.length;

	return take_parts(cursor, state, &left) &&
	       (!with_tail || take_tail(cursor, state, &left)) && left == 0;
}

enum status upload_state_parse(const char *bytes, size_t length, struct upload_state *ret,
			       struct error *error)
{
	struct cursor cursor = {.bytes = (const unsigned char *)bytes, .left = length};
	struct upload_state state = {0};
	uint64_t version = take_number(&cursor, 1);
	bool good = version == VERSION_WITHOUT_TAIL || version == VERSION_WITH_TAIL;

	take(&cursor, state.secret, sizeof(state.secret));
	good = good && take_hasher(&cursor, &state.hasher) &&
	       take_bytes(&cursor, version == VERSION_WITH_TAIL, &state);
	if (!good || cursor.short_of_bytes || cursor.left > 0) {
		upload_state_release(&state);
		return error_set(error, BW_INVALID, "the stored state of an upload is not one");
	}
	*ret = state;
	return BW_OK;
}
