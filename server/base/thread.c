#include "server/base/thread.h"

#include "server/base/str.h"

#include <signal.h>

#define NAME_SIZE 16 /* the kernel's, with NUL */

int thread_start(pthread_t *ret_thread, const char *name, size_t stack_bytes,
		 void *(*body)(void *context), void *context)
{
	char short_name[NAME_SIZE];
	pthread_attr_t attributes;
	sigset_t all, before;
	int result;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	if (stack_bytes)
		pthread_attr_setstacksize(&attributes, stack_bytes);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(ret_thread, &attributes, body, context);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (result != 0)
		return result;
	snprintf(short_name, sizeof(short_name), "%s", name);
	pthread_setname_np(*ret_thread, short_name);
	return 0;
}
