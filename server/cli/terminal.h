/*
 * Words for people on standard error, coloured only where that is wanted: on a
 * terminal, and when NO_COLOR (no-color.org) is not set.
 */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

/* "breakwater: text", and a line end. One line each. */
void terminal_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void terminal_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
