/* SPDX-License-Identifier: MIT
 * Joins connections two by two: one in clear, on this machine, and one encrypted (tls_channel.h). One thread, sockets that
 * never block, and a bound for everything: connections, handshakes at once, bytes under way, time for a handshake and for
 * what is left when one side has ended. What comes in on one side goes out on the other; an end of one direction is an end of
 * that direction on the other side; a connection that breaks breaks the other, so that a cut is never taken for an end. */
#ifndef PEL_ENGINE_TLS_RELAY_H
#define PEL_ENGINE_TLS_RELAY_H

#include "engine/tls_channel.h"

#include <netinet/in.h>

typedef struct pel__relay pel__relay;

typedef struct pel__relay_options {
    pel__tls *tls;
    bool server;           /* what comes to the listener is encrypted; else it is in clear, and what goes on is encrypted */
    int listener;          /* taken over */
    int watched;           /* a descriptor that pel__relay_turn watches, too; -1: none */
    struct sockaddr_in to; /* where each connection goes on */
    int64_t most;          /* pairs at once */
    int64_t shake_ms;      /* for connecting and shaking hands */
    int64_t linger_ms;     /* without a byte, once one side has ended */
    /* peer: address of whoever is at the encrypted end. text: what went wrong before it was joined; "": it is joined now (told by clients). */
    void (*complain)(void *arg, const char *peer, const char *text);
    void *arg;
} pel__relay_options;

bool pel__relay_create(pel__relay **out, const pel__relay_options *o, pel_error *err);
void pel__relay_destroy(pel__relay *r);

/* Waits for at most so long, does what can be done. *watched: that descriptor can be read. */
bool pel__relay_turn(pel__relay *r, int64_t most_ms, bool *watched, pel_error *err);

void pel__relay_shut(pel__relay *r);        /* nobody new */
int64_t pel__relay_count(const pel__relay *r); /* pairs there are */

/* tls_owner.c: whether the other end of this connection within the machine belongs to another user, as the kernel lists
 * sockets. False where it cannot tell. */
bool pel__tls_is_strange(int fd);

#endif
