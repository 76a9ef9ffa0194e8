/*
 * Many who open, offer and make room at once, with and without somebody who
 * deletes the files under them: nobody ever gets a wrong byte.
 */
#include "server/base/file.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/cache/hot_cache.h"
#include "tests/support/images.h"
#include "tests/support/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE ((size_t)1000)
#define BLOBS 40
#define MAX ((uint64_t)20 * SIZE)
#define THREADS 8
#define ROUNDS 500

struct scene {
	char *scratch;
	char *folder;
	struct hot_cache *cache;
	char *bytes[BLOBS];
	struct digest digests[BLOBS];
	bool with_a_vandal;
	_Atomic unsigned wrong;
	_Atomic unsigned hits;
};

static int make(void **state)
{
	struct scene *scene = xcalloc(1, sizeof(*scene));

	log_configure(LOG_ERROR + 1, LOG_TEXT);
	scene->scratch = scratch_make();
	scene->folder = xasprintf("%s/hot", scene->scratch);
	for (unsigned i = 0; i < BLOBS; i++)
		scene->bytes[i] = some_bytes(SIZE, i + 1, &scene->digests[i]);
	assert_int_equal(hot_cache_new(scene->folder, MAX, &scene->cache, NULL), BW_OK);
	*state = scene;
	return 0;
}

static int forget(void **state)
{
	struct scene *scene = *state;

	hot_cache_free(scene->cache);
	for (unsigned i = 0; i < BLOBS; i++)
		free(scene->bytes[i]);
	free(scene->folder);
	scratch_remove(scene->scratch);
	free(scene);
	return 0;
}

static void offer(struct scene *scene, unsigned thread, unsigned number)
{
	char *path = xasprintf("%s/spooled-%u", scene->scratch, thread);
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	hot_cache_claim(scene->cache, SIZE);
	if (fd < 0 || file_write_all(fd, scene->bytes[number], SIZE) < 0)
		atomic_fetch_add(&scene->wrong, 1);
	close(fd);
	hot_cache_give_back(scene->cache, SIZE);
	hot_cache_offer(scene->cache, &scene->digests[number], SIZE, path);
	unlink(path);
	free(path);
}

static void pull(struct scene *scene, unsigned thread, unsigned number)
{
	char read[SIZE];
	uint64_t size = 0;
	int fd = hot_cache_open(scene->cache, &scene->digests[number], &size);

	if (fd < 0) {
		offer(scene, thread, number);
		return;
	}
	if (size != SIZE || file_pread_all(fd, read, SIZE, 0) != (ssize_t)SIZE ||
	    memcmp(read, scene->bytes[number], SIZE) != 0)
		atomic_fetch_add(&scene->wrong, 1);
	atomic_fetch_add(&scene->hits, 1);
	close(fd);
}

static unsigned delete_blobs(struct scene *scene, bool only_count)
{
	char *path = xasprintf("%s/blobs", scene->folder);
	DIR *entries = opendir(path);
	const struct dirent *entry;
	unsigned count = 0;

	while (entries && (entry = readdir(entries))) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		if (!only_count)
			unlinkat(dirfd(entries), entry->d_name, 0);
	}
	if (entries)
		closedir(entries);
	if (!only_count)
		rmdir(path);
	free(path);
	return count;
}

static void work(void *context, unsigned index)
{
	struct scene *scene = context;
	unsigned random = index + 1;

	for (unsigned round = 0; round < ROUNDS; round++) {
		random = random * 1103515245 + 12345;
		if (index == 0 && scene->with_a_vandal && round % 20 == 0)
			delete_blobs(scene, false);
		else if (random % 97 == 0)
			hot_cache_shrink(scene->cache, SIZE);
		else
			pull(scene, index, (random >> 16) % BLOBS);
		if (hot_cache_bytes(scene->cache) > MAX)
			atomic_fetch_add(&scene->wrong, 1);
	}
}

static void everybody_gets_the_right_bytes(void **state)
{
	struct scene *scene = *state;

	run_together(THREADS, work, scene);
	assert_int_equal(scene->wrong, 0);
	assert_true(scene->hits > 0);
	assert_int_equal(hot_cache_bytes(scene->cache), delete_blobs(scene, true) * SIZE);
}

static void also_when_somebody_deletes_them(void **state)
{
	struct scene *scene = *state;

	scene->with_a_vandal = true;
	run_together(THREADS, work, scene);
	assert_int_equal(scene->wrong, 0);
	for (unsigned i = 0; i < BLOBS; i++)
		pull(scene, 0, i);
	for (unsigned i = 0; i < BLOBS; i++)
		pull(scene, 0, i);
	assert_int_equal(scene->wrong, 0);
	assert_int_equal(hot_cache_bytes(scene->cache), delete_blobs(scene, true) * SIZE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(everybody_gets_the_right_bytes),
		TEST(also_when_somebody_deletes_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
