/* The atomic steps, as Lua scripts. */
#ifndef BACKENDS_REDIS_REDIS_SCRIPTS_H
#define BACKENDS_REDIS_REDIS_SCRIPTS_H

#include "backends/redis/redis_stream.h"

enum redis_script {
	SCRIPT_BEGIN_EPOCH,
	SCRIPT_PUT_TAG,
	SCRIPT_BEGIN_TAG,
	SCRIPT_TOUCH_TAG,
	SCRIPT_REMOVE_TAG,
	SCRIPT_NEXT_VERSION,
	SCRIPT_PUT_MANIFEST,
	SCRIPT_REMOVE_MANIFEST,
	SCRIPT_LIST_REFERRERS,
	SCRIPT_PUT_LINK,
	SCRIPT_REMOVE_LINK,
	SCRIPT_STILL_HELD,
	SCRIPT_CHANGE_BLOB,
	SCRIPT_LEAVE_CATALOG,
	SCRIPT_CREATE_UPLOAD,
	SCRIPT_ADVANCE_UPLOAD,
	SCRIPT_TAKE_LEASE,
	SCRIPT_RENEW_LEASE,
	SCRIPT_DROP_LEASE,
	SCRIPT_PUT_NOTE,
	SCRIPT_LIST_NOTES,
	SCRIPT_COUNT,
};

const char *redis_script_text(enum redis_script script);
/* As EVALSHA takes it. */
const char *redis_script_sha1(enum redis_script script);
/* Gives all of them to the server. */
enum status redis_scripts_load(struct redis_stream *stream, deadline_ms deadline,
			       struct error *error);

#endif
