/* What libs3 gets wrong, or cannot do, must not become a wrong answer of ours: refusals
 * without a body, answers that are cut, servers that hang. */
#include "backends/s3/libs3/libs3_store.h"
#include "server/base/clock.h"
#include "tests/support/script_server.h"

#include <string.h>

#define HEAD_END "Last-Modified: Tue, 24 Nov 2026 10:00:00 GMT\r\n\r\n"
#define ENTRY(key) \
	"<Contents><Key>" key "</Key><LastModified>2026-11-24T10:00:00.500Z</LastModified>" \
	"<Size>3</Size></Contents>"

/* What is answered to each method; NULL: 404 without a body. */
struct replies {
	const char *head;
	const char *get;
	const char *put;
	const char *list; /* to a listing's first request; later ones find nothing */
	enum script_then then; /* after GET, PUT and lists */
	bool listed;
};

static const char nothing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
static const char empty_list[] =
	"HTTP/1.1 200 OK\r\nContent-Length: 69\r\n\r\n"
	"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";

static struct script_reply answer(void *context, const char *request)
{
	struct replies *replies = context;
	const char *bytes = replies->get;

	if (strncmp(request, "HEAD", 4) == 0)
		return (struct script_reply){.bytes = replies->head ? replies->head : nothing};
	if (strncmp(request, "PUT", 3) == 0)
		bytes = replies->put;
	if (strstr(request, "max-keys=")) {
		bytes = replies->listed || !replies->list ? empty_list : replies->list;
		replies->listed = true;
	}
	return (struct script_reply){.bytes = bytes ? bytes : nothing, .then = replies->then};
}

struct fixture {
	struct replies replies;
	struct script_server *server;
	struct s3_transport *transport;
};

static struct s3_options options_for(const char *endpoint)
{
	return (struct s3_options){.endpoint = endpoint,
				   .bucket = "bucket",
				   .path_style = true,
				   .access_key = "key",
				   .secret_key = "secret-words",
				   .first_byte_ms = 300,
				   .stall_ms = 300,
				   .operation_ms = 2000};
}

static int setup(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));
	struct s3_options options;
	struct error error = {0};

	fixture->replies.then = SCRIPT_CLOSE;
	fixture->server = script_server_new(answer, &fixture->replies);
	options = options_for(fixture->server->url);
	if (libs3_transport_new(&options, &fixture->transport, &error))
		fail_msg("%s", error.message);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	fixture->transport->ops->free(fixture->transport);
	script_server_free(fixture->server);
	free(fixture);
	return 0;
}

static enum status put(struct fixture *fixture, struct error *error)
{
	struct s3_put request = {.key = "a/b", .bytes = "123", .length = 3};
	enum status status = fixture->transport->ops->put(fixture->transport, &request, error);

	assert_null(strstr(error->message, "secret-words"));
	return status;
}

static void a_refused_put_is_no_success(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", /* and stored nothing */
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < array_size(answers); i++) {
		struct error error = {0};

		fixture->replies.put = answers[i];
		assert_int_not_equal(put(fixture, &error), BW_OK);
		assert_int_not_equal(error.code, BW_ABSENT);
		assert_string_not_equal(error.message, "");
	}
}

/* MinIO denies a PUT in passing whose folder somebody's DELETE was just removing. */
static void a_put_that_is_denied_is_tried_again(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};

	fixture->replies.put = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\n"
			       "Content-Type: application/xml\r\nContent-Length: 60\r\n\r\n"
			       "<Error><Code>AccessDenied</Code><Message>m</Message></Error>";
	assert_int_equal(put(fixture, &error), BW_DENIED);
	assert_non_null(strstr(error.message, "AccessDenied"));
	assert_in_range(script_count(fixture->server, "PUT /"), 2, 4);
}

/* The object of before is still there: it bears not our mark. */
static void somebody_elses_object_is_no_proof(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};

	fixture->replies.put =
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n";
	fixture->replies.head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
				"x-amz-meta-breakwater-writer: another\r\n" HEAD_END;
	assert_int_equal(put(fixture, &error), BW_UNREACHABLE);
}

static void what_is_there_is_a_conflict(void **state)
{
	struct s3_put request = {.key = "a/b", .bytes = "1", .length = 1, .if_absent = true};
	struct fixture *fixture = *state;
	struct error error = {0};

	fixture->replies.head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" HEAD_END;
	assert_int_equal(fixture->transport->ops->put(fixture->transport, &request, &error),
			 BW_CONFLICT);
	assert_int_equal(script_count(fixture->server, "PUT /"), 0);
}

static enum status get_all(struct fixture *fixture, char *target, size_t size, size_t *ret_length)
{
	struct s3_get get = {.key = "a/b"};
	struct s3_body *body = NULL;
	struct s3_head head;
	struct error error = {0};
	size_t length = 0;
	size_t got;
	enum status status =
		fixture->transport->ops->get(fixture->transport, &get, &head, &body, &error);

	if (status)
		return status;
	do {
		status = body->ops->read(body, target + length, size - length, deadline_in(5000),
					 &got, &error);
		length += status ? 0 : got;
	} while (!status && got);
	body->ops->close(body);
	*ret_length = length;
	return status;
}

#define TEN "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"1\"\r\n" HEAD_END

static void a_body_that_is_cut_has_no_end(void **state)
{
	struct fixture *fixture = *state;
	size_t length = 0;
	char bytes[32];

	fixture->replies.head = TEN;
	fixture->replies.get = TEN "01234";
	assert_int_equal(get_all(fixture, bytes, sizeof(bytes), &length), BW_UNREACHABLE);
	assert_int_equal(length, 5);
	fixture->replies.get = TEN "0123456789";
	assert_int_equal(get_all(fixture, bytes, sizeof(bytes), &length), BW_OK);
	assert_int_equal(length, 10);
	assert_memory_equal(bytes, "0123456789", 10);
}

static void a_body_without_a_size_is_refused(void **state)
{
	struct fixture *fixture = *state;
	size_t length = 77;
	char bytes[32];

	fixture->replies.get = "HTTP/1.1 200 OK\r\n" HEAD_END "0123456789";
	assert_int_equal(get_all(fixture, bytes, sizeof(bytes), &length), BW_UNREACHABLE);
	assert_int_equal(length, 77);
}

static void a_body_that_stalls_costs_its_deadline(void **state)
{
	struct fixture *fixture = *state;
	int64_t began = clock_monotonic_ms();
	size_t length = 0;
	char bytes[32];

	fixture->replies.head = TEN;
	fixture->replies.get = TEN "01234";
	fixture->replies.then = SCRIPT_HANG;
	assert_int_equal(get_all(fixture, bytes, sizeof(bytes), &length), BW_TIMEOUT);
	assert_in_range(clock_monotonic_ms() - began, 250, 3000);
}

static void a_server_that_hangs_costs_a_deadline(void **state)
{
	struct fixture *fixture = *state;
	int64_t began = clock_monotonic_ms();
	struct error error = {0};
	struct s3_head head;

	fixture->replies.head = "HTTP/1.1 100 Continue\r\n\r\n"; /* and then nothing */
	assert_int_equal(fixture->transport->ops->head(fixture->transport, "a", &head, &error),
			 BW_TIMEOUT);
	assert_in_range(clock_monotonic_ms() - began, 250, 3000);
}

static bool count_entry(void *context, const struct s3_entry *entry)
{
	assert_int_equal(entry->stored_at, 1795514400000); /* whatever the time zone */
	++*(unsigned *)context;
	return true;
}

static void a_listing_that_is_cut_is_no_end(void **state)
{
	struct fixture *fixture = *state;
	unsigned count = 0;
	bool more = true;

	fixture->replies.list = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n<ListBucketResult>"
				"<IsTruncated>false</IsTruncated>" ENTRY("a") "<Contents><Key>b";
	assert_int_equal(fixture->transport->ops->list(fixture->transport, "", "", 1000,
						       count_entry, &count, &more, NULL),
			 BW_OK);
	assert_int_equal(count, 1);
	assert_false(more);
	assert_int_equal(script_count(fixture->server, "marker=a"), 1); /* was asked again */
}

static void absent_is_told_by_a_bucket_that_is_there(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};
	struct s3_head head;

	assert_int_equal(fixture->transport->ops->head(fixture->transport, "a", &head, &error),
			 BW_ABSENT);
	assert_true(script_count(fixture->server, "max-keys=1") > 0);
}

static void what_libs3_cannot_do_is_refused(void **state)
{
	struct s3_transport *transport = NULL;
	struct s3_options options = options_for("https://gateway");
	struct error error = {0};

	(void)state;
	assert_int_equal(libs3_transport_new(&options, &transport, &error), BW_UNSUPPORTED);
	assert_non_null(strstr(error.message, "storage.s3.endpoint"));
	options = options_for("http://gateway/path");
	assert_int_equal(libs3_transport_new(&options, &transport, &error), BW_INVALID);
	options = options_for("http://gateway");
	options.session_token_file = "/token";
	assert_int_equal(libs3_transport_new(&options, &transport, &error), BW_UNSUPPORTED);
	options = options_for("http://gateway");
	options.secret_key = NULL;
	assert_int_equal(libs3_transport_new(&options, &transport, &error), BW_INVALID);
	options = options_for("http://gateway");
	options.bucket = "no/bucket";
	assert_int_equal(libs3_transport_new(&options, &transport, &error), BW_INVALID);
	assert_null(transport);
}

#define ON_SERVER(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_SERVER(a_refused_put_is_no_success),
		ON_SERVER(a_put_that_is_denied_is_tried_again),
		ON_SERVER(somebody_elses_object_is_no_proof),
		ON_SERVER(what_is_there_is_a_conflict),
		ON_SERVER(a_body_that_is_cut_has_no_end),
		ON_SERVER(a_body_without_a_size_is_refused),
		ON_SERVER(a_body_that_stalls_costs_its_deadline),
		ON_SERVER(a_server_that_hangs_costs_a_deadline),
		ON_SERVER(a_listing_that_is_cut_is_no_end),
		ON_SERVER(absent_is_told_by_a_bucket_that_is_there),
		cmocka_unit_test(what_libs3_cannot_do_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
