/*
 * The small grammars of configuration values. Each returns NULL when the text
 * is well-formed, else what is wrong with it, for a person (static).
 */
#ifndef CONFIG_GRAMMAR_H
#define CONFIG_GRAMMAR_H

#include <stdbool.h>

/* host:port to listen on: the host an IPv4 address, an IPv6 address in brackets,
 * "localhost" or empty. */
const char *grammar_address(const char *text);

/* http(s)://host[:port][/path] */
const char *grammar_url(const char *text);
/* http(s)://host[:port] */
const char *grammar_origin(const char *text);

/* A registry's name, of any case. */
const char *grammar_host(const char *text);

/* The name of a credential. */
const char *grammar_name(const char *text);

/* Patterns (str_glob_match) that some repository, or some tag, can match. */
const char *grammar_repository_pattern(const char *text);
const char *grammar_tag_pattern(const char *text);

#endif
