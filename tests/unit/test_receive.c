/* A connection and a clock of the test's own: what comes is scripted, and a minute
 * takes no time. */
#include "server/base/clock.h"
#include "server/http/receive.h"
#include "tests/support/support.h"

#include <stdbool.h>
#include <string.h>

static struct {
	int64_t now_ms;
	/* Each read gives `piece` bytes after `delay_ms`; or, when that is longer
	 * than the reader waits, nothing. */
	int64_t delay_ms;
	ssize_t piece;
	uint64_t left;
	bool has_bytes;
	char sent[128];
	size_t sent_length;
	int reads;
	int said_when_read; /* `sent_length` at the first read */
} client;

int64_t clock_monotonic_ms(void)
{
	return client.now_ms;
}

ssize_t connection_read_body(struct connection *connection, void *target, size_t size,
			     int timeout_ms)
{
	(void)connection;
	if (client.reads++ == 0)
		client.said_when_read = (int)client.sent_length;
	if (client.left == 0)
		return 0;
	if (client.delay_ms > timeout_ms) {
		client.now_ms += timeout_ms;
		client.delay_ms -= timeout_ms;
		return CONNECTION_BODY_WAIT;
	}
	client.now_ms += client.delay_ms;
	if (client.piece < 0)
		return client.piece;
	if ((size_t)client.piece < size)
		size = (size_t)client.piece;
	if (client.left != UINT64_MAX && client.left < size)
		size = client.left;
	memset(target, 'x', size);
	if (client.left != UINT64_MAX)
		client.left -= size;
	return (ssize_t)size;
}

uint64_t connection_body_left(const struct connection *connection)
{
	(void)connection;
	return client.left;
}

bool connection_has_bytes(const struct connection *connection)
{
	(void)connection;
	return client.has_bytes;
}

ssize_t connection_try_send(struct connection *connection, const struct iovec *pieces,
			    int piece_count, bool more)
{
	(void)connection;
	(void)more;
	assert_int_equal(piece_count, 1);
	memcpy(client.sent + client.sent_length, pieces->iov_base, pieces->iov_len);
	client.sent_length += pieces->iov_len;
	return (ssize_t)pieces->iov_len;
}

ssize_t connection_try_send_file(struct connection *connection, int file, uint64_t offset,
				 size_t length)
{
	(void)connection;
	(void)file;
	(void)offset;
	return (ssize_t)length;
}

void connection_wait_writable(struct connection *connection, int timeout_ms)
{
	(void)connection;
	client.now_ms += timeout_ms;
}

static int setup(void **state)
{
	static struct receiver receiver;

	memset(&client, 0, sizeof(client));
	client.piece = 100;
	client.left = UINT64_MAX;
	receiver = (struct receiver){0};
	*state = &receiver;
	return 0;
}

static enum status read_some(struct receiver *receiver, size_t *ret_length)
{
	char target[4096];

	return receive(receiver, target, sizeof(target), ret_length);
}

static void counts_what_it_reads_up_to_the_end(void **state)
{
	struct receiver *receiver = *state;
	size_t length = 77;

	client.left = 150;
	assert_int_equal(read_some(receiver, &length), BW_OK);
	assert_int_equal(length, 100);
	assert_int_equal(read_some(receiver, &length), BW_OK);
	assert_int_equal(length, 50);
	assert_int_equal(read_some(receiver, &length), BW_OK);
	assert_int_equal(length, 0);
	assert_int_equal(receiver->received, 150);
}

static void gives_up_a_sender_that_stalls(void **state)
{
	struct receiver *receiver = *state;
	size_t length = 77;

	client.delay_ms = 3600 * 1000;
	assert_int_equal(read_some(receiver, &length), BW_TIMEOUT);
	assert_int_equal(client.now_ms, PACE_STALL_MS);
	assert_int_equal(length, 77);
	client.delay_ms = 0;
	assert_int_equal(read_some(receiver, &length), BW_TIMEOUT); /* it stays so */
}

static void gives_up_a_sender_that_trickles(void **state)
{
	struct receiver *receiver = *state;
	enum status status = BW_OK;
	size_t length;

	client.piece = 1;
	client.delay_ms = 1000;
	for (int i = 0; i < 1000 && status == BW_OK; i++)
		status = read_some(receiver, &length);
	assert_int_equal(status, BW_TIMEOUT);
	assert_in_range(client.now_ms, PACE_WINDOW_MS, PACE_WINDOW_MS + 1000);
}

static void lets_a_slow_but_honest_sender_go_on(void **state)
{
	struct receiver *receiver = *state;
	size_t length;

	client.piece = 4 * PACE_MIN_BYTES_PER_S;
	client.delay_ms = 2000;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(read_some(receiver, &length), BW_OK);
}

static void our_own_time_does_not_count(void **state)
{
	struct receiver *receiver = *state;
	size_t length;

	client.piece = 1;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(read_some(receiver, &length), BW_OK);
		client.now_ms += 3600 * 1000; /* a very slow disk */
	}
}

static void tells_apart_how_it_ended(void **state)
{
	struct receiver *receiver = *state;
	size_t length;

	client.piece = CONNECTION_BODY_GONE;
	assert_int_equal(read_some(receiver, &length), BW_CANCELLED);
	*receiver = (struct receiver){0};
	client.piece = CONNECTION_BODY_MALFORMED;
	assert_int_equal(read_some(receiver, &length), BW_INVALID);
}

static void asks_for_the_body_when_it_is_wanted(void **state)
{
	static const char expected[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct receiver *receiver = *state;
	size_t length;

	receiver->owes_continue = true;
	assert_int_equal(read_some(receiver, &length), BW_OK);
	assert_int_equal(client.said_when_read, strlen(expected));
	assert_int_equal(read_some(receiver, &length), BW_OK);
	assert_int_equal(client.sent_length, strlen(expected));
	assert_memory_equal(client.sent, expected, client.sent_length);
}

static void does_not_ask_for_what_is_there(void **state)
{
	struct receiver *receiver = *state;
	size_t length;

	receiver->owes_continue = true;
	client.has_bytes = true;
	assert_int_equal(read_some(receiver, &length), BW_OK);
	assert_int_equal(client.sent_length, 0);
}

static void a_small_rest_is_thrown_away(void **state)
{
	struct receiver *receiver = *state;

	client.piece = 1000;
	client.left = RECEIVE_MAX_DISCARDED;
	assert_true(receive_rest(receiver));
	assert_int_equal(client.left, 0);
	assert_int_equal(receiver->received, 0);
	assert_true(receive_rest(receiver));
}

static void a_large_or_absent_rest_is_not_waited_for(void **state)
{
	struct receiver *receiver = *state;

	client.left = RECEIVE_MAX_DISCARDED + 1;
	assert_false(receive_rest(receiver));
	client.left = UINT64_MAX;
	assert_false(receive_rest(receiver));
	assert_int_equal(client.reads, 0);
	client.left = 10;
	client.delay_ms = 1;
	assert_false(receive_rest(receiver));
	assert_int_equal(client.now_ms, 0);
}

/* Nobody can tell whether its body will come. */
static void a_client_that_was_not_asked_is_not_kept(void **state)
{
	struct receiver *receiver = *state;

	client.left = 10;
	receiver->owes_continue = true;
	assert_false(receive_rest(receiver));
	assert_int_equal(client.reads, 0);
	assert_false(receive_is_expected(receiver));
	client.has_bytes = true;
	assert_true(receive_is_expected(receiver));
}

static void knows_whether_more_is_coming(void **state)
{
	struct receiver *receiver = *state;

	client.left = 0;
	assert_false(receive_is_expected(receiver));
	client.left = 10;
	assert_true(receive_is_expected(receiver));
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(counts_what_it_reads_up_to_the_end),
		TEST(gives_up_a_sender_that_stalls),
		TEST(gives_up_a_sender_that_trickles),
		TEST(lets_a_slow_but_honest_sender_go_on),
		TEST(our_own_time_does_not_count),
		TEST(tells_apart_how_it_ended),
		TEST(asks_for_the_body_when_it_is_wanted),
		TEST(does_not_ask_for_what_is_there),
		TEST(a_small_rest_is_thrown_away),
		TEST(a_large_or_absent_rest_is_not_waited_for),
		TEST(a_client_that_was_not_asked_is_not_kept),
		TEST(knows_whether_more_is_coming),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
