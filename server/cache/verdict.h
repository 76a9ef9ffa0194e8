/*
 * How an answer came about, as X-Breakwater-Cache tells the client.
 */
#ifndef CACHE_VERDICT_H
#define CACHE_VERDICT_H

enum cache_verdict {
	CACHE_HIT, /* stored, and fresh */
	CACHE_MISS, /* fetched from the upstream for this request (or one like it) */
	CACHE_REVALIDATED, /* stored; the upstream was asked and confirmed it */
	CACHE_STALE, /* stored and expired; the upstream failed */
	CACHE_LOCAL, /* pushed here */
};

const char *cache_verdict_name(enum cache_verdict verdict); /* "hit", ... */

#endif
