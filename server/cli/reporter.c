#include "server/cli/reporter.h"

#include "server/base/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)256)
#define DRAW_EVERY_MS 100
#define LOG_EVERY_MS 10000
#define CLEAR_LINE "\r\033[K"

static _Atomic bool told_to_stop;

static void on_signal(int number)
{
	(void)number;
	atomic_store(&told_to_stop, true);
}

static void catch_signals(void)
{
	const struct sigaction stop = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
}

static void tick(void *context)
{
	struct reporter *reporter = context;
	struct buf text = BUF_INIT(TEXT_MAX);

	if (!deadline_passed(reporter->next))
		return;
	reporter->next = deadline_in(reporter->on_terminal ? DRAW_EVERY_MS : LOG_EVERY_MS);
	reporter->describe(reporter->what, &text);
	if (reporter->on_terminal) {
		fprintf(stderr, CLEAR_LINE "%s: %s", reporter->command, buf_string(&text));
		fflush(stderr);
		reporter->drawn = true;
	} else {
		log_event(LOG_INFO, reporter->command, LOG_S("progress", buf_string(&text)));
	}
	buf_release(&text);
}

void reporter_init(struct reporter *reporter, const char *command,
		   void (*describe)(const void *what, struct buf *text), const void *what)
{
	const char *terminal = getenv("TERM");

	*reporter = (struct reporter){
		.task = {.stop = &told_to_stop, .tick = tick, .context = reporter},
		.command = command,
		.describe = describe,
		.what = what,
		.on_terminal = isatty(STDERR_FILENO) && terminal && strcmp(terminal, "dumb") != 0,
	};
	reporter->next = deadline_in(reporter->on_terminal ? DRAW_EVERY_MS : LOG_EVERY_MS);
	catch_signals();
}

void reporter_clear(struct reporter *reporter)
{
	if (reporter->drawn)
		fputs(CLEAR_LINE, stderr);
	reporter->drawn = false;
}
