/*
 * The command line: what is run with what, and what wrong calls are told.
 */
#include "tests/support/support.h"

#include "server/base/file.h"
#include "server/base/memory.h"
#include "server/cli/command.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the last call of a fake command saw. */
static struct invocation seen;
static unsigned runs;
static int answer;

static int record(const struct invocation *invocation)
{
	seen = *invocation;
	runs++;
	return answer;
}

static const struct command fetch = {
	.name = "fetch",
	.summary = "Fetch things",
	.help = "Fetches what it is told.\n",
	.example = "fetch one two",
	.operands = "NAME...",
	.min_operands = 1,
	.max_operands = 2,
	.takes_config = true,
	.run = record,
};
static const struct command plain = {
	.name = "plain",
	.summary = "Take nothing",
	.help = "Takes nothing.\n",
	.example = "plain",
	.run = record,
};
static const struct command_option tidy_options[] = {
	{"dry-run", NULL, "only tell"},
	{"rate", "SIZE", "not faster than that"},
};
static const struct command tidy = {
	.name = "tidy",
	.summary = "Tidy up",
	.help = "Tidies up.\n",
	.example = "tidy --dry-run",
	.takes_config = true,
	.options = tidy_options,
	.option_count = array_size(tidy_options),
	.run = record,
};
static const struct command *const commands[] = {&fetch,          &plain,
						 &tidy,           &command_check_config,
						 &command_schema, &command_client_config,
						 &command_version};

struct called {
	char *folder;
	char *output;
	char *errors;
};

static void collect(const char *path, char **text)
{
	size_t length;

	free(*text);
	assert_int_equal(file_read(path, (size_t)1 << 20, text, &length, NULL), BW_OK);
}

static void redirect(int fd, const char *path)
{
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(file >= 0);
	assert_int_equal(dup2(file, fd), fd);
	close(file);
}

/* The exit code of "breakwater" with these words, its output in *state. */
static int call(void **state, const char *words)
{
	struct called *called = *state;
	char *out = xasprintf("%s/out", called->folder);
	char *err = xasprintf("%s/err", called->folder);
	char *line = xasprintf("breakwater %s", words);
	int stdout_fd = dup(STDOUT_FILENO);
	int stderr_fd = dup(STDERR_FILENO);
	char *argv[16] = {0};
	int argc = 0;
	int code;

	for (char *rest = line, *word; (word = strsep(&rest, " "));)
		if (*word)
			argv[argc++] = word;
	fflush(stdout);
	redirect(STDOUT_FILENO, out);
	redirect(STDERR_FILENO, err);
	code = command_main(commands, array_size(commands), argc, argv);
	fflush(stdout);
	dup2(stdout_fd, STDOUT_FILENO);
	dup2(stderr_fd, STDERR_FILENO);
	close(stdout_fd);
	close(stderr_fd);
	collect(out, &called->output);
	collect(err, &called->errors);
	free(out);
	free(err);
	free(line);
	return code;
}

static int setup(void **state)
{
	struct called *called = xcalloc(1, sizeof(*called));

	called->folder = scratch_make();
	*state = called;
	runs = 0;
	answer = 0;
	return 0;
}

static int teardown(void **state)
{
	struct called *called = *state;

	scratch_remove(called->folder);
	free(called->output);
	free(called->errors);
	free(called);
	return 0;
}

static void assert_says(const char *text, const char *piece)
{
	if (!strstr(text, piece))
		fail_msg("expected \"%s\" in: %s", piece, text);
}

static void options_and_operands_come_in_any_order(void **state)
{
	assert_int_equal(call(state, "fetch one --config f.yaml two"), 0);
	assert_ptr_equal(seen.command, &fetch);
	assert_int_equal(seen.operand_count, 2);
	answer = 7;
	assert_int_equal(call(state, "fetch -cx one"), 7);
	assert_int_equal(call(state, "fetch --config=x -- -one"), 7);
	assert_int_equal(runs, 3);
}

static void without_the_option_there_is_no_file(void **state)
{
	assert_int_equal(call(state, "fetch -c f one"), 0);
	assert_non_null(seen.config_path);
	assert_int_equal(call(state, "fetch one"), 0);
	assert_null(seen.config_path);
}

static void options_of_its_own_are_known_by_their_names(void **state)
{
	assert_int_equal(call(state, "tidy"), 0);
	assert_null(command_option(&seen, "dry-run"));
	assert_null(command_option(&seen, "rate"));
	assert_int_equal(call(state, "tidy --dry-run -c f"), 0);
	assert_string_equal(command_option(&seen, "dry-run"), "");
	assert_null(command_option(&seen, "rate"));
	assert_int_equal(call(state, "tidy --rate=5MB"), 0);
	assert_non_null(command_option(&seen, "rate"));
	assert_null(command_option(&seen, "dry-run"));
	assert_null(command_option(&seen, "no such option"));
}

static void wrong_calls_end_with_2_and_run_nothing(void **state)
{
	static const struct {
		const char *words;
		const char *said;
	} cases[] = {
		{"", "Usage: breakwater COMMAND"},
		{"fetch", "fetch: NAME... is missing"},
		{"fetch a b c", "unexpected \"c\""},
		{"fetch a --nope", "there is no option --nope"},
		{"fetch a -x", "there is no option -x"},
		{"fetch a --config", "the option --config needs a value"},
		{"fetch a -c", "the option -c needs a value"},
		{"plain x", "unexpected \"x\""},
		{"plain -c f", "it reads no configuration"},
		{"tidy --rate", "the option --rate needs a value"},
		{"tidy --dry-run=yes", "takes no value"},
		{"tidy --platform x", "there is no option --platform"},
		{"fetch a --dry-run", "there is no option --dry-run"},
		{"plian", "there is no command \"plian\"; did you mean \"plain\"?"},
		{"something", "there is no command \"something\"\n"},
		{"help something", "there is no command \"something\"\n"},
		{"check-config f.yaml", "did you mean \"--config f.yaml\"?"},
		{"client-config lxd", "there is nothing for \"lxd\""},
		{"schema xml", "there is no form \"xml\""},
	};
	struct called *called = *state;

	for (size_t i = 0; i < array_size(cases); i++) {
		if (call(state, cases[i].words) != 2)
			fail_msg("\"%s\" was accepted", cases[i].words);
		assert_says(called->errors, cases[i].said);
		assert_string_equal(called->output, "");
	}
	assert_int_equal(runs, 0);
}

static void every_command_has_help_with_an_example(void **state)
{
	struct called *called = *state;

	for (size_t i = 0; i < array_size(commands); i++) {
		char *words = xasprintf("%s --help", commands[i]->name);
		char *first;

		assert_int_equal(call(state, words), 0);
		assert_says(called->output, "Usage: breakwater ");
		assert_says(called->output, commands[i]->help);
		assert_says(called->output, "Example:\n  breakwater ");
		assert_string_equal(called->errors, "");
		first = xstrdup(called->output);
		free(words);
		words = xasprintf("help %s", commands[i]->name);
		assert_int_equal(call(state, words), 0);
		assert_string_equal(called->output, first);
		free(words);
		free(first);
	}
	assert_int_equal(call(state, "--help"), 0);
	for (size_t i = 0; i < array_size(commands); i++)
		assert_says(called->output, commands[i]->summary);
	assert_int_equal(runs, 0);
}

static void the_version_is_printed(void **state)
{
	struct called *called = *state;

	assert_int_equal(call(state, "version"), 0);
	assert_string_equal(called->output, "breakwater " BREAKWATER_VERSION "\n");
	assert_int_equal(call(state, "--version"), 0);
	assert_string_equal(called->output, "breakwater " BREAKWATER_VERSION "\n");
}

static void check_config_ends_with_78_for_a_bad_file(void **state)
{
	struct called *called = *state;

	assert_int_equal(call(state, "check-config"), 0);
	assert_says(called->output, "built-in defaults: good.");
	assert_int_equal(call(state, "check-config -c /nowhere/c.yaml"), 78);
	assert_says(called->errors, "/nowhere/c.yaml");
	assert_string_equal(called->output, "");
	setenv("BREAKWATER_HTTP_ADDRESS", "0.0.0.0:5000", 1);
	assert_int_equal(call(state, "check-config"), 78);
	unsetenv("BREAKWATER_HTTP_ADDRESS");
	assert_says(called->errors, "auth: none");
}

static void doubts_are_warnings(void **state)
{
	struct called *called = *state;

	setenv("BREAKWATER_LOG_LEVLE", "x", 1);
	assert_int_equal(call(state, "check-config"), 0);
	unsetenv("BREAKWATER_LOG_LEVLE");
	assert_says(called->errors, "breakwater: warning: the variable BREAKWATER_LOG_LEVLE");
}

static void there_is_no_colour_in_a_file(void **state)
{
	struct called *called = *state;

	assert_int_equal(call(state, "nonsense"), 2);
	assert_null(strchr(called->errors, '\033'));
}

#define WITH_OUTPUT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_OUTPUT(options_and_operands_come_in_any_order),
		WITH_OUTPUT(without_the_option_there_is_no_file),
		WITH_OUTPUT(options_of_its_own_are_known_by_their_names),
		WITH_OUTPUT(wrong_calls_end_with_2_and_run_nothing),
		WITH_OUTPUT(every_command_has_help_with_an_example),
		WITH_OUTPUT(the_version_is_printed),
		WITH_OUTPUT(check_config_ends_with_78_for_a_bad_file),
		WITH_OUTPUT(doubts_are_warnings),
		WITH_OUTPUT(there_is_no_colour_in_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
