#include "server/base/metrics.h"

#include "server/base/buf.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define HEADS 64 /* chains of each family's hash table */

static const double bucket_bounds[] = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
				       0.5,   1,     2.5,  5,     10,   30};

#define BOUNDS array_size(bucket_bounds)

/* One combination of label values. Never changed but for its numbers, and never
 * freed: a reader that reached it by an atomic pointer may use it for good. */
struct series {
	struct series *_Atomic chain; /* next in the hash chain */
	struct series *_Atomic younger; /* next in order of first sight */
	uint64_t hash;
	char *labels[METRIC_MAX_LABELS];
	_Atomic double value; /* of a histogram: the sum */
	_Atomic uint64_t counts[]; /* of a histogram: BOUNDS + 1 buckets */
};

struct family {
	const char *name;
	const char *help;
	enum metric_type type;
	const char *label_names[METRIC_MAX_LABELS];
	struct series *_Atomic heads[HEADS];
	struct series *_Atomic oldest;
	pthread_mutex_t lock; /* covers adding a series; a leaf */
	struct series *youngest;
	unsigned count;
};

#define METRIC_ROW(id, metric_name, metric_type, l1, l2, l3, metric_help) \
	[id] = { \
		.name = (metric_name), \
		.help = (metric_help), \
		.type = (metric_type), \
		.label_names = {l1, l2, l3}, \
		.lock = PTHREAD_MUTEX_INITIALIZER, \
	},
static struct family families[METRIC_COUNT] = {METRICS(METRIC_ROW)};
#undef METRIC_ROW

static unsigned label_count(const struct family *family)
{
	unsigned count = 0;

	while (count < METRIC_MAX_LABELS && family->label_names[count][0])
		count++;
	return count;
}

/* Exactly as many values as the family has labels; what is missing is "". */
static void complete(const struct family *family, const char *const *given,
		     const char *labels[METRIC_MAX_LABELS])
{
	unsigned count = label_count(family);
	unsigned i = 0;

	for (; i < count && given && given[i]; i++)
		labels[i] = given[i];
	for (; i < METRIC_MAX_LABELS; i++)
		labels[i] = "";
}

static uint64_t hash_labels(const char *const *labels)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (unsigned i = 0; i < METRIC_MAX_LABELS; i++) {
		const char *c = labels[i];

		do
			hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
		while (*c++);
	}
	return hash ^ hash >> 32;
}

static bool same_labels(const struct series *series, const char *const *labels)
{
	for (unsigned i = 0; i < METRIC_MAX_LABELS; i++) {
		if (strcmp(series->labels[i], labels[i]) != 0)
			return false;
	}
	return true;
}

static struct series *find(struct family *family, const char *const *labels, uint64_t hash)
{
	struct series *_Atomic *link = &family->heads[hash % HEADS];
	struct series *series;

	for (; (series = atomic_load_explicit(link, memory_order_acquire)); link = &series->chain) {
		if (series->hash == hash && same_labels(series, labels))
			return series;
	}
	return NULL;
}

/* With the family's lock held. The release stores publish a finished series. */
static struct series *add(struct family *family, const char *const *labels, uint64_t hash)
{
	size_t buckets = family->type == METRIC_HISTOGRAM ? BOUNDS + 1 : 0;
	struct series *series = xcalloc(1, sizeof(*series) + buckets * sizeof(series->counts[0]));
	struct series *_Atomic *head = &family->heads[hash % HEADS];

	series->hash = hash;
	for (unsigned i = 0; i < METRIC_MAX_LABELS; i++)
		series->labels[i] = xstrdup(labels[i]);
	atomic_store_explicit(&series->chain, atomic_load_explicit(head, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(head, series, memory_order_release);
	atomic_store_explicit(family->youngest ? &family->youngest->younger : &family->oldest,
			      series, memory_order_release);
	family->youngest = series;
	family->count++;
	return series;
}

/* A copy that is valid UTF-8 and not too long. Two values that only differ in
 * what is lost here must be one series: Prometheus refuses a page on which a
 * combination stands twice. */
static char *clean_label(const char *label)
{
	struct buf buf = BUF_INIT((size_t)4 * METRIC_MAX_LABEL_BYTES);
	size_t length = strlen(label);
	size_t i = 0;

	while (i < length) {
		size_t step = str_utf8_length(label + i, length - i);

		if (i + (step ? step : 1) > METRIC_MAX_LABEL_BYTES)
			break;
		if (step)
			buf_append(&buf, label + i, step);
		else
			buf_append_string(&buf, "\xef\xbf\xbd");
		i += step ? step : 1;
	}
	return buf_detach(&buf, NULL);
}

static struct series *first_sight(struct family *family, const char *const *labels)
{
	static const char other[] = "other";
	unsigned used = label_count(family);
	char *clean[METRIC_MAX_LABELS];
	const char *wanted[METRIC_MAX_LABELS];
	struct series *series;

	for (unsigned i = 0; i < METRIC_MAX_LABELS; i++)
		wanted[i] = clean[i] = clean_label(labels[i]);
	pthread_mutex_lock(&family->lock);
	series = find(family, wanted, hash_labels(wanted));
	if (!series && family->count >= METRIC_MAX_SERIES) {
		for (unsigned i = 0; i < used; i++)
			wanted[i] = other;
		series = find(family, wanted, hash_labels(wanted));
	}
	if (!series)
		series = add(family, wanted, hash_labels(wanted));
	pthread_mutex_unlock(&family->lock);
	for (unsigned i = 0; i < METRIC_MAX_LABELS; i++)
		free(clean[i]);
	return series;
}

static struct series *series_of(enum metric metric, const char *const *given)
{
	struct family *family = &families[metric];
	const char *labels[METRIC_MAX_LABELS];
	struct series *series;

	complete(family, given, labels);
	series = find(family, labels, hash_labels(labels));
	return series ? series : first_sight(family, labels);
}

static void add_to(_Atomic double *target, double value)
{
	double old = atomic_load_explicit(target, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(target, &old, old + value,
						      memory_order_relaxed, memory_order_relaxed))
		continue;
}

static void observe(struct series *series, double value)
{
	size_t bucket = 0;

	while (bucket < BOUNDS && value > bucket_bounds[bucket])
		bucket++;
	atomic_fetch_add_explicit(&series->counts[bucket], 1, memory_order_relaxed);
	add_to(&series->value, value);
}

void metric_add_labelled(enum metric metric, double value, const char *const *labels)
{
	struct series *series;

	/* one NaN would stay in a sum for good, and a counter never falls */
	if (isnan(value) || (value < 0 && families[metric].type != METRIC_GAUGE))
		return;
	series = series_of(metric, labels);
	if (families[metric].type == METRIC_HISTOGRAM)
		observe(series, value);
	else
		add_to(&series->value, value);
}

void metric_set_labelled(enum metric metric, double value, const char *const *labels)
{
	if (families[metric].type == METRIC_HISTOGRAM)
		return;
	atomic_store_explicit(&series_of(metric, labels)->value, value, memory_order_relaxed);
}

static void write_label(struct buf *buf, const char *name, const char *value)
{
	buf_append_string(buf, name);
	buf_append_string(buf, "=\"");
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			buf_append_char(buf, '\\');
		if (*value == '\n')
			buf_append_string(buf, "\\n");
		else
			buf_append_char(buf, *value);
	}
	buf_append_char(buf, '"');
}

/* name + suffix, then the labels in braces, `le` (may be NULL) the last. */
static void write_name(struct buf *buf, const struct family *family, const struct series *series,
		       const char *suffix, const char *le)
{
	unsigned count = label_count(family);

	buf_append_string(buf, family->name);
	buf_append_string(buf, suffix);
	if (count == 0 && !le) {
		buf_append_char(buf, ' ');
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		buf_append_char(buf, i ? ',' : '{');
		write_label(buf, family->label_names[i], series->labels[i]);
	}
	if (le) {
		buf_append_char(buf, count ? ',' : '{');
		write_label(buf, "le", le);
	}
	buf_append_string(buf, "} ");
}

static uint64_t count_of(const struct series *series, size_t bucket)
{
	return atomic_load_explicit(&series->counts[bucket], memory_order_relaxed);
}

static double value_of(const struct series *series)
{
	return atomic_load_explicit(&series->value, memory_order_relaxed);
}

/* The count is the buckets' own total, so that the two always agree. */
static void write_histogram(struct buf *buf, const struct family *family,
			    const struct series *series)
{
	uint64_t total = 0;

	for (size_t i = 0; i <= BOUNDS; i++) {
		struct buf le = BUF_INIT(40);

		buf_append_double(&le, i < BOUNDS ? bucket_bounds[i] : INFINITY);
		total += count_of(series, i);
		write_name(buf, family, series, "_bucket", buf_string(&le));
		buf_append_u64(buf, total);
		buf_append_char(buf, '\n');
		buf_release(&le);
	}
	write_name(buf, family, series, "_sum", NULL);
	buf_append_double(buf, value_of(series));
	buf_append_char(buf, '\n');
	write_name(buf, family, series, "_count", NULL);
	buf_append_u64(buf, total);
	buf_append_char(buf, '\n');
}

static void write_family(struct buf *buf, struct family *family)
{
	static const char *const type_names[] = {"counter", "gauge", "histogram"};
	struct series *series = atomic_load_explicit(&family->oldest, memory_order_acquire);

	buf_printf(buf, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name,
		   type_names[family->type]);
	for (; series; series = atomic_load_explicit(&series->younger, memory_order_acquire)) {
		if (family->type == METRIC_HISTOGRAM) {
			write_histogram(buf, family, series);
			continue;
		}
		write_name(buf, family, series, "", NULL);
		buf_append_double(buf, value_of(series));
		buf_append_char(buf, '\n');
	}
}

void metrics_write(struct buf *buf)
{
	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		/* a number without labels is there from the start, as 0 */
		if (label_count(&families[i]) == 0)
			series_of((enum metric)i, NULL);
		write_family(buf, &families[i]);
	}
}

double metric_value(enum metric metric, const char *const *given)
{
	struct family *family = &families[metric];
	const char *labels[METRIC_MAX_LABELS];
	struct series *series;
	uint64_t total = 0;

	complete(family, given, labels);
	series = find(family, labels, hash_labels(labels));
	if (!series)
		return 0;
	if (family->type != METRIC_HISTOGRAM)
		return value_of(series);
	for (size_t i = 0; i <= BOUNDS; i++)
		total += count_of(series, i);
	return (double)total;
}
