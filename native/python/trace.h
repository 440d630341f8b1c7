/* The functions of kos.app._native around kos/trace.h. */
#ifndef KOS_PYTHON_TRACE_H
#define KOS_PYTHON_TRACE_H

#include "module.h"

FUNCTION(trace_mark);
FUNCTION(trace_next);
FUNCTION(trace_peers);
FUNCTION(trace_read);
FUNCTION(trace_counts);

#endif /* KOS_PYTHON_TRACE_H */
