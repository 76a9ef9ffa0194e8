/* What the two faulty decorators share. */
#ifndef BACKENDS_DECORATORS_FAULTY_H
#define BACKENDS_DECORATORS_FAULTY_H

#include "backends/decorators/faulty_store.h"

/* The planned status when it is this call's turn to fail, else BW_OK. */
enum status fault(struct fault_plan *plan, const char *action, struct error *error);

#endif
