/* Blobs from an upstream: where the bytes belong, and when a read has ended. */
#include "tests/support/upstream_fixture.h"

#include "server/base/digest.h"

#define CONTENT "0123456789"

struct sink {
	struct buf bytes;
	unsigned begun;
	uint64_t offset;
	bool has_total;
	uint64_t total;
	bool refuse_begin;
	bool refuse_write;
};

static bool sink_begin(void *context, uint64_t offset, bool has_total, uint64_t total)
{
	struct sink *sink = context;

	sink->begun++;
	sink->offset = offset;
	sink->has_total = has_total;
	sink->total = total;
	return !sink->refuse_begin;
}

static bool sink_write(void *context, const void *bytes, size_t length)
{
	struct sink *sink = context;

	assert_true(sink->begun > 0);
	buf_append(&sink->bytes, bytes, length);
	return !sink->refuse_write;
}

static struct digest content_digest(void)
{
	struct digest digest;

	digest_of(DIGEST_SHA256, CONTENT, strlen(CONTENT), &digest);
	return digest;
}

static enum status get_blob(struct scene *scene, uint64_t offset, struct sink *sink)
{
	struct blob_sink target = {sink_begin, sink_write, sink};
	struct digest digest = content_digest();

	scene->error = (struct error){0};
	buf_release(&sink->bytes);
	sink->bytes = BUF_INIT(1 << 20);
	sink->begun = 0;
	return upstream_get_blob(scene->upstream, "a", &digest, offset, &target, NULL,
				 &scene->error);
}

static void a_blob_streams_from_its_start(void **state)
{
	struct scene *scene = *state;
	struct sink sink = {0};

	registry_on(&scene->one, ALWAYS("GET /v2/a/blobs/sha256:"), 200, "", CONTENT);
	scene_use(scene, false);
	assert_int_equal(get_blob(scene, 0, &sink), BW_OK);
	assert_string_equal(buf_string(&sink.bytes), CONTENT);
	assert_int_equal(sink.offset, 0);
	assert_true(sink.has_total);
	assert_int_equal(sink.total, 10);
	assert_int_equal(script_count(scene->one.server, "Range:"), 0);
	assert_int_equal(script_count(scene->one.server, "Accept-Encoding"), 0);
	buf_release(&sink.bytes);
}

static void a_blob_resumes_where_it_broke(void **state)
{
	struct scene *scene = *state;
	struct sink sink = {0};

	registry_add(&scene->one, (struct route){"GET ", NULL, 1, SCRIPT_CLOSE, NULL},
		     xstrdup("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123"));
	registry_on(&scene->one, WITH("GET ", "Range: bytes=4-\r\n"), 206,
		    "Content-Range: bytes 4-9/10\r\n", "456789");
	scene_use(scene, false);
	assert_int_equal(get_blob(scene, 0, &sink), BW_UNREACHABLE);
	assert_says(scene, "ended early after 4 of 10 bytes");
	assert_string_equal(buf_string(&sink.bytes), "0123");
	assert_int_equal(get_blob(scene, 4, &sink), BW_OK);
	assert_string_equal(buf_string(&sink.bytes), "456789");
	assert_int_equal(sink.offset, 4);
	assert_true(sink.has_total);
	assert_int_equal(sink.total, 10);
	buf_release(&sink.bytes);
}

static void an_ignored_range_begins_at_the_start(void **state)
{
	struct scene *scene = *state;
	struct sink sink = {.offset = 99};

	registry_on(&scene->one, ALWAYS("GET "), 200, "", CONTENT);
	scene_use(scene, false);
	assert_int_equal(get_blob(scene, 4, &sink), BW_OK);
	assert_int_equal(sink.offset, 0);
	assert_string_equal(buf_string(&sink.bytes), CONTENT);
	buf_release(&sink.bytes);
}

static void other_ranges_are_not_taken(void **state)
{
	static const char *const headers[] = {
		"",
		"Content-Range: bytes 0-5/10\r\n",
		"Content-Range: bytes 5-10/11\r\n",
		"Content-Range: bytes 4-8/10\r\n",
		"Content-Range: bytes 4-\r\n",
		"Content-Range: lines 4-9/10\r\n",
	};
	struct scene *scene = *state;
	struct sink sink = {0};

	for (size_t i = 0; i < array_size(headers); i++) {
		registry_forget(&scene->one);
		upstream_set_unref(scene->set);
		scene->set = NULL;
		scene_use(scene, false);
		registry_on(&scene->one, ALWAYS("GET "), 206, headers[i], "456789");
		assert_int_equal(get_blob(scene, 4, &sink), BW_UNREACHABLE);
		assert_int_equal(sink.begun, 0);
	}
	assert_int_equal(get_blob(scene, 0, &sink), BW_UNREACHABLE);
	assert_says(scene, "206 unasked");
	registry_forget(&scene->one);
	registry_on(&scene->one, ALWAYS("GET "), 416, "Content-Range: bytes */4\r\n", "");
	assert_int_equal(get_blob(scene, 4, &sink), BW_CORRUPT);
	assert_says(scene, "answered 416");
	buf_release(&sink.bytes);
}

static void a_sink_may_refuse(void **state)
{
	struct scene *scene = *state;
	struct sink sink = {.refuse_begin = true};

	registry_on(&scene->one, ALWAYS("GET "), 200, "", CONTENT);
	registry_on(&scene->two, ALWAYS("GET "), 200, "", CONTENT);
	scene_use(scene, true);
	assert_int_equal(get_blob(scene, 0, &sink), BW_CANCELLED);
	assert_int_equal(sink.bytes.length, 0);
	sink = (struct sink){.refuse_write = true};
	assert_int_equal(get_blob(scene, 0, &sink), BW_CANCELLED);
	assert_int_equal(script_requests(scene->two.server), 0);
	buf_release(&sink.bytes);
}

static void the_next_mirror_is_asked_until_a_byte_came(void **state)
{
	struct scene *scene = *state;
	struct sink sink = {0};

	registry_add(&scene->one, (struct route){"GET ", NULL, 1, SCRIPT_CLOSE, NULL},
		     xstrdup("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"));
	registry_add(&scene->one, (struct route){"GET ", NULL, 1, SCRIPT_CLOSE, NULL},
		     xstrdup("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0"));
	registry_on(&scene->two, ALWAYS("GET "), 200, "", CONTENT);
	scene_use(scene, true);
	assert_int_equal(get_blob(scene, 0, &sink), BW_OK);
	assert_string_equal(buf_string(&sink.bytes), CONTENT);
	assert_int_equal(script_requests(scene->two.server), 1);
	assert_int_equal(get_blob(scene, 0, &sink), BW_UNREACHABLE);
	assert_string_equal(buf_string(&sink.bytes), "0");
	assert_int_equal(script_requests(scene->two.server), 1);
	buf_release(&sink.bytes);
}

static void blobs_are_redirected_with_their_range(void **state)
{
	struct scene *scene = *state;
	struct sink sink = {0};
	char *location = xasprintf("Location: %s/cdn?Signature=a%%2Fb\r\n", scene->two.server->url);

	registry_on(&scene->one, ALWAYS("GET "), 307, location, "");
	registry_on(&scene->two, WITH("GET /cdn?Signature=a%2Fb ", "Range: bytes=4-"), 206,
		    "Content-Range: bytes 4-9/10\r\n", "456789");
	scene_use(scene, false);
	assert_int_equal(get_blob(scene, 4, &sink), BW_OK);
	assert_string_equal(buf_string(&sink.bytes), "456789");
	buf_release(&sink.bytes);
	free(location);
}

static void a_stopped_fill_ends(void **state)
{
	struct scene *scene = *state;
	struct sink sink = {.bytes = BUF_INIT(100)};
	struct blob_sink target = {sink_begin, sink_write, &sink};
	struct digest digest = content_digest();
	_Atomic bool cancelled = true;

	registry_on(&scene->one, ALWAYS("GET "), 200, "", CONTENT);
	scene_use(scene, true);
	assert_int_equal(
		upstream_get_blob(scene->upstream, "a", &digest, 0, &target, &cancelled, NULL),
		BW_CANCELLED);
	assert_int_equal(script_requests(scene->one.server) + script_requests(scene->two.server),
			 0);
}

static enum status probe(struct scene *scene, uint64_t *ret_size)
{
	struct digest digest = content_digest();

	*ret_size = 99;
	return upstream_probe_blob(scene->upstream, "a", &digest, ret_size, &scene->error);
}

static void a_probe_is_a_head(void **state)
{
	struct scene *scene = *state;
	uint64_t size;

	registry_on(&scene->one, ONCE("HEAD /v2/a/blobs/sha256:"), 200, "", CONTENT);
	registry_on(&scene->one, ONCE("HEAD "), 404, "", "");
	registry_on(&scene->one, ONCE("HEAD "), 500, "", "");
	scene_use(scene, false);
	registry_add(&scene->one, ONCE("HEAD "), xstrdup("HTTP/1.1 200 OK\r\n\r\n"));
	assert_int_equal(probe(scene, &size), BW_OK);
	assert_int_equal(script_requests(scene->one.server), 1);
	assert_int_equal(probe(scene, &size), BW_ABSENT);
	assert_int_equal(size, 99);
	assert_int_equal(probe(scene, &size), BW_UNREACHABLE);
	assert_int_equal(probe(scene, &size), BW_OK);
	assert_int_equal(size, 99);
	assert_int_equal(script_count(scene->one.server, "GET "), 0);
}

static void where_heads_are_refused_a_byte_is_asked(void **state)
{
	static const int refusals[] = {401, 403, 405, 400, 501};
	struct scene *scene = *state;
	uint64_t size;

	for (size_t i = 0; i < array_size(refusals); i++)
		registry_on(&scene->one, ONCE("HEAD "), refusals[i], "", "");
	registry_on(&scene->one, WITH("GET ", "Range: bytes=0-0\r\n"), 206,
		    "Content-Range: bytes 0-0/10\r\n", "0");
	scene_use(scene, false);
	for (size_t i = 0; i < array_size(refusals); i++) {
		assert_int_equal(probe(scene, &size), BW_OK);
		assert_int_equal(size, 10);
	}
	registry_forget(&scene->one);
	registry_on(&scene->one, ALWAYS("HEAD "), 403, "", "");
	registry_on(&scene->one, ONCE("GET "), 200, "", CONTENT);
	registry_on(&scene->one, ALWAYS("GET "), 403, "", "");
	assert_int_equal(probe(scene, &size), BW_OK);
	assert_int_equal(size, 10);
	assert_int_equal(probe(scene, &size), BW_DENIED);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, scene_start, scene_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_blob_streams_from_its_start),
		CASE(a_blob_resumes_where_it_broke),
		CASE(an_ignored_range_begins_at_the_start),
		CASE(other_ranges_are_not_taken),
		CASE(a_sink_may_refuse),
		CASE(the_next_mirror_is_asked_until_a_byte_came),
		CASE(blobs_are_redirected_with_their_range),
		CASE(a_stopped_fill_ends),
		CASE(a_probe_is_a_head),
		CASE(where_heads_are_refused_a_byte_is_asked),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
