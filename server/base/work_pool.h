/*
 * Threads that run tasks.
 *
 * Threads start when there is work and none is idle, up to `max_threads`, and
 * end after WORK_POOL_IDLE_MS without work. A task may block (it is what the
 * pool is for), but must bound every wait, because work_pool_free waits for it.
 * The threads have stacks of 512 KiB and block every signal, so that signals
 * reach the thread that waits for them.
 */
#ifndef BASE_WORK_POOL_H
#define BASE_WORK_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORK_POOL_IDLE_MS 10000

struct work_pool;

/* `name` (at most 15 bytes, the rest is cut) becomes the threads' name.
 * `max_threads` is at least 1. `max_queued` is how many tasks may wait while
 * all threads are busy; beyond that submitting fails. */
struct work_pool *work_pool_new(const char *name, unsigned max_threads, unsigned max_queued);

/* Runs `task(argument)` on some thread of the pool; tasks start in order of
 * submission. False when the queue is full, the pool is stopping or the system
 * gives us no thread at all; the caller then still owns the argument. Callable
 * from any thread, the pool's own included. */
bool work_pool_submit(struct work_pool *pool, void (*task)(void *argument), void *argument);

/* Tasks running and waiting now. */
unsigned work_pool_load(struct work_pool *pool);
/* Threads that exist now. */
unsigned work_pool_threads(struct work_pool *pool);

/* Instead of WORK_POOL_IDLE_MS, for threads that go idle from now on. */
void work_pool_set_idle(struct work_pool *pool, int64_t idle_ms);

/* Refuses new tasks, runs what is queued, joins every thread. NULL is fine.
 * Not from one of the pool's own tasks. */
void work_pool_free(struct work_pool *pool);

#endif
