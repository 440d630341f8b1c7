/* Kept for apps that include it: console, assertions and delays are in <kos.h>. */
#ifndef KOS_UTILS_H
#define KOS_UTILS_H

#include <kos.h>

#endif /* KOS_UTILS_H */
