/* For language bindings only: how a blocked call learns that its thread has something else to do. */
#ifndef KOS_HOOKS_H
#define KOS_HOOKS_H

#include <kos/types.h>

KOS_BEGIN_DECLS

/*
 * Called when a signal interrupts a wait. Where it returns true, the wait ends with STATUS_NO_REPLY; a request
 * that was already sent stays sent. NULL (the default) means: go on waiting.
 */
void kos_hook_interrupted(IN bool (*interrupted)(void));

KOS_END_DECLS

#endif /* KOS_HOOKS_H */
