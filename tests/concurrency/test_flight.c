#include "server/base/memory.h"
#include "server/cache/flight.h"
#include "tests/support/gate.h"
#include "tests/support/support.h"

#include <stdio.h>

#define THREADS 32

struct crowd {
	struct flight_table *table;
	struct gate gate;
	_Atomic unsigned leads; /* begun */
	_Atomic unsigned landed;
	_Atomic unsigned aloft;
	_Atomic unsigned collisions; /* two leads of one key at once */
	_Atomic unsigned early; /* answers older than their question */
	_Atomic unsigned timeouts;
};

static void crowd_init(struct crowd *crowd)
{
	*crowd = (struct crowd){.table = flight_table_new()};
	gate_init(&crowd->gate);
}

static void crowd_release(struct crowd *crowd)
{
	gate_release(&crowd->gate);
	flight_table_free(crowd->table);
}

/* The body says which lead it was. */
static void lead(void *context, struct flight_answer *answer)
{
	struct crowd *crowd = context;
	struct manifest_entry entry = {.media_type = "a/b"};

	if (atomic_fetch_add(&crowd->aloft, 1) != 0)
		atomic_fetch_add(&crowd->collisions, 1);
	entry.body = xasprintf("%u", atomic_fetch_add(&crowd->leads, 1) + 1);
	gate_pass(&crowd->gate, NULL);
	answer->view = manifest_view_new(&entry);
	atomic_fetch_sub(&crowd->aloft, 1);
	atomic_fetch_add(&crowd->landed, 1);
}

/* The last one to land may still be shared out, the one before it never: that
 * answer would be older than the question. */
static void ask_often(void *context, unsigned index)
{
	struct crowd *crowd = context;

	(void)index;
	for (unsigned i = 0; i < 200; i++) {
		struct flight_answer answer = {0};
		unsigned landed = atomic_load(&crowd->landed);
		unsigned given = 0;

		flight_ask(crowd->table, "one", DEADLINE_NEVER, lead, crowd, &answer);
		if (!answer.view || sscanf(answer.view->body, "%u", &given) != 1 || given < landed)
			atomic_fetch_add(&crowd->early, 1);
		manifest_view_unref(answer.view);
	}
}

static void one_question_at_a_time(void **state)
{
	struct crowd crowd;

	(void)state;
	crowd_init(&crowd);
	gate_open(&crowd.gate);
	run_together(THREADS, ask_often, &crowd);
	assert_int_equal(crowd.collisions, 0);
	assert_int_equal(crowd.early, 0);
	assert_int_equal(crowd.leads, crowd.landed);
	crowd_release(&crowd);
}

static void *ask_once(void *argument)
{
	struct crowd *crowd = argument;
	struct flight_answer answer = {0};

	flight_ask(crowd->table, "one", DEADLINE_NEVER, lead, crowd, &answer);
	manifest_view_unref(answer.view);
	return NULL;
}

static void ask_hurriedly(void *context, unsigned index)
{
	struct crowd *crowd = context;
	struct flight_answer answer = {0};

	(void)index;
	flight_ask(crowd->table, "one", deadline_in(1), lead, crowd, &answer);
	if (answer.status == BW_TIMEOUT && answer.error.code == BW_TIMEOUT && !answer.view)
		atomic_fetch_add(&crowd->timeouts, 1);
	manifest_view_unref(answer.view);
}

/* An upstream that hangs holds up its leader; the others have their deadline. */
static void who_waits_has_a_deadline(void **state)
{
	struct crowd crowd;
	pthread_t leader;

	(void)state;
	crowd_init(&crowd);
	assert_int_equal(pthread_create(&leader, NULL, ask_once, &crowd), 0);
	gate_await(&crowd.gate, 1);
	run_together(THREADS, ask_hurriedly, &crowd);
	assert_int_equal(crowd.timeouts, THREADS);
	assert_int_equal(crowd.leads, 1);
	gate_open(&crowd.gate);
	pthread_join(leader, NULL);
	crowd_release(&crowd);
}

static void lead_other(void *context, struct flight_answer *answer)
{
	atomic_fetch_add(&((struct crowd *)context)->timeouts, 1);
	answer->status = BW_ABSENT;
}

static void ask_other(void *context, unsigned index)
{
	struct crowd *crowd = context;
	struct flight_answer answer = {0};
	char key[16];

	snprintf(key, sizeof(key), "key%u", index);
	flight_ask(crowd->table, key, DEADLINE_NEVER, lead_other, crowd, &answer);
}

static void one_question_holds_up_no_other(void **state)
{
	struct crowd crowd;
	pthread_t leader;

	(void)state;
	crowd_init(&crowd);
	assert_int_equal(pthread_create(&leader, NULL, ask_once, &crowd), 0);
	gate_await(&crowd.gate, 1);
	run_together(THREADS, ask_other, &crowd);
	assert_int_equal(crowd.timeouts, THREADS);
	gate_open(&crowd.gate);
	pthread_join(leader, NULL);
	crowd_release(&crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_question_at_a_time),
		cmocka_unit_test(who_waits_has_a_deadline),
		cmocka_unit_test(one_question_holds_up_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
