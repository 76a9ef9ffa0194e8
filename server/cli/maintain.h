/*
 * The commands that look after what is stored: gc, scrub, reindex. Whoever has the
 * stores (main.c) runs them; everything else is here.
 *
 * How far it is goes to standard error, as a line that is drawn over on a terminal and
 * as a log line now and then elsewhere; what came of it to standard output, for people
 * or as one JSON object. SIGINT and SIGTERM end it at a safe place, with 1.
 */
#ifndef CLI_MAINTAIN_H
#define CLI_MAINTAIN_H

#include "server/cli/command.h"

#include <stdint.h>

struct content;

struct maintain_options {
	bool json; /* --output json */
	bool remove; /* gc --delete */
	bool quarantine; /* scrub --quarantine */
	uint64_t bytes_per_second; /* scrub --rate; 0: no limit */
};

extern const struct command_option maintain_gc_options[3];
extern const struct command_option maintain_scrub_options[3];
extern const struct command_option maintain_reindex_options[1];

/* EXIT_DONE, or EXIT_USAGE after it said what is wrong. */
int maintain_read_options(const struct invocation *invocation, struct maintain_options *ret);

/* False, after it said why: a command that writes as root where the server runs as
 * somebody else would leave files that the server cannot open; and where there is no
 * store the configuration is hardly the one that is meant. */
bool maintain_may_open(const struct invocation *invocation, const struct config *config);

/* The exit code. */
int maintain_gc(const struct maintain_options *options, const struct config *config,
		struct content *content);
int maintain_scrub(const struct maintain_options *options, const struct config *config,
		   struct content *content);
int maintain_reindex(const struct maintain_options *options, const struct config *config,
		     struct content *content);

#endif
