/* The Redis index beside something that is no Redis: it answers nonsense, half of a
 * reply, a byte now and then, or closes. Every call must end in time, and say so. */
#include "tests/support/redis_server.h"

#include <pthread.h>
#include <stdatomic.h>

#define BOUND_MS 500

/* What comes back for whatever is sent; NULL: nothing, and the connection is reset. */
struct liar {
	const char *answer;
	bool drips; /* a byte every 20 ms, for ever */
	int listener;
	char *address;
	pthread_t thread;
	atomic_bool stopping;
};

static void drip(struct liar *liar, int fd)
{
	while (!atomic_load(&liar->stopping) && send(fd, "+", 1, MSG_NOSIGNAL) == 1)
		usleep(20000);
}

static void answer(struct liar *liar, int fd)
{
	struct timeval timeout = {.tv_usec = 20000};
	char buffer[65536];

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	while (!atomic_load(&liar->stopping)) {
		ssize_t got = recv(fd, buffer, sizeof(buffer), 0);

		if (got == 0 || (got > 0 && !liar->answer))
			return;
		if (got > 0 && liar->drips)
			drip(liar, fd);
		else if (got > 0)
			send(fd, liar->answer, strlen(liar->answer), MSG_NOSIGNAL);
	}
}

static void *lie(void *argument)
{
	struct liar *liar = argument;

	while (!atomic_load(&liar->stopping)) {
		struct linger now = {.l_onoff = 1};
		int fd = accept(liar->listener, NULL, NULL);

		if (fd < 0)
			break;
		answer(liar, fd);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fd);
	}
	return NULL;
}

static void liar_start(struct liar *liar)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);

	liar->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(liar->listener, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(liar->listener, 64), 0);
	assert_int_equal(getsockname(liar->listener, (struct sockaddr *)&address, &length), 0);
	liar->address = xasprintf("127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
	assert_int_equal(pthread_create(&liar->thread, NULL, lie, liar), 0);
}

static void liar_end(struct liar *liar)
{
	atomic_store(&liar->stopping, true);
	shutdown(liar->listener, SHUT_RDWR);
	pthread_join(liar->thread, NULL);
	close(liar->listener);
	free(liar->address);
}

static void assert_bounded(struct liar liar)
{
	struct redis_options options = {0};
	struct metadata_store *metadata = NULL;
	struct coordination *coordination = NULL;

	liar_start(&liar);
	options.address = liar.address;
	assert_int_equal(redis_store_new(&options, &metadata, &coordination, NULL), BW_OK);
	for (unsigned i = 0; i < 10; i++) {
		int64_t began = clock_monotonic_ms();
		struct error error = {0};

		assert_int_equal(metadata_check(metadata, &error), BW_UNAVAILABLE);
		assert_true(error.message[0]);
		assert_true(clock_monotonic_ms() - began < BOUND_MS);
	}
	metadata_store_free(metadata);
	coordination_free(coordination);
	liar_end(&liar);
}

static void whatever_answers_a_call_ends(void **state)
{
	static const struct liar liars[] = {
		{.answer = NULL},
		{.answer = ""},
		{.answer = "HTTP/1.1 400 Bad Request\r\n\r\n"},
		{.answer = "+OK\r\n"},
		{.answer = "$100\r\nhalf of it"},
		{.answer = "$99999999999999\r\n"},
		{.answer = "*-7\r\n"},
		{.answer = ":1\r\n"},
		{.answer = "$-1\r\n"},
		{.answer = "-LOADING Redis is loading the dataset in memory\r\n"},
		{.answer = "-MOVED 1 127.0.0.1:1\r\n"},
		{.answer = "-WRONGPASS no\r\n"},
		{.answer = "", .drips = true},
	};

	(void)state;
	for (size_t i = 0; i < array_size(liars); i++)
		assert_bounded(liars[i]);
}

/* A server without AUTH repeats the words of a command that it does not know. */
static void a_password_that_is_repeated_is_not_told(void **state)
{
	struct redis_server server =
		redis_server_start((const char *const[]){"--rename-command", "AUTH", "", NULL});
	struct redis_options options = {.address = server.address,
					.password = "nobody-may-see-this"};
	struct redis_stores stores = {0};
	struct error error = {0};

	(void)state;
	assert_int_equal(redis_store_new(&options, &stores.metadata, &stores.coordination, NULL),
			 BW_OK);
	metadata_check(stores.metadata, NULL);
	assert_int_equal(metadata_check(stores.metadata, &error), BW_UNAVAILABLE);
	assert_non_null(strstr(error.message, "AUTH"));
	assert_null(strstr(error.message, "nobody-may"));
	metadata_store_free(stores.metadata);
	coordination_free(stores.coordination);
	redis_server_end(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_answers_a_call_ends),
		cmocka_unit_test(a_password_that_is_repeated_is_not_told),
	};

	return cmocka_run_group_tests_name("redis_garbage", tests, NULL, NULL);
}
