/*
 * Threads that run tasks.
 *
 * Threads start when there is work and none is idle, up to `max_threads`, and
 * end after `idle_ms` without work. A task may block (it is what the pool is
 * for), but must bound every wait, because work_pool_free waits for it.
 */
#ifndef BASE_WORK_POOL_H
#define BASE_WORK_POOL_H

#include <stdbool.h>
#include <stddef.h>

struct work_pool;

/* `name` is at most 15 bytes and becomes the threads' name. `max_queued` is
 * how many tasks may wait; beyond that submitting fails. */
struct work_pool *work_pool_new(const char *name, unsigned max_threads, unsigned max_queued);

/* Runs `task(argument)` on some thread of the pool, in order of submission.
 * False when the queue is full or the pool is stopping; the caller then still
 * owns the argument. Callable from any thread, the pool's own included. */
bool work_pool_submit(struct work_pool *pool, void (*task)(void *argument), void *argument);

/* Tasks running and waiting now. */
unsigned work_pool_load(struct work_pool *pool);

/* Refuses new tasks, runs what is queued, joins every thread. NULL is fine. */
void work_pool_free(struct work_pool *pool);

#endif
