/* SPDX-License-Identifier: MIT
 * See retry.h. */
#include "core/retry.h"

#include <errno.h>
#include <time.h>

#define MOST_TRIES 5
#define FIRST_PAUSE_MS 100 /* then twice as long each time */

bool pel__passes(int reason)
{
    static const int passing[] = {EINTR, ESTALE, EIO, ETIMEDOUT, EAGAIN, EREMOTEIO, ECONNRESET, ENOTCONN, EHOSTDOWN, ENETDOWN};
    for (unsigned i = 0; i < sizeof passing / sizeof *passing; i++)
        if (reason == passing[i])
            return true;
    return false;
}

bool pel__try_again(pel__retry *r, int reason)
{
    if (reason == EINTR)
        return true;
    if (!pel__passes(reason) || r->tries >= MOST_TRIES)
        return false;
    const long ms = (long)FIRST_PAUSE_MS << r->tries++;
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL); /* a signal ends it: better early than never */
    errno = reason;
    return true;
}
