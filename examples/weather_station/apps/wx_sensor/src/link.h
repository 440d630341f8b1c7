/* A connection to a port that outlives restarts of the app that serves it. */
#ifndef LINK_H
#define LINK_H

#include <stdbool.h>

#include <kos.h>

typedef struct link {
    const char *port;
    kos_token_t slot; /* always the same one */
    bool open;
} link_t;

/* Name the port and take a token slot for it; connects nothing yet. */
void link_init(link_t *link, const char *port);

/* Ask for a token until the port's server gives one. Stops the app when the manifest does not grant the port. */
void link_open(link_t *link);

/* The token does not work any more: drop it, so that link_open gets a fresh one. */
void link_broken(link_t *link);

#endif /* LINK_H */
