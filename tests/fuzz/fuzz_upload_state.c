/*
 * The state of an upload comes from a database: what is taken for one is exactly what
 * would be written for it, adds up, and can be hashed on.
 */
#include "tests/fuzz/fuzz.h"

#include "backends/metadata_store.h"
#include "server/base/buf.h"
#include "server/registry/upload_state.h"

#include <string.h>

static void check_parts(const struct upload_state *state)
{
	uint64_t sum = 0;

	CHECK(state->part_count <= UPLOAD_PARTS_MAX);
	for (size_t i = 0; i < state->part_count; i++) {
		const struct object_part *part = &state->parts[i];

		CHECK(part->size > 0);
		CHECK(memchr(part->name, '\0', sizeof(part->name)) && part->name[0]);
		CHECK(!strpbrk(part->name, " \"'\\"));
		sum += part->size;
	}
	CHECK(state->tail_length <= UPLOAD_TAIL_MAX);
	sum += state->tail_length;
	CHECK(sum == state->hasher.length && sum <= INT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf again = BUF_INIT(UPLOAD_STATE_MAX);
	struct upload_state state;
	struct digest digest;

	if (upload_state_parse((const char *)data, size, &state, NULL) != BW_OK)
		return 0;
	check_parts(&state);
	upload_state_write(&state, &again);
	CHECK(again.length == size && memcmp(again.data, data, size) == 0);
	hasher_update(&state.hasher, data, size);
	hasher_finish(&state.hasher, &digest);
	buf_release(&again);
	upload_state_release(&state);
	return 0;
}
