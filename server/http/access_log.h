/*
 * What is told about an exchange once it is over: one log line and the
 * counters of /metrics.
 *
 * The fields of the line are distribution's where it has one:
 *   http.request.id, .method, .host, .uri, .remoteaddr, .useragent
 *   http.request.received (body bytes, where there was a body)
 *   http.response.status, .written (body bytes), .duration ("12.345ms"),
 *   .contenttype
 *   vars.name, vars.reference   of the path
 *   upstream, cache             which upstream the repository belongs to, and
 *                               how the answer came about (verdict.h)
 *   err.message                 why the answer is an error, or was cut
 * "response completed" (info), "response completed with error" (info for 4xx
 * and 505, warning for 502 to 504, error for 500), "response cut short" (info
 * when the client left or was too slow, else warning), "request cut short" (info:
 * the client left before its body was whole).
 */
#ifndef HTTP_ACCESS_LOG_H
#define HTTP_ACCESS_LOG_H

struct exchange;

void access_log(const struct exchange *exchange);
void access_count(const struct exchange *exchange);

#endif
