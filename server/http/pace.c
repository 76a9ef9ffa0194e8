#include "server/http/pace.h"

void pace_taken(struct pace *pace, size_t bytes)
{
	pace->window_bytes += (int64_t)bytes;
	pace->last_taken_ms = pace->waited_ms;
}

int64_t pace_patience_ms(const struct pace *pace)
{
	int64_t stall = PACE_STALL_MS - (pace->waited_ms - pace->last_taken_ms);
	int64_t window = PACE_WINDOW_MS - pace->waited_ms;
	int64_t patience = stall < window ? stall : window;

	return patience > 0 ? patience : 0;
}

bool pace_waited(struct pace *pace, int64_t ms)
{
	bool fast_enough;

	pace->waited_ms += ms;
	if (pace->waited_ms - pace->last_taken_ms >= PACE_STALL_MS)
		return false;
	if (pace->waited_ms < PACE_WINDOW_MS)
		return true;
	fast_enough = pace->window_bytes >= PACE_MIN_BYTES_PER_S * (PACE_WINDOW_MS / 1000);
	pace->last_taken_ms -= pace->waited_ms; /* a stall goes on across windows */
	pace->waited_ms = 0;
	pace->window_bytes = 0;
	return fast_enough;
}
