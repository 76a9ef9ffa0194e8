/*
 * One blob, one upstream, three replicas over real sockets: how often the upstream is
 * asked while one of them fetches, dies, hangs, or is none of them.
 */
#include "server/base/metrics.h"
#include "server/cache/origin_cluster.h"
#include "server/cluster/claim.h"
#include "server/cluster/follow.h"
#include "server/cluster/request.h"
#include "tests/support/replicas.h"

#include <poll.h>
#include <sched.h>

#define SIZE ((size_t)2 << 20)
#define HALF (SIZE / 2)
#define CLIENTS 30

static int make(void **state)
{
	*state = replicas_new(SIZE);
	return 0;
}

static int forget(void **state)
{
	replicas_free(*state);
	return 0;
}

static void a_answers(struct replicas *replicas, struct fake_reply reply)
{
	reply.body = replicas->bytes;
	reply.length = SIZE;
	fake_answer_blob("a.test", "team/app", &replicas->digest, reply);
}

static struct fake_route asked_a(struct replicas *replicas)
{
	return fake_asked_blob("a.test", "team/app", &replicas->digest);
}

static double followed(const char *result)
{
	return metric_value(M_CLUSTER_FOLLOWED, METRIC_LABELS(result));
}

static enum status open_at(struct replicas *replicas, unsigned index, struct blob_source *blob)
{
	struct error error = {0};
	enum status status = cache_open_blob(replicas->each[index].cache, &replicas->world->a,
					     &replicas->digest, blob, &error);

	if (status != BW_OK)
		print_message("replica %u: %s\n", index, error.message);
	return status;
}

static void assert_reads_all(struct replicas *replicas, struct blob_source *blob)
{
	struct error error = {0};

	if (!reads_like(blob, 0, replicas->bytes, &error))
		fail_msg("%s", error.message);
}

static void read_at(void *context, unsigned index)
{
	struct replicas *replicas = context;
	struct blob_source blob = {0};

	assert_int_equal(open_at(replicas, index % REPLICAS, &blob), BW_OK);
	assert_reads_all(replicas, &blob);
	blob_source_release(&blob);
}

/* Readers have their bytes before that. */
static void await_stored(struct replicas *replicas)
{
	deadline_ms end = deadline_in(GATE_PATIENCE_MS);

	while (objects_under(replicas->world, "blobs/") != 1) {
		assert_false(deadline_passed(end));
		sched_yield();
	}
}

static void test_many_clients_of_all_replicas_cost_one_fetch(void **state)
{
	struct replicas *replicas = *state;

	a_answers(replicas, (struct fake_reply){0});
	run_together(CLIENTS, read_at, replicas);
	assert_int_equal(asked_a(replicas).gets, 1);
	await_stored(replicas);
}

/* The upstream stands still in the middle, where the follower has come through the
 * holder. */
static void open_both_at_half(struct replicas *replicas, struct blob_source *holder,
			      struct blob_source *follower)
{
	uint64_t end = 0;

	a_answers(replicas, (struct fake_reply){.gate = &replicas->gate, .gate_at = HALF});
	assert_int_equal(open_at(replicas, 0, holder), BW_OK);
	gate_await(&replicas->gate, 1);
	assert_int_equal(open_at(replicas, 1, follower), BW_OK);
	while (end < HALF)
		assert_int_equal(
			blob_source_wait(follower, end, deadline_in(GATE_PATIENCE_MS), &end, NULL),
			BW_OK);
	assert_int_equal(end, HALF);
}

/* The upstream stands still in the middle: what came before is here already. */
static void test_bytes_come_while_the_holder_still_fetches(void **state)
{
	struct replicas *replicas = *state;
	struct blob_source holder = {0}, follower = {0};
	double whole = followed("whole");

	open_both_at_half(replicas, &holder, &follower);
	gate_open(&replicas->gate);
	assert_reads_all(replicas, &follower);
	assert_reads_all(replicas, &holder);
	blob_source_release(&follower);
	blob_source_release(&holder);
	assert_int_equal(asked_a(replicas).gets, 1);
	assert_true(followed("whole") > whole);
}

static void test_a_dead_holder_is_taken_over_from_where_we_are(void **state)
{
	struct replicas *replicas = *state;
	struct blob_source holder = {0}, follower = {0};
	double takeovers = metric_value(M_CLUSTER_TAKEOVERS, METRIC_LABELS(NULL));

	open_both_at_half(replicas, &holder, &follower);
	a_answers(replicas, (struct fake_reply){0});
	replica_die(&replicas->each[0]);
	assert_reads_all(replicas, &follower);
	assert_int_equal(asked_a(replicas).gets, 2);
	assert_int_equal(asked_a(replicas).offsets[1], HALF);
	assert_true(metric_value(M_CLUSTER_TAKEOVERS, METRIC_LABELS(NULL)) > takeovers);

	/* and the old one, who only seemed dead, ends well for its own readers */
	gate_open(&replicas->gate);
	assert_reads_all(replicas, &holder);
	blob_source_release(&follower);
	blob_source_release(&holder);
	await_stored(replicas);
}

/* A replica that holds the claim and is never heard of: it listens, and no more. */
static void with_silent_holder(struct replicas *replicas, bool renewing)
{
	struct coordination *coordination = replicas->coordination;
	struct cluster_options options = {
		.coordination = coordination,
		.secret = CLUSTER_SECRET,
		.timing = hasty,
	};
	char url[64], name[DIGEST_TEXT_SIZE + 8] = "fill/";
	int listener = script_listen(url, sizeof(url));
	struct claim_holder holder;
	struct blob_source blob = {0};
	struct claim *claim = NULL;
	struct cluster *silent;
	struct lease lease = {0};

	options.advertise_address = url + strlen("http://");
	assert_int_equal(cluster_new(&options, &silent, NULL), BW_OK);
	assert_int_equal(claim_take(silent, &replicas->digest, &claim, &holder, NULL), BW_OK);
	if (!renewing) {
		/* what it held is left to expire */
		char text[COORDINATION_TEXT_MAX + 1];

		digest_format(&replicas->digest, name + strlen(name));
		assert_int_equal(coordination_take_lease(coordination, name, "x", 1, &lease, NULL),
				 BW_CONFLICT);
		assert_true(str_copy(text, sizeof(text), lease.holder));
		claim_drop(claim);
		claim = NULL;
		assert_int_equal(
			coordination_take_lease(coordination, name, text, 1200, &lease, NULL),
			BW_OK);
	}
	assert_int_equal(open_at(replicas, 1, &blob), BW_OK);
	assert_reads_all(replicas, &blob);
	blob_source_release(&blob);
	claim_drop(claim);
	cluster_free(silent);
	close(listener);
}

static void test_a_holder_that_hangs_loses_its_lease(void **state)
{
	a_answers(*state, (struct fake_reply){0});
	with_silent_holder(*state, false);
	assert_int_equal(asked_a(*state).gets, 1);
}

static void test_a_holder_that_lives_and_sends_nothing_is_left_alone(void **state)
{
	a_answers(*state, (struct fake_reply){0});
	with_silent_holder(*state, true);
	assert_int_equal(asked_a(*state).gets, 1);
}

static void test_an_address_that_no_replica_signed_is_not_connected_to(void **state)
{
	struct replicas *replicas = *state;
	char url[64], name[DIGEST_TEXT_SIZE + 8] = "fill/", *holder;
	int listener = script_listen(url, sizeof(url));
	struct blob_source blob = {0};
	struct lease lease;
	struct pollfd waiting = {.fd = listener, .events = POLLIN};

	a_answers(replicas, (struct fake_reply){0});
	digest_format(&replicas->digest, name + strlen(name));
	holder = xasprintf("%s/%064d", url + strlen("http://"), 0);
	assert_int_equal(
		coordination_take_lease(replicas->coordination, name, holder, 60000, &lease, NULL),
		BW_OK);
	assert_int_equal(open_at(replicas, 1, &blob), BW_OK);
	assert_reads_all(replicas, &blob);
	blob_source_release(&blob);
	assert_int_equal(poll(&waiting, 1, 0), 0);
	close(listener);
	free(holder);
}

/* Whoever sits at an address that was a replica's once, and answers everything. */
static void test_who_does_not_know_the_secret_is_not_believed(void **state)
{
	struct replicas *replicas = *state;
	struct script_fixed fixed;
	struct script_server *server;
	struct cluster_options options = {
		.coordination = replicas->coordination,
		.secret = CLUSTER_SECRET,
		.timing = hasty,
	};
	struct blob_source blob = {0};
	struct claim_holder holder;
	struct claim *claim;
	struct cluster *former;

	a_answers(replicas, (struct fake_reply){0});
	script_fixed_init(&fixed);
	script_fixed_set(&fixed,
			 "HTTP/1.1 206 X\r\nContent-Range: bytes 0-3/4\r\nContent-Length: 4\r\n"
			 "X-Breakwater-Answer: "
			 "0000000000000000000000000000000000000000000000000000000000000000\r\n\r\n"
			 "evil",
			 SCRIPT_KEEP);
	server = script_server_new(script_fixed_answer, &fixed);
	options.advertise_address = server->url + strlen("http://");
	assert_int_equal(cluster_new(&options, &former, NULL), BW_OK);
	assert_int_equal(claim_take(former, &replicas->digest, &claim, &holder, NULL), BW_OK);
	assert_int_equal(open_at(replicas, 1, &blob), BW_OK);
	assert_reads_all(replicas, &blob);
	blob_source_release(&blob);
	assert_int_equal(script_count(server, "GET " REPLICA_PATH), 1);
	assert_int_equal(asked_a(replicas).gets, 1);
	claim_drop(claim);
	cluster_free(former);
	script_server_free(server);
	script_fixed_release(&fixed);
}

/* Bytes that are fetched for one repository are no other's readers' before its own
 * upstream said so. */
static void test_following_opens_nothing_that_is_not_confirmed(void **state)
{
	struct replicas *replicas = *state;
	struct blob_source holder = {0}, stranger = {0};

	a_answers(replicas, (struct fake_reply){.gate = &replicas->gate, .gate_at = HALF});
	assert_int_equal(open_at(replicas, 0, &holder), BW_OK);
	gate_await(&replicas->gate, 1);
	assert_int_equal(cache_open_blob(replicas->each[1].cache, &replicas->world->b,
					 &replicas->digest, &stranger, NULL),
			 BW_ABSENT);
	gate_open(&replicas->gate);
	assert_reads_all(replicas, &holder);
	blob_source_release(&holder);
}

struct followed_bytes {
	char *bytes;
	uint64_t length;
	bool begun;
	struct gate *opens; /* at the first bytes */
};

static bool take_head(void *context, uint64_t offset, bool has_total, uint64_t total)
{
	struct followed_bytes *got = context;

	(void)has_total;
	assert_int_equal(total, SIZE);
	got->length = offset;
	got->begun = true;
	return true;
}

static bool take_bytes(void *context, const void *bytes, size_t length)
{
	struct followed_bytes *got = context;

	assert_true(got->length + length <= SIZE);
	memcpy(got->bytes + got->length, bytes, length);
	got->length += length;
	if (got->opens)
		gate_open(got->opens);
	return true;
}

static void test_what_is_stored_is_had_from_any_offset(void **state)
{
	struct replicas *replicas = *state;
	struct followed_bytes got = {.bytes = xcalloc(1, SIZE)};
	const struct blob_sink sink = {take_head, take_bytes, &got};
	struct digest unknown = {.algorithm = DIGEST_SHA256};
	_Atomic bool cancelled = false;
	struct error error = {0};
	const uint64_t offset = SIZE - 1000;

	a_answers(replicas, (struct fake_reply){0});
	read_at(replicas, 0);
	assert_int_equal(follow(replicas->each[1].cluster, replicas->each[0].address,
				&replicas->digest, offset, &sink, &cancelled, &error),
			 FOLLOW_WHOLE);
	assert_int_equal(got.length, SIZE);
	assert_memory_equal(got.bytes + offset, replicas->bytes + offset, 1000);
	got.begun = false;
	assert_int_equal(follow(replicas->each[1].cluster, replicas->each[0].address, &unknown, 0,
				&sink, &cancelled, &error),
			 FOLLOW_GONE);
	/* none has as many bytes */
	assert_int_equal(follow(replicas->each[1].cluster, replicas->each[0].address,
				&replicas->digest, SIZE + 1, &sink, &cancelled, &error),
			 FOLLOW_GONE);
	assert_false(got.begun);
	free(got.bytes);
}

/* ---- who stores it ----------------------------------------------------- */

static enum status follow_to_the_end(struct replicas *replicas, struct origin *origin)
{
	struct followed_bytes got = {.bytes = xcalloc(1, SIZE), .opens = &replicas->gate};
	const struct blob_sink sink = {take_head, take_bytes, &got};
	_Atomic bool cancelled = false;
	enum status status = origin_read(origin, 0, &sink, &cancelled, NULL);

	assert_memory_equal(got.bytes, replicas->bytes, SIZE);
	free(got.bytes);
	return status;
}

static struct origin *origin_at(struct replicas *replicas, unsigned index)
{
	const struct cache_source *a = &replicas->world->a;
	const struct cluster_origin_options options = {
		.cluster = replicas->each[index].cluster,
		.content = replicas->each[index].content,
		.upstream_origin =
			origin_upstream_new(a->set, a->upstream, a->repository, &replicas->digest),
		.upstream = a->upstream,
		.digest = replicas->digest,
	};

	return origin_cluster_new(&options);
}

/* He has all of it and has told so, and dies before it is stored. */
static void test_a_follower_stores_what_nobody_else_does(void **state)
{
	struct replicas *replicas = *state;
	struct origin *origin = origin_at(replicas, 1);
	struct blob_source holder = {0};
	_Atomic bool cancelled = false;

	atomic_store(&replicas->world->object_faults.status, BW_IO);
	atomic_store(&replicas->world->object_faults.every, 1);
	a_answers(replicas, (struct fake_reply){.gate = &replicas->gate, .gate_at = HALF});
	assert_int_equal(open_at(replicas, 0, &holder), BW_OK);
	gate_await(&replicas->gate, 1);
	assert_int_equal(follow_to_the_end(replicas, origin), BW_OK);
	assert_false(origin->stores);
	assert_true(origin->from_replica);
	assert_true(origin->ops->must_store(origin, &cancelled));
	blob_source_release(&holder);
	origin->ops->end(origin);
	origin_free(origin);
	atomic_store(&replicas->world->object_faults.every, 0);
}

static void test_a_follower_stores_nothing_a_second_time(void **state)
{
	struct replicas *replicas = *state;
	struct origin *origin = origin_at(replicas, 1);
	struct blob_source holder = {0};
	_Atomic bool cancelled = false;

	a_answers(replicas, (struct fake_reply){.gate = &replicas->gate, .gate_at = HALF});
	assert_int_equal(open_at(replicas, 0, &holder), BW_OK);
	gate_await(&replicas->gate, 1);
	assert_int_equal(follow_to_the_end(replicas, origin), BW_OK);
	assert_false(origin->stores);
	assert_false(origin->ops->must_store(origin, &cancelled));
	await_stored(replicas);
	blob_source_release(&holder);
	origin_free(origin);
}

/* Whoever had the claim may have stored it after we looked and before we took it. */
static void test_the_store_is_looked_into_again_under_the_claim(void **state)
{
	struct replicas *replicas = *state;
	struct followed_bytes got = {0};
	const struct blob_sink sink = {take_head, take_bytes, &got};
	struct origin *origin = origin_at(replicas, 1);
	struct claim *claim = NULL;
	struct claim_holder holder;
	_Atomic bool cancelled = false;

	a_answers(replicas, (struct fake_reply){0});
	read_at(replicas, 0);
	while (claim_take(replicas->each[2].cluster, &replicas->digest, &claim, &holder, NULL) !=
	       BW_OK)
		sched_yield();
	claim_drop(claim);
	assert_int_equal(origin_read(origin, 0, &sink, &cancelled, NULL), BW_CONFLICT);
	assert_false(got.begun);
	assert_int_equal(asked_a(replicas).gets, 1);
	origin_free(origin);
}

/* ---- the route --------------------------------------------------------- */

static char *ask(const char *address, const char *path, const char *headers)
{
	char *url = xasprintf("http://%s", address);
	struct sockaddr_in peer = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char *reply = xcalloc(1, 8192);
	size_t length = 0;
	char *request = xasprintf("GET %s HTTP/1.1\r\nHost: x\r\nX-Request-Id: same\r\n"
				  "Connection: close\r\n%s\r\n",
				  path, headers);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ssize_t got;
	uint64_t port = 0;
	const char *colon = strrchr(address, ':');

	assert_true(str_parse_u64(colon + 1, strlen(colon + 1), &port));
	peer.sin_port = htons((uint16_t)port);
	assert_int_equal(connect(fd, (struct sockaddr *)&peer, sizeof(peer)), 0);
	script_send(fd, request, strlen(request));
	while (length < 8191 && (got = recv(fd, reply + length, 8191 - length, 0)) > 0)
		length += (size_t)got;
	close(fd);
	free(request);
	free(url);
	return reply;
}

/* But for the moment, they are the same. */
static void forget_date(char *reply)
{
	char *date = strstr(reply, "Date: ");

	if (date)
		memset(date, '-', strcspn(date, "\r"));
}

static void assert_same_as_unknown(struct replicas *replicas, const char *path, const char *headers)
{
	char *unknown = ask(replicas->each[0].address, "/no/such/path", headers);
	char *reply = ask(replicas->each[0].address, path, headers);

	forget_date(unknown);
	forget_date(reply);
	assert_non_null(strstr(reply, " 404 "));
	assert_string_equal(reply, unknown);
	free(reply);
	free(unknown);
}

static char *signed_headers(struct replica *asker, const char *address, const char *path,
			    const char *range)
{
	const struct replica_request request = {path, range};
	char authorization[REPLICA_AUTHORIZATION_SIZE];
	char nonce[REPLICA_NONCE_SIZE];

	replica_request_sign(asker->cluster, &request, address, authorization, nonce);
	return xasprintf("Range: %s\r\nAuthorization: %s\r\n", range, authorization);
}

static void test_without_a_signature_there_is_no_such_path(void **state)
{
	struct replicas *replicas = *state;
	struct replica *asker = &replicas->each[1];
	char path[256] = REPLICA_PATH;
	char *headers, *reply;

	a_answers(replicas, (struct fake_reply){0});
	read_at(replicas, 0);
	digest_format(&replicas->digest, path + strlen(path));
	assert_same_as_unknown(replicas, path, "");
	assert_same_as_unknown(replicas, path, "Range: bytes=0-\r\n");
	assert_same_as_unknown(replicas, path,
			       "Range: bytes=0-\r\nAuthorization: Breakwater-Replica 1 2 3\r\n");

	/* for another replica: a host that was asked cannot ask on */
	headers = signed_headers(asker, replicas->each[2].address, path, "bytes=0-");
	assert_same_as_unknown(replicas, path, headers);
	free(headers);

	/* right, and then once more */
	headers = signed_headers(asker, replicas->each[0].address, path, "bytes=2097150-");
	reply = ask(replicas->each[0].address, path, headers);
	assert_non_null(strstr(reply, " 206 "));
	assert_non_null(strstr(reply, "X-Breakwater-Answer: "));
	free(reply);
	assert_same_as_unknown(replicas, path, headers);
	free(headers);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_many_clients_of_all_replicas_cost_one_fetch),
		TEST(test_bytes_come_while_the_holder_still_fetches),
		TEST(test_a_dead_holder_is_taken_over_from_where_we_are),
		TEST(test_a_holder_that_hangs_loses_its_lease),
		TEST(test_a_holder_that_lives_and_sends_nothing_is_left_alone),
		TEST(test_an_address_that_no_replica_signed_is_not_connected_to),
		TEST(test_who_does_not_know_the_secret_is_not_believed),
		TEST(test_following_opens_nothing_that_is_not_confirmed),
		TEST(test_what_is_stored_is_had_from_any_offset),
		TEST(test_a_follower_stores_what_nobody_else_does),
		TEST(test_a_follower_stores_nothing_a_second_time),
		TEST(test_the_store_is_looked_into_again_under_the_claim),
		TEST(test_without_a_signature_there_is_no_such_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
