/*
 * The README's table of keys is the program's own: it is generated, and what it
 * says is checked here against what the program would write.
 */
#include "tests/support/support.h"

#include "server/base/buf.h"
#include "server/config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* From this file's own place, wherever the tests are built and run. */
static char *readme_read(void)
{
	struct buf text = BUF_INIT(1 << 20);
	struct buf path = BUF_INIT(4096);
	char piece[4096];
	size_t length;
	FILE *file;

	buf_append(&path, __FILE__, strlen(__FILE__) - strlen("tests/unit/test_readme.c"));
	buf_append_string(&path, "README.md");
	file = fopen(buf_string(&path), "r");
	assert_non_null(file);
	while ((length = fread(piece, 1, sizeof(piece), file)) > 0)
		buf_append(&text, piece, length);
	fclose(file);
	buf_release(&path);
	return buf_detach(&text, NULL);
}

static void readme_has_every_key_and_its_meaning(void **state)
{
	struct buf table = BUF_INIT(1 << 20);
	char *readme = readme_read();
	const char *found;

	(void)state;
	config_write_markdown(&table);
	found = strstr(readme, buf_string(&table));
	if (!found)
		fprintf(stderr, "README.md's table is out of date; it should be:\n\n%s\n",
			buf_string(&table));
	assert_non_null(found);
	/* and nothing more: a key that is gone leaves no row behind */
	assert_true(found[table.length] == '\n' || found[table.length] == '\0');
	buf_release(&table);
	free(readme);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readme_has_every_key_and_its_meaning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
