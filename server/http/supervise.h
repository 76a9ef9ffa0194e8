/*
 * A running server's life after its start: signals.
 *
 *   SIGHUP           reads the configuration again; a bad one changes nothing
 *   SIGTERM          leaves: not ready, every answer the last of its connection,
 *                    but new ones are taken for http.drainDelay, while whoever
 *                    sends clients here learns of it; then, or at another signal
 *                    or SIGINT, drains
 *   SIGINT           drains: no new connections either, until nobody is left.
 *                    After http.drainTimeout, or at a further signal, what is
 *                    left is cut
 */
#ifndef HTTP_SUPERVISE_H
#define HTTP_SUPERVISE_H

struct config;
struct http_server;
struct registry;

struct supervision {
	const char *config_path; /* as it was given; NULL: the built-in defaults */
	struct config *config; /* a reference, replaced by a reload */
	struct registry *registry;
	struct http_server *server;
};

/* Blocks those signals, so that only supervise() gets them. To be called before
 * the first thread starts. SIGPIPE is ignored from then on. */
void supervise_signals(void);

/* Returns when the server may be freed. Does not return when handlers do not end
 * although their connections were cut, or at one more signal: then the process
 * exits with 1, and what is stored is as safe as in a crash. */
void supervise(struct supervision *supervision);

#endif
