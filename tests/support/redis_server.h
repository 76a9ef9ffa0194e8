/*
 * A redis-server of a test's own, to be stopped, killed and restarted.
 */
#ifndef TESTS_SUPPORT_REDIS_SERVER_H
#define TESTS_SUPPORT_REDIS_SERVER_H

#include "server/base/clock.h"
#include "server/base/file.h"
#include "tests/support/redis_stores.h"

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVER_STARTS_MS 20000

struct redis_server {
	char *folder;
	char *address;
	unsigned port;
	pid_t pid; /* 0: does not run */
};

static inline unsigned free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	close(fd);
	return ntohs(address.sin_port);
}

/* Waits until condition(context), or fails. */
static inline void await(bool (*condition)(void *context), void *context, const char *what)
{
	deadline_ms deadline = deadline_in(SERVER_STARTS_MS);

	while (!condition(context)) {
		if (deadline_passed(deadline))
			fail_msg("waited in vain for %s", what);
		usleep(2000);
	}
}

/* The reply's text or, of a number, its digits; to be freed. NULL: no answer. */
static inline char *redis_server_ask(const struct redis_server *server, const char *command)
{
	struct timeval timeout = {.tv_sec = 5};
	redisContext *context = redisConnectWithTimeout("127.0.0.1", (int)server->port, timeout);
	redisReply *reply = NULL;
	char *answer = NULL;

	if (context && !context->err) {
		redisSetTimeout(context, timeout);
		reply = redisCommand(context, command); /* NOLINT: a test's own */
	}
	if (reply && reply->str)
		answer = xstrdup(reply->str);
	else if (reply)
		answer = xasprintf("%lld", reply->integer);
	if (reply)
		freeReplyObject(reply);
	if (context)
		redisFree(context);
	return answer;
}

static inline void redis_server_tell(const struct redis_server *server, const char *command)
{
	char *answer = redis_server_ask(server, command);

	assert_non_null(answer);
	if (str_starts_with(answer, "ERR"))
		fail_msg("%s: %s", command, answer);
	free(answer);
}

static inline bool redis_server_answers(void *context)
{
	char *answer = redis_server_ask(context, "PING");
	bool well = answer && strcmp(answer, "PONG") == 0;

	free(answer);
	return well;
}

/* `configuration` may be NULL; `arguments` end with NULL and come last. */
static inline void redis_server_run_with(struct redis_server *server, const char *configuration,
					 const char *const *arguments)
{
	char port[8];
	const char *usual[] = {"--port", port,           "--bind",     "127.0.0.1",
			       "--dir",  server->folder, "--loglevel", "warning"};
	const char *words[32] = {"redis-server"};
	size_t count = 1;
	pid_t parent = getpid();

	snprintf(port, sizeof(port), "%u", server->port);
	if (configuration)
		words[count++] = configuration;
	for (size_t i = 0; i < array_size(usual); i++)
		words[count++] = usual[i];
	while (arguments && *arguments && count < 31)
		words[count++] = *arguments++;
	server->pid = fork();
	assert_true(server->pid >= 0);
	if (server->pid == 0) {
		int null = open("/dev/null", O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		dup2(null, 1);
		execvp(words[0], (char *const *)words);
		_exit(127);
	}
	await(redis_server_answers, server, "redis-server (is it installed?)");
}

/* Without snapshots of its own accord. */
static inline void redis_server_run(struct redis_server *server, const char *const *arguments)
{
	const char *words[16] = {"--save", ""};
	size_t count = 2;

	while (arguments && *arguments && count < 15)
		words[count++] = *arguments++;
	redis_server_run_with(server, NULL, words);
}

static inline struct redis_server redis_server_start(const char *const *arguments)
{
	struct redis_server server = {.folder = scratch_make(), .port = free_port()};

	server.address = xasprintf("127.0.0.1:%u", server.port);
	redis_server_run(&server, arguments);
	return server;
}

static inline void redis_server_signal(const struct redis_server *server, int number)
{
	assert_int_equal(kill(server->pid, number), 0);
}

static inline void redis_server_kill(struct redis_server *server)
{
	if (!server->pid)
		return;
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	server->pid = 0;
}

static inline void redis_server_end(struct redis_server *server)
{
	redis_server_kill(server);
	scratch_remove(server->folder);
	free(server->address);
}

#endif
