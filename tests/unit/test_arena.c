#include "tests/support/support.h"

#include "server/base/arena.h"

#include <stdalign.h>
#include <string.h>

static void test_memory_is_zeroed_aligned_and_apart(void **state)
{
	struct arena arena;
	unsigned char *blocks[500];

	(void)state;
	arena_init(&arena, 10 << 20);
	for (size_t i = 0; i < 500; i++) {
		size_t size = i * 37 % 5000 + 1;

		blocks[i] = arena_alloc(&arena, size);
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % alignof(max_align_t), 0);
		for (size_t j = 0; j < size; j++)
			assert_int_equal(blocks[i][j], 0);
		memset(blocks[i], (int)(i & 0xff), size);
	}
	for (size_t i = 0; i < 500; i++) {
		for (size_t j = 0; j < i * 37 % 5000 + 1; j++)
			assert_int_equal(blocks[i][j], i & 0xff);
	}
	assert_false(arena.overflow);
	arena_release(&arena);
}

static void test_ceiling(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena, 1024);
	assert_non_null(arena_alloc(&arena, 1000));
	assert_null(arena_alloc(&arena, 100));
	assert_true(arena.overflow);
	/* the answer to the failed request still has to be built */
	assert_non_null(arena_alloc(&arena, 8));
	assert_true(arena.overflow);
	arena_release(&arena);
	assert_false(arena.overflow);
	assert_non_null(arena_alloc(&arena, 1024));
	assert_null(arena_alloc(&arena, 1));
	arena_release(&arena);
}

static void test_absurd_sizes(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena, 1024);
	assert_null(arena_alloc(&arena, SIZE_MAX));
	assert_null(arena_alloc(&arena, SIZE_MAX - 15));
	assert_non_null(arena_alloc(&arena, 0));
	assert_ptr_not_equal(arena_alloc(&arena, 0), arena_alloc(&arena, 0));
	arena_release(&arena);
}

static void test_strings(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena, 100);
	assert_string_equal(arena_strndup(&arena, "repository", 4), "repo");
	assert_string_equal(arena_strndup(&arena, "ab", 10), "ab");
	assert_false(arena.overflow);
	assert_null(arena_strndup(&arena,
				  "0123456789012345678901234567890123456789012345678901234567890123"
				  "456789",
				  70));
	assert_true(arena.overflow);
	arena_release(&arena);
}

static char order[8];

static void note(void *object)
{
	order[strlen(order)] = *(const char *)object;
}

static void test_cleanups_run_last_first(void **state)
{
	struct arena arena;
	char *inside;

	(void)state;
	memset(order, 0, sizeof(order));
	arena_init(&arena, 64);
	inside = arena_strndup(&arena, "a", 1);
	arena_on_release(&arena, note, inside);
	assert_null(arena_alloc(&arena, 1000));
	/* a full arena still takes handlers */
	arena_on_release(&arena, note, (char[]){"b"});
	arena_on_release(&arena, note, (char[]){"c"});
	arena_release(&arena);
	assert_string_equal(order, "cba");
	arena_release(&arena);
	assert_string_equal(order, "cba");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_is_zeroed_aligned_and_apart),
		cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_absurd_sizes),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_cleanups_run_last_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
