#include "server/base/work_pool.h"

#include "server/base/clock.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/base/thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>

#define STACK_SIZE ((size_t)512 * 1024)

struct task {
	void (*run)(void *argument);
	void *argument;
};

struct worker {
	SLIST_ENTRY(worker) next;
	struct work_pool *pool;
	pthread_t thread;
};

SLIST_HEAD(worker_list, worker);

/* A worker is counted in `threads` from its start until it decides to end; then
 * it stands in `ended`, where somebody else joins it. */
struct work_pool {
	char name[16];
	unsigned max_threads;
	unsigned capacity; /* running and waiting tasks together, and the ring's size */

	pthread_mutex_t lock; /* covers all below; a leaf */
	pthread_cond_t work; /* a task was queued, or the pool stops */
	pthread_cond_t quiet; /* the last thread ended */
	struct task *ring;
	unsigned first;
	unsigned queued;
	unsigned running;
	unsigned threads;
	struct worker_list ended;
	int64_t idle_ms;
	bool stopping;
};

struct work_pool *work_pool_new(const char *name, unsigned max_threads, unsigned max_queued)
{
	struct work_pool *pool = xcalloc(1, sizeof(*pool));

	str_copy(pool->name, sizeof(pool->name), name);
	pool->max_threads = max_threads ? max_threads : 1;
	if (__builtin_add_overflow(pool->max_threads, max_queued, &pool->capacity))
		abort();
	pool->ring = xcalloc(pool->capacity, sizeof(*pool->ring));
	pool->idle_ms = WORK_POOL_IDLE_MS;
	SLIST_INIT(&pool->ended);
	pthread_mutex_init(&pool->lock, NULL);
	cond_init(&pool->work);
	cond_init(&pool->quiet);
	return pool;
}

static struct task take_task(struct work_pool *pool)
{
	struct task task = pool->ring[pool->first];

	pool->first = (pool->first + 1) % pool->capacity;
	pool->queued--;
	pool->running++;
	return task;
}

/* With the lock held; false when the worker should end. */
static bool await_task(struct work_pool *pool)
{
	deadline_ms deadline = deadline_in(pool->idle_ms);

	while (pool->queued == 0) {
		if (pool->stopping)
			return false;
		if (!cond_wait_until(&pool->work, &pool->lock, deadline) && pool->queued == 0)
			return false;
	}
	return true;
}

static void *worker_main(void *argument)
{
	struct worker *worker = argument;
	struct work_pool *pool = worker->pool;

	pthread_mutex_lock(&pool->lock);
	while (await_task(pool)) {
		struct task task = take_task(pool);

		pthread_mutex_unlock(&pool->lock);
		task.run(task.argument);
		pthread_mutex_lock(&pool->lock);
		pool->running--;
	}
	SLIST_INSERT_HEAD(&pool->ended, worker, next);
	if (--pool->threads == 0)
		pthread_cond_signal(&pool->quiet);
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* With the lock held, which the new thread waits for: nobody can find the
 * worker before its thread's name is stored. */
static void start_worker(struct work_pool *pool)
{
	struct worker *worker = xmalloc(sizeof(*worker));

	worker->pool = pool;
	if (thread_start(&worker->thread, pool->name, STACK_SIZE, worker_main, worker) == 0)
		pool->threads++;
	else
		free(worker);
}

static void join_all(struct worker_list *ended)
{
	struct worker *worker;

	while ((worker = SLIST_FIRST(ended))) {
		SLIST_REMOVE_HEAD(ended, next);
		pthread_join(worker->thread, NULL);
		free(worker);
	}
}

/* Moves the ended workers out, to be joined without the lock. */
static struct worker_list take_ended(struct work_pool *pool)
{
	struct worker_list ended = pool->ended;

	SLIST_INIT(&pool->ended);
	return ended;
}

bool work_pool_submit(struct work_pool *pool, void (*task)(void *argument), void *argument)
{
	struct worker_list ended;
	bool accepted = false;

	pthread_mutex_lock(&pool->lock);
	if (!pool->stopping && pool->queued + pool->running < pool->capacity) {
		if (pool->queued + pool->running >= pool->threads &&
		    pool->threads < pool->max_threads)
			start_worker(pool);
		accepted = pool->threads > 0;
	}
	if (accepted) {
		pool->ring[(pool->first + pool->queued) % pool->capacity] =
			(struct task){task, argument};
		pool->queued++;
		pthread_cond_signal(&pool->work);
	}
	ended = take_ended(pool);
	pthread_mutex_unlock(&pool->lock);
	join_all(&ended);
	return accepted;
}

unsigned work_pool_load(struct work_pool *pool)
{
	unsigned load;

	pthread_mutex_lock(&pool->lock);
	load = pool->queued + pool->running;
	pthread_mutex_unlock(&pool->lock);
	return load;
}

unsigned work_pool_threads(struct work_pool *pool)
{
	unsigned threads;

	pthread_mutex_lock(&pool->lock);
	threads = pool->threads;
	pthread_mutex_unlock(&pool->lock);
	return threads;
}

void work_pool_set_idle(struct work_pool *pool, int64_t idle_ms)
{
	pthread_mutex_lock(&pool->lock);
	pool->idle_ms = idle_ms;
	pthread_mutex_unlock(&pool->lock);
}

void work_pool_free(struct work_pool *pool)
{
	struct worker_list ended;

	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->work);
	while (pool->threads > 0)
		pthread_cond_wait(&pool->quiet, &pool->lock);
	ended = take_ended(pool);
	pthread_mutex_unlock(&pool->lock);
	join_all(&ended);
	pthread_cond_destroy(&pool->work);
	pthread_cond_destroy(&pool->quiet);
	pthread_mutex_destroy(&pool->lock);
	free(pool->ring);
	free(pool);
}
