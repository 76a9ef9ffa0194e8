#include "tests/support/support.h"

#include "server/base/memory.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

char *scratch_make(void)
{
	const char *base = getenv("TMPDIR");
	char *path = xasprintf("%s/breakwater-test-XXXXXX", base && *base ? base : "/tmp");

	assert_non_null(mkdtemp(path));
	return path;
}

static int remove_entry(const char *path, const struct stat *info, int flag, struct FTW *walk)
{
	(void)info;
	(void)flag;
	(void)walk;
	return remove(path);
}

void scratch_remove(char *path)
{
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(path);
}

struct runner {
	pthread_t thread;
	pthread_barrier_t *barrier;
	void (*body)(void *context, unsigned index);
	void *context;
	unsigned index;
};

static void *runner_main(void *argument)
{
	struct runner *runner = argument;

	pthread_barrier_wait(runner->barrier);
	runner->body(runner->context, runner->index);
	return NULL;
}

void run_together(unsigned count, void (*body)(void *context, unsigned index), void *context)
{
	struct runner *runners = xcalloc(count, sizeof(*runners));
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, count);
	for (unsigned i = 0; i < count; i++) {
		runners[i] = (struct runner){
			.barrier = &barrier, .body = body, .context = context, .index = i};
		assert_int_equal(pthread_create(&runners[i].thread, NULL, runner_main, &runners[i]),
				 0);
	}
	for (unsigned i = 0; i < count; i++)
		pthread_join(runners[i].thread, NULL);
	pthread_barrier_destroy(&barrier);
	free(runners);
}
