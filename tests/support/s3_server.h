/*
 * Where the S3 servers of the tests are. tests/support/with-backends starts them and
 * says so in the environment; a suite that needs one and is not told fails: nothing is
 * left out because a server is missing.
 *
 *   BREAKWATER_TEST_S3   MinIO, Signature V4 and V2     "endpoint accessKey secretKey"
 *   BREAKWATER_TEST_RGW  Ceph RGW, Signature V4 and V2  the same
 *
 * Every store under test has a bucket of its own, which stays behind with its server.
 */
#ifndef TESTS_SUPPORT_S3_SERVER_H
#define TESTS_SUPPORT_S3_SERVER_H

#define S3_SERVER_MINIO "BREAKWATER_TEST_S3"
#define S3_SERVER_RGW "BREAKWATER_TEST_RGW"

struct s3_server {
	char endpoint[256];
	char access_key[128];
	char secret_key[128];
};

/* Fails the test, with the variable's name, when it is not set or has another form. */
void s3_server_from_environment(const char *variable, struct s3_server *ret_server);

/* Makes a new, empty bucket. */
#define S3_BUCKET_SIZE 64
void s3_server_bucket(const struct s3_server *server, char ret_bucket[S3_BUCKET_SIZE]);

#endif
