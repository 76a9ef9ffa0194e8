/*
 * How far a long command is, on standard error; and the signals that end it.
 */
#ifndef CLI_REPORTER_H
#define CLI_REPORTER_H

#include "server/base/buf.h"
#include "server/base/clock.h"
#include "server/maintenance/walk.h"

struct reporter {
	struct task task; /* to be handed down */
	const char *command;
	/* Writes a few words about how far it is. */
	void (*describe)(const void *what, struct buf *text);
	const void *what;
	bool on_terminal;
	bool drawn;
	deadline_ms next;
};

/* Catches SIGINT and SIGTERM from now on: they make the task stop. A second one
 * ends the process. */
void reporter_init(struct reporter *reporter, const char *command,
		   void (*describe)(const void *what, struct buf *text), const void *what);
/* Takes the line off the screen. */
void reporter_clear(struct reporter *reporter);

#endif
