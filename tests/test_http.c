/* SPDX-License-Identifier: MIT
 * A server that goes on sending, but a few bytes a second: an error that says so, not a wait of years. */
#include "check.h"

#include "pellucid.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener;

/* One connection after the other: a header, then a byte every 50 ms until the other side has gone. */
static void *serve(void *arg)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n";
    for (int fd = accept(listener, NULL, NULL); fd >= 0; fd = accept(listener, NULL, NULL)) {
        char request[4096];
        bool open = recv(fd, request, sizeof request, 0) > 0 && send(fd, head, sizeof head - 1, MSG_NOSIGNAL) > 0;
        while (open) {
            (void)usleep(50000);
            open = send(fd, " ", 1, MSG_NOSIGNAL) == 1;
        }
        (void)close(fd);
    }
    return NULL;
}

CASE(a_trickle_ends)
{
    pel_source *s = NULL;
    pel_error e = {0};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    pthread_t thread;
    char url[64];
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 8) != 0 || getsockname(listener, (struct sockaddr *)&at, &n) != 0 ||
        pthread_create(&thread, NULL, serve, NULL) != 0) {
        CHECK(!"a server on the loopback");
        return;
    }
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/a.zarr", ntohs(at.sin_port));
    const pel_remote remote = {.attempts = 2, .wait_ms = 1, .stall_s = 1};
    CHECK(!pel_source_open(&s, url, &(pel_open_options){.remote = &remote}, &e));
    if (e.code != PEL_UNSUPPORTED) { /* built without libcurl */
        CHECK_INT(e.code, PEL_IO);
        CHECK_TEXT(e.text, "too slow");
        CHECK_TEXT(e.text, "1000 bytes/sec");
        CHECK_TEXT(e.text, "2 attempts");
    }
    (void)shutdown(listener, SHUT_RDWR);
    (void)pthread_join(thread, NULL);
    (void)close(listener);
}

int main(void)
{
    RUN(a_trickle_ends);
    return CHECK_DONE();
}
