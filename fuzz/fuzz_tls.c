/* SPDX-License-Identifier: MIT
 * Any bytes from the other end of an encrypted connection, before and instead of a handshake: a stranger, on either side. */
#include "fuzz.h"

#include "engine/tls_channel.h"

#include <fcntl.h>
#include <sys/socket.h>

static void meet(pel__tls *t, const uint8_t *data, size_t size)
{
    int fd[2];
    uint8_t room[4096];
    pel__channel *c = NULL;
    pel_error e = {0};
    int64_t n = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) != 0)
        abort();
    if (!pel__channel_create(&c, t, fd[0], &e))
        abort();
    enum pel__step step = PEL__STEP_WANT_READ;
    for (size_t at = 0; step != PEL__STEP_FAILED && step != PEL__STEP_END && at <= size; at += 512) {
        const size_t k = size - at < 512 ? size - at : 512;
        if (k > 0 && send(fd[1], data + at, k, MSG_NOSIGNAL) < 0)
            break;
        step = pel__channel_shake_hands(c, &e);
        if (step == PEL__STEP_OK) /* nobody has the key by chance */
            abort();
        while (recv(fd[1], room, sizeof room, 0) > 0) {
        }
    }
    if (step == PEL__STEP_FAILED)
        fuzz_failed(&e);
    else
        (void)pel__channel_read(c, room, sizeof room, &n, NULL);
    if (n > 0)
        abort();
    pel__channel_destroy(c);
    (void)close(fd[0]);
    (void)close(fd[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pel__tls *sides[2];
    unsigned char key[PEL__TLS_KEY] = {7};
    for (int server = 0; server < 2; server++) {
        if (!sides[server] && !pel__tls_create(&sides[server], server, key, NULL))
            abort();
        meet(sides[server], data, size);
    }
    return 0;
}
