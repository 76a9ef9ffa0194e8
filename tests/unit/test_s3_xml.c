/* What S3 answers in XML, and what it must not get away with. */
#include "backends/s3/s3_record.h"
#include "backends/s3/s3_xml.h"
#include "server/base/buf.h"
#include "server/base/memory.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

static bool is_error(const char *text, struct s3_error_body *body)
{
	return s3_xml_error(text, strlen(text), body);
}

static void an_error_tells_code_message_and_region(void **state)
{
	struct s3_error_body body;

	(void)state;
	assert_true(is_error("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey"
			     "</Code><Message>a &amp; b</Message><Region>eu-1</Region>"
			     "<StringToSign>x</StringToSign></Error>",
			     &body));
	assert_string_equal(body.code, "NoSuchKey");
	assert_string_equal(body.message, "a & b");
	assert_string_equal(body.region, "eu-1");
}

static void what_is_no_error_is_none(void **state)
{
	static const char *const texts[] = {
		"",
		"not XML",
		"<Error>",
		"<Error></Error>",
		"<Error><Code></Code></Error>",
		"<html><body>Bad gateway</body></html>",
		"<ListBucketResult><Code>NoSuchKey</Code></ListBucketResult>",
		"<Error><Code>A</Code></Error><Error><Code>B</Code></Error>",
		"<!DOCTYPE Error [<!ENTITY a \"b\">]><Error><Code>&a;</Code></Error>",
		"<a><a><a><a><a><a><a><a><a>deep</a></a></a></a></a></a></a></a></a>",
	};

	(void)state;
	for (size_t i = 0; i < array_size(texts); i++) {
		struct s3_error_body body;

		if (is_error(texts[i], &body))
			fail_msg("taken for an error: %s", texts[i]);
		assert_string_equal(body.code, "");
	}
}

static bool ignore(void *context, const char *path, const char *text)
{
	(void)context;
	(void)path;
	(void)text;
	return true;
}

static void texts_have_a_limit(void **state)
{
	struct buf text = BUF_INIT(3 * S3_XML_TEXT_MAX);

	(void)state;
	buf_append_string(&text, "<a><b>");
	for (size_t i = 0; i < S3_XML_TEXT_MAX; i++)
		buf_append_char(&text, 'x');
	buf_append_string(&text, "</b></a>");
	assert_true(s3_xml_parse(buf_string(&text), text.length, ignore, NULL));
	buf_reset(&text);
	buf_append_string(&text, "<a><b>");
	for (size_t i = 0; i <= S3_XML_TEXT_MAX; i++)
		buf_append_char(&text, 'x');
	buf_append_string(&text, "</b></a>");
	assert_false(s3_xml_parse(buf_string(&text), text.length, ignore, NULL));
	buf_release(&text);
}

/* ---- records ---- */

static void a_record_reads_back(void **state)
{
	struct s3_record record = {.upload = "00ff"};
	struct s3_record read = {0};
	struct buf text = BUF_INIT(S3_RECORD_MAX);

	(void)state;
	s3_record_add(&record, "00001-ab", 5);
	s3_record_add(&record, "00002-cd.0001", 7);
	assert_int_equal(s3_record_write(&record, &text, NULL), BW_OK);
	assert_int_equal(text.length % S3_RECORD_STEP, 0);
	assert_int_equal(s3_record_parse(buf_string(&text), text.length, &read, NULL), BW_OK);
	assert_string_equal(read.upload, "00ff");
	assert_int_equal(read.count, 2);
	assert_int_equal(read.size, 12);
	assert_string_equal(read.extents[1].name, "00002-cd.0001");
	assert_true(s3_record_names(&read, "00001-ab"));
	assert_false(s3_record_names(&read, "00001-a"));
	s3_record_release(&record);
	s3_record_release(&read);
	buf_release(&text);
}

/* Whoever can write to the bucket must not choose what keys we read or remove. */
static void what_is_no_record_is_corrupt(void **state)
{
	static const char *const texts[] = {
		"",
		"{}",
		"[]",
		"{\"upload\":\"ff\"}",
		"{\"upload\":\"../x\",\"extents\":[]}",
		"{\"upload\":\"ff\",\"extents\":[{\"name\":\"../../blobs/x\",\"size\":1}]}",
		"{\"upload\":\"ff\",\"extents\":[{\"name\":\"-done\",\"size\":1}]}",
		"{\"upload\":\"ff\",\"extents\":[{\"name\":\"\",\"size\":1}]}",
		"{\"upload\":\"ff\",\"extents\":[{\"name\":\"1-a\",\"size\":-1}]}",
		"{\"upload\":\"ff\",\"extents\":[{\"name\":\"1-a\"}]}",
		"{\"upload\":\"ff\",\"extents\":[1]}",
	};

	(void)state;
	for (size_t i = 0; i < array_size(texts); i++) {
		struct s3_record record = {.count = 99};
		struct error error = {0};

		if (s3_record_parse(texts[i], strlen(texts[i]), &record, &error) != BW_CORRUPT)
			fail_msg("taken for a record: %s", texts[i]);
		assert_int_equal(error.code, BW_CORRUPT);
		assert_int_equal(record.count, 99);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_tells_code_message_and_region),
		cmocka_unit_test(what_is_no_error_is_none),
		cmocka_unit_test(texts_have_a_limit),
		cmocka_unit_test(a_record_reads_back),
		cmocka_unit_test(what_is_no_record_is_corrupt),
	};

	return cmocka_run_group_tests_name("s3_xml", tests, NULL, NULL);
}
