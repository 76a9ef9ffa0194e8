#include "tests/support/support.h"

#include "server/base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_nothing_is_still_something(void **state)
{
	void *blocks[] = {xmalloc(0), xcalloc(0, 8), xcalloc(8, 0), xrealloc(NULL, 0),
			  xmemdup(NULL, 0)};

	(void)state;
	for (size_t i = 0; i < array_size(blocks); i++) {
		assert_non_null(blocks[i]);
		free(blocks[i]);
	}
}

static void test_copies(void **state)
{
	char *a = xstrdup("repository");
	char *b = xstrndup("repository", 4);
	char *c = xmemdup("a\0b", 4);
	char *d = xasprintf("%s-%d", "x", 7);

	(void)state;
	assert_string_equal(a, "repository");
	assert_string_equal(b, "repo");
	assert_memory_equal(c, "a\0b", 4);
	assert_string_equal(d, "x-7");
	free(a);
	free(b);
	free(c);
	free(d);
}

/* The sanitizers end the program themselves unless told to fail like malloc. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void exhaust(void *unused)
{
	volatile size_t count = SIZE_MAX / 2;

	(void)unused;
	free(xcalloc(count, 4));
}

/* What the function leaves behind: the signal that ended it, and its line. */
static int ending_of(void (*body)(void *), char *line, size_t line_size)
{
	int ends[2], status;
	ssize_t got;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		const struct rlimit no_core = {0, 0};

		setrlimit(RLIMIT_CORE, &no_core);
		dup2(ends[1], STDERR_FILENO);
		body(NULL);
		_exit(0);
	}
	close(ends[1]);
	got = read(ends[0], line, line_size - 1);
	line[got > 0 ? got : 0] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_out_of_memory_says_so_and_ends(void **state)
{
	char line[200];
	int signal = ending_of(exhaust, line, sizeof(line));

	(void)state;
	assert_int_equal(signal, SIGABRT);
	assert_non_null(strstr(line, "out of memory"));
}

struct inner {
	int number;
};

struct outer {
	char before[3];
	struct inner inner;
};

static void test_container_of(void **state)
{
	struct outer outer;

	(void)state;
	assert_ptr_equal(container_of(&outer.inner, struct outer, inner), &outer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_still_something),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_out_of_memory_says_so_and_ends),
		cmocka_unit_test(test_container_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
