/* How a record lies in a journal: a header, the key, the body. Numbers are
 * little-endian; the checksum is of everything else in the record. */
#include "backends/fs/fs_journal.h"
#include "backends/object_store.h"
#include "server/base/digest.h"
#include "server/base/memory.h"

#include <string.h>

#define MAGIC "bwJ1"
#define CHECKED_SIZE 24 /* of the header; the checksum takes the rest */
#define CHECKSUM_SIZE (FS_RECORD_HEADER_SIZE - CHECKED_SIZE)

static void put_number(char *target, uint64_t number, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		target[i] = (char)(unsigned char)(number >> (8 * i));
}

static uint64_t get_number(const char *source, size_t bytes)
{
	uint64_t number = 0;

	for (size_t i = 0; i < bytes; i++)
		number |= (uint64_t)(unsigned char)source[i] << (8 * i);
	return number;
}

static void checksum(const char *header, const char *rest, size_t length,
		     char target[CHECKSUM_SIZE])
{
	struct hasher hasher;
	struct digest digest;

	hasher_init(&hasher, DIGEST_SHA256);
	hasher_update(&hasher, header, CHECKED_SIZE);
	hasher_update(&hasher, rest, length);
	hasher_finish(&hasher, &digest);
	memcpy(target, digest.bytes, CHECKSUM_SIZE);
}

char *fs_record_encode(const struct fs_record *record, size_t *ret_length)
{
	size_t key_length = strlen(record->key);
	size_t length = key_length + record->body_length;
	char *bytes = xmalloc(FS_RECORD_HEADER_SIZE + length);
	char *rest = bytes + FS_RECORD_HEADER_SIZE;

	memcpy(bytes, MAGIC, 4);
	put_number(bytes + 4, (uint64_t)record->op, 2);
	put_number(bytes + 6, key_length, 2);
	put_number(bytes + 8, record->body_length, 8);
	put_number(bytes + 16, (uint64_t)record->stored_at, 8);
	memcpy(rest, record->key, key_length);
	if (record->body_length)
		memcpy(rest + key_length, record->body, record->body_length);
	checksum(bytes, rest, length, bytes + CHECKED_SIZE);
	*ret_length = FS_RECORD_HEADER_SIZE + length;
	return bytes;
}

bool fs_record_header_parse(const char bytes[FS_RECORD_HEADER_SIZE], struct fs_record_header *ret)
{
	uint64_t op = get_number(bytes + 4, 2);
	uint64_t key_length = get_number(bytes + 6, 2);
	uint64_t body_length = get_number(bytes + 8, 8);

	if (memcmp(bytes, MAGIC, 4) != 0 || op < FS_OP_PUT || op > FS_OP_REMOVE ||
	    key_length == 0 || key_length > OBJECT_KEY_MAX || body_length > FS_RECORD_BODY_MAX)
		return false;
	*ret = (struct fs_record_header){
		.op = (enum fs_op)op,
		.stored_at = (int64_t)get_number(bytes + 16, 8),
		.key_length = (size_t)key_length,
		.body_length = (size_t)body_length,
	};
	return true;
}

bool fs_record_intact(const char bytes[FS_RECORD_HEADER_SIZE], const char *rest, size_t length)
{
	char expected[CHECKSUM_SIZE];

	checksum(bytes, rest, length, expected);
	return memcmp(expected, bytes + CHECKED_SIZE, CHECKSUM_SIZE) == 0;
}
