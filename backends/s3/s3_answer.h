/* The header lines of an answer, one by one. */
#ifndef BACKENDS_S3_S3_ANSWER_H
#define BACKENDS_S3_S3_ANSWER_H

#include "backends/s3/s3_http.h"

/* Takes one line, with or without its line end; a status line begins anew. */
void s3_answer_take(struct s3_answer *answer, const char *line, size_t length);

#endif
