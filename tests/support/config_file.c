#include "tests/support/config_file.h"

#include "server/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int config_case_setup(void **state)
{
	struct config_case *test = xcalloc(1, sizeof(*test));

	test->folder = scratch_make();
	test->path = xasprintf("%s/c.yaml", test->folder);
	test->problems = BUF_INIT((size_t)1 << 20);
	*state = test;
	return 0;
}

int config_case_teardown(void **state)
{
	struct config_case *test = *state;

	config_unref(test->config);
	buf_release(&test->problems);
	free(test->path);
	scratch_remove(test->folder);
	free(test);
	return 0;
}

void config_case_write(struct config_case *test, const char *name, const char *text, size_t length)
{
	char *path = xasprintf("%s/%s", test->folder, name);
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
	free(path);
}

enum status config_case_load(struct config_case *test, const char *text, char *const *environment)
{
	config_unref(test->config);
	test->config = NULL;
	buf_reset(&test->problems);
	config_case_write(test, "c.yaml", text, strlen(text));
	return config_load(test->path, environment, &test->config, &test->problems);
}

static enum status load_version_1(struct config_case *test, const char *text)
{
	char *whole = xasprintf("version: 1\n%s", text);
	enum status status = config_case_load(test, whole, NULL);

	free(whole);
	return status;
}

const struct config *config_case_good(struct config_case *test, const char *text)
{
	if (load_version_1(test, text) != BW_OK)
		fail_msg("refused:\n%s", buf_string(&test->problems));
	assert_string_equal(buf_string(&test->problems), "");
	return test->config;
}

void config_case_bad(struct config_case *test, const char *text, const char *expected)
{
	char *line = xasprintf("%s:%s\n", test->path, expected);

	if (load_version_1(test, text) != BW_INVALID)
		fail_msg("accepted: %s", text);
	assert_null(test->config);
	if (!strstr(buf_string(&test->problems), line))
		fail_msg("expected %s\namong\n%s", line, buf_string(&test->problems));
	free(line);
}
