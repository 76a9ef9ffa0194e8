/*
 * Did the server that used the index last come to a stop of its own? An index does not
 * sync its newest rows: when the machine went down with them, what they were about can
 * still be pulled, but is in no list. The death of the process alone takes nothing.
 */
#ifndef MAINTENANCE_LAST_STOP_H
#define MAINTENANCE_LAST_STOP_H

#include "server/base/error.h"

#include <stdint.h>

struct content;

/* A number of this boot of the machine, never 0; 0 when the system does not say. */
int64_t last_stop_boot(void);

/* At a start, in this boot (0: nothing can be told). The index is taken to be
 * incomplete when whoever was at it before has not stopped, in another boot. */
enum status last_stop_check(struct content *content, int64_t boot, struct error *error);

/* At a stop, when nothing writes any more. */
enum status last_stop_note(struct content *content, struct error *error);

#endif
