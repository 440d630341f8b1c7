/* Crash reports: see crash.c. */
#ifndef KOS_SRC_CRASH_H
#define KOS_SRC_CRASH_H

/* From now on a crash is told on standard error; what the program handles itself is left alone. */
void crash_reports_install(void);

#endif
