/*
 * The XML that S3 answers with, read with limits: no DOCTYPE (and so no entities of
 * its own), no deeper than S3_XML_DEPTH, no text longer than S3_XML_TEXT_MAX.
 */
#ifndef BACKENDS_S3_S3_XML_H
#define BACKENDS_S3_S3_XML_H

#include <stdbool.h>
#include <stddef.h>

#define S3_XML_DEPTH 8
#define S3_XML_TEXT_MAX 4096

/* Once at the end of each element that has no other in it, with its text, and at the
 * end of each that has (text is NULL). `path` is "Outermost/Inner/Innermost"; names
 * have no namespaces. False stops, and the whole is then malformed. */
typedef bool (*s3_xml_fn)(void *context, const char *path, const char *text);

/* False: not XML, or over a limit; the elements before have been told. */
bool s3_xml_parse(const char *text, size_t length, s3_xml_fn fn, void *context);

/* The body of an error. Fields that are not there are "". */
struct s3_error_body {
	char code[64];
	char message[256];
	char region[64]; /* the right one, where the error is about regions */
};
/* False: it is none, and ret_body is empty. */
bool s3_xml_error(const char *text, size_t length, struct s3_error_body *ret_body);

#endif
