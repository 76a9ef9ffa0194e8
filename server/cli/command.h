/*
 * The command line: `breakwater COMMAND [OPTIONS] [OPERANDS]`.
 *
 * A command is a row that says what it takes; options, operands, --help and
 * usage errors are handled here, the same way for all of them. main() lists the
 * rows and calls command_main().
 *
 * Exit codes: 0 done; 1 it failed; 2 it was called wrongly; 78 (EX_CONFIG of
 * sysexits.h) the configuration is not usable.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CONFIG = 78 };

struct command;
struct config;

/* An option of one command's own. */
struct command_option {
	const char *name; /* "dry-run" */
	const char *value; /* "SIZE", as usage shows it; NULL: it takes none */
	const char *help; /* one line of at most 55 columns */
};
#define COMMAND_MAX_OPTIONS 4

/* What a command was called with; valid while it runs. */
struct invocation {
	const struct command *command;
	const char *config_path; /* --config FILE; NULL: the built-in defaults */
	const char *values[COMMAND_MAX_OPTIONS]; /* see command_option() */
	char *const *operands;
	size_t operand_count;
};

struct command {
	const char *name;
	const char *summary; /* one line without a full stop, for the list of commands */
	const char *help; /* lines of at most 80 columns, each ended by '\n' */
	const char *example; /* the arguments after "breakwater " */
	const char *operands; /* "RUNTIME", as usage shows it; NULL: it takes none */
	size_t min_operands;
	size_t max_operands;
	bool takes_config; /* --config FILE */
	const struct command_option *options; /* its own; NULL: none */
	size_t option_count;
	/* Runs it; the exit code. Called once, on the main thread. Standard output
	 * is for what was asked for, standard error for what went wrong. */
	int (*run)(const struct invocation *invocation);
};

/* Those that need no store. */
extern const struct command command_check_config;
extern const struct command command_schema;
extern const struct command command_client_config;
extern const struct command command_version;
extern const struct command command_warm;

/* Finds the command that argv names among `commands`, parses what follows and
 * runs it. Prints help, usage errors and what was probably meant. The exit code;
 * EXIT_FAILED, too, when standard output could not be written. */
int command_main(const struct command *const *commands, size_t count, int argc, char **argv);

/* For `run`: the value that an option of the command's own was given, "" for one that
 * takes none; NULL: it was not given. */
const char *command_option(const struct invocation *invocation, const char *name);

/* For `run`: says on standard error what is wrong with the operands and where
 * help is. Returns EXIT_USAGE. */
int command_usage_error(const struct invocation *invocation, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* For `run`: loads the configuration it was called with, under the process's
 * environment, and says on standard error what is wrong with it or doubtful.
 * NULL: end with EXIT_CONFIG. The caller unrefs. */
struct config *command_load_config(const struct invocation *invocation);

#endif
