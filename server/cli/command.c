#include "server/cli/command.h"

#include "server/base/buf.h"
#include "server/base/str.h"
#include "server/cli/terminal.h"
#include "server/config/config.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROBLEMS_MAX ((size_t)1 << 20)

struct commands {
	const struct command *const *list;
	size_t count;
};

static const struct command *find(const struct commands *commands, const char *name)
{
	for (size_t i = 0; i < commands->count; i++)
		if (strcmp(commands->list[i]->name, name) == 0)
			return commands->list[i];
	return NULL;
}

static void print_commands(const struct commands *commands, FILE *stream)
{
	fprintf(stream, "A container registry and pull-through cache.\n\n"
			"Usage: breakwater COMMAND [OPTIONS]\n\n"
			"Commands:\n");
	for (size_t i = 0; i < commands->count; i++)
		fprintf(stream, "  %-14s %s\n", commands->list[i]->name,
			commands->list[i]->summary);
	fprintf(stream, "\n\"breakwater COMMAND --help\" says more about one.\n\n"
			"Example:\n"
			"  breakwater serve --config breakwater.yaml\n");
}

static void print_usage_line(const struct command *command, FILE *stream)
{
	fprintf(stream, "Usage: breakwater %s%s", command->name,
		command->takes_config ? " [--config FILE]" : "");
	for (size_t i = 0; i < command->option_count; i++) {
		const struct command_option *option = &command->options[i];

		fprintf(stream, " [--%s%s%s]", option->name, option->value ? " " : "",
			option->value ? option->value : "");
	}
	fprintf(stream, "%s%s\n", command->operands ? " " : "",
		command->operands ? command->operands : "");
}

static void print_option(const struct command_option *option)
{
	char text[64];

	snprintf(text, sizeof(text), "--%s%s%s", option->name, option->value ? " " : "",
		 option->value ? option->value : "");
	printf("  %-19s %s\n", text, option->help);
}

static void print_help(const struct command *command)
{
	print_usage_line(command, stdout);
	printf("\n%s\nOptions:\n", command->help);
	if (command->takes_config)
		printf("  -c, --config FILE   the configuration; without it, the built-in "
		       "defaults\n");
	for (size_t i = 0; i < command->option_count; i++)
		print_option(&command->options[i]);
	printf("  -h, --help          this text\n\nExample:\n  breakwater %s\n", command->example);
}

/* Where help is. */
static int point_to_help(const struct command *command)
{
	print_usage_line(command, stderr);
	fprintf(stderr, "\"breakwater %s --help\" says more.\n", command->name);
	return EXIT_USAGE;
}

int command_usage_error(const struct invocation *invocation, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	terminal_error("%s: %s", invocation->command->name, text);
	return point_to_help(invocation->command);
}

static int unknown_command(const struct commands *commands, const char *name)
{
	const struct command *nearest = NULL;
	unsigned least = 3;

	for (size_t i = 0; i < commands->count; i++) {
		unsigned distance = str_distance(commands->list[i]->name, name);

		if (distance <= least && (!nearest || distance < least)) {
			nearest = commands->list[i];
			least = distance;
		}
	}
	if (nearest)
		terminal_error("there is no command \"%s\"; did you mean \"%s\"?", name,
			       nearest->name);
	else
		terminal_error("there is no command \"%s\"", name);
	fprintf(stderr, "\"breakwater --help\" lists the commands.\n");
	return EXIT_USAGE;
}

#define OWN_OPTION 256 /* and its place in the command's list: what getopt_long returns */

static int bad_option(const struct invocation *invocation, int what, char *const *argv)
{
	const char *option = argv[optind - 1];

	if (what == ':')
		return command_usage_error(invocation, "the option %s needs a value", option);
	if (!invocation->command->takes_config && optopt == 'c')
		return command_usage_error(invocation, "it reads no configuration");
	if (optopt >= OWN_OPTION)
		return command_usage_error(invocation, "%s: the option takes no value", option);
	return command_usage_error(invocation, "there is no option %s", option);
}

const char *command_option(const struct invocation *invocation, const char *name)
{
	const struct command *command = invocation->command;

	for (size_t i = 0; i < command->option_count; i++)
		if (strcmp(command->options[i].name, name) == 0)
			return invocation->values[i];
	return NULL;
}

/* What getopt_long is to look for; ended by a zeroed one. */
struct option_list {
	struct option options[COMMAND_MAX_OPTIONS + 3];
	char letters[8];
};

static void list_options(const struct command *command, struct option_list *ret)
{
	static const struct option help = {"help", no_argument, NULL, 'h'};
	static const struct option config = {"config", required_argument, NULL, 'c'};
	size_t count = 0;

	*ret = (struct option_list){0};
	ret->options[count++] = help;
	if (command->takes_config)
		ret->options[count++] = config;
	for (size_t i = 0; i < command->option_count && i < COMMAND_MAX_OPTIONS; i++)
		ret->options[count++] = (struct option){
			.name = command->options[i].name,
			.has_arg = command->options[i].value ? required_argument : no_argument,
			.val = OWN_OPTION + (int)i,
		};
	str_copy(ret->letters, sizeof(ret->letters), command->takes_config ? ":hc:" : ":h");
}

/* False: end with *ret_exit. */
static bool parse_options(struct invocation *invocation, int argc, char **argv, int *ret_exit)
{
	struct option_list list;
	int option;

	list_options(invocation->command, &list);
	optind = 0; /* from the start, whoever called getopt before */
	opterr = 0;
	while ((option = getopt_long(argc, argv, list.letters, list.options, NULL)) != -1) {
		if (option == 'c') {
			invocation->config_path = optarg;
		} else if (option >= OWN_OPTION) {
			invocation->values[option - OWN_OPTION] = optarg ? optarg : "";
		} else {
			*ret_exit = EXIT_DONE;
			if (option == 'h')
				print_help(invocation->command);
			else
				*ret_exit = bad_option(invocation, option, argv);
			return false;
		}
	}
	invocation->operands = argv + optind;
	invocation->operand_count = (size_t)(argc - optind);
	return true;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct invocation invocation = {.command = command};
	int code;

	if (!parse_options(&invocation, argc, argv, &code))
		return code;
	if (invocation.operand_count < command->min_operands)
		return command_usage_error(&invocation, "%s is missing", command->operands);
	if (invocation.operand_count > command->max_operands && command->takes_config &&
	    !invocation.config_path && command->max_operands == 0)
		return command_usage_error(&invocation,
					   "unexpected \"%s\"; did you mean \"--config %s\"?",
					   invocation.operands[0], invocation.operands[0]);
	if (invocation.operand_count > command->max_operands)
		return command_usage_error(&invocation, "unexpected \"%s\"",
					   invocation.operands[command->max_operands]);
	return command->run(&invocation);
}

/* `help`, `help COMMAND` and the options that stand in a command's place. */
static int dispatch(const struct commands *commands, int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	bool help =
		strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
	const struct command *command;

	if (help && argc > 2) {
		command = find(commands, argv[2]);
		if (!command)
			return unknown_command(commands, argv[2]);
		print_help(command);
		return EXIT_DONE;
	}
	if (help || argc < 2) {
		print_commands(commands, help ? stdout : stderr);
		return help ? EXIT_DONE : EXIT_USAGE;
	}
	command = find(commands, strcmp(name, "--version") == 0 ? "version" : name);
	if (!command)
		return unknown_command(commands, name);
	return run(command, argc - 1, argv + 1);
}

int command_main(const struct command *const *commands, size_t count, int argc, char **argv)
{
	struct commands all = {.list = commands, .count = count};
	int code = dispatch(&all, argc, argv);

	if (fflush(stdout) != 0 || ferror(stdout)) {
		terminal_error("standard output cannot be written");
		return code == EXIT_DONE ? EXIT_FAILED : code;
	}
	return code;
}

struct config *command_load_config(const struct invocation *invocation)
{
	struct buf problems = BUF_INIT(PROBLEMS_MAX);
	struct config *config = NULL;

	if (config_load(invocation->config_path, environ, &config, &problems) != BW_OK) {
		terminal_error("the configuration is not usable:");
		fputs(buf_string(&problems), stderr);
	}
	buf_release(&problems);
	for (size_t i = 0; config && i < config->warnings.count; i++)
		terminal_warning("%s", config->warnings.items[i]);
	return config;
}
