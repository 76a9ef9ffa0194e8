/* What an exchange makes of servers that are right, slow, broken and hostile. */
#include "server/upstream/transfer.h"

#include "server/base/buf.h"
#include "tests/support/script_server.h"

#include <signal.h>
#include <stdatomic.h>

#define SHORT_MS 300

struct client {
	struct transfer_pool *pool;
	struct script_server *server;
	struct script_fixed reply;

	struct buf body;
	unsigned heads;
	bool want_body;
	bool want_bytes;
	struct transfer_response response;
	struct error error;
};

static int start(void **state)
{
	static const struct transfer_options options = {
		.connect_ms = 2000, .first_byte_ms = SHORT_MS, .stall_ms = SHORT_MS, .max_idle = 4};
	struct client *client = xcalloc(1, sizeof(*client));

	client->pool = transfer_pool_new(&options);
	script_fixed_init(&client->reply);
	client->server = script_server_new(script_fixed_answer, &client->reply);
	client->body = BUF_INIT(1 << 20);
	client->want_body = client->want_bytes = true;
	*state = client;
	return 0;
}

static int end(void **state)
{
	struct client *client = *state;

	transfer_pool_free(client->pool);
	script_server_free(client->server);
	script_fixed_release(&client->reply);
	buf_release(&client->body);
	transfer_response_release(&client->response);
	free(client);
	return 0;
}

static bool on_headers(void *context, const struct transfer_response *response)
{
	struct client *client = context;

	assert_true(response->status >= 200);
	assert_int_equal(client->body.length, 0);
	client->heads++;
	return client->want_body;
}

static bool on_body(void *context, const void *bytes, size_t length)
{
	struct client *client = context;

	buf_append(&client->body, bytes, length);
	return client->want_bytes;
}

static struct transfer_request get(struct client *client, const char *url)
{
	return (struct transfer_request){.method = TRANSFER_GET,
					 .url = url,
					 .connection_key = "anonymous",
					 .deadline = deadline_in(20000),
					 .on_headers = on_headers,
					 .on_body = on_body,
					 .context = client};
}

static enum status run(struct client *client, const struct transfer_request *request)
{
	transfer_response_release(&client->response);
	client->error = (struct error){0};
	client->heads = 0;
	buf_reset(&client->body);
	return transfer_run(client->pool, request, &client->response, &client->error);
}

static enum status get_reply(struct client *client, const char *bytes, enum script_then then)
{
	struct transfer_request request = get(client, client->server->url);

	script_fixed_set(&client->reply, bytes, then);
	return run(client, &request);
}

static void assert_says(struct client *client, const char *text)
{
	if (!strstr(client->error.message, text))
		fail_msg("\"%s\" does not say \"%s\"", client->error.message, text);
}

static void a_reply_with_its_headers_and_body(void **state)
{
	struct client *client = *state;
	const struct transfer_headers *headers = &client->response.headers;

	assert_int_equal(
		get_reply(client,
			  "HTTP/1.1 200 OK\r\nContent-Type: text/a\r\n"
			  "DOCKER-content-DIGEST:  sha256:ab \t\r\nX-Other: 1\r\n"
			  "WWW-Authenticate: Basic\r\nwww-authenticate: Bearer x=y\r\n"
			  "Content-Type: text/b\r\nLink:\r\nContent-Length: 5\r\n\r\nhello",
			  SCRIPT_KEEP),
		BW_OK);
	assert_int_equal(client->response.status, 200);
	assert_string_equal(headers->content_type, "text/b");
	assert_string_equal(headers->docker_content_digest, "sha256:ab");
	assert_string_equal(headers->link, "");
	assert_string_equal(headers->www_authenticate[0], "Basic");
	assert_string_equal(headers->www_authenticate[1], "Bearer x=y");
	assert_null(headers->www_authenticate[2]);
	assert_null(headers->location);
	assert_true(headers->has_content_length);
	assert_int_equal(headers->content_length, 5);
	assert_string_equal(buf_string(&client->body), "hello");
	assert_int_equal(client->response.body_length, 5);
	assert_int_equal(client->heads, 1);
}

static void the_request_is_plain(void **state)
{
	struct client *client = *state;
	char url[128];
	struct transfer_request request;
	const char *sent;

	snprintf(url, sizeof(url), "%s/v2/a/../b?q=1", client->server->url);
	request = get(client, url);
	request.authorization = "Bearer secret";
	request.accept = "application/json";
	request.range = "bytes=5-";
	script_fixed_set(&client->reply, "HTTP/1.1 204 No Content\r\n\r\n", SCRIPT_KEEP);
	assert_int_equal(run(client, &request), BW_OK);
	sent = client->server->requests[0];
	assert_ptr_equal(strstr(sent, "GET /v2/a/../b?q=1 HTTP/1.1\r\n"), sent);
	assert_non_null(strstr(sent, "\r\nAuthorization: Bearer secret\r\n"));
	assert_non_null(strstr(sent, "\r\nAccept: application/json\r\n"));
	assert_non_null(strstr(sent, "\r\nRange: bytes=5-\r\n"));
	assert_non_null(strstr(sent, "\r\nUser-Agent: breakwater/"));
	assert_null(strstr(sent, "Accept-Encoding"));
	assert_null(strstr(sent, "Expect"));
	assert_null(strstr(sent, "Cookie"));
}

static void head_has_a_length_and_no_body(void **state)
{
	struct client *client = *state;
	struct transfer_request request = get(client, client->server->url);

	request.method = TRANSFER_HEAD;
	script_fixed_set(&client->reply, "HTTP/1.1 200 OK\r\nContent-Length: 123456789012\r\n\r\n",
			 SCRIPT_KEEP);
	assert_int_equal(run(client, &request), BW_OK);
	assert_int_equal(client->response.headers.content_length, 123456789012);
	assert_int_equal(client->response.body_length, 0);
	assert_int_equal(script_count(client->server, "HEAD / "), 1);
	assert_int_equal(run(client, &request), BW_OK);
	assert_int_equal(script_connections(client->server), 1);
}

static void interim_replies_and_trailers_are_passed_over(void **state)
{
	struct client *client = *state;

	assert_int_equal(get_reply(client,
				   "HTTP/1.1 103 Early Hints\r\nLocation: /early\r\n"
				   "Content-Length: 7\r\n\r\n"
				   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				   "3\r\nabc\r\n2\r\nde\r\n0\r\nLink: late\r\n\r\n",
				   SCRIPT_KEEP),
			 BW_OK);
	assert_int_equal(client->response.status, 200);
	assert_null(client->response.headers.location);
	assert_null(client->response.headers.link);
	assert_false(client->response.headers.has_content_length);
	assert_string_equal(buf_string(&client->body), "abcde");
	assert_int_equal(client->heads, 1);
}

static void errors_of_the_server_are_answers(void **state)
{
	struct client *client = *state;

	assert_int_equal(
		get_reply(client, "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno", SCRIPT_KEEP),
		BW_OK);
	assert_int_equal(client->response.status, 503);
	assert_string_equal(buf_string(&client->body), "no");
}

static void a_redirect_is_not_followed(void **state)
{
	struct client *client = *state;

	assert_int_equal(get_reply(client,
				   "HTTP/1.1 307 Moved\r\nLocation: /elsewhere\r\n"
				   "Content-Length: 0\r\n\r\n",
				   SCRIPT_KEEP),
			 BW_OK);
	assert_string_equal(client->response.headers.location, "/elsewhere");
	assert_int_equal(script_requests(client->server), 1);
}

static void a_body_nobody_wants_is_not_read(void **state)
{
	struct client *client = *state;

	client->want_body = false;
	assert_int_equal(
		get_reply(client, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc", SCRIPT_HANG),
		BW_OK);
	assert_int_equal(client->body.length, 0);
	client->want_body = true;
	client->want_bytes = false;
	assert_int_equal(
		get_reply(client, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc", SCRIPT_HANG),
		BW_CANCELLED);
}

static void a_short_body_is_told_from_a_whole_one(void **state)
{
	struct client *client = *state;

	assert_int_equal(
		get_reply(client, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc", SCRIPT_CLOSE),
		BW_UNREACHABLE);
	assert_says(client, "ended early after 3 of 99 bytes");
	assert_says(client, client->server->url);
	assert_int_equal(client->response.status, 200);

	assert_int_equal(
		get_reply(client, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc", SCRIPT_RESET),
		BW_UNREACHABLE);
	assert_says(client, "ended early after");

	assert_int_equal(get_reply(client,
				   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
				   SCRIPT_CLOSE),
			 BW_UNREACHABLE);
	assert_says(client, "ended early after 2 bytes");
}

static void what_is_no_http_is_unreachable(void **state)
{
	static const char *const replies[] = {
		"SSH-2.0-OpenSSH_9.2\r\n",
		"\x15\x03\x01\x02",
		"HTTP/1.1 200 OK\r\nContent-Len",
		"HTTP/1.1 200 OK\r\nContent-Length: 5junk\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nX: a\x01z\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX y: a\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nLink: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
	};
	struct client *client = *state;

	for (size_t i = 0; i < array_size(replies); i++) {
		enum status status = get_reply(client, replies[i], SCRIPT_CLOSE);

		if (status != BW_UNREACHABLE)
			fail_msg("\"%s\" is %s", replies[i], status_name(status));
		assert_true(client->error.message[0] != '\0');
	}
	assert_int_equal(get_reply(client, "", SCRIPT_CLOSE), BW_UNREACHABLE);
}

static void headers_are_bounded(void **state)
{
	struct client *client = *state;
	struct buf many = BUF_INIT(1 << 20);

	buf_append_string(&many, "HTTP/1.1 200 OK\r\n");
	for (unsigned i = 0; i < 200; i++)
		buf_printf(&many, "X-%u: y\r\n", i);
	buf_append_string(&many, "Content-Length: 0\r\n\r\n");
	assert_int_equal(get_reply(client, buf_string(&many), SCRIPT_CLOSE), BW_UNREACHABLE);
	assert_says(client, "too many headers");

	buf_reset(&many);
	buf_append_string(&many, "HTTP/1.1 200 OK\r\n");
	for (unsigned i = 0; i < 9; i++) {
		buf_printf(&many, "X-%u: ", i);
		for (unsigned j = 0; j < 8000; j++)
			buf_append_char(&many, 'y');
		buf_append_string(&many, "\r\n");
	}
	buf_append_string(&many, "Content-Length: 0\r\n\r\n");
	assert_int_equal(get_reply(client, buf_string(&many), SCRIPT_CLOSE), BW_UNREACHABLE);
	assert_says(client, "too many headers");
	buf_release(&many);
}

static void endless_interim_replies_end(void **state)
{
	struct client *client = *state;
	struct buf many = BUF_INIT(1 << 20);

	for (unsigned i = 0; i < 500; i++)
		buf_append_string(&many, "HTTP/1.1 100 Continue\r\n\r\n");
	assert_int_equal(get_reply(client, buf_string(&many), SCRIPT_HANG), BW_UNREACHABLE);
	buf_release(&many);
}

static void every_phase_has_its_limit(void **state)
{
	struct client *client = *state;
	struct transfer_request request = get(client, client->server->url);

	assert_int_equal(get_reply(client, "", SCRIPT_HANG), BW_TIMEOUT);
	assert_says(client, "no answer within 300ms");

	assert_int_equal(
		get_reply(client, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", SCRIPT_HANG),
		BW_TIMEOUT);
	assert_says(client, "no byte for 300ms, after 3 bytes");

	assert_int_equal(get_reply(client, "HTTP/1.1 200 OK\r\nX:", SCRIPT_HANG), BW_TIMEOUT);

	request.deadline = deadline_in(100);
	script_fixed_set(&client->reply, "", SCRIPT_HANG);
	assert_int_equal(run(client, &request), BW_TIMEOUT);
	assert_says(client, "deadline passed");
	assert_says(client, "waiting for an answer");

	request.deadline = clock_monotonic_ms() - 1;
	assert_int_equal(run(client, &request), BW_TIMEOUT);
	assert_int_equal(script_requests(client->server), 4);
}

/* A listener whose queue is full: the handshake is never answered. */
static void connecting_has_its_limit(void **state)
{
	static const struct transfer_options options = {.connect_ms = SHORT_MS, .max_idle = 1};
	struct client *client = *state;
	struct transfer_pool *pool = transfer_pool_new(&options);
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct transfer_request request;
	char url[64];
	int fillers[4];
	unsigned port;
	int listener = script_listen(url, sizeof(url));

	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(sscanf(url, "http://127.0.0.1:%u", &port), 1);
	address.sin_port = htons((uint16_t)port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned i = 0; i < array_size(fillers); i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fillers[i], (struct sockaddr *)&address, sizeof(address));
	}
	request = get(client, url);
	transfer_response_release(&client->response);
	assert_int_equal(transfer_run(pool, &request, &client->response, &client->error),
			 BW_TIMEOUT);
	assert_says(client, "no connection within 300ms");
	for (unsigned i = 0; i < array_size(fillers); i++)
		close(fillers[i]);
	close(listener);
	transfer_pool_free(pool);
}

static void nobody_listens(void **state)
{
	struct client *client = *state;
	struct transfer_request request;
	char url[64];

	close(script_listen(url, sizeof(url)));
	request = get(client, url);
	assert_int_equal(run(client, &request), BW_UNREACHABLE);
	assert_int_equal(client->response.status, 0);
	request.url = "http://does-not-exist.invalid/?secret";
	assert_int_equal(run(client, &request), BW_UNREACHABLE);
	assert_null(strstr(client->error.message, "secret"));
	request.url = "file:///etc/passwd";
	assert_int_equal(run(client, &request), BW_UNREACHABLE);
	request.url = "https://127.0.0.1:1/";
	assert_int_equal(run(client, &request), BW_UNREACHABLE);
}

static struct script_reply cancel_on_request(void *context, const char *request)
{
	(void)request;
	atomic_store((_Atomic bool *)context, true);
	return (struct script_reply){.bytes = "", .then = SCRIPT_HANG};
}

static void it_can_be_cancelled(void **state)
{
	struct client *client = *state;
	_Atomic bool cancelled = false;
	struct script_server *server = script_server_new(cancel_on_request, &cancelled);
	static const struct transfer_options options = {.connect_ms = 2000, .max_idle = 1};
	struct transfer_pool *pool = transfer_pool_new(&options);
	struct transfer_request request = get(client, server->url);

	request.cancelled = &cancelled;
	assert_int_equal(transfer_run(pool, &request, &client->response, NULL), BW_CANCELLED);
	assert_int_equal(script_requests(server), 1);
	assert_int_equal(transfer_run(pool, &request, &client->response, NULL), BW_CANCELLED);
	assert_int_equal(script_requests(server), 1);
	transfer_pool_free(pool);
	script_server_free(server);
}

static void a_header_to_send_is_one_line(void **state)
{
	struct client *client = *state;
	struct transfer_request request = get(client, client->server->url);

	request.authorization = "Bearer a\r\nX-Evil: 1";
	assert_int_equal(run(client, &request), BW_INTERNAL);
	assert_int_equal(script_requests(client->server), 0);
}

static void connections_are_kept_for_their_key_only(void **state)
{
	struct client *client = *state;
	struct transfer_request request = get(client, client->server->url);

	script_fixed_set(&client->reply, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
			 SCRIPT_KEEP);
	request.authorization = "Basic b25l";
	request.connection_key = "one";
	assert_int_equal(run(client, &request), BW_OK);
	assert_int_equal(run(client, &request), BW_OK);
	assert_int_equal(script_connections(client->server), 1);
	request.connection_key = "two";
	request.authorization = NULL;
	assert_int_equal(run(client, &request), BW_OK);
	assert_int_equal(script_connections(client->server), 2);
	request.connection_key = "one";
	assert_int_equal(run(client, &request), BW_OK);
	assert_int_equal(script_connections(client->server), 2);
	/* a kept handle remembers no credential */
	assert_int_equal(script_count(client->server, "Basic b25l"), 2);
}

static void a_connection_that_failed_is_not_kept(void **state)
{
	struct client *client = *state;

	assert_int_equal(
		get_reply(client, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", SCRIPT_HANG),
		BW_TIMEOUT);
	assert_int_equal(
		get_reply(client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", SCRIPT_KEEP),
		BW_OK);
	assert_int_equal(script_connections(client->server), 2);
}

static void a_kept_connection_that_was_closed_is_replaced(void **state)
{
	struct client *client = *state;

	assert_int_equal(
		get_reply(client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", SCRIPT_CLOSE),
		BW_OK);
	assert_int_equal(
		get_reply(client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", SCRIPT_CLOSE),
		BW_OK);
	assert_int_equal(script_connections(client->server), 2);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_reply_with_its_headers_and_body),
		CASE(the_request_is_plain),
		CASE(head_has_a_length_and_no_body),
		CASE(interim_replies_and_trailers_are_passed_over),
		CASE(errors_of_the_server_are_answers),
		CASE(a_redirect_is_not_followed),
		CASE(a_body_nobody_wants_is_not_read),
		CASE(a_short_body_is_told_from_a_whole_one),
		CASE(what_is_no_http_is_unreachable),
		CASE(headers_are_bounded),
		CASE(endless_interim_replies_end),
		CASE(every_phase_has_its_limit),
		CASE(connecting_has_its_limit),
		CASE(nobody_listens),
		CASE(it_can_be_cancelled),
		CASE(a_header_to_send_is_one_line),
		CASE(connections_are_kept_for_their_key_only),
		CASE(a_connection_that_failed_is_not_kept),
		CASE(a_kept_connection_that_was_closed_is_replaced),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
