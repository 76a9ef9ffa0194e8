/* Manifests and lists from an upstream: what is verified, what failures are
 * called, and what several mirrors amount to. */
#include "tests/support/upstream_fixture.h"

#include "server/base/digest.h"
#include "server/base/metrics.h"
#include "server/oci/manifest.h"

#define BODY "{\"schemaVersion\":2}"
#define TYPE "application/vnd.oci.image.manifest.v1+json"

static const char *digest_text(enum digest_algorithm algorithm, const char *body)
{
	static char text[DIGEST_TEXT_SIZE];
	struct digest digest;

	digest_of(algorithm, body, strlen(body), &digest);
	digest_format(&digest, text);
	return text;
}

static void a_manifest_comes_with_its_type_and_digest(void **state)
{
	struct scene *scene = *state;
	struct reference reference = reference_of("3.20");
	struct upstream_manifest manifest = {0};
	char text[DIGEST_TEXT_SIZE];

	registry_on(&scene->one, ALWAYS("GET /v2/library/alpine/manifests/3.20 "), 200,
		    "Content-Type: Application/vnd.oci.image.manifest.v1+json; charset=utf-8\r\n",
		    BODY);
	scene_use(scene, false);
	assert_int_equal(upstream_get_manifest(scene->upstream, "library/alpine", &reference,
					       &manifest, &scene->error),
			 BW_OK);
	digest_format(&manifest.digest, text);
	assert_string_equal(text, digest_text(DIGEST_SHA256, BODY));
	assert_string_equal(manifest.media_type, TYPE);
	assert_int_equal(manifest.body_length, strlen(BODY));
	assert_memory_equal(manifest.body, BODY, strlen(BODY));
	upstream_manifest_release(&manifest);
	assert_int_equal(script_count(scene->one.server, "application/vnd.oci.image.index.v1+json"),
			 1);
	assert_null(strstr(scene->one.server->requests[0], "manifest.v1+prettyjws"));
}

static char *told(const char *digest)
{
	return xasprintf("Docker-Content-Digest: %s\r\n", digest);
}

/* What the body is checked against: the reference, and what the upstream tells. */
static void digests_are_checked(void **state)
{
	static const struct {
		const char *told; /* of this body */
		enum digest_algorithm told_algorithm;
		const char *asked; /* of this body; NULL: by tag */
		enum status status;
	} cases[] = {
		{NULL, 0, BODY, BW_OK},
		{NULL, 0, "other", BW_CORRUPT},
		{BODY, DIGEST_SHA256, NULL, BW_OK},
		{BODY, DIGEST_SHA512, NULL, BW_OK},
		{"other", DIGEST_SHA256, NULL, BW_CORRUPT},
		{"other", DIGEST_SHA512, NULL, BW_CORRUPT},
		{BODY, DIGEST_SHA512, BODY, BW_OK},
		{"other", DIGEST_SHA512, BODY, BW_CORRUPT},
		{"other", DIGEST_SHA256, BODY, BW_CORRUPT},
		{BODY, DIGEST_SHA256, "other", BW_CORRUPT},
	};
	struct scene *scene = *state;

	scene_use(scene, false);
	for (size_t i = 0; i < array_size(cases); i++) {
		char *header = cases[i].told
				       ? told(digest_text(cases[i].told_algorithm, cases[i].told))
				       : xstrdup("");
		const char *asked =
			cases[i].asked ? digest_text(DIGEST_SHA256, cases[i].asked) : "latest";

		registry_forget(&scene->one);
		registry_on(&scene->one, ALWAYS("GET "), 200, header, BODY);
		if (get_manifest(scene, "a", asked) != cases[i].status)
			fail_msg("case %zu: %s", i, scene->error.message);
		free(header);
	}
}

static void malformed_digests_are_not_taken(void **state)
{
	struct scene *scene = *state;

	registry_on(&scene->one, ONCE("GET "), 200,
		    "Docker-Content-Digest: sha256:../../../etc/passwd\r\n", BODY);
	registry_on(&scene->one, ONCE("GET "), 200, "Docker-Content-Digest: sha256:ABC\r\n", BODY);
	registry_on(&scene->one, ONCE("GET "), 200, "Docker-Content-Digest: md5:abc\r\n", BODY);
	scene_use(scene, false);
	assert_int_equal(get_manifest(scene, "a", "1"), BW_CORRUPT);
	assert_says(scene, "malformed Docker-Content-Digest");
	assert_int_equal(get_manifest(scene, "a", "1"), BW_CORRUPT);
	/* an algorithm we do not know says nothing */
	assert_int_equal(get_manifest(scene, "a", "1"), BW_OK);
}

static enum status head(struct scene *scene, const char *reference_text, char *ret_digest)
{
	struct reference reference = reference_of(reference_text);
	struct upstream_manifest manifest = {0};
	enum status status =
		upstream_head_manifest(scene->upstream, "a", &reference, &manifest, &scene->error);

	if (status == BW_OK) {
		digest_format(&manifest.digest, ret_digest);
		assert_null(manifest.body);
	}
	upstream_manifest_release(&manifest);
	return status;
}

static void heads_need_a_digest(void **state)
{
	struct scene *scene = *state;
	char *right = told(digest_text(DIGEST_SHA256, BODY));
	char text[DIGEST_TEXT_SIZE] = "";

	registry_on(&scene->one, ONCE("HEAD /v2/a/manifests/1 "), 200, right, "");
	registry_on(&scene->one, ONCE("HEAD "), 200, "", "");
	registry_on(&scene->one, ONCE("HEAD "), 200, "Docker-Content-Digest: md5:x\r\n", "");
	registry_on(&scene->one, ONCE("HEAD "), 200, "Docker-Content-Digest: sha256:x\r\n", "");
	registry_on(&scene->one, ONCE("HEAD "), 200, "", "");
	registry_on(&scene->one, ONCE("HEAD "), 200, right, "");
	scene_use(scene, false);
	assert_int_equal(head(scene, "1", text), BW_OK);
	assert_string_equal(text, digest_text(DIGEST_SHA256, BODY));
	assert_int_equal(head(scene, "1", text), BW_UNSUPPORTED);
	assert_int_equal(head(scene, "1", text), BW_UNSUPPORTED);
	assert_int_equal(head(scene, "1", text), BW_CORRUPT);
	assert_int_equal(head(scene, digest_text(DIGEST_SHA256, BODY), text), BW_OK);
	assert_int_equal(head(scene, digest_text(DIGEST_SHA256, "other"), text), BW_CORRUPT);
	free(right);
}

static void answers_have_their_names(void **state)
{
	static const struct {
		int http_status;
		const char *headers;
		enum status status;
		int retry_after;
	} cases[] = {
		{404, "", BW_ABSENT, 0},
		{403, "", BW_DENIED, 0},
		{500, "", BW_UNREACHABLE, 0},
		{502, "", BW_UNREACHABLE, 0},
		{503, "Retry-After: 9\r\n", BW_UNREACHABLE, 9},
		{400, "", BW_UNREACHABLE, 0},
		{204, "", BW_UNREACHABLE, 0},
		{206, "", BW_UNREACHABLE, 0},
		{304, "", BW_UNREACHABLE, 0},
		{416, "", BW_UNREACHABLE, 0},
		{429, "Retry-After: 57\r\n", BW_UNAVAILABLE, 57},
	};
	struct scene *scene = *state;
	char text[64];

	for (size_t i = 0; i < array_size(cases); i++) {
		upstream_set_unref(scene->set);
		scene->set = NULL;
		scene_use(scene, false);
		registry_forget(&scene->one);
		registry_on(&scene->one, ALWAYS("GET "), cases[i].http_status, cases[i].headers,
			    "");
		assert_int_equal(get_manifest(scene, "a", "1"), cases[i].status);
		snprintf(text, sizeof(text), "upstream \"fake.test\" answered %d",
			 cases[i].http_status);
		assert_says(scene, text);
		assert_says(scene, "(credential \"anonymous\")");
		assert_int_equal(scene->error.retry_after, cases[i].retry_after);
		if (cases[i].http_status != 206)
			assert_int_equal(scene->error.http_status, cases[i].http_status);
	}
	assert_says(scene, "; retry in 57 s");
}

static void bodies_are_bounded(void **state)
{
	struct scene *scene = *state;
	size_t size = MANIFEST_MAX_BYTES + 1;
	char *body = xmalloc(size + 1);

	memset(body, ' ', size);
	body[size] = '\0';
	registry_add(&scene->one, ONCE("GET "),
		     xasprintf("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", size));
	registry_add(&scene->one, ONCE("GET "),
		     xasprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n%s",
			       size, body));
	scene_use(scene, false);
	assert_int_equal(get_manifest(scene, "a", "1"), BW_TOO_LARGE);
	assert_int_equal(get_manifest(scene, "a", "1"), BW_TOO_LARGE);
	assert_says(scene, "over 4194304 bytes");
	free(body);
}

static void an_error_with_a_broken_body_is_that_error(void **state)
{
	struct scene *scene = *state;

	registry_add(&scene->one, (struct route){"GET ", NULL, 1, SCRIPT_CLOSE, NULL},
		     xstrdup("HTTP/1.1 404 No\r\nContent-Length: 99\r\n\r\n{"));
	scene_use(scene, false);
	assert_int_equal(get_manifest(scene, "a", "1"), BW_ABSENT);
}

static void ill(struct registry *registry)
{
	registry_on(registry, ALWAYS("GET "), 500, "", "");
}

static void a_breaker_spares_an_ill_upstream(void **state)
{
	struct scene *scene = *state;

	ill(&scene->one);
	scene_use(scene, false);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(get_manifest(scene, "a", "1"), BW_UNREACHABLE);
	assert_true(metric_value(M_UPSTREAM_BREAKER, METRIC_LABELS("fake.test")) > 0);
	assert_int_equal(get_manifest(scene, "a", "1"), BW_UNAVAILABLE);
	assert_says(scene, "upstream \"fake.test\" answered 500 (credential \"anonymous\"); "
			   "not asked for another");
	assert_in_range(scene->error.retry_after, 1, 2);
	assert_int_equal(scene->error.http_status, 500);
	assert_int_equal(script_requests(scene->one.server), 5);
}

static void answers_do_not_open_the_breaker(void **state)
{
	struct scene *scene = *state;

	registry_on(&scene->one, ALWAYS("GET /v2/a/manifests/denied"), 403, "", "");
	registry_on(&scene->one, ALWAYS("GET /v2/a/manifests/odd"), 400, "", "");
	scene_use(scene, false);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(get_manifest(scene, "a", "absent"), BW_ABSENT);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(get_manifest(scene, "a", "denied"), BW_DENIED);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(get_manifest(scene, "a", "odd"), BW_UNREACHABLE);
	assert_int_equal(script_requests(scene->one.server), 30);
}

static void a_throttled_account_is_paused_and_no_other(void **state)
{
	struct scene *scene = *state;
	char *keys = xasprintf("      urls: [\"%s\"]\n"
			       "      credentials: [{match: \"team/**\", use: [robot]}]\n",
			       scene->one.server->url);

	registry_on(&scene->one, ALWAYS("GET /v2/team/"), 429, "Retry-After: 30\r\n", "");
	scene_configure(scene, keys, "credentials:\n  robot: {username: a, password: b}\n");
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_UNAVAILABLE);
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_UNAVAILABLE);
	assert_says(scene, "answered 429 (credential \"robot\"); not asked for another 30 s");
	assert_int_equal(scene->error.http_status, 429);
	assert_int_equal(get_manifest(scene, "open", "1"), BW_ABSENT);
	assert_int_equal(script_requests(scene->one.server), 2);
	free(keys);
}

static void metrics_tell_requests_and_quota(void **state)
{
	struct scene *scene = *state;
	double before = metric_value(M_UPSTREAM_REQUESTS, METRIC_LABELS("fake.test", "GET", "200"));

	registry_on(&scene->one, ALWAYS("GET "), 200, "RateLimit-Remaining: 76;w=21600\r\n", "{}");
	scene_use(scene, false);
	assert_int_equal(get_manifest(scene, "a", "1"), BW_OK);
	assert_true(metric_value(M_UPSTREAM_REQUESTS, METRIC_LABELS("fake.test", "GET", "200")) ==
		    before + 1);
	assert_true(metric_value(M_UPSTREAM_RATELIMIT, METRIC_LABELS("fake.test", "anonymous")) ==
		    76);
}

/* How a mirror behaves: an HTTP status, or not at all. */
enum { DEAD = 0 };

static void behave(struct registry *registry, int how)
{
	registry_forget(registry);
	if (how == DEAD)
		registry_add(registry, (struct route){"GET ", NULL, FOREVER, SCRIPT_RESET, NULL},
			     xstrdup(""));
	else
		registry_on(registry, ALWAYS("GET "), how, "", "{}");
}

static void mirrors_amount_to(void **state)
{
	static const struct {
		int one;
		int two;
		enum status status;
	} cases[] = {
		{200, 500, BW_OK},           {500, 200, BW_OK},
		{404, 200, BW_OK},           {403, 200, BW_OK},
		{429, 200, BW_OK},           {DEAD, 200, BW_OK},
		{404, 404, BW_ABSENT},       {DEAD, 404, BW_ABSENT},
		{500, 404, BW_ABSENT},       {404, DEAD, BW_UNREACHABLE},
		{404, 500, BW_UNREACHABLE},  {403, 404, BW_DENIED},
		{404, 403, BW_DENIED},       {DEAD, 403, BW_DENIED},
		{403, DEAD, BW_UNREACHABLE}, {429, 404, BW_UNAVAILABLE},
		{404, 429, BW_UNAVAILABLE},  {429, DEAD, BW_UNAVAILABLE},
		{DEAD, 429, BW_UNAVAILABLE}, {DEAD, DEAD, BW_UNREACHABLE},
	};
	struct scene *scene = *state;

	for (size_t i = 0; i < array_size(cases); i++) {
		/* without inheriting: no breaker of the case before */
		upstream_set_unref(scene->set);
		scene->set = NULL;
		scene_use(scene, true);
		behave(&scene->one, cases[i].one);
		behave(&scene->two, cases[i].two);
		if (get_manifest(scene, "a", "1") != cases[i].status)
			fail_msg("%d and then %d: %s", cases[i].one, cases[i].two,
				 scene->error.message);
	}
}

static void a_failure_names_its_mirror(void **state)
{
	struct scene *scene = *state;

	ill(&scene->one);
	ill(&scene->two);
	scene_use(scene, true);
	assert_int_equal(get_manifest(scene, "a", "1"), BW_UNREACHABLE);
	assert_says(scene, scene->two.server->url);
}

static void a_mirror_is_healthy_or_not_by_itself(void **state)
{
	struct scene *scene = *state;

	ill(&scene->one);
	registry_on(&scene->two, ALWAYS("GET "), 200, "", "{}");
	scene_use(scene, true);
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(get_manifest(scene, "a", "1"), BW_OK);
	assert_int_equal(script_requests(scene->one.server), 5);
	assert_int_equal(script_requests(scene->two.server), 9);
	assert_true(metric_value(M_UPSTREAM_BREAKER, METRIC_LABELS("fake.test")) == 0);
}

static void a_set_finds_by_name_and_alias(void **state)
{
	struct scene *scene = *state;
	char *keys = xasprintf("      urls: [\"%s/\"]\n      aliases: [www.fake.test]\n",
			       scene->one.server->url);

	registry_on(&scene->one, ALWAYS("GET /v2/a/manifests/1 "), 200, "", "{}");
	scene_configure(scene, keys, "");
	assert_ptr_equal(upstream_set_find(scene->set, "www.fake.test"), scene->upstream);
	assert_null(upstream_set_find(scene->set, "other.test"));
	assert_string_equal(upstream_name(scene->upstream), "fake.test");
	/* one slash between the url and the path, whatever the configuration has */
	assert_int_equal(get_manifest(scene, "a", "1"), BW_OK);
	free(keys);
}

static enum status get_tags(struct scene *scene, const char *path, struct upstream_document *ret)
{
	scene->error = (struct error){0};
	return upstream_get_document(scene->upstream, "a", path, "application/json", ret,
				     &scene->error);
}

static void a_list_has_pages(void **state)
{
	static const char *const links[][2] = {
		{"</v2/a/tags/list?last=b&n=2>; rel=\"next\"", "tags/list?last=b&n=2"},
		{"<https://internal.example/v2/a/tags/list?last=b>; rel=next", "tags/list?last=b"},
		{"</first?a=1>; rel=\"first\", </next?b=2>; title=\"x\"; REL=\"next\"",
		 "tags/list?b=2"},
		{"</v2/a/tags/list?last=b>; rel=\"prev\"", NULL},
		{"nonsense", NULL},
		{"<unclosed; rel=\"next\"", NULL},
	};
	struct scene *scene = *state;

	scene_use(scene, false);
	for (size_t i = 0; i < array_size(links); i++) {
		struct upstream_document document = {0};
		char *header =
			xasprintf("Link: %s\r\nContent-Type: application/json\r\n", links[i][0]);

		registry_forget(&scene->one);
		registry_on(&scene->one, ALWAYS("GET /v2/a/tags/list?n=2 "), 200, header,
			    "{\"tags\":[]}");
		assert_int_equal(get_tags(scene, "tags/list?n=2", &document), BW_OK);
		assert_string_equal(document.body, "{\"tags\":[]}");
		if (links[i][1])
			assert_string_equal(document.next, links[i][1]);
		else
			assert_null(document.next);
		upstream_document_release(&document);
		free(header);
	}
}

static void a_next_page_that_leads_nowhere_is_no_end(void **state)
{
	static const char *const links[] = {
		"Link: </v2/a/tags/list>; rel=\"next\"\r\n",
		"Link: </v2/a/tags/list?>; rel=\"next\"\r\n",
		"Link: </v2/a/tags/list?a b>; rel=\"next\"\r\n",
		"Link: </v2/a/tags/list?a#b>; rel=\"next\"\r\n",
	};
	struct scene *scene = *state;
	struct upstream_document document = {0};

	for (size_t i = 0; i < array_size(links); i++)
		registry_on(&scene->one, ONCE("GET "), 200, links[i], "{}");
	scene_use(scene, false);
	for (size_t i = 0; i < array_size(links); i++)
		assert_int_equal(get_tags(scene, "tags/list", &document), BW_UNREACHABLE);
}

static void documents_may_be_empty_or_absent(void **state)
{
	struct scene *scene = *state;
	struct upstream_document document = {0};

	registry_on(&scene->one, ONCE("GET "), 200, "", "");
	registry_on(&scene->one, ONCE("GET "), 404, "", "");
	scene_use(scene, false);
	assert_int_equal(get_tags(scene, "referrers/x", &document), BW_OK);
	assert_string_equal(document.body, "");
	upstream_document_release(&document);
	assert_int_equal(get_tags(scene, "referrers/x", &document), BW_ABSENT);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, scene_start, scene_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_manifest_comes_with_its_type_and_digest),
		CASE(digests_are_checked),
		CASE(malformed_digests_are_not_taken),
		CASE(heads_need_a_digest),
		CASE(answers_have_their_names),
		CASE(bodies_are_bounded),
		CASE(an_error_with_a_broken_body_is_that_error),
		CASE(a_breaker_spares_an_ill_upstream),
		CASE(answers_do_not_open_the_breaker),
		CASE(a_throttled_account_is_paused_and_no_other),
		CASE(metrics_tell_requests_and_quota),
		CASE(mirrors_amount_to),
		CASE(a_failure_names_its_mirror),
		CASE(a_mirror_is_healthy_or_not_by_itself),
		CASE(a_set_finds_by_name_and_alias),
		CASE(a_list_has_pages),
		CASE(a_next_page_that_leads_nowhere_is_no_end),
		CASE(documents_may_be_empty_or_absent),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
