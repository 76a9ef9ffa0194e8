/*
 * A gate that threads of the program wait at until the test opens it: how a test
 * stops the world in the middle of something without a sleep.
 */
#ifndef TESTS_SUPPORT_GATE_H
#define TESTS_SUPPORT_GATE_H

#include "server/base/clock.h"
#include "tests/support/support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define GATE_PATIENCE_MS 60000 /* a test that waits longer has failed */

struct gate {
	pthread_mutex_t lock; /* covers what follows */
	pthread_cond_t moved;
	unsigned arrived;
	bool open;
};

static inline void gate_init(struct gate *gate)
{
	*gate = (struct gate){0};
	pthread_mutex_init(&gate->lock, NULL);
	cond_init(&gate->moved);
}

static inline void gate_release(struct gate *gate)
{
	pthread_cond_destroy(&gate->moved);
	pthread_mutex_destroy(&gate->lock);
}

/* Waits until the gate is open, or `cancelled` (may be NULL) becomes true. */
static inline void gate_pass(struct gate *gate, const _Atomic bool *cancelled)
{
	deadline_ms end = deadline_in(GATE_PATIENCE_MS);

	pthread_mutex_lock(&gate->lock);
	gate->arrived++;
	pthread_cond_broadcast(&gate->moved);
	while (!gate->open && !deadline_passed(end) && !(cancelled && atomic_load(cancelled)))
		cond_wait_until(&gate->moved, &gate->lock, deadline_in(5));
	pthread_mutex_unlock(&gate->lock);
}

static inline void gate_open(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->open = true;
	pthread_cond_broadcast(&gate->moved);
	pthread_mutex_unlock(&gate->lock);
}

/* Until `count` threads have come to the gate. */
static inline void gate_await(struct gate *gate, unsigned count)
{
	deadline_ms end = deadline_in(GATE_PATIENCE_MS);
	bool came;

	pthread_mutex_lock(&gate->lock);
	while (gate->arrived < count && cond_wait_until(&gate->moved, &gate->lock, end))
		;
	came = gate->arrived >= count;
	pthread_mutex_unlock(&gate->lock);
	assert_true(came);
}

#endif
