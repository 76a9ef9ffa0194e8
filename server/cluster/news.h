/*
 * What replicas tell each other about upstreams and about themselves: a thread that
 * puts notes as soon as something changed here, and looks at the others' every
 * second.
 *
 *   group "replicas"   one note each: I live (-> budget.h)
 *   group "upstreams"  what a breaker, a 429 or a ratelimit header said to one of
 *                      them (server/upstream/upstream_news.h)
 *
 * A note is "<signature> <time> <JSON>". One that is not signed, or older than the
 * clocks may differ, is passed over. Each replica tells only what it found out
 * itself, so that news cannot go round in circles. Credentials go by their names.
 */
#ifndef CLUSTER_NEWS_H
#define CLUSTER_NEWS_H

#include "server/cluster/cluster.h"
#include "server/upstream/upstream_news.h"

#define NEWS_GROUP_REPLICAS "replicas"
#define NEWS_GROUP_UPSTREAMS "upstreams"

/* One round, as the thread makes it; for tests. */
void news_round(struct cluster *cluster);

/* The JSON of a note and back. False: it does not fit, or is not one. */
struct buf;
bool news_format(const struct upstream_news *news, struct buf *target);
bool news_parse(const char *text, size_t length, int64_t age_ms, struct upstream_news *ret);

#endif
