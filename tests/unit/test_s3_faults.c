/* The V4 transport, and readers over it, against a server that misbehaves. */
#include "backends/s3/s3_internal.h"
#include "backends/s3/s3_store.h"
#include "backends/s3/sigv4_transport.h"
#include "tests/support/script_server.h"

#include <stdatomic.h>

#define SECRET "the-secret-key-that-nobody-may-see"
#define NO_BODY "Content-Length: 0\r\n\r\n"

/* Replies one after the other; the last one for ever. */
struct script {
	const struct script_reply *replies;
	size_t count;
	atomic_size_t next;
	struct script_server *server;
	struct s3_transport *transport;
};

static struct script_reply next_reply(void *context, const char *request)
{
	struct script *script = context;
	size_t at = atomic_fetch_add(&script->next, 1);

	(void)request;
	return script->replies[at < script->count ? at : script->count - 1];
}

static void start_with(struct script *script, script_answer answer, void *context)
{
	struct error error = {0};
	struct s3_options options = {
		.bucket = "bucket",
		.path_style = true,
		.access_key = "key",
		.secret_key = SECRET,
		.connect_ms = 1000,
		.first_byte_ms = 200,
		.stall_ms = 200,
		.operation_ms = 5000,
	};

	script->server = script_server_new(answer, context);
	options.endpoint = script->server->url;
	if (sigv4_transport_new(&options, &script->transport, &error))
		fail_msg("%s", error.message);
}

#define START(script, ...) \
	static const struct script_reply replies_[] = {__VA_ARGS__}; \
	struct script script = {.replies = replies_, .count = array_size(replies_)}; \
	start_with(&script, next_reply, &script)

static void stop(struct script *script)
{
	script->transport->ops->free(script->transport);
	script_server_free(script->server);
}

static void store_free(struct s3_store *store)
{
	free(store->prefix);
	free(store);
}

static enum status head(struct script *script, struct error *error)
{
	struct s3_head ret;

	return script->transport->ops->head(script->transport, "some/key", &ret, error);
}

static enum status put(struct script *script, bool if_absent, struct error *error)
{
	/* no body: a server that closes before it has read one resets the connection */
	struct s3_put request = {.key = "some/key", .if_absent = if_absent};

	return script->transport->ops->put(script->transport, &request, error);
}

/* ---- what refusals mean ---- */

#define XML_ERROR(status, code) \
	"HTTP/1.1 " status " X\r\nConnection: close\r\n\r\n<Error><Code>" code \
	"</Code><Message>m</Message></Error>"

static void each_refusal_is_told_from_the_others(void **state)
{
	static const struct {
		const char *reply;
		enum status status;
		const char *says;
	} cases[] = {
		{XML_ERROR("403", "SignatureDoesNotMatch"), BW_DENIED, "storage.s3.secretKey"},
		{XML_ERROR("403", "InvalidAccessKeyId"), BW_DENIED, "storage.s3.accessKey"},
		{XML_ERROR("403", "RequestTimeTooSkewed"), BW_DENIED, "clocks"},
		{XML_ERROR("400", "ExpiredToken"), BW_DENIED, "session token"},
		{XML_ERROR("404", "NoSuchBucket"), BW_UNAVAILABLE, "create the bucket"},
		{XML_ERROR("507", "XMinioStorageFull"), BW_NO_SPACE, "space"},
		{XML_ERROR("400", "XAmzContentSHA256Mismatch"), BW_CORRUPT, "some/key"},
		{XML_ERROR("400", "KeyTooLongError"), BW_INVALID, "some/key"},
		{"HTTP/1.1 301 X\r\nx-amz-bucket-region: eu-west-3\r\n" NO_BODY, BW_DENIED,
		 "eu-west-3"},
		{"HTTP/1.1 403 X\r\n" NO_BODY, BW_DENIED, "or its secret is wrong"},
		{"HTTP/1.1 418 X\r\n" NO_BODY, BW_UNREACHABLE, "418"},
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct script_reply reply = {.bytes = cases[i].reply, .then = SCRIPT_CLOSE};
		struct script script = {.replies = &reply, .count = 1};
		struct error error = {0};

		start_with(&script, next_reply, &script);
		assert_int_equal(put(&script, false, &error), cases[i].status);
		assert_non_null(strstr(error.message, cases[i].says));
		assert_non_null(strstr(error.message, "bucket"));
		assert_null(strstr(error.message, SECRET));
		assert_null(strstr(error.message, "Signature="));
		stop(&script);
	}
}

/* Of a HEAD's 404 nobody can say whether it is the object or the bucket. */
static void a_bucket_that_is_not_there_is_no_absent_object(void **state)
{
	struct error error = {0};

	(void)state;
	START(script, {.bytes = "HTTP/1.1 404 Not Found\r\n" NO_BODY});
	assert_int_equal(head(&script, &error), BW_UNAVAILABLE);
	assert_non_null(strstr(error.message, "no such bucket"));
	stop(&script);
}

static void an_object_that_is_not_there_is_absent(void **state)
{
	struct error error = {0};

	(void)state;
	START(script, {.bytes = "HTTP/1.1 404 Not Found\r\n" NO_BODY},
	      {.bytes = "HTTP/1.1 200 OK\r\n" NO_BODY},
	      {.bytes = "HTTP/1.1 404 Not Found\r\n" NO_BODY});
	assert_int_equal(head(&script, &error), BW_ABSENT);
	assert_int_equal(head(&script, NULL), BW_ABSENT);
	assert_int_equal(script_requests(script.server), 3); /* the bucket was asked once */
	stop(&script);
}

/* ---- opening ---- */

static enum status open_store(const char *reply, bool may_be_away, struct error *error)
{
	struct script_reply replies = {.bytes = reply, .then = SCRIPT_CLOSE};
	struct script script = {.replies = &replies, .count = 1};
	struct object_store *store = NULL;
	struct s3_layout layout = {.may_be_away = may_be_away};
	enum status status;

	start_with(&script, next_reply, &script);
	status = s3_store_over(script.transport, &layout, &store, error);
	if (status == BW_OK)
		object_store_free(store);
	script_server_free(script.server);
	return status;
}

static void a_server_starts_while_its_store_is_away(void **state)
{
	struct error error = {0};

	(void)state;
	assert_int_equal(open_store("HTTP/1.1 500 X\r\n" NO_BODY, true, &error), BW_OK);
	assert_int_equal(open_store("nonsense\r\n\r\n", true, &error), BW_OK);
	assert_int_not_equal(open_store("HTTP/1.1 500 X\r\n" NO_BODY, false, &error), BW_OK);
	/* what a restart will not mend is told at once */
	assert_int_equal(open_store("HTTP/1.1 404 X\r\n" NO_BODY, true, &error), BW_UNAVAILABLE);
	assert_non_null(strstr(error.message, "bucket"));
	assert_int_equal(open_store(XML_ERROR("403", "AccessDenied"), true, &error), BW_DENIED);
}

/* ---- retries ---- */

static void what_may_pass_is_tried_again(void **state)
{
	(void)state;
	START(script, {.bytes = "HTTP/1.1 500 X\r\n" NO_BODY},
	      {.bytes = XML_ERROR("503", "SlowDown"), .then = SCRIPT_CLOSE},
	      {.bytes = "", .then = SCRIPT_RESET},
	      {.bytes = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\n" NO_BODY, .then = SCRIPT_CLOSE});
	assert_int_equal(put(&script, false, NULL), BW_OK);
	assert_int_equal(script_requests(script.server), 4);
	stop(&script);
}

static void a_store_that_asks_for_time_is_unavailable(void **state)
{
	struct error error = {0};

	(void)state;
	START(script, {.bytes = XML_ERROR("503", "SlowDown"), .then = SCRIPT_CLOSE});
	assert_int_equal(put(&script, false, &error), BW_UNAVAILABLE);
	assert_non_null(strstr(error.message, "SlowDown"));
	assert_int_equal(script_requests(script.server), 4);
	stop(&script);
}

static void an_error_within_a_200_is_an_error(void **state)
{
	static const char etags[1][S3_ETAG_MAX] = {"\"e\""};
	struct s3_transport *transport;
	struct error error = {0};

	(void)state;
	START(script, {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: "
				"61\r\n\r\n<Error><Code>InternalError</Code>"
				"<Message>m</Message></Error>"});
	transport = script.transport;
	assert_int_equal(transport->ops->multipart_complete(transport, "k", "u", etags, 1, &error),
			 BW_UNREACHABLE);
	assert_non_null(strstr(error.message, "InternalError"));
	stop(&script);
}

static void a_hung_store_costs_one_deadline_and_then_nothing(void **state)
{
	int64_t start = clock_monotonic_ms();
	struct error error = {0};

	(void)state;
	START(script, {.bytes = "", .then = SCRIPT_HANG});
	for (int i = 0; i < 3; i++)
		assert_int_equal(head(&script, &error), BW_TIMEOUT);
	assert_in_range(clock_monotonic_ms() - start, 600, 3000);
	start = clock_monotonic_ms();
	assert_int_equal(head(&script, &error), BW_UNAVAILABLE);
	assert_in_range(clock_monotonic_ms() - start, 0, 100);
	assert_non_null(strstr(error.message, "no answer"));
	assert_int_equal(error.retry_after, 1);
	assert_int_equal(script_requests(script.server), 3);
	stop(&script);
}

/* ---- a conditional PUT whose answer is lost ---- */

struct lost_answer {
	bool theirs; /* it is somebody else's object */
	bool silent; /* and nobody says whose it is */
	char writer[64];
	unsigned puts;
};

static struct script_reply lose_answer(void *context, const char *request)
{
	struct lost_answer *lost = context;
	const char *writer = strstr(request, "x-amz-meta-breakwater-writer: ");
	char *reply;

	if (strstr(request, "PUT /bucket/")) {
		assert_non_null(writer);
		snprintf(lost->writer, sizeof(lost->writer), "%.32s", strchr(writer, ' ') + 1);
		if (lost->puts++ == 0)
			return (struct script_reply){.bytes = "", .then = SCRIPT_RESET};
		return (struct script_reply){.bytes = XML_ERROR("412", "PreconditionFailed"),
					     .then = SCRIPT_CLOSE};
	}
	if (lost->silent)
		return (struct script_reply){.bytes = "", .then = SCRIPT_HANG};
	reply = xasprintf("HTTP/1.1 200 OK\r\nx-amz-meta-breakwater-writer: %s\r\n" NO_BODY,
			  lost->theirs ? "somebody" : lost->writer);
	return (struct script_reply){.bytes = reply, .owned = reply, .then = SCRIPT_CLOSE};
}

static void our_own_lost_put_is_no_conflict(void **state)
{
	struct lost_answer lost = {0};
	struct script script = {0};

	(void)state;
	start_with(&script, lose_answer, &lost);
	assert_int_equal(put(&script, true, NULL), BW_OK);
	assert_int_equal(lost.puts, 2);
	stop(&script);
	lost = (struct lost_answer){.theirs = true};
	start_with(&script, lose_answer, &lost);
	assert_int_equal(put(&script, true, NULL), BW_CONFLICT);
	stop(&script);
}

/* A commit that is told of a conflict frees its parts: they may be what lies there. */
static void a_put_that_may_be_ours_is_no_conflict(void **state)
{
	struct lost_answer lost = {.silent = true};
	struct script script = {0};

	(void)state;
	start_with(&script, lose_answer, &lost);
	assert_int_equal(put(&script, true, NULL), BW_TIMEOUT);
	assert_int_equal(lost.puts, 2);
	stop(&script);
}

/* ---- reading ---- */

static struct s3_store *store_over(struct script *script)
{
	struct s3_store *store = xcalloc(1, sizeof(*store));

	store->transport = script->transport;
	store->prefix = xstrdup("");
	return store;
}

#define PIECE(range, length, bytes) \
	"HTTP/1.1 206 X\r\nETag: \"one\"\r\nContent-Range: bytes " range "/10\r\n" \
	"Content-Length: " length "\r\n\r\n" bytes

static void a_broken_read_goes_on_where_it_broke(void **state)
{
	struct object_reader *reader = NULL;
	struct s3_store *store;
	char target[16] = "";
	size_t got = 0;

	(void)state;
	START(script, {.bytes = PIECE("0-9", "10", "0123"), .then = SCRIPT_CLOSE},
	      {.bytes = PIECE("4-9", "6", "45"), .then = SCRIPT_RESET},
	      {.bytes = PIECE("6-9", "4", "6789"), .then = SCRIPT_CLOSE});
	store = store_over(&script);
	assert_int_equal(s3_open(&store->base, "k", &reader, NULL), BW_OK);
	assert_int_equal(reader->info.size, 10);
	assert_int_equal(object_read(reader, 0, target, 10, deadline_in(5000), &got, NULL), BW_OK);
	assert_int_equal(got, 10);
	assert_string_equal(target, "0123456789");
	assert_int_equal(script_count(script.server, "range: bytes=4-\r\n"), 1);
	assert_true(script_count(script.server, "if-match: \"one\"\r\n") >= 2);
	object_close(reader);
	store_free(store);
	stop(&script);
}

static void a_replaced_object_fails_and_never_ends_early(void **state)
{
	struct object_reader *reader = NULL;
	struct error error = {0};
	struct s3_store *store;
	char target[16] = "";
	size_t got = 77;

	(void)state;
	START(script, {.bytes = PIECE("0-9", "10", "0123"), .then = SCRIPT_CLOSE},
	      {.bytes = XML_ERROR("412", "PreconditionFailed"), .then = SCRIPT_CLOSE});
	store = store_over(&script);
	assert_int_equal(s3_open(&store->base, "k", &reader, NULL), BW_OK);
	assert_int_equal(object_read(reader, 0, target, 10, deadline_in(5000), &got, &error),
			 BW_UNAVAILABLE);
	assert_non_null(strstr(error.message, "replaced"));
	assert_int_equal(got, 77);
	object_close(reader);
	store_free(store);
	stop(&script);
}

static void a_listing_that_is_cut_off_is_none(void **state)
{
	struct s3_transport *transport;
	bool more = false;

	(void)state;
	START(script, {.bytes = "HTTP/1.1 200 X\r\nConnection: close\r\n\r\n<ListBucketResult>"
				"<IsTruncated>false</IsTruncated>",
		       .then = SCRIPT_CLOSE});
	transport = script.transport;
	assert_int_equal(transport->ops->list(transport, "", "", 1000, NULL, NULL, &more, NULL),
			 BW_UNREACHABLE);
	stop(&script);
}

static bool take_none(void *context, const struct s3_entry *entry)
{
	(void)context;
	(void)entry;
	fail_msg("%s was told", entry->key);
	return true;
}

static bool take_all(void *context, const struct s3_entry *entry)
{
	(void)context;
	(void)entry;
	return true;
}

#define LISTING(truncated, key) \
	"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n<ListBucketResult><IsTruncated>" truncated \
	"</IsTruncated><Contents><Key>" key "</Key><Size>1</Size></Contents></ListBucketResult>"

/* Callers cut the prefix off without looking at it. */
static void a_listing_of_what_was_not_asked_for_is_none(void **state)
{
	struct s3_transport *transport;
	bool more = false;

	(void)state;
	START(script, {.bytes = LISTING("false", "x"), .then = SCRIPT_CLOSE});
	transport = script.transport;
	assert_int_equal(transport->ops->list(transport, "some/long/prefix/", "", 1000, take_none,
					      NULL, &more, NULL),
			 BW_UNREACHABLE);
	stop(&script);
}

static void a_listing_that_does_not_go_on_ends(void **state)
{
	struct s3_transport *transport;
	bool more = false;

	(void)state;
	START(script, {.bytes = LISTING("true", "a/1"), .then = SCRIPT_CLOSE});
	transport = script.transport;
	assert_int_equal(
		transport->ops->list(transport, "a/", "", 1000, take_all, NULL, &more, NULL),
		BW_OK);
	assert_true(more);
	assert_int_equal(
		transport->ops->list(transport, "a/", "a/1", 1000, take_all, NULL, &more, NULL),
		BW_UNREACHABLE);
	stop(&script);
}

static void another_range_than_was_asked_for_is_no_answer(void **state)
{
	struct s3_get get = {.key = "k", .offset = 4};
	struct s3_body *body = NULL;
	struct s3_head ret;

	(void)state;
	START(script, {.bytes = PIECE("0-9", "10", "0123456789"), .then = SCRIPT_CLOSE});
	assert_int_equal(script.transport->ops->get(script.transport, &get, &ret, &body, NULL),
			 BW_UNREACHABLE);
	assert_null(body);
	stop(&script);
}

/* ---- keys in files ---- */

static void write_file(const char *path, const char *text)
{
	char *other = xasprintf("%s.new", path);
	FILE *file = fopen(other, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(rename(other, path), 0);
	free(other);
}

struct keys_changed {
	char *file;
};

/* Refuses the old key, and puts the new one into the file as it does. */
static struct script_reply change_keys(void *context, const char *request)
{
	struct keys_changed *changed = context;

	if (strstr(request, "Credential=new/"))
		return (struct script_reply){.bytes = "HTTP/1.1 200 OK\r\n" NO_BODY,
					     .then = SCRIPT_CLOSE};
	write_file(changed->file, "new\n");
	return (struct script_reply){.bytes = XML_ERROR("403", "InvalidAccessKeyId"),
				     .then = SCRIPT_CLOSE};
}

static void keys_are_read_again_when_they_are_refused(void **state)
{
	char *folder = scratch_make();
	struct keys_changed changed = {.file = xasprintf("%s/key", folder)};
	struct script_server *server = script_server_new(change_keys, &changed);
	struct s3_options options = {
		.endpoint = server->url,
		.bucket = "bucket",
		.path_style = true,
		.access_key_file = changed.file,
		.secret_key = SECRET,
	};
	struct s3_transport *transport = NULL;

	(void)state;
	write_file(changed.file, "old\n");
	assert_int_equal(sigv4_transport_new(&options, &transport, NULL), BW_OK);
	assert_int_equal(transport->ops->check(transport, NULL), BW_OK);
	assert_int_equal(script_requests(server), 2);
	transport->ops->free(transport);
	script_server_free(server);
	free(changed.file);
	scratch_remove(folder);
}

static void options_that_cannot_be_are_refused(void **state)
{
	static const struct s3_options wrong[] = {
		{.endpoint = "minio:9000", .bucket = "bucket"},
		{.endpoint = "ftp://minio", .bucket = "bucket"},
		{.endpoint = "http://", .bucket = "bucket"},
		{.endpoint = "http://minio/path", .bucket = "bucket"},
		{.endpoint = "http://user@minio", .bucket = "bucket"},
		{.endpoint = "http://minio", .bucket = "a/b"},
		{.endpoint = "http://minio", .bucket = "no"},
		{.endpoint = "http://minio"},
		{.bucket = "bucket"},
		{.endpoint = "http://minio", .bucket = "bucket", .access_key = "alone"},
		{.endpoint = "http://minio", .bucket = "bucket", .secret_key_file = "/nowhere"},
	};

	(void)state;
	for (size_t i = 0; i < array_size(wrong); i++) {
		struct s3_transport *transport = NULL;
		struct error error = {0};

		assert_int_not_equal(sigv4_transport_new(&wrong[i], &transport, &error), BW_OK);
		assert_true(error.message[0]);
		assert_null(transport);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_refusal_is_told_from_the_others),
		cmocka_unit_test(a_bucket_that_is_not_there_is_no_absent_object),
		cmocka_unit_test(an_object_that_is_not_there_is_absent),
		cmocka_unit_test(a_server_starts_while_its_store_is_away),
		cmocka_unit_test(what_may_pass_is_tried_again),
		cmocka_unit_test(a_store_that_asks_for_time_is_unavailable),
		cmocka_unit_test(an_error_within_a_200_is_an_error),
		cmocka_unit_test(a_hung_store_costs_one_deadline_and_then_nothing),
		cmocka_unit_test(our_own_lost_put_is_no_conflict),
		cmocka_unit_test(a_put_that_may_be_ours_is_no_conflict),
		cmocka_unit_test(a_broken_read_goes_on_where_it_broke),
		cmocka_unit_test(a_replaced_object_fails_and_never_ends_early),
		cmocka_unit_test(a_listing_that_is_cut_off_is_none),
		cmocka_unit_test(a_listing_of_what_was_not_asked_for_is_none),
		cmocka_unit_test(a_listing_that_does_not_go_on_ends),
		cmocka_unit_test(another_range_than_was_asked_for_is_no_answer),
		cmocka_unit_test(keys_are_read_again_when_they_are_refused),
		cmocka_unit_test(options_that_cannot_be_are_refused),
	};

	return cmocka_run_group_tests_name("s3_faults", tests, NULL, NULL);
}
