#include "server/base/memory.h"
#include "server/cluster/request.h"
#include "server/http/handlers.h"
#include "server/http/request.h"
#include "server/http/router.h"

#define READS (METHOD_GET | METHOD_HEAD)
/* One whose every answer but the right one is that of a path which is not there. */
#define ALL_METHODS (~0U)

/* clang-format off */
const struct route routes[] = {
	{"base", ROUTE_EXACT, "/v2", {{READS, handle_base}}},
	{"catalog", ROUTE_EXACT, "/v2/_catalog", {{READS, handle_catalog}}},
	{"manifest", ROUTE_NAME_LAST, "manifests", {
		{READS, handle_manifest},
		{METHOD_PUT, handle_put_manifest},
		{METHOD_DELETE, handle_delete_manifest}}},
	{"blob-upload", ROUTE_NAME_FOLDER, "blobs/uploads", {{METHOD_POST, handle_begin_upload}}},
	{"blob-upload-chunk", ROUTE_NAME_LAST, "blobs/uploads", {
		{READS, handle_upload_status},
		{METHOD_PATCH, handle_append_upload},
		{METHOD_PUT, handle_finish_upload},
		{METHOD_DELETE, handle_cancel_upload}}},
	{"blob", ROUTE_NAME_LAST, "blobs", {
		{READS, handle_blob},
		{METHOD_DELETE, handle_delete_blob}}},
	{"tags", ROUTE_NAME_ONLY, "tags/list", {{READS, handle_tags}}},
	{"referrers", ROUTE_NAME_LAST, "referrers", {{READS, handle_referrers}}},
	{"replica", ROUTE_BELOW, REPLICA_PATH, {{ALL_METHODS, handle_replica}}},
};
/* clang-format on */

const size_t route_count = array_size(routes);
