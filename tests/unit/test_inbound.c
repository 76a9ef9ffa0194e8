/* A client at the other end of a socket pair. */
#include "server/http/connection.h"
#include "server/http/inbound.h"
#include "tests/support/support.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NEXT "GET /next HTTP/1.1\r\n\r\n"

struct fixture {
	int client;
	int server;
	char buffer[64];
	struct inbound inbound;
};

static int setup(void **state)
{
	static struct fixture fixture;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	fixture = (struct fixture){.client = pair[0], .server = pair[1]};
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	if (fixture->client >= 0)
		close(fixture->client);
	close(fixture->server);
	return 0;
}

static void begin(struct fixture *fixture, const char *buffered)
{
	size_t length = strlen(buffered);

	memcpy(fixture->buffer, buffered, length);
	inbound_init(&fixture->inbound, fixture->server, fixture->buffer, length,
		     sizeof(fixture->buffer));
}

static void sends(struct fixture *fixture, const char *text)
{
	assert_int_equal(send(fixture->client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void leaves(struct fixture *fixture)
{
	close(fixture->client);
	fixture->client = -1;
}

static void assert_reads(struct fixture *fixture, size_t size, const char *expected)
{
	char target[256];

	assert_int_equal(inbound_read(&fixture->inbound, target, size, 1000), strlen(expected));
	assert_memory_equal(target, expected, strlen(expected));
}

static ssize_t read_code(struct fixture *fixture, int timeout_ms)
{
	char target[256];

	return inbound_read(&fixture->inbound, target, sizeof(target), timeout_ms);
}

static void assert_ended(struct fixture *fixture)
{
	assert_int_equal(read_code(fixture, 1000), 0);
	assert_int_equal(read_code(fixture, 1000), 0);
	assert_true(inbound_is_settled(&fixture->inbound));
}

/* What lies behind the body is untouched, in the buffer or in the socket. */
static void assert_next(struct fixture *fixture, const char *expected)
{
	struct inbound *inbound = &fixture->inbound;
	size_t buffered = inbound->end - inbound->at;
	char rest[256];
	ssize_t length;

	memcpy(rest, fixture->buffer + inbound->at, buffered);
	length = recv(fixture->server, rest + buffered, sizeof(rest) - buffered, MSG_DONTWAIT);
	if (length > 0)
		buffered += (size_t)length;
	assert_int_equal(buffered, strlen(expected));
	assert_memory_equal(rest, expected, buffered);
}

static void no_body_is_at_its_end(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, NEXT);
	inbound_expect(&fixture->inbound, false, 0);
	assert_true(inbound_is_settled(&fixture->inbound));
	assert_ended(fixture);
	assert_next(fixture, NEXT);
}

static void reads_what_was_buffered_and_then_the_socket(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, "hel");
	inbound_expect(&fixture->inbound, false, 11);
	sends(fixture, "lo world" NEXT);
	assert_reads(fixture, 2, "he");
	assert_reads(fixture, 100, "l");
	assert_false(inbound_is_settled(&fixture->inbound));
	assert_reads(fixture, 100, "lo world");
	assert_ended(fixture);
	assert_next(fixture, NEXT);
}

static void a_short_body_leaves_the_rest_of_the_buffer(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, "hello" NEXT);
	inbound_expect(&fixture->inbound, false, 5);
	assert_reads(fixture, 100, "hello");
	assert_ended(fixture);
	assert_next(fixture, NEXT);
}

static void takes_chunks_off_and_gives_back_the_next_request(void **state)
{
	static const char body[] = "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n" NEXT;
	struct fixture *fixture = *state;

	for (size_t cut = 0; cut <= strlen(body); cut++) {
		char buffered[64] = "";
		char content[64] = "";
		size_t length = 0;
		ssize_t piece;

		memcpy(buffered, body, cut);
		begin(fixture, buffered);
		inbound_expect(&fixture->inbound, true, 0);
		sends(fixture, body + cut);
		while ((piece = inbound_read(&fixture->inbound, content + length,
					     sizeof(content) - length, 1000)) > 0)
			length += (size_t)piece;
		assert_int_equal(piece, 0);
		assert_int_equal(length, 11);
		assert_memory_equal(content, "hello world", 11);
		assert_ended(fixture);
		assert_next(fixture, NEXT);
	}
}

static void tiny_reads_are_fine(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, "2\r\nab\r");
	inbound_expect(&fixture->inbound, true, 0);
	sends(fixture, "\n1\r\nc\r\n0\r\nX: y\r\n\r\n" NEXT);
	assert_reads(fixture, 1, "a");
	assert_reads(fixture, 1, "b");
	assert_reads(fixture, 1, "c");
	assert_ended(fixture);
	assert_next(fixture, NEXT);
}

/* What does not fit the buffer would be lost: the connection cannot go on. */
static void too_much_behind_a_chunked_body_is_noticed(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, "");
	inbound_expect(&fixture->inbound, true, 0);
	sends(fixture, "0\r\n\r\n" NEXT NEXT NEXT);
	assert_int_equal(read_code(fixture, 1000), 0);
	assert_false(inbound_is_settled(&fixture->inbound));
}

static void waits_no_longer_than_it_was_told(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, "");
	inbound_expect(&fixture->inbound, false, 5);
	assert_int_equal(read_code(fixture, 0), CONNECTION_BODY_WAIT);
	assert_int_equal(read_code(fixture, 20), CONNECTION_BODY_WAIT);
	sends(fixture, "he");
	assert_reads(fixture, 100, "he");
	assert_int_equal(read_code(fixture, 0), CONNECTION_BODY_WAIT);
	sends(fixture, "llo");
	assert_reads(fixture, 100, "llo");
	assert_ended(fixture);
}

static void chunk_sizes_alone_are_nothing_yet(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, "5;ext");
	inbound_expect(&fixture->inbound, true, 0);
	assert_int_equal(read_code(fixture, 0), CONNECTION_BODY_WAIT);
	sends(fixture, "\r\n");
	assert_int_equal(read_code(fixture, 0), CONNECTION_BODY_WAIT);
	sends(fixture, "h");
	assert_reads(fixture, 100, "h");
}

static void a_body_that_breaks_off_has_no_end(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, "he");
	inbound_expect(&fixture->inbound, false, 5);
	leaves(fixture);
	assert_reads(fixture, 100, "he");
	assert_int_equal(read_code(fixture, 1000), CONNECTION_BODY_GONE);
	assert_int_equal(read_code(fixture, 1000), CONNECTION_BODY_GONE);
	assert_false(inbound_is_settled(&fixture->inbound));
}

static void chunks_that_break_off_have_no_end(void **state)
{
	static const char *const pieces[] = {"", "5", "5\r\nhello", "5\r\nhello\r\n",
					     "5\r\nhello\r\n0\r\n"};
	struct fixture *fixture = *state;

	leaves(fixture);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		begin(fixture, pieces[i]);
		inbound_expect(&fixture->inbound, true, 0);
		if (i >= 2)
			assert_reads(fixture, 100, "hello");
		assert_int_equal(read_code(fixture, 1000), CONNECTION_BODY_GONE);
	}
}

static void malformed_chunks_are_told_after_what_was_good(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, "5\r\nhello\nxx");
	inbound_expect(&fixture->inbound, true, 0);
	assert_reads(fixture, 100, "hello");
	assert_int_equal(read_code(fixture, 1000), CONNECTION_BODY_MALFORMED);
	assert_int_equal(read_code(fixture, 1000), CONNECTION_BODY_MALFORMED);
	assert_false(inbound_is_settled(&fixture->inbound));
}

static void a_cut_connection_ends_the_wait(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, "");
	inbound_expect(&fixture->inbound, false, 5);
	shutdown(fixture->server, SHUT_RDWR);
	assert_int_equal(read_code(fixture, 60000), CONNECTION_BODY_GONE);
}

static void knows_whether_something_came(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, "");
	assert_false(inbound_has_bytes(&fixture->inbound));
	sends(fixture, "x");
	assert_true(inbound_has_bytes(&fixture->inbound));
	begin(fixture, "y");
	assert_true(inbound_has_bytes(&fixture->inbound));
	begin(fixture, "");
	assert_true(inbound_has_bytes(&fixture->inbound));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_body_is_at_its_end),
		TEST(reads_what_was_buffered_and_then_the_socket),
		TEST(a_short_body_leaves_the_rest_of_the_buffer),
		TEST(takes_chunks_off_and_gives_back_the_next_request),
		TEST(tiny_reads_are_fine),
		TEST(too_much_behind_a_chunked_body_is_noticed),
		TEST(waits_no_longer_than_it_was_told),
		TEST(chunk_sizes_alone_are_nothing_yet),
		TEST(a_body_that_breaks_off_has_no_end),
		TEST(chunks_that_break_off_have_no_end),
		TEST(malformed_chunks_are_told_after_what_was_good),
		TEST(a_cut_connection_ends_the_wait),
		TEST(knows_whether_something_came),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
