#include "server/cache/flight.h"

#include "server/base/memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct flight {
	UT_hash_handle hh;
	pthread_cond_t landed; /* with the table's lock */
	unsigned holders; /* the leader and those who wait */
	bool done; /* only ever becomes true */
	struct flight_answer answer;
	char key[];
};

struct flight_table {
	pthread_mutex_t lock; /* covers the map and every flight's fields; a leaf */
	struct flight *flights;
};

struct flight_table *flight_table_new(void)
{
	struct flight_table *table = xcalloc(1, sizeof(*table));

	pthread_mutex_init(&table->lock, NULL);
	return table;
}

void flight_table_free(struct flight_table *table)
{
	if (!table)
		return;
	pthread_mutex_destroy(&table->lock);
	free(table);
}

static struct flight *flight_new(const char *key)
{
	size_t size = strlen(key) + 1;
	struct flight *flight = xcalloc(1, sizeof(*flight) + size);

	memcpy(flight->key, key, size);
	cond_init(&flight->landed);
	return flight;
}

/* With the lock held; true when the caller must free it after unlocking. */
static bool flight_leave(struct flight *flight)
{
	return --flight->holders == 0;
}

static void flight_free(struct flight *flight)
{
	manifest_view_unref(flight->answer.view);
	pthread_cond_destroy(&flight->landed);
	free(flight);
}

static void copy_answer(const struct flight *flight, struct flight_answer *ret_answer)
{
	*ret_answer = flight->answer;
	if (ret_answer->view)
		manifest_view_ref(ret_answer->view);
}

/* With the lock held, which it gives back. */
static void flight_follow(struct flight_table *table, struct flight *flight, deadline_ms deadline,
			  struct flight_answer *ret_answer)
{
	bool last;

	while (!flight->done) {
		if (!cond_wait_until(&flight->landed, &table->lock, deadline) && !flight->done) {
			memset(ret_answer, 0, sizeof(*ret_answer));
			ret_answer->status =
				error_set(&ret_answer->error, BW_TIMEOUT,
					  "waited too long for a question that is being asked");
			break;
		}
	}
	if (flight->done)
		copy_answer(flight, ret_answer);
	last = flight_leave(flight);
	pthread_mutex_unlock(&table->lock);
	if (last)
		flight_free(flight);
}

void flight_ask(struct flight_table *table, const char *key, deadline_ms deadline, flight_fn lead,
		void *context, struct flight_answer *ret_answer)
{
	struct flight_answer answer = {0};
	struct flight *flight;
	bool last;

	pthread_mutex_lock(&table->lock);
	HASH_FIND_STR(table->flights, key, flight);
	if (flight) {
		flight->holders++;
		flight_follow(table, flight, deadline, ret_answer);
		return;
	}
	flight = flight_new(key);
	flight->holders = 1;
	HASH_ADD_STR(table->flights, key, flight);
	pthread_mutex_unlock(&table->lock);

	lead(context, &answer);

	pthread_mutex_lock(&table->lock);
	flight->answer = answer;
	flight->done = true;
	HASH_DEL(table->flights, flight);
	copy_answer(flight, ret_answer);
	pthread_cond_broadcast(&flight->landed);
	last = flight_leave(flight);
	pthread_mutex_unlock(&table->lock);
	if (last)
		flight_free(flight);
}
