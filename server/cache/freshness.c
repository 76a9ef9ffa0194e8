#include "server/cache/freshness.h"

#include "server/base/str.h"

int64_t freshness_tag_ttl(const struct upstream_config *upstream, const char *tag)
{
	for (size_t i = 0; i < upstream->tag_ttl_count; i++) {
		if (str_glob_match(upstream->tag_ttls[i].tags, tag))
			return upstream->tag_ttls[i].ttl_ms;
	}
	return upstream->manifest_ttl_ms;
}

enum freshness freshness_of(int64_t validated_at, int64_t now, int64_t ttl_ms,
			    int64_t stale_while_revalidate_ms)
{
	int64_t age = now - validated_at;

	if (validated_at <= 0 || age < 0)
		return EXPIRED;
	if (age < ttl_ms)
		return FRESH;
	if (age - ttl_ms < stale_while_revalidate_ms)
		return STALE_USABLE;
	return EXPIRED;
}

bool freshness_may_serve_stale(const struct upstream_config *upstream, const struct error *failure)
{
	unsigned reasons = 0;

	switch (failure->code) {
	case BW_UNAVAILABLE:
		/* throttled, or a breaker that network failures or 5xx opened */
		reasons = failure->http_status == 429 ? STALE_ON_429
						      : STALE_ON_NETWORK | STALE_ON_5XX;
		break;
	case BW_UNREACHABLE:
		reasons = failure->http_status >= 500 ? STALE_ON_5XX : STALE_ON_NETWORK;
		break;
	case BW_TIMEOUT:
	case BW_CORRUPT:
	case BW_TOO_LARGE:
	case BW_CANCELLED:
		reasons = STALE_ON_NETWORK;
		break;
	default:
		break;
	}
	return (upstream->stale_on & reasons) != 0;
}
