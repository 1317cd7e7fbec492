/* SPDX-License-Identifier: MIT
 * Any bytes as what the JPEG XR helper answers: the library's side of the protocol, over a socket without a process behind it.
 * The source is taken in for its static functions; the library's own copy is then not linked. */
#include "fuzz.h"

#include "codec/jxr.c" // NOLINT(bugprone-suspicious-include)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t stream[64], out[96];
    int fd[2];
    bool refused = false;
    pel_error e = {0};
    const pel__jxr_request q = {PEL__JXR_MAGIC, 1, 8, 4, sizeof stream, 64, 5};
    if (size > 100000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) != 0)
        return 0;
    const int room = 1 << 20;
    (void)setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    if (size > 0 && send(fd[1], data, size, MSG_NOSIGNAL) < 0)
        abort();
    (void)shutdown(fd[1], SHUT_WR);
    memset(out, 0xA5, sizeof out);
    const pel__jxr h = {.pid = -1, .fd = fd[0]};
    const enum outcome o = converse(&h, &q, stream, out, &refused, &e);
    if (refused && (o != DONE || !strstr(e.text, "JPEG XR: ")))
        abort();
    if (o == DONE && !refused && size < sizeof(pel__jxr_answer) + 64)
        abort();
    for (size_t i = 64; i < sizeof out; i++) /* nothing behind what was asked for */
        if (out[i] != 0xA5)
            abort();
    (void)close(fd[0]);
    (void)close(fd[1]);
    return 0;
}
