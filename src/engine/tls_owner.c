/* SPDX-License-Identifier: MIT
 * Whose is the other end of a connection within this machine? The kernel lists sockets with their users in /proc/net/tcp
 * (tcp6 for those that came by IPv6 words), addresses in hexadecimal as the machine lays out their bytes. */
#include "engine/tls_relay.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* "…0100007F:1F90", of either family. */
static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

/* -1: not in this list. */
static int64_t owner_in(const char *path, const char *theirs, const char *ours, bool *read)
{
    FILE *const f = fopen(path, "re");
    char line[512], local[80], remote[80];
    unsigned long owner = 0;
    int64_t found = -1;
    *read = *read || f;
    while (f && found < 0 && fgets(line, sizeof line, f))
        if (sscanf(line, " %*s %79s %79s %*s %*s %*s %*s %lu", local, remote, &owner) == 3 && ends_with(local, theirs) && ends_with(remote, ours)) // NOLINT(cert-err34-c): of the kernel
            found = (int64_t)owner;
    if (f)
        (void)fclose(f);
    return found;
}

static void text_of(char out[16], const struct sockaddr_in *a)
{
    (void)snprintf(out, 16, "%08" PRIX32 ":%04X", (uint32_t)a->sin_addr.s_addr, (unsigned)ntohs(a->sin_port));
}

bool pel__tls_is_strange(int fd)
{
    struct sockaddr_in theirs = {0}, ours = {0};
    socklen_t n = sizeof theirs, k = sizeof ours;
    char a[16], b[16];
    bool read = false;
    if (getpeername(fd, (struct sockaddr *)&theirs, &n) != 0 || getsockname(fd, (struct sockaddr *)&ours, &k) != 0)
        return true; /* it has gone */
    text_of(a, &theirs);
    text_of(b, &ours);
    int64_t owner = owner_in("/proc/net/tcp", a, b, &read);
    if (owner < 0)
        owner = owner_in("/proc/net/tcp6", a, b, &read);
    return read && owner != (int64_t)geteuid();
}
