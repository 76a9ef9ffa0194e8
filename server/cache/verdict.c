#include "server/cache/verdict.h"

const char *cache_verdict_name(enum cache_verdict verdict)
{
	static const char *const names[] = {
		[CACHE_HIT] = "hit",
		[CACHE_MISS] = "miss",
		[CACHE_REVALIDATED] = "revalidated",
		[CACHE_STALE] = "stale",
		[CACHE_LOCAL] = "local",
	};

	return names[verdict];
}
