#include "backends/mem/mem_coordination.h"

#include "backends/mem/sorted_table.h"
#include "server/base/clock.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct mem_lease {
	struct lease lease;
	deadline_ms until;
};

struct mem_note {
	char *value;
	int64_t put_at; /* monotonic */
	deadline_ms until;
};

struct mem_coordination {
	struct coordination base;
	pthread_mutex_t lock; /* covers all below; nothing is called under it */
	uint64_t fence; /* the last that was given, of whatever name */
	struct sorted_table leases; /* name: struct mem_lease */
	struct sorted_table notes; /* group, 0x01, name: struct mem_note */
};

static struct mem_coordination *of(struct coordination *base)
{
	return container_of(base, struct mem_coordination, base);
}

/* ---- leases ---- */

static enum status mem_take_lease(struct coordination *base, const char *name, const char *holder,
				  int64_t ttl_ms, struct lease *ret, struct error *error)
{
	struct mem_coordination *coordination = of(base);
	struct mem_lease *held;
	bool free_now;

	pthread_mutex_lock(&coordination->lock);
	held = sorted_table_get(&coordination->leases, name);
	free_now = !held || deadline_passed(held->until);
	if (free_now) {
		held = xcalloc(1, sizeof(*held));
		held->lease.fence = ++coordination->fence;
		str_copy(held->lease.holder, sizeof(held->lease.holder), holder);
		held->until = deadline_in(ttl_ms);
		sorted_table_put(&coordination->leases, name, held);
	}
	*ret = held->lease;
	pthread_mutex_unlock(&coordination->lock);
	if (!free_now)
		return error_set(error, BW_CONFLICT, "%s has \"%s\"", ret->holder, name);
	return BW_OK;
}

/* With the lock held: the lease, if it still is of that fence. */
static struct mem_lease *own(struct mem_coordination *coordination, const char *name,
			     uint64_t fence)
{
	struct mem_lease *held = sorted_table_get(&coordination->leases, name);

	return held && held->lease.fence == fence && !deadline_passed(held->until) ? held : NULL;
}

static enum status mem_renew_lease(struct coordination *base, const char *name, uint64_t fence,
				   int64_t ttl_ms, struct error *error)
{
	struct mem_coordination *coordination = of(base);
	struct mem_lease *held;

	pthread_mutex_lock(&coordination->lock);
	held = own(coordination, name, fence);
	if (held)
		held->until = deadline_in(ttl_ms);
	pthread_mutex_unlock(&coordination->lock);
	if (!held)
		return error_set(error, BW_CONFLICT, "the lease \"%s\" is not ours any more", name);
	return BW_OK;
}

static enum status mem_drop_lease(struct coordination *base, const char *name, uint64_t fence,
				  struct error *error)
{
	struct mem_coordination *coordination = of(base);

	(void)error;
	pthread_mutex_lock(&coordination->lock);
	if (own(coordination, name, fence))
		sorted_table_remove(&coordination->leases, name);
	pthread_mutex_unlock(&coordination->lock);
	return BW_OK;
}

/* ---- notes ---- */

static void note_free(void *value)
{
	struct mem_note *note = value;

	free(note->value);
	free(note);
}

static enum status mem_put_note(struct coordination *base, const char *group, const char *name,
				const char *value, int64_t ttl_ms, struct error *error)
{
	struct mem_coordination *coordination = of(base);
	struct mem_note *note = xcalloc(1, sizeof(*note));
	char *key = xasprintf("%s\x01%s", group, name);

	(void)error;
	note->value = xstrdup(value);
	note->put_at = clock_monotonic_ms();
	note->until = deadline_in(ttl_ms);
	pthread_mutex_lock(&coordination->lock);
	sorted_table_put(&coordination->notes, key, note);
	pthread_mutex_unlock(&coordination->lock);
	free(key);
	return BW_OK;
}

struct told_note {
	char *name;
	char *value;
	int64_t age_ms;
};

/* With the lock held. Forgets those that are over. */
static struct told_note *copy_notes(struct mem_coordination *coordination, const char *prefix,
				    size_t *ret_count)
{
	struct sorted_table *notes = &coordination->notes;
	struct told_note *told = NULL;
	size_t count = 0;
	size_t i = sorted_table_seek(notes, prefix);

	while (i < notes->count && str_starts_with(notes->rows[i].key, prefix)) {
		const struct mem_note *note = notes->rows[i].value;

		if (deadline_passed(note->until)) {
			sorted_table_remove_at(notes, i);
			continue;
		}
		told = xrealloc(told, (count + 1) * sizeof(*told));
		told[count++] = (struct told_note){
			.name = xstrdup(notes->rows[i].key + strlen(prefix)),
			.value = xstrdup(note->value),
			.age_ms = clock_monotonic_ms() - note->put_at,
		};
		i++;
	}
	*ret_count = count;
	return told;
}

static enum status mem_list_notes(struct coordination *base, const char *group, note_list_fn fn,
				  void *context, struct error *error)
{
	struct mem_coordination *coordination = of(base);
	char *prefix = xasprintf("%s\x01", group);
	struct told_note *told;
	size_t count;
	bool more = true;

	(void)error;
	pthread_mutex_lock(&coordination->lock);
	told = copy_notes(coordination, prefix, &count);
	pthread_mutex_unlock(&coordination->lock);
	for (size_t i = 0; i < count; i++) {
		more = more && fn(context, told[i].name, told[i].value, told[i].age_ms);
		free(told[i].name);
		free(told[i].value);
	}
	free(told);
	free(prefix);
	return BW_OK;
}

static void mem_free(struct coordination *base)
{
	struct mem_coordination *coordination = of(base);

	sorted_table_release(&coordination->leases);
	sorted_table_release(&coordination->notes);
	pthread_mutex_destroy(&coordination->lock);
	free(coordination);
}

static const struct coordination_ops ops = {
	.name = "memory",
	.take_lease = mem_take_lease,
	.renew_lease = mem_renew_lease,
	.drop_lease = mem_drop_lease,
	.put_note = mem_put_note,
	.list_notes = mem_list_notes,
	.free = mem_free,
};

struct coordination *mem_coordination_new(void)
{
	struct mem_coordination *coordination = xcalloc(1, sizeof(*coordination));

	coordination->base.ops = &ops;
	coordination->leases.free_value = free;
	coordination->notes.free_value = note_free;
	pthread_mutex_init(&coordination->lock, NULL);
	return &coordination->base;
}
