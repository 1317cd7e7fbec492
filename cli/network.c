/* SPDX-License-Identifier: MIT
 * The address on which a manager listens: told by name or number, or a private one; never a public one by itself. */
#include "cluster.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static bool is_private(uint32_t a)
{
    return a >> 24 == 10 || a >> 20 == 0xAC1 || a >> 16 == 0xC0A8 || a >> 22 == 0x191; /* 100.64/10: carriers and clouds */
}

/* Bridges of containers and virtual machines are private, too, and lead nowhere. InfiniBand first. */
static int rank(const char *name, uint32_t a)
{
    static const char *const inner[] = {"docker", "virbr", "br-", "veth", "cni", "lxc"};
    for (int i = 0; i < COUNT(inner); i++)
        if (strncmp(name, inner[i], strlen(inner[i])) == 0)
            return 0;
    if (!is_private(a))
        return 0;
    return strncmp(name, "ib", 2) == 0 ? 2 : 1;
}

static uint32_t address_of(const struct ifaddrs *i)
{
    struct sockaddr_in in;
    memcpy(&in, i->ifa_addr, sizeof in);
    return ntohl(in.sin_addr.s_addr);
}

static void text_of(char out[64], uint32_t a)
{
    (void)snprintf(out, 64, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
}

bool network_address(char out[64], char *found, size_t size, const char *wanted, bool local)
{
    struct ifaddrs *list = NULL;
    int best = 0;
    size_t n = 0;
    out[0] = found[0] = '\0';
    if (!wanted && local) {
        (void)snprintf(out, 64, "127.0.0.1");
        return true;
    }
    if (getifaddrs(&list) != 0)
        return false;
    for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
        char text[64];
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !(i->ifa_flags & IFF_UP))
            continue;
        text_of(text, address_of(i));
        const int k = snprintf(found + n, size - n, "%s%s (%s)", n ? ", " : "", i->ifa_name, text);
        n += k > 0 && (size_t)k < size - n ? (size_t)k : 0;
        const bool asked = wanted && (strcmp(wanted, i->ifa_name) == 0 || strcmp(wanted, text) == 0);
        const int r = wanted ? asked : i->ifa_flags & IFF_LOOPBACK ? 0 : rank(i->ifa_name, address_of(i));
        if (r > best) {
            best = r;
            memcpy(out, text, sizeof text);
        }
    }
    freeifaddrs(list);
    return best > 0;
}
