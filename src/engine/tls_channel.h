/* SPDX-License-Identifier: MIT
 * One end of an encrypted connection: TLS 1.3 over a non-blocking socket. There are no certificates: both ends prove that they
 * have the run's password, from which a key is derived (a pre-shared key with an ephemeral exchange, so that a key that leaks
 * later opens nothing that was recorded before). Whoever lacks it is refused by either side within the handshake. */
#ifndef PEL_ENGINE_TLS_CHANNEL_H
#define PEL_ENGINE_TLS_CHANNEL_H

#include "pellucid.h"

#define PEL__TLS_KEY 32

typedef struct pel__tls pel__tls;         /* a side and its key; must outlive its channels */
typedef struct pel__channel pel__channel; /* one connection */

enum pel__step {
    PEL__STEP_OK,
    PEL__STEP_WANT_READ,  /* again when the socket can be read */
    PEL__STEP_WANT_WRITE, /* again when it can be written */
    PEL__STEP_END,        /* the other end said that it sends no more */
    PEL__STEP_FAILED,     /* err says why; nothing more can be done with it */
};

/* Of the bytes of a password file: HKDF with SHA-256. */
bool pel__tls_key(unsigned char key[PEL__TLS_KEY], const void *secret, size_t size, pel_error *err);

bool pel__tls_create(pel__tls **out, bool server, const unsigned char key[PEL__TLS_KEY], pel_error *err);
void pel__tls_destroy(pel__tls *t);

/* fd stays the caller's, and open for as long as the channel lives. */
bool pel__channel_create(pel__channel **out, pel__tls *t, int fd, pel_error *err);
void pel__channel_destroy(pel__channel *c);

enum pel__step pel__channel_shake_hands(pel__channel *c, pel_error *err);
/* *n: how many bytes, with PEL__STEP_OK, at least one. */
enum pel__step pel__channel_read(pel__channel *c, void *to, int64_t size, int64_t *n, pel_error *err);
enum pel__step pel__channel_write(pel__channel *c, const void *from, int64_t size, int64_t *n, pel_error *err);
/* We send no more; what comes can still be read. */
enum pel__step pel__channel_end(pel__channel *c, pel_error *err);

#endif
