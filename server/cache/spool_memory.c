/*
 * What is counted, and where bytes go when the disk does not take them.
 */
#include "server/base/clock.h"
#include "server/base/file.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/cache/hot_cache.h"
#include "server/cache/spool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define COPY_BYTES ((size_t)256 << 10)
/* The least that is asked of the hot cache when the disk is full. */
#define ROOM_BYTES ((uint64_t)64 << 20)

/* Of the process, since files in memory may outlive their spool. */
static _Atomic uint64_t memory_used;

void spool_disk_fails(struct spool *spool, const struct error *why)
{
	atomic_store(&spool->retry_at, deadline_in(SPOOL_RETRY_MS));
	if (!atomic_exchange(&spool->failing, true))
		log_event(LOG_ERROR, "spool's disk fails; blobs go through memory for now",
			  LOG_S("directory", spool->directory), LOG_S("err.message", why->message));
}

void spool_disk_is_well(struct spool *spool)
{
	if (atomic_load(&spool->failing) && atomic_exchange(&spool->failing, false))
		log_event(LOG_INFO, "spool's disk is well again",
			  LOG_S("directory", spool->directory));
}

bool spool_disk_rests(struct spool *spool)
{
	return atomic_load(&spool->failing) && !deadline_passed(atomic_load(&spool->retry_at));
}

/* ---- counting ---- */

static bool take_memory(const struct spool *spool, uint64_t bytes)
{
	uint64_t used = atomic_load(&memory_used);

	do {
		if (used > spool->memory_max || bytes > spool->memory_max - used)
			return false;
	} while (!atomic_compare_exchange_weak(&memory_used, &used, used + bytes));
	metric_add(M_SPOOL_MEMORY_BYTES, bytes, NULL);
	return true;
}

void spool_uncount(struct spool_file *file)
{
	if (file->counted == 0)
		return;
	if (file->in_memory) {
		atomic_fetch_sub(&memory_used, file->counted);
		metric_add(M_SPOOL_MEMORY_BYTES, -(double)file->counted, NULL);
	} else {
		hot_cache_give_back(file->spool->hot, file->counted);
	}
	file->counted = 0;
}

enum status spool_expect(struct spool_file *file, uint64_t size, struct error *error)
{
	uint64_t more;

	if (size <= file->counted)
		return BW_OK;
	more = size - file->counted;
	if (!file->in_memory)
		hot_cache_claim(file->spool->hot, more);
	else if (!take_memory(file->spool, more))
		return error_set(error, BW_NO_SPACE,
				 "spool %s: the disk fails, and the blob's %llu bytes are more "
				 "than what is left of memory for such a time",
				 file->spool->directory, (unsigned long long)size);
	file->counted = size;
	return BW_OK;
}

bool spool_make_room(struct spool_file *file, uint64_t length)
{
	uint64_t wanted = file->counted > length ? file->counted - length : 0;

	return hot_cache_shrink(file->spool->hot, wanted > ROOM_BYTES ? wanted : ROOM_BYTES);
}

/* ---- files in memory ---- */

enum status spool_create_in_memory(struct spool *spool, struct spool_file *ret_file,
				   struct error *error)
{
	int fd = memfd_create("breakwater-spool", MFD_CLOEXEC);

	if (fd < 0)
		return error_set_errno(error, BW_IO, errno, "spool in memory");
	*ret_file = (struct spool_file){.spool = spool, .fd = fd, .in_memory = true};
	return BW_OK;
}

static int copy(int from, int to, uint64_t length)
{
	char *piece = xmalloc(COPY_BYTES);
	int result = 0;

	for (uint64_t offset = 0; result == 0 && offset < length;) {
		uint64_t left = length - offset;
		ssize_t got = file_pread_all(from, piece,
					     left < COPY_BYTES ? (size_t)left : COPY_BYTES, offset);

		if (got <= 0)
			result = got < 0 ? (int)got : -EIO;
		else
			result = file_pwrite_all(to, piece, (size_t)got, offset);
		offset += got > 0 ? (uint64_t)got : 0;
	}
	free(piece);
	return result;
}

enum status spool_move_to_memory(struct spool_file *file, uint64_t length, struct error *error)
{
	struct spool_file memory = SPOOL_FILE_NONE;
	enum status status = spool_create_in_memory(file->spool, &memory, error);
	int result;

	if (status == BW_OK)
		status = spool_expect(&memory, file->counted, error);
	if (status != BW_OK) {
		spool_close(&memory);
		return status;
	}
	result = copy(file->fd, memory.fd, length);
	/* whoever reads has the number, and goes on with the same bytes */
	if (result == 0 && dup3(memory.fd, file->fd, O_CLOEXEC) < 0)
		result = -errno;
	if (result < 0) {
		spool_close(&memory);
		return error_set_errno(error, BW_IO, -result, "move a spool file to memory");
	}
	close(memory.fd);
	spool_discard(file);
	file->in_memory = true;
	file->counted = memory.counted;
	return BW_OK;
}
