#include "backends/redis/redis_scripts.h"

#include "backends/redis/redis_call.h"
#include "server/base/str.h"

#include <nettle/sha1.h>
#include <string.h>

/* KEYS and ARGV are named in the comment of each. */
static const char *const texts[SCRIPT_COUNT] = {
	/* epoch; run_id, replid2, the epoch to begin if it has to be, for how many ms no other
	 * server has answered who begins it, or -1. A server that became master after another
	 * one has another replid2; it becomes zeros by itself. */
	[SCRIPT_BEGIN_EPOCH] =
		"local time = redis.call('TIME')\n"
		"local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"
		"local r = redis.call('GET', KEYS[1])\n"
		"local _, run, id2, at = string.match(r or '', '^(%x+) (%S+) (%S+) (%d+)$')\n"
		"local quiet = tonumber(ARGV[4])\n"
		"if run == ARGV[1] and (id2 == ARGV[2] or not string.find(ARGV[2], '[^0]')) and\n"
		"    (quiet < 0 or quiet > now - at) then\n"
		"  return r\n"
		"end\n"
		"r = ARGV[3] .. ' ' .. ARGV[1] .. ' ' .. ARGV[2] .. string.format(' %.0f', now)\n"
		"redis.call('SET', KEYS[1], r)\n"
		"return r\n",

	/* t, tags, of; tag, digest, version, stored_at, validated_at */
	[SCRIPT_PUT_TAG] =
		"local v = redis.call('HGET', KEYS[1], 'v')\n"
		"if v and v >= ARGV[3] then return 0 end\n"
		"local d = redis.call('HGET', KEYS[1], 'd')\n"
		"if d and d ~= ARGV[2] then redis.call('ZREM', KEYS[3], d .. ' ' .. ARGV[1]) end\n"
		"local p = redis.call('HGET', KEYS[1], 'p')\n"
		"if p and p <= ARGV[3] then redis.call('HDEL', KEYS[1], 'p') end\n"
		"redis.call('HSET', KEYS[1], 'd', ARGV[2], 'v', ARGV[3], 's', ARGV[4], 'c', "
		"ARGV[5])\n"
		"redis.call('ZADD', KEYS[2], 0, ARGV[1])\n"
		"redis.call('ZADD', KEYS[3], 0, ARGV[2] .. ' ' .. ARGV[1])\n"
		"return 1\n",

	/* t; version */
	[SCRIPT_BEGIN_TAG] =
		"local v = redis.call('HGET', KEYS[1], 'v')\n"
		"if not v or v >= ARGV[1] then return 0 end\n"
		"local p = redis.call('HGET', KEYS[1], 'p')\n"
		"if not p or p < ARGV[1] then redis.call('HSET', KEYS[1], 'p', ARGV[1]) end\n"
		"return 1\n",

	/* t; version, validated_at */
	[SCRIPT_TOUCH_TAG] = "if redis.call('HGET', KEYS[1], 'v') ~= ARGV[1] then return 0 end\n"
			     "redis.call('HSET', KEYS[1], 'c', ARGV[2])\n"
			     "return 1\n",

	/* t, tags, of, v; tag, version, how long v is kept */
	[SCRIPT_REMOVE_TAG] =
		"local v = redis.call('HGET', KEYS[1], 'v')\n"
		"if not v or v > ARGV[2] then return 0 end\n"
		"redis.call('ZREM', KEYS[3], redis.call('HGET', KEYS[1], 'd') .. ' ' .. ARGV[1])\n"
		"redis.call('ZREM', KEYS[2], ARGV[1])\n"
		"redis.call('DEL', KEYS[1])\n"
		"local m = redis.call('GET', KEYS[4])\n"
		"if not m or m < v then redis.call('SET', KEYS[4], v, 'PX', ARGV[3]) end\n"
		"return 1\n",

	/* v, t; at_least, how long v is kept */
	[SCRIPT_NEXT_VERSION] =
		"local function after(s)\n"
		"  local low = tonumber(string.sub(s, 11)) + 1\n"
		"  if low < 1000000000 then\n"
		"    return string.sub(s, 1, 10) .. string.format('%09d', low)\n"
		"  end\n"
		"  return string.format('%010d', tonumber(string.sub(s, 1, 10)) + 1) .. "
		"'000000000'\n"
		"end\n"
		"local now = redis.call('TIME')\n"
		"local best = string.format('%013d%06d', now[1], now[2])\n"
		"if ARGV[1] > best then best = ARGV[1] end\n"
		"local known = redis.call('HMGET', KEYS[2], 'v', 'p')\n"
		"known[3] = redis.call('GET', KEYS[1])\n"
		"for i = 1, 3 do\n"
		"  if known[i] and known[i] >= best then best = after(known[i]) end\n"
		"end\n"
		"if best > '9223372036854775807' then return false end\n"
		"redis.call('SET', KEYS[1], best, 'PX', ARGV[2])\n"
		"return best\n",

	/* m, ms, ml; digest, media type, stored_at, body, l of no digest, r and ro of the
	 * subject or '', subject, descriptor, then digest and size of each that is listed.
	 * What is listed twice with two sizes has the last. */
	[SCRIPT_PUT_MANIFEST] =
		"local m = ARGV[1]\n"
		"if redis.call('EXISTS', KEYS[1]) == 0 then\n"
		"  redis.call('HSET', KEYS[1], 'm', ARGV[2], 's', ARGV[3], 'b', ARGV[4])\n"
		"end\n"
		"redis.call('SADD', KEYS[2], m)\n"
		"if ARGV[8] ~= '' and redis.call('HSETNX', ARGV[6], m, ARGV[9]) == 1 then\n"
		"  redis.call('ZADD', ARGV[7], 0, m)\n"
		"  redis.call('HSET', KEYS[1], 'j', ARGV[8])\n"
		"end\n"
		"for i = 10, #ARGV, 2 do\n"
		"  local l = ARGV[5] .. ARGV[i]\n"
		"  local entry = m .. ' ' .. ARGV[i + 1]\n"
		"  if not redis.call('ZSCORE', l, entry) then\n"
		"    redis.call('ZREMRANGEBYLEX', l, '[' .. m .. ' ', '(' .. m .. '!')\n"
		"    redis.call('ZADD', l, 0, entry)\n"
		"    redis.call('SADD', KEYS[3], ARGV[i])\n"
		"  end\n"
		"end\n"
		"return 1\n",

	/* m, ms, ml; digest, then m, l, r and ro of no digest. Returns what the repository
	 * does not hold any more. */
	[SCRIPT_REMOVE_MANIFEST] =
		"local m, freed = ARGV[1], {}\n"
		"local j = redis.call('HGET', KEYS[1], 'j')\n"
		"if j then\n"
		"  redis.call('HDEL', ARGV[4] .. j, m)\n"
		"  redis.call('ZREM', ARGV[5] .. j, m)\n"
		"end\n"
		"redis.call('DEL', KEYS[1])\n"
		"redis.call('SREM', KEYS[2], m)\n"
		"local listed = redis.call('SMEMBERS', KEYS[3])\n"
		"listed[#listed + 1] = m\n"
		"for _, d in ipairs(listed) do\n"
		"  redis.call('ZREMRANGEBYLEX', ARGV[3] .. d, '[' .. m .. ' ', '(' .. m .. '!')\n"
		"  if redis.call('EXISTS', ARGV[3] .. d, ARGV[2] .. d) == 0 then\n"
		"    freed[#freed + 1] = d\n"
		"  end\n"
		"end\n"
		"redis.call('DEL', KEYS[3])\n"
		"return freed\n",

	/* ro, r; from where, bytes. As many as are at least so many bytes, or all. */
	[SCRIPT_LIST_REFERRERS] =
		"local page, bytes = {}, 0\n"
		"local names = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], '+', 'LIMIT', 0, 100)\n"
		"for _, name in ipairs(names) do\n"
		"  local descriptor = redis.call('HGET', KEYS[2], name)\n"
		"  page[#page + 1] = name\n"
		"  page[#page + 1] = descriptor or ''\n"
		"  bytes = bytes + #page[#page]\n"
		"  if bytes >= tonumber(ARGV[2]) then break end\n"
		"end\n"
		"return page\n",

	/* l, ls; digest, size */
	[SCRIPT_PUT_LINK] = "redis.call('ZREMRANGEBYLEX', KEYS[1], '[ ', '(!')\n"
			    "redis.call('ZADD', KEYS[1], 0, ' ' .. ARGV[2])\n"
			    "redis.call('SADD', KEYS[2], ARGV[1])\n"
			    "return 1\n",

	/* l, ls; digest */
	[SCRIPT_REMOVE_LINK] = "redis.call('SREM', KEYS[2], ARGV[1])\n"
			       "return redis.call('ZREMRANGEBYLEX', KEYS[1], '[ ', '(!')\n",

	/* ls; m and l of no digest, digests. Which of them the repository holds, and links. */
	[SCRIPT_STILL_HELD] =
		"local held = {}\n"
		"for i = 3, #ARGV do\n"
		"  local l, d = ARGV[2] .. ARGV[i], ARGV[i]\n"
		"  local linked = redis.call('SISMEMBER', KEYS[1], d)\n"
		"  held[#held + 1] = redis.call('EXISTS', l, ARGV[1] .. d) > 0 and 1 or 0\n"
		"  held[#held + 1] = linked\n"
		"end\n"
		"return held\n",

	/* b, k, h; what, repository or 'SIZE STORED_AT'. Returns size and whether linked,
	 * before and after; '' is the size of what is not stored. */
	[SCRIPT_CHANGE_BLOB] =
		"local function now()\n"
		"  local row = redis.call('GET', KEYS[1])\n"
		"  return row and string.match(row, '^%d+') or '', redis.call('EXISTS', KEYS[2])\n"
		"end\n"
		"local size, linked = now()\n"
		"local what = ARGV[1]\n"
		"if what == 'put' then redis.call('SET', KEYS[1], ARGV[2])\n"
		"elseif what == 'remove' then redis.call('DEL', KEYS[1])\n"
		"elseif what == 'link' then\n"
		"  redis.call('ZADD', KEYS[2], 0, ARGV[2])\n"
		"  redis.call('ZADD', KEYS[3], 0, ARGV[2])\n"
		"elseif what == 'hold' then redis.call('ZADD', KEYS[3], 0, ARGV[2])\n"
		"elseif what == 'let go' then\n"
		"  redis.call('ZREM', KEYS[2], ARGV[2])\n"
		"  redis.call('ZREM', KEYS[3], ARGV[2])\n"
		"end\n"
		"local size_after, linked_after = now()\n"
		"return {size, linked, size_after, linked_after}\n",

	/* repo, tags, ms, ls */
	[SCRIPT_LEAVE_CATALOG] =
		"if redis.call('EXISTS', KEYS[2], KEYS[3], KEYS[4]) > 0 then return 0 end\n"
		"redis.call('DEL', KEYS[1])\n"
		"return 1\n",

	/* u; repository, caller, state, started_at, touched_at */
	[SCRIPT_CREATE_UPLOAD] =
		"if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end\n"
		"redis.call('HSET', KEYS[1], 'r', ARGV[1], 'c', ARGV[2], 'x', ARGV[3], 'n', '1',\n"
		"  'b', ARGV[4], 'a', ARGV[5])\n"
		"return 1\n",

	/* u; revision, state, touched_at, the next revision */
	[SCRIPT_ADVANCE_UPLOAD] =
		"local n = redis.call('HGET', KEYS[1], 'n')\n"
		"if not n then return -1 end\n"
		"if n ~= ARGV[1] then return 0 end\n"
		"redis.call('HSET', KEYS[1], 'n', ARGV[4], 'x', ARGV[2], 'a', ARGV[3])\n"
		"return 1\n",

	/* lease, fence; holder, ttl. Fences are microseconds, so that one which was
	 * forgotten is not given again. */
	[SCRIPT_TAKE_LEASE] = "local held = redis.call('HMGET', KEYS[1], 'f', 'h')\n"
			      "if held[1] then return {0, held[1], held[2]} end\n"
			      "local now = redis.call('TIME')\n"
			      "local fence = now[1] * 1000000 + now[2]\n"
			      "local last = tonumber(redis.call('GET', KEYS[2]) or 0)\n"
			      "if fence <= last then fence = last + 1 end\n"
			      "fence = string.format('%.0f', fence)\n"
			      "redis.call('HSET', KEYS[1], 'f', fence, 'h', ARGV[1])\n"
			      "redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
			      "redis.call('SET', KEYS[2], fence, 'PX', ARGV[2] + 3600000)\n"
			      "return {1, fence, ARGV[1]}\n",

	/* lease, fence; fence, ttl */
	[SCRIPT_RENEW_LEASE] = "if redis.call('HGET', KEYS[1], 'f') ~= ARGV[1] then return 0 end\n"
			       "redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
			       "redis.call('PEXPIRE', KEYS[2], ARGV[2] + 3600000)\n"
			       "return 1\n",

	/* lease; fence */
	[SCRIPT_DROP_LEASE] = "if redis.call('HGET', KEYS[1], 'f') == ARGV[1] then "
			      "redis.call('DEL', KEYS[1]) end\n"
			      "return 1\n",

	/* notes; name, ttl, value */
	[SCRIPT_PUT_NOTE] =
		"local time = redis.call('TIME')\n"
		"local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"
		"local row = string.format('%.0f %.0f ', now + ARGV[2], now) .. ARGV[3]\n"
		"redis.call('HSET', KEYS[1], ARGV[1], row)\n"
		"if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then\n"
		"  redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
		"end\n"
		"return 1\n",

	/* notes. Returns name, value and age of each, and forgets those that are over. */
	[SCRIPT_LIST_NOTES] =
		"local time = redis.call('TIME')\n"
		"local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"
		"local rows, notes = redis.call('HGETALL', KEYS[1]), {}\n"
		"for i = 1, #rows, 2 do\n"
		"  local over, put, value = string.match(rows[i + 1], '^(%d+) (%d+) (.*)$')\n"
		"  if not over or tonumber(over) <= now then redis.call('HDEL', KEYS[1], rows[i])\n"
		"  else\n"
		"    notes[#notes + 1] = rows[i]\n"
		"    notes[#notes + 1] = value\n"
		"    notes[#notes + 1] = string.format('%.0f', math.max(0, now - put))\n"
		"  end\n"
		"end\n"
		"return notes\n",
};

static char sha1s[SCRIPT_COUNT][2 * SHA1_DIGEST_SIZE + 1];
static pthread_once_t hashed = PTHREAD_ONCE_INIT;

static void hash_all(void)
{
	for (int i = 0; i < SCRIPT_COUNT; i++) {
		unsigned char digest[SHA1_DIGEST_SIZE];
		struct sha1_ctx context;

		sha1_init(&context);
		sha1_update(&context, strlen(texts[i]), (const uint8_t *)texts[i]);
		sha1_digest(&context, sizeof(digest), digest);
		str_hex(digest, sizeof(digest), sha1s[i]);
	}
}

const char *redis_script_text(enum redis_script script)
{
	return texts[script];
}

const char *redis_script_sha1(enum redis_script script)
{
	pthread_once(&hashed, hash_all);
	return sha1s[script];
}

enum status redis_scripts_load(struct redis_stream *stream, deadline_ms deadline,
			       struct error *error)
{
	enum status status = BW_OK;

	for (int i = 0; i < SCRIPT_COUNT && !status; i++) {
		redisReply *reply = NULL;

		status = REDIS_ASK(stream, deadline, &reply, error, "SCRIPT", "LOAD", texts[i]);
		if (!status && reply->type == REDIS_REPLY_ERROR)
			status = redis_reply_status(reply, error);
		if (reply)
			freeReplyObject(reply);
	}
	return status;
}
