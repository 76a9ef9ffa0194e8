/* Multipart uploads: the requests. Who sends which parts is s3_sink.c's business. */
#include "backends/s3/s3_xml.h"
#include "backends/s3/sigv4_internal.h"
#include "server/base/str.h"

#include <stdio.h>
#include <string.h>

#define COMPLETE_BODY_MAX ((size_t)4 << 20)

static bool take_upload_id(void *context, const char *path, const char *text)
{
	char *upload_id = context;

	if (text && strcmp(path, "InitiateMultipartUploadResult/UploadId") == 0 &&
	    !str_copy(upload_id, S3_UPLOAD_ID_MAX, text))
		upload_id[0] = '\0';
	return true;
}

enum status sigv4_multipart_create(struct s3_transport *transport, const char *key,
				   char ret_upload_id[S3_UPLOAD_ID_MAX], struct error *error)
{
	struct s3_client *client = client_of(transport);
	struct s3_request request = {
		.what = "CreateMultipartUpload", .method = "POST", .key = key, .query = "uploads="};
	char upload_id[S3_UPLOAD_ID_MAX] = "";
	struct s3_reply reply;
	enum status status =
		s3_client_ask(client, &request, s3_client_deadline(client), &reply, error);

	if (!status &&
	    (!s3_xml_parse(buf_string(&reply.body), reply.body.length, take_upload_id, upload_id) ||
	     !upload_id[0]))
		status = error_set(error, BW_UNREACHABLE,
				   "CreateMultipartUpload of %s at %s: no upload in the answer",
				   key, client->url);
	buf_release(&reply.body);
	if (!status)
		memcpy(ret_upload_id, upload_id, S3_UPLOAD_ID_MAX);
	return status;
}

enum status sigv4_multipart_send(struct s3_transport *transport, const char *key,
				 const char *upload_id, unsigned number, const void *bytes,
				 size_t length, char ret_etag[S3_ETAG_MAX], struct error *error)
{
	struct buf query = BUF_INIT(QUERY_MAX);
	struct s3_request request = {
		.what = "UploadPart",
		.method = "PUT",
		.key = key,
		.body = bytes,
		.length = length,
	};
	struct s3_answer answer;
	enum status status;
	char text[16];

	snprintf(text, sizeof(text), "%u", number);
	sigv4_query_add(&query, "partNumber", text);
	sigv4_query_add(&query, "uploadId", upload_id);
	request.query = buf_string(&query);
	status = sigv4_ask(client_of(transport), &request, &answer, error);
	buf_release(&query);
	if (status)
		return status;
	if (!answer.head.etag[0])
		return error_set(error, BW_UNREACHABLE, "UploadPart of %s: no ETag in the answer",
				 key);
	memcpy(ret_etag, answer.head.etag, S3_ETAG_MAX);
	return BW_OK;
}

enum status sigv4_multipart_complete(struct s3_transport *transport, const char *key,
				     const char *upload_id, const char (*etags)[S3_ETAG_MAX],
				     size_t count, struct error *error)
{
	struct buf query = BUF_INIT(QUERY_MAX);
	struct buf body = BUF_INIT(COMPLETE_BODY_MAX);
	struct s3_request request = {
		.what = "CompleteMultipartUpload",
		.method = "POST",
		.key = key,
	};
	enum status status;

	sigv4_query_add(&query, "uploadId", upload_id);
	buf_append_string(&body, "<CompleteMultipartUpload>");
	for (size_t i = 0; i < count; i++) {
		buf_printf(&body, "<Part><PartNumber>%zu</PartNumber><ETag>", i + 1);
		sigv4_append_xml(&body, etags[i]);
		buf_append_string(&body, "</ETag></Part>");
	}
	buf_append_string(&body, "</CompleteMultipartUpload>");
	request.query = buf_string(&query);
	request.body = buf_string(&body);
	request.length = body.length;
	status = sigv4_ask(client_of(transport), &request, NULL, error);
	buf_release(&query);
	buf_release(&body);
	return status;
}

enum status sigv4_multipart_abort(struct s3_transport *transport, const char *key,
				  const char *upload_id, struct error *error)
{
	struct buf query = BUF_INIT(QUERY_MAX);
	struct s3_request request = {
		.what = "AbortMultipartUpload",
		.method = "DELETE",
		.key = key,
	};
	enum status status;

	sigv4_query_add(&query, "uploadId", upload_id);
	request.query = buf_string(&query);
	status = sigv4_ask(client_of(transport), &request, NULL, error);
	buf_release(&query);
	return status == BW_ABSENT ? BW_OK : status;
}
