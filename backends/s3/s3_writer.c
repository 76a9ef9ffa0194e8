#include "backends/s3/s3_internal.h"
#include "server/base/file.h"
#include "server/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A blob whose bytes need several objects, where there is no multipart, is written as
 * an upload of one part of its own. */
struct s3_writer {
	struct object_writer base;
	struct s3_store *store;
	char *key;
	struct s3_sink *sink; /* NULL: it is a part */
	struct part_writer *part;
	char upload[33];
};

/* The digest that a blob's key ends with: the store checks the bytes against it. */
static bool sha256_of_key(const char *key, unsigned char ret_sha256[32])
{
	const char *hex = strrchr(key, '/');

	return str_starts_with(key, "blobs/sha256/") && hex && strlen(hex + 1) == 64 &&
	       str_unhex(hex + 1, 64, ret_sha256);
}

enum status s3_put(struct object_store *base, const char *key, const void *bytes, size_t length,
		   enum put_mode mode, struct error *error)
{
	struct s3_store *store = s3_store_of(base);
	unsigned char sha256[32];
	char full[S3_KEY_SIZE];
	struct s3_put put = {
		.key = full, .bytes = bytes, .length = length, .if_absent = mode == PUT_IF_ABSENT};
	enum status status = s3_full_key(store, key, full, error);

	if (status)
		return status;
	if (sha256_of_key(key, sha256))
		put.sha256 = sha256;
	return store->transport->ops->put(store->transport, &put, error);
}

/* ---- create ---- */

static enum status writer_write(struct object_writer *base, const void *bytes, size_t length,
				struct error *error)
{
	struct s3_writer *writer = container_of(base, struct s3_writer, base);

	return writer->sink ? s3_sink_write(writer->sink, bytes, length, error)
			    : object_part_write(writer->part, bytes, length, error);
}

static void writer_free(struct s3_writer *writer)
{
	free(writer->key);
	free(writer);
}

static enum status commit_part(struct s3_writer *writer, struct error *error)
{
	struct object_part part;
	enum status status = object_part_finish(writer->part, &part, error);

	if (!status)
		status = s3_parts_commit(&writer->store->base, writer->upload, &part, 1,
					 writer->key, error);
	if (status)
		s3_parts_discard(&writer->store->base, writer->upload, NULL);
	return status;
}

static enum status writer_commit(struct object_writer *base, struct error *error)
{
	struct s3_writer *writer = container_of(base, struct s3_writer, base);
	enum status status =
		writer->sink ? s3_sink_finish(writer->sink, error) : commit_part(writer, error);

	writer_free(writer);
	return status;
}

static void writer_abort(struct object_writer *base)
{
	struct s3_writer *writer = container_of(base, struct s3_writer, base);

	if (writer->sink)
		s3_sink_abort(writer->sink);
	else
		object_part_abort(writer->part);
	writer_free(writer);
}

static const struct object_writer_ops writer_ops = {
	.write = writer_write,
	.commit = writer_commit,
	.abort = writer_abort,
};

enum status s3_create(struct object_store *base, const char *key, struct object_writer **ret_writer,
		      struct error *error)
{
	struct s3_store *store = s3_store_of(base);
	struct s3_writer *writer;
	unsigned char sha256[32];
	unsigned char random[16];
	char full[S3_KEY_SIZE];
	enum status status = s3_full_key(store, key, full, error);

	if (status)
		return status;
	writer = xcalloc(1, sizeof(*writer));
	writer->base.ops = &writer_ops;
	writer->store = store;
	writer->key = xstrdup(key);
	if (s3_has_multipart(store) || !str_starts_with(key, S3_BLOBS)) {
		writer->sink = s3_sink_new(store, full, S3_SINK_OBJECT);
		if (sha256_of_key(key, sha256))
			s3_sink_expect(writer->sink, sha256);
	} else {
		random_bytes(random, sizeof(random));
		str_hex(random, sizeof(random), writer->upload);
		status = s3_part_create(base, writer->upload, 1, &writer->part, error);
	}
	if (status)
		writer_free(writer);
	else
		*ret_writer = &writer->base;
	return status;
}

/* ---- adopt ---- */

static enum status send_file(int fd, const char *path, struct s3_sink *sink, struct error *error)
{
	for (;;) {
		size_t room = 0;
		void *target;
		ssize_t got;
		enum status status = s3_sink_reserve(sink, &target, &room, error);

		if (status)
			return status;
		got = file_pread_all(fd, target, room, s3_sink_size(sink));
		if (got < 0)
			return error_set_errno(error, status_from_errno((int)-got), (int)-got,
					       "read %s", path);
		if (got == 0)
			return BW_OK;
		s3_sink_advance(sink, (size_t)got);
	}
}

static enum status adopt_file(struct s3_store *store, const char *key, const char *full,
			      const char *path, struct error *error)
{
	unsigned char sha256[32];
	struct s3_sink *sink;
	enum status status;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return error_set_errno(error, status_from_errno(errno), errno, "open %s", path);
	sink = s3_sink_new(store, full, S3_SINK_OBJECT);
	if (sha256_of_key(key, sha256))
		s3_sink_expect(sink, sha256);
	status = send_file(fd, path, sink, error);
	if (status)
		s3_sink_abort(sink);
	else
		status = s3_sink_finish(sink, error);
	close(fd);
	return status;
}

enum status s3_adopt(struct object_store *base, const char *key, const char *path,
		     struct error *error)
{
	struct s3_store *store = s3_store_of(base);
	char full[S3_KEY_SIZE];
	struct error why = {0};
	struct s3_head head;
	enum status status;

	if (!s3_has_multipart(store))
		return BW_UNSUPPORTED; /* the wrapper copies */
	status = s3_full_key(store, key, full, error);
	if (status)
		return status;
	status = store->transport->ops->head(store->transport, full, &head, &why);
	if (status == BW_ABSENT)
		status = adopt_file(store, key, full, path, error);
	else if (status && error)
		*error = why;
	if (!status && unlink(path) < 0)
		status = error_set_errno(error, BW_IO, errno, "remove %s, which is stored now",
					 path);
	return status;
}
