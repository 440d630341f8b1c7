/* Everything that an app usually needs. */
#ifndef KOS_H
#define KOS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kos/app.h>
#include <kos/caps.h>
#include <kos/dir.h>
#include <kos/msg.h>
#include <kos/services.h>
#include <kos/trace.h>
#include <kos/types.h>

#endif /* KOS_H */
