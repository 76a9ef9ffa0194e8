#include "tests/support/s3_server.h"

#include "backends/s3/s3_client.h"
#include "backends/s3/s3_store.h"
#include "server/base/str.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void s3_server_from_environment(const char *variable, struct s3_server *ret_server)
{
	const char *text = getenv(variable);

	if (!text || sscanf(text, "%255s %127s %127s", ret_server->endpoint, ret_server->access_key,
			    ret_server->secret_key) != 3)
		fail_msg("%s is not set to \"endpoint accessKey secretKey\": run the suite "
			 "through tests/support/with-backends",
			 variable);
}

static void make_bucket(const struct s3_server *server, const char *bucket)
{
	struct s3_options options = {
		.endpoint = server->endpoint,
		.bucket = bucket,
		.path_style = true,
		.access_key = server->access_key,
		.secret_key = server->secret_key,
	};
	struct s3_request request = {.what = "CreateBucket", .method = "PUT", .query = ""};
	struct s3_client *client = NULL;
	struct s3_reply reply;
	struct error error = {0};

	if (s3_client_new(&options, &client, &error) ||
	    s3_client_ask(client, &request, deadline_in(30000), &reply, &error))
		fail_msg("%s", error.message);
	buf_release(&reply.body);
	s3_client_free(client);
}

void s3_server_bucket(const struct s3_server *server, char ret_bucket[S3_BUCKET_SIZE])
{
	unsigned char random[8];
	char hex[17];

	random_bytes(random, sizeof(random));
	str_hex(random, sizeof(random), hex);
	snprintf(ret_bucket, S3_BUCKET_SIZE, "test-%d-%s", (int)getpid(), hex);
	make_bucket(server, ret_bucket);
}
