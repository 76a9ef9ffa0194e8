/*
 * What replicas sign and believe, claim, share and tell each other; without a socket.
 */
#include "backends/mem/mem_coordination.h"
#include "server/base/buf.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/cluster/budget.h"
#include "server/cluster/claim.h"
#include "server/cluster/cluster_private.h"
#include "server/cluster/news.h"
#include "server/cluster/request.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRET "0123456789abcdef"
#define HERE "10.0.0.1:5000"
#define THERE "10.0.0.2:5000"

struct two {
	struct coordination *coordination;
	struct cluster *here;
	struct cluster *there;
	struct digest digest;
};

static struct cluster *cluster_at(struct coordination *coordination, const char *address,
				  const char *secret)
{
	struct cluster_options options = {
		.coordination = coordination,
		.advertise_address = address,
		.secret = secret,
		.timing = {.lease_ms = 1500},
	};
	struct cluster *cluster = NULL;
	struct error error = {0};

	if (cluster_new(&options, &cluster, &error) != BW_OK)
		fail_msg("%s", error.message);
	return cluster;
}

static int make(void **state)
{
	struct two *two = xcalloc(1, sizeof(*two));

	log_configure(LOG_ERROR, LOG_TEXT);
	two->coordination = mem_coordination_new();
	two->here = cluster_at(two->coordination, HERE, SECRET);
	two->there = cluster_at(two->coordination, THERE, SECRET);
	digest_of(DIGEST_SHA256, "x", 1, &two->digest);
	*state = two;
	return 0;
}

static int forget(void **state)
{
	struct two *two = *state;

	cluster_free(two->here);
	cluster_free(two->there);
	coordination_free(two->coordination);
	free(two);
	return 0;
}

/* ---- what is configured ------------------------------------------------ */

static enum status try_new(const char *address, const char *secret, struct error *error)
{
	struct coordination *coordination = mem_coordination_new();
	struct cluster_options options = {
		.coordination = coordination,
		.advertise_address = address,
		.secret = secret,
		.secret_file = "",
	};
	struct cluster *cluster = NULL;
	enum status status = cluster_new(&options, &cluster, error);

	cluster_free(cluster);
	coordination_free(coordination);
	return status;
}

static void bad_addresses_and_secrets_are_refused(void **state)
{
	static const char *const bad[] = {
		"",          "host",     "host:",        "host:0",        "host:65536",
		":5000",     "a b:5000", "h/x:5000",     "u@h:5000",      "h\r\nX: 1:5000",
		"[::1:5000", "h?x:5000", "[::1/x]:5000", "http://h:5000",
	};
	struct error error = {0};

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++) {
		if (try_new(bad[i], SECRET, &error) != BW_INVALID)
			fail_msg("\"%s\" was taken", bad[i]);
		assert_non_null(strstr(error.message, "cluster.advertiseAddress"));
	}
	assert_int_equal(try_new("[2001:db8::1]:5000", SECRET, &error), BW_OK);
	assert_int_equal(try_new("replica-0.breakwater:5000", SECRET, &error), BW_OK);
	assert_int_equal(try_new(HERE, "too short", &error), BW_INVALID);
	assert_int_equal(try_new(HERE, NULL, &error), BW_INVALID);
	assert_null(strstr(error.message, "too short"));
}

/* ---- signatures -------------------------------------------------------- */

/* Computed with Python's hmac: whoever changes what is signed makes replicas of two
 * versions strangers to each other, and should know it. */
static void a_signature_is_what_it_always_was(void **state)
{
	struct keyring *keys = keyring_new(SECRET);
	char signature[SIGNATURE_SIZE];

	(void)state;
	keyring_sign(keys, "answer", SIGNED_TEXTS("n", "206", "0", "10"), signature);
	assert_string_equal(signature,
			    "82e26674625c5110413997d90146784926f66613e222cd748525f3a9e65730a9");
	keyring_free(keys);
}

static void texts_do_not_run_into_each_other(void **state)
{
	struct keyring *keys = keyring_new(SECRET);
	struct keyring *others = keyring_new(SECRET "x");
	char signature[SIGNATURE_SIZE];

	(void)state;
	keyring_sign(keys, "p", SIGNED_TEXTS("ab", "c"), signature);
	assert_true(keyring_check(keys, "p", SIGNED_TEXTS("ab", "c"), signature));
	assert_false(keyring_check(keys, "p", SIGNED_TEXTS("a", "bc"), signature));
	assert_false(keyring_check(keys, "p", SIGNED_TEXTS("ab", "c", ""), signature));
	assert_false(keyring_check(keys, "pa", SIGNED_TEXTS("b", "c"), signature));
	assert_false(keyring_check(others, "p", SIGNED_TEXTS("ab", "c"), signature));
	assert_false(keyring_check(keys, "p", SIGNED_TEXTS("ab", "c"), ""));
	for (size_t i = 0; i < SIGNATURE_SIZE - 1; i++) {
		char forged[SIGNATURE_SIZE];

		memcpy(forged, signature, sizeof(forged));
		forged[i] = forged[i] == '0' ? '1' : '0';
		assert_false(keyring_check(keys, "p", SIGNED_TEXTS("ab", "c"), forged));
	}
	keyring_free(keys);
	keyring_free(others);
}

static void the_secret_before_is_good_for_a_while(void **state)
{
	struct keyring *keys = keyring_new(SECRET);
	char before[SIGNATURE_SIZE], after[SIGNATURE_SIZE];

	(void)state;
	keyring_sign(keys, "p", SIGNED_TEXTS("a"), before);
	keyring_replace(keys, SECRET "2");
	keyring_sign(keys, "p", SIGNED_TEXTS("a"), after);
	assert_string_not_equal(before, after);
	assert_true(keyring_check(keys, "p", SIGNED_TEXTS("a"), before));
	assert_true(keyring_check(keys, "p", SIGNED_TEXTS("a"), after));
	keyring_replace(keys, SECRET "3");
	assert_false(keyring_check(keys, "p", SIGNED_TEXTS("a"), before));
	keyring_free(keys);
}

static void a_new_secret_in_the_file_is_taken(void **state)
{
	char *folder = scratch_make();
	char *path = xasprintf("%s/secret", folder);
	struct coordination *coordination = mem_coordination_new();
	struct cluster_options options = {
		.coordination = coordination, .advertise_address = HERE, .secret_file = path};
	struct keyring *next = keyring_new(SECRET "-next");
	char signature[SIGNATURE_SIZE];
	deadline_ms end = deadline_in(10000);
	struct cluster *cluster;
	struct error error = {0};
	FILE *file = fopen(path, "w");

	(void)state;
	fputs(SECRET "\n", file);
	fclose(file);
	assert_int_equal(cluster_new(&options, &cluster, &error), BW_OK);
	keyring_sign(next, "p", SIGNED_TEXTS("a"), signature);
	assert_false(keyring_check(cluster->keys, "p", SIGNED_TEXTS("a"), signature));
	file = fopen(path, "w");
	fputs(SECRET "-next", file);
	fclose(file);
	while (!keyring_check(cluster->keys, "p", SIGNED_TEXTS("a"), signature)) {
		assert_false(deadline_passed(end));
		usleep(1000);
	}
	/* one that is not there, or is none, changes nothing */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(cluster_look_at_secret(cluster, &error), BW_OK);
	assert_true(keyring_check(cluster->keys, "p", SIGNED_TEXTS("a"), signature));
	file = fopen(path, "w");
	fputs("short", file);
	fclose(file);
	cluster_look_at_secret(cluster, &error);
	assert_true(keyring_check(cluster->keys, "p", SIGNED_TEXTS("a"), signature));
	cluster_free(cluster);
	coordination_free(coordination);
	keyring_free(next);
	free(path);
	scratch_remove(folder);
}

/* ---- questions --------------------------------------------------------- */

static const struct replica_request question = {REPLICA_PATH "sha256:ab", "bytes=7-"};

static void a_question_is_good_once(void **state)
{
	struct two *two = *state;
	char authorization[REPLICA_AUTHORIZATION_SIZE];
	char nonce[REPLICA_NONCE_SIZE], seen[REPLICA_NONCE_SIZE];

	replica_request_sign(two->here, &question, THERE, authorization, nonce);
	assert_true(replica_request_check(two->there, &question, authorization, seen));
	assert_string_equal(seen, nonce);
	assert_false(replica_request_check(two->there, &question, authorization, seen));
}

static void a_question_is_for_one_thing_of_one_replica(void **state)
{
	struct two *two = *state;
	const struct replica_request path = {REPLICA_PATH "sha256:ac", question.range};
	const struct replica_request range = {question.path, "bytes=8-"};
	struct cluster *stranger =
		cluster_at(two->coordination, "10.0.0.3:5000", "another secret of some length");
	char authorization[REPLICA_AUTHORIZATION_SIZE];
	char nonce[REPLICA_NONCE_SIZE];

	replica_request_sign(two->here, &question, THERE, authorization, nonce);
	assert_false(replica_request_check(two->here, &question, authorization, nonce));
	assert_false(replica_request_check(two->there, &path, authorization, nonce));
	assert_false(replica_request_check(two->there, &range, authorization, nonce));
	replica_request_sign(stranger, &question, THERE, authorization, nonce);
	assert_false(replica_request_check(two->there, &question, authorization, nonce));
	cluster_free(stranger);
}

static bool check_at(struct two *two, int64_t sent_ms)
{
	char text[REPLICA_AUTHORIZATION_SIZE], time[32], signature[SIGNATURE_SIZE];
	char nonce[REPLICA_NONCE_SIZE];
	unsigned char random[16];

	random_bytes(random, sizeof(random));
	str_hex(random, sizeof(random), nonce);
	snprintf(time, sizeof(time), "%lld", (long long)sent_ms);
	keyring_sign(two->here->keys, "question",
		     SIGNED_TEXTS("GET", question.path, question.range, THERE, time, nonce),
		     signature);
	snprintf(text, sizeof(text), "Breakwater-Replica %s %s %s", time, nonce, signature);
	return replica_request_check(two->there, &question, text, nonce);
}

static void clocks_may_differ_by_half_a_minute(void **state)
{
	int64_t now = clock_wall_ms();

	assert_true(check_at(*state, now));
	assert_true(check_at(*state, now - CLUSTER_CLOCK_SKEW_MS + 5000));
	assert_true(check_at(*state, now + CLUSTER_CLOCK_SKEW_MS - 5000));
	assert_false(check_at(*state, now - CLUSTER_CLOCK_SKEW_MS - 1));
	assert_false(check_at(*state, now + CLUSTER_CLOCK_SKEW_MS + 5000));
	assert_false(check_at(*state, -now));
	assert_false(check_at(*state, INT64_MAX));
}

static void malformed_questions_are_none(void **state)
{
	struct two *two = *state;
	char right[REPLICA_AUTHORIZATION_SIZE], nonce[REPLICA_NONCE_SIZE];
	char *longer;
	static const char *const bad[] = {
		"",
		"Breakwater-Replica",
		"Breakwater-Replica ",
		"Breakwater-Replica 1",
		"Breakwater-Replica 1 2 3",
		"Bearer 1 2 3",
		"Breakwater-Replica    ",
	};

	assert_false(replica_request_check(two->there, &question, NULL, nonce));
	for (size_t i = 0; i < array_size(bad); i++)
		assert_false(replica_request_check(two->there, &question, bad[i], nonce));
	replica_request_sign(two->here, &question, THERE, right, nonce);
	for (size_t length = 0; length < strlen(right); length++) {
		char *cut = xstrndup(right, length);

		assert_false(replica_request_check(two->there, &question, cut, nonce));
		free(cut);
	}
	longer = xasprintf("%s ", right);
	assert_false(replica_request_check(two->there, &question, longer, nonce));
	free(longer);
}

static void an_answer_belongs_to_its_question(void **state)
{
	struct two *two = *state;
	const struct replica_answer answer = {206, 7, 10}, other = {206, 7, 11}, no = {404, 7, 10};
	char signature[SIGNATURE_SIZE];

	replica_answer_sign(two->there, "n1", &answer, signature);
	assert_true(replica_answer_check(two->here, "n1", &answer, signature));
	assert_false(replica_answer_check(two->here, "n2", &answer, signature));
	assert_false(replica_answer_check(two->here, "n1", &other, signature));
	assert_false(replica_answer_check(two->here, "n1", &no, signature));
}

static void ranges_have_one_form(void **state)
{
	static const char *const bad[] = {"",          "bytes=",     "bytes=-",  "bytes=-5",
					  "bytes=1-2", "bytes=1",    "bytes=a-", "bytes= 1-",
					  "octets=1-", "bytes=1-,2-"};
	uint64_t offset = 5;

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++)
		assert_false(replica_range_parse(bad[i], &offset));
	assert_true(replica_range_parse("bytes=18446744073709551615-", &offset));
	assert_int_equal(offset, UINT64_MAX);
	assert_false(replica_range_parse("bytes=18446744073709551616-", &offset));
}

static void nonces_are_forgotten_in_time_and_bounded(void **state)
{
	static const char a[] = "0123456789abcdef0123456789abcdea";
	static const char b[] = "0123456789abcdef0123456789abcdeb";
	static const char c[] = "0123456789abcdef0123456789abcdec";
	struct nonces *nonces = nonces_new(100, 2);

	(void)state;
	assert_true(nonces_use(nonces, a, 0));
	assert_false(nonces_use(nonces, a, 99));
	assert_true(nonces_use(nonces, b, 50));
	assert_false(nonces_use(nonces, c, 60)); /* no room */
	assert_true(nonces_use(nonces, c, 100));
	assert_false(nonces_use(nonces, b, 100));
	nonces_free(nonces);
}

/* ---- claims ------------------------------------------------------------ */

static void one_of_them_has_the_claim(void **state)
{
	struct two *two = *state;
	struct claim *ours = NULL, *theirs = NULL;
	struct claim_holder holder = {0};

	assert_int_equal(claim_take(two->here, &two->digest, &ours, &holder, NULL), BW_OK);
	assert_true(claim_is_held(ours));
	assert_int_equal(claim_take(two->there, &two->digest, &theirs, &holder, NULL), BW_CONFLICT);
	assert_string_equal(holder.address, HERE);
	claim_drop(ours);
	assert_int_equal(claim_take(two->there, &two->digest, &theirs, &holder, NULL), BW_OK);
	claim_drop(theirs);
}

/* Longer than a lease lasts, it is still held. */
static void a_claim_is_renewed_while_it_is_held(void **state)
{
	struct two *two = *state;
	deadline_ms end = deadline_in(4000);
	struct claim *ours = NULL, *theirs = NULL;
	struct claim_holder holder;

	assert_int_equal(claim_take(two->here, &two->digest, &ours, &holder, NULL), BW_OK);
	while (!deadline_passed(end)) {
		assert_int_equal(claim_take(two->there, &two->digest, &theirs, &holder, NULL),
				 BW_CONFLICT);
		assert_true(claim_is_held(ours));
		assert_true(cluster_pause(two->there, 20));
	}
	claim_drop(ours);
}

static void a_dead_one_is_taken_over_once(void **state)
{
	struct two *two = *state;
	struct cluster *third = cluster_at(two->coordination, "10.0.0.3:5000", SECRET);
	struct claim *dead = NULL, *theirs = NULL, *none = NULL;
	struct claim_holder holder = {0}, next = {0};
	deadline_ms end = deadline_in(5000);

	assert_int_equal(claim_take(two->here, &two->digest, &dead, &holder, NULL), BW_OK);
	assert_int_equal(claim_take(two->there, &two->digest, &theirs, &holder, NULL), BW_CONFLICT);
	assert_int_equal(claim_take_over(two->there, &two->digest, &holder, &theirs, &next, NULL),
			 BW_OK);
	/* by the same old fence: too late */
	assert_int_equal(claim_take_over(third, &two->digest, &holder, &none, &next, NULL),
			 BW_CONFLICT);
	assert_string_equal(next.address, THERE);
	/* who was thought dead notices, and takes nothing from the new one */
	while (claim_is_held(dead) && !deadline_passed(end))
		cluster_pause(two->here, 10);
	assert_false(claim_is_held(dead));
	claim_drop(dead);
	assert_int_equal(claim_take(third, &two->digest, &none, &next, NULL), BW_CONFLICT);
	assert_string_equal(next.address, THERE);
	claim_drop(theirs);
	cluster_free(third);
}

static void what_a_former_life_left_is_ours(void **state)
{
	struct two *two = *state;
	struct cluster *born_again = cluster_at(two->coordination, HERE, SECRET);
	struct claim *before = NULL, *after = NULL, *none = NULL;
	struct claim_holder holder;

	assert_int_equal(claim_take(two->here, &two->digest, &before, &holder, NULL), BW_OK);
	/* while it runs here, it is not to be had twice */
	assert_int_equal(claim_take(two->here, &two->digest, &none, &holder, NULL), BW_CONFLICT);
	assert_int_equal(claim_take(born_again, &two->digest, &after, &holder, NULL), BW_OK);
	claim_drop(after);
	claim_drop(before);
	cluster_free(born_again);
}

static void addresses_of_other_secrets_or_blobs_are_not_told(void **state)
{
	struct two *two = *state;
	struct cluster *stranger = cluster_at(two->coordination, "10.9.9.9:80", SECRET "-not");
	struct claim *claim = NULL, *none = NULL;
	struct claim_holder holder = {.address = "x"};
	char name[DIGEST_TEXT_SIZE + 8] = "fill/", text[COORDINATION_TEXT_MAX + 1];
	struct digest other;
	struct lease lease;

	assert_int_equal(claim_take(stranger, &two->digest, &claim, &holder, NULL), BW_OK);
	assert_int_equal(claim_take(two->here, &two->digest, &none, &holder, NULL), BW_CONFLICT);
	assert_string_equal(holder.address, "");
	claim_drop(claim);

	/* what was signed for one blob, under another's name */
	assert_int_equal(claim_take(two->there, &two->digest, &claim, &holder, NULL), BW_OK);
	digest_format(&two->digest, name + 5);
	assert_int_equal(coordination_take_lease(two->coordination, name, "x", 1, &lease, NULL),
			 BW_CONFLICT);
	memcpy(text, lease.holder, sizeof(text));
	digest_of(DIGEST_SHA256, "y", 1, &other);
	digest_format(&other, name + 5);
	assert_int_equal(
		coordination_take_lease(two->coordination, name, text, 60000, &lease, NULL), BW_OK);
	assert_int_equal(claim_take(two->here, &other, &none, &holder, NULL), BW_CONFLICT);
	assert_string_equal(holder.address, "");
	claim_drop(claim);
	cluster_free(stranger);
}

/* ---- shares ------------------------------------------------------------ */

static void await_replicas(struct cluster *cluster, unsigned count)
{
	deadline_ms end = deadline_in(10000);

	while (cluster_replicas(cluster) != count && !deadline_passed(end))
		cluster_pause(cluster, 20);
	assert_int_equal(cluster_replicas(cluster), count);
}

static void shares_follow_the_replicas(void **state)
{
	struct two *two = *state;
	struct cluster *third;

	assert_int_equal(budget_share(8, 1), 8);
	assert_int_equal(budget_share(8, 3), 2);
	assert_int_equal(budget_share(2, 3), 1);
	assert_int_equal(budget_share(8, 0), 8);
	await_replicas(two->here, 2);
	assert_true(budget_enter(two->here, "u", 4, deadline_in(0)));
	assert_true(budget_enter(two->here, "u", 4, deadline_in(0)));
	assert_false(budget_enter(two->here, "u", 4, deadline_in(0)));
	assert_true(budget_enter(two->here, "v", 4, deadline_in(0)));
	third = cluster_at(two->coordination, "10.0.0.3:5000", SECRET);
	await_replicas(two->here, 3);
	budget_leave(two->here, "u");
	assert_false(budget_enter(two->here, "u", 4, deadline_in(0)));
	cluster_free(third);
	/* who waits for a share gets it when it grows */
	assert_true(budget_enter(two->here, "u", 4, deadline_in(10000)));
	await_replicas(two->here, 2);
	budget_leave(two->here, "u");
	budget_leave(two->here, "u");
	budget_leave(two->here, "v");
}

static void replicas_that_nobody_signed_do_not_count(void **state)
{
	struct two *two = *state;

	await_replicas(two->here, 2);
	assert_int_equal(coordination_put_note(two->coordination, NEWS_GROUP_REPLICAS, "evil:1",
					       "{}", 60000, NULL),
			 BW_OK);
	assert_true(cluster_pause(two->here, 2500));
	assert_int_equal(cluster_replicas(two->here), 2);
}

/* ---- news -------------------------------------------------------------- */

static void news_survive_their_note(void **state)
{
	struct upstream_news news = {
		.upstream = "docker.io",
		.credential = "robot \"b\"",
		.mirror = 1,
		.open_ms = 5000,
		.changed_ago_ms = 100,
		.throttled_ms = 57000,
		.has_remaining = true,
		.remaining = 76,
		.remaining_ago_ms = 10,
		.reason = "answered 429",
	};
	struct buf text = BUF_INIT((size_t)1024);
	struct upstream_news read = {0};

	(void)state;
	assert_true(news_format(&news, &text));
	assert_true(news_parse(buf_string(&text), text.length, 2000, &read));
	assert_string_equal(read.upstream, news.upstream);
	assert_string_equal(read.credential, news.credential);
	assert_int_equal(read.mirror, 1);
	assert_int_equal(read.open_ms, 3000);
	assert_int_equal(read.changed_ago_ms, 2100);
	assert_int_equal(read.throttled_ms, 55000);
	assert_true(read.has_remaining);
	assert_int_equal(read.remaining, 76);
	assert_int_equal(read.remaining_ago_ms, 2010);
	assert_string_equal(read.reason, news.reason);
	assert_true(news_parse(buf_string(&text), text.length, 60000, &read));
	assert_int_equal(read.open_ms, 0);
	assert_int_equal(read.throttled_ms, 0);
	buf_release(&text);
}

static void bad_news_are_none(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"[]",
		"{\"upstream\":\"a\"}",
		"{\"upstream\":\"a\",\"credential\":\"b\",\"mirror\":1000,\"open\":1,\"since\":1,"
		"\"throttled\":0}",
		"{\"upstream\":\"a\",\"credential\":\"b\",\"mirror\":0,\"open\":-1,\"since\":1,"
		"\"throttled\":0}",
		"{\"upstream\":\"a\",\"credential\":\"b\",\"mirror\":0,\"open\":1,\"since\":1,"
		"\"throttled\":0} x",
	};
	struct upstream_news news;

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++)
		assert_false(news_parse(bad[i], strlen(bad[i]), 0, &news));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_addresses_and_secrets_are_refused),
		cmocka_unit_test(a_signature_is_what_it_always_was),
		cmocka_unit_test(texts_do_not_run_into_each_other),
		cmocka_unit_test(the_secret_before_is_good_for_a_while),
		cmocka_unit_test(a_new_secret_in_the_file_is_taken),
		TEST(a_question_is_good_once),
		TEST(a_question_is_for_one_thing_of_one_replica),
		TEST(clocks_may_differ_by_half_a_minute),
		TEST(malformed_questions_are_none),
		TEST(an_answer_belongs_to_its_question),
		cmocka_unit_test(ranges_have_one_form),
		cmocka_unit_test(nonces_are_forgotten_in_time_and_bounded),
		TEST(one_of_them_has_the_claim),
		TEST(a_claim_is_renewed_while_it_is_held),
		TEST(a_dead_one_is_taken_over_once),
		TEST(what_a_former_life_left_is_ours),
		TEST(addresses_of_other_secrets_or_blobs_are_not_told),
		TEST(shares_follow_the_replicas),
		TEST(replicas_that_nobody_signed_do_not_count),
		cmocka_unit_test(news_survive_their_note),
		cmocka_unit_test(bad_news_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
