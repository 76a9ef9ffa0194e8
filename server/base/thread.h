/*
 * Threads of our own.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* Starts a joinable thread that takes no signals: they are for the thread that waits for
 * them. `name` is for whoever looks at the process (15 bytes of it count). `stack_bytes`
 * 0: the system's default. 0, or an errno, and then there is none. */
int thread_start(pthread_t *ret_thread, const char *name, size_t stack_bytes,
		 void *(*body)(void *context), void *context);

#endif
