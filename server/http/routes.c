#include "server/base/memory.h"
#include "server/http/handlers.h"
#include "server/http/request.h"
#include "server/http/router.h"

#define READS (METHOD_GET | METHOD_HEAD)

/* Uploads are known so that a push is told what is the matter (405), and not
 * that its repository does not exist. */
const struct route routes[] = {
	{"base", ROUTE_EXACT, "/v2", READS, handle_base},
	{"manifest", ROUTE_NAME_LAST, "manifests", READS, handle_manifest},
	{"blob", ROUTE_NAME_LAST, "blobs", READS, handle_blob},
	{"tags", ROUTE_NAME_ONLY, "tags/list", READS, handle_tags},
	{"referrers", ROUTE_NAME_LAST, "referrers", READS, handle_referrers},
	{"blob-upload", ROUTE_NAME_LAST, "blobs/uploads", 0, NULL},
};

const size_t route_count = array_size(routes);
