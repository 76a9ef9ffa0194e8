#include "server/base/memory.h"
#include "server/cache/frequency.h"
#include "tests/support/support.h"

#include <stdlib.h>

static struct digest numbered(unsigned number)
{
	struct digest digest;

	digest_of(DIGEST_SHA256, &number, sizeof(number), &digest);
	return digest;
}

static void ask(struct frequency *frequency, unsigned number, unsigned times)
{
	const struct digest digest = numbered(number);

	while (times--)
		frequency_add(frequency, &digest);
}

static unsigned of(const struct frequency *frequency, unsigned number)
{
	const struct digest digest = numbered(number);

	return frequency_of(frequency, &digest);
}

static void it_counts_up_to_its_maximum(void **state)
{
	struct frequency *frequency = xcalloc(1, sizeof(*frequency));

	(void)state;
	assert_int_equal(of(frequency, 1), 0);
	ask(frequency, 1, 3);
	assert_int_equal(of(frequency, 1), 3);
	assert_int_equal(of(frequency, 2), 0);
	ask(frequency, 1, 100);
	assert_int_equal(of(frequency, 1), FREQUENCY_MAX);
	free(frequency);
}

/* Ten thousand others, each once, do not make it look unpopular, nor many of
 * themselves popular. */
static void a_crowd_changes_little(void **state)
{
	struct frequency *frequency = xcalloc(1, sizeof(*frequency));
	unsigned wrong = 0;

	(void)state;
	ask(frequency, 0, 8);
	for (unsigned i = 1; i <= 10000; i++)
		ask(frequency, i, 1);
	assert_true(of(frequency, 0) >= 8);
	for (unsigned i = 1; i <= 10000; i++)
		wrong += of(frequency, i) > 2;
	assert_true(wrong < 500);
	free(frequency);
}

static void what_was_popular_fades(void **state)
{
	struct frequency *frequency = xcalloc(1, sizeof(*frequency));

	(void)state;
	ask(frequency, 1, 12);
	for (unsigned halvings = 0; halvings < 4; halvings++)
		ask(frequency, 2, FREQUENCY_SAMPLE);
	assert_int_equal(of(frequency, 1), 0);
	free(frequency);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_counts_up_to_its_maximum),
		cmocka_unit_test(a_crowd_changes_little),
		cmocka_unit_test(what_was_popular_fades),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
