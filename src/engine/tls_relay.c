/* SPDX-License-Identifier: MIT
 * See tls_relay.h. One loop over epoll. A pair goes through these phases: the coded side is called (on the side of workers),
 * hands are shaken, the plain side is called (before the manager, which so never hears of strangers), and then bytes go both
 * ways. What was read is written at once; what could not be written is kept, and nothing more is read from there until it
 * could: at most one piece a direction. */
#include "engine/tls_relay.h"

#include "core/clock.h"
#include "core/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE 16384      /* a TLS record holds as much */
#define MOST_SHAKING 256 /* strangers at once; a further one pushes the oldest out */
#define MOST_ROUNDS 64   /* pieces of one pair before the others have their turn */
#define TICK_MS 50
#define MOST_EVENTS 64

enum phase { CALLING_CODED, SHAKING, CALLING_PLAIN, JOINED };
enum moved { MOVED, STUCK, BROKEN };

typedef struct pair pair;

typedef struct {
    pair *p;
    int fd;
    uint32_t events; /* that epoll watches for; 0: it does not know this one */
} end;

/* One direction. */
typedef struct {
    unsigned char *rest; /* read, not yet written; NULL: nothing */
    int64_t begin, size;
    bool ended, told; /* it comes to an end; the other side heard of it */
} flow;

struct pair {
    pair *next, *before;
    end plain, coded;
    pel__channel *channel;
    enum phase phase;
    enum pel__step shake, read, write; /* what each waits for */
    flow up, down;                     /* from clear to coded; from coded to clear */
    int64_t deadline;                  /* 0: none */
    bool dead, again;
    char peer[INET_ADDRSTRLEN];
};

struct pel__relay {
    pel__relay_options o;
    int epoll;
    end door, watch;
    pair *first, *last, *graves;
    int64_t pairs, shaking, timed, now, ticked;
    bool again;
    unsigned char piece[PIECE];
};

/* ---- pairs --------------------------------------------------------------------------------------------------------------- */

static void set_deadline(pel__relay *r, pair *p, int64_t at)
{
    r->timed += (at != 0) - (p->deadline != 0);
    p->deadline = at;
}

static void set_phase(pel__relay *r, pair *p, enum phase phase)
{
    r->shaking += (phase != JOINED) - (p->phase != JOINED);
    p->phase = phase;
}

static void close_end(end *e, bool reset)
{
    const struct linger now = {.l_onoff = 1};
    if (e->fd < 0)
        return;
    if (reset) /* the other end must not take it for the end of what was said */
        (void)setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)close(e->fd);
    e->fd = -1;
}

/* Closed now, freed at the end of the turn: an event for it may be in hand. */
static void bury(pel__relay *r, pair *p, bool clean)
{
    if (p->dead)
        return;
    p->dead = true;
    pel__channel_destroy(p->channel);
    p->channel = NULL;
    close_end(&p->plain, !clean);
    close_end(&p->coded, !clean && p->phase == JOINED); /* before that the reason is still on its way */
    set_deadline(r, p, 0);
    set_phase(r, p, JOINED);
    *(p->before ? &p->before->next : &r->first) = p->next;
    *(p->next ? &p->next->before : &r->last) = p->before;
    p->next = r->graves;
    r->graves = p;
    r->pairs--;
}

static void free_dead(pel__relay *r)
{
    while (r->graves) {
        pair *const p = r->graves;
        r->graves = p->next;
        free(p->up.rest);
        free(p->down.rest);
        free(p);
    }
}

static void complain(const pel__relay *r, const pair *p, const char *text)
{
    if (r->o.complain)
        r->o.complain(r->o.arg, p->peer, text);
}

static void give_up(pel__relay *r, pair *p, const pel_error *err)
{
    if (p->phase != JOINED)
        complain(r, p, err->text);
    bury(r, p, false);
}

static void push_out_oldest(pel__relay *r)
{
    pair *p = r->first;
    while (p && p->phase == JOINED)
        p = p->next;
    if (p) {
        complain(r, p, "it had not shown a key when too many others came");
        bury(r, p, false);
    }
}

/* ---- what is waited for ---------------------------------------------------------------------------------------------------- */

static bool watch_end(pel__relay *r, end *e, uint32_t events)
{
    struct epoll_event v = {.events = events, .data.ptr = e};
    if (e->fd < 0 || e->events == events)
        return true;
    const int what = events == 0 ? EPOLL_CTL_DEL : e->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    e->events = events;
    return epoll_ctl(r->epoll, what, e->fd, &v) == 0;
}

static uint32_t event_of(enum pel__step wanted)
{
    return wanted == PEL__STEP_WANT_WRITE ? EPOLLOUT : EPOLLIN;
}

static void watch_pair(pel__relay *r, pair *p)
{
    uint32_t plain = 0, coded = 0;
    if (p->dead)
        return;
    if (p->phase == CALLING_CODED)
        coded = EPOLLOUT;
    else if (p->phase == SHAKING)
        coded = event_of(p->shake);
    else if (p->phase == CALLING_PLAIN)
        plain = EPOLLOUT;
    if (p->phase == JOINED) {
        if (!p->up.rest && !p->up.ended)
            plain |= EPOLLIN;
        if (p->down.rest)
            plain |= EPOLLOUT;
        if (!p->down.rest && !p->down.ended)
            coded |= event_of(p->read);
        if (p->up.rest || (p->up.ended && !p->up.told))
            coded |= event_of(p->write);
    }
    if (!watch_end(r, &p->plain, plain) || !watch_end(r, &p->coded, coded))
        bury(r, p, false);
}

/* ---- bytes -------------------------------------------------------------------------------------------------------------------- */

/* Of so many bytes the first were written. */
static bool keep_rest(flow *f, const unsigned char *bytes, int64_t size, int64_t written)
{
    if (written == size) {
        free(f->rest);
        f->rest = NULL;
    } else if (f->rest) {
        f->begin += written;
    } else {
        f->rest = malloc((size_t)(size - written));
        if (!f->rest)
            return false;
        memcpy(f->rest, bytes + written, (size_t)(size - written));
        f->begin = 0;
        f->size = size - written;
    }
    return true;
}

static enum moved move_up(pel__relay *r, pair *p)
{
    flow *const f = &p->up;
    int64_t size = f->rest ? f->size - f->begin : 0, written = 0;
    const unsigned char *const bytes = f->rest ? f->rest + f->begin : r->piece;
    if (!f->rest && !f->ended) {
        const ssize_t n = recv(p->plain.fd, r->piece, sizeof r->piece, 0);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? STUCK : BROKEN;
        f->ended = n == 0;
        size = n;
    }
    if (size == 0 && (!f->ended || f->told))
        return STUCK;
    p->write = size > 0 ? pel__channel_write(p->channel, bytes, size, &written, NULL) : pel__channel_end(p->channel, NULL);
    if (p->write == PEL__STEP_FAILED || p->write == PEL__STEP_END)
        return BROKEN;
    f->told = size == 0 && p->write == PEL__STEP_OK;
    if (size > 0 && !keep_rest(f, bytes, size, written))
        return BROKEN;
    return p->write == PEL__STEP_OK ? MOVED : STUCK;
}

static enum moved move_down(pel__relay *r, pair *p)
{
    flow *const f = &p->down;
    int64_t size = f->rest ? f->size - f->begin : 0;
    const unsigned char *const bytes = f->rest ? f->rest + f->begin : r->piece;
    if (!f->rest && !f->ended) {
        p->read = pel__channel_read(p->channel, r->piece, sizeof r->piece, &size, NULL);
        if (p->read == PEL__STEP_FAILED)
            return BROKEN;
        f->ended = p->read == PEL__STEP_END;
    }
    if (size > 0) {
        const ssize_t n = send(p->plain.fd, bytes, (size_t)size, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return BROKEN;
        return !keep_rest(f, bytes, size, n < 0 ? 0 : n) ? BROKEN : n > 0 ? MOVED : STUCK;
    }
    if (!f->ended || f->told)
        return STUCK;
    f->told = true;
    return shutdown(p->plain.fd, SHUT_WR) == 0 || errno == ENOTCONN ? MOVED : BROKEN;
}

static void move(pel__relay *r, pair *p)
{
    enum moved up = MOVED, down = MOVED;
    bool any = false;
    int rounds = 0;
    p->again = false;
    for (; rounds < MOST_ROUNDS && (up == MOVED || down == MOVED); rounds++) {
        up = move_up(r, p);
        down = up == BROKEN ? BROKEN : move_down(r, p);
        if (down == BROKEN) {
            bury(r, p, false);
            return;
        }
        any = any || up == MOVED || down == MOVED;
    }
    if (p->up.told && p->down.told) {
        bury(r, p, true);
        return;
    }
    if (rounds == MOST_ROUNDS)
        p->again = r->again = true;
    if ((p->up.ended || p->down.ended) && (any || p->deadline == 0))
        set_deadline(r, p, r->now + r->o.linger_ms);
}

/* ---- the phases -------------------------------------------------------------------------------------------------------------- */

static void set_options(int fd)
{
    const int one = 1, idle = 60, every = 15, tries = 4, patience = 120000;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one); /* of a machine that is gone nobody hears */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof patience);
}

static bool call(end *e, const struct sockaddr_in *to, pel_error *err)
{
    e->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (e->fd < 0)
        return pel__fail_errno(err, errno, "no socket");
    set_options(e->fd);
    if (connect(e->fd, (const struct sockaddr *)to, sizeof *to) != 0 && errno != EINPROGRESS)
        return pel__fail_errno(err, errno, "no connection");
    return true;
}

static bool was_answered(const end *e, pel_error *err)
{
    int number = 0;
    socklen_t size = sizeof number;
    (void)getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &number, &size);
    return number == 0 || pel__fail_errno(err, number, "no connection");
}

static bool begin_shaking(pel__relay *r, pair *p, pel_error *err)
{
    p->shake = r->o.server ? PEL__STEP_WANT_READ : PEL__STEP_WANT_WRITE;
    set_phase(r, p, SHAKING);
    return pel__channel_create(&p->channel, r->o.tls, p->coded.fd, err);
}

static void join(pel__relay *r, pair *p)
{
    set_deadline(r, p, 0);
    set_phase(r, p, JOINED);
    p->read = PEL__STEP_WANT_READ;
    p->write = PEL__STEP_WANT_WRITE;
    if (!r->o.server)
        complain(r, p, "");
    move(r, p);
}

static bool shake(pel__relay *r, pair *p, pel_error *err)
{
    p->shake = pel__channel_shake_hands(p->channel, err);
    if (p->shake == PEL__STEP_FAILED)
        return false;
    if (p->shake == PEL__STEP_END)
        return pel__fail(err, PEL_IO, "it hung up");
    if (p->shake != PEL__STEP_OK)
        return true;
    if (!r->o.server) {
        join(r, p);
        return true;
    }
    set_phase(r, p, CALLING_PLAIN);
    return call(&p->plain, &r->o.to, err);
}

static void go_on(pel__relay *r, pair *p)
{
    pel_error err = {0};
    bool ok = true;
    if (p->phase == JOINED) {
        move(r, p);
    } else if (p->phase == CALLING_CODED) {
        ok = was_answered(&p->coded, &err) && begin_shaking(r, p, &err) && shake(r, p, &err);
    } else if (p->phase == SHAKING) {
        ok = shake(r, p, &err);
    } else {
        ok = was_answered(&p->plain, &err);
        if (ok)
            join(r, p);
    }
    if (!ok)
        give_up(r, p, &err);
    watch_pair(r, p);
}

/* ---- the door ------------------------------------------------------------------------------------------------------------------ */

static pair *add_pair(pel__relay *r)
{
    pair *const p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->plain = p->coded = (end){.p = p, .fd = -1};
    p->phase = JOINED;
    p->before = r->last;
    *(r->last ? &r->last->next : &r->first) = p;
    r->last = p;
    r->pairs++;
    return p;
}

static void welcome(pel__relay *r, int fd, const struct sockaddr_in *from)
{
    pel_error err = {0};
    pair *const p = add_pair(r);
    if (!p) {
        (void)close(fd);
        return;
    }
    (void)inet_ntop(AF_INET, &(r->o.server ? from : &r->o.to)->sin_addr, p->peer, sizeof p->peer);
    (r->o.server ? &p->coded : &p->plain)->fd = fd;
    set_options(fd);
    set_phase(r, p, CALLING_CODED);
    set_deadline(r, p, r->now + r->o.shake_ms);
    bool ok = r->pairs <= r->o.most || pel__fail(&err, PEL_REFUSED, "there are %lld connections already, as many as may be", (long long)r->o.most);
    if (r->o.server)
        ok = ok && begin_shaking(r, p, &err);
    else
        ok = ok && (!pel__tls_is_strange(fd) || pel__fail(&err, PEL_REFUSED, "somebody else on this machine tried to come in")) &&
             call(&p->coded, &r->o.to, &err);
    if (!ok)
        give_up(r, p, &err);
    else if (r->shaking > MOST_SHAKING)
        push_out_oldest(r);
    watch_pair(r, p);
}

static void open_door(pel__relay *r)
{
    for (int i = 0; i < MOST_EVENTS; i++) {
        struct sockaddr_in from = {0};
        socklen_t size = sizeof from;
        const int fd = accept4(r->door.fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            welcome(r, fd, &from);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) { /* until the next tick, lest we spin */
            push_out_oldest(r);
            (void)watch_end(r, &r->door, 0);
        }
        if (errno != EINTR && errno != ECONNABORTED)
            break;
    }
}

/* ---- the loop -------------------------------------------------------------------------------------------------------------------- */

static void tick(pel__relay *r)
{
    r->ticked = r->now;
    for (pair *p = r->first, *next; p; p = next) {
        next = p->next;
        if (p->deadline == 0 || p->deadline > r->now)
            continue;
        if (p->phase != JOINED)
            complain(r, p, p->phase == CALLING_CODED ? "it does not answer" : "it did not shake hands in time");
        bury(r, p, false);
    }
    if (r->door.fd >= 0)
        (void)watch_end(r, &r->door, EPOLLIN);
}

static void go_on_again(pel__relay *r)
{
    r->again = false;
    for (pair *p = r->first, *next; p; p = next) {
        next = p->next;
        if (p->again)
            go_on(r, p);
    }
}

bool pel__relay_turn(pel__relay *r, int64_t most_ms, bool *watched, pel_error *err)
{
    struct epoll_event events[MOST_EVENTS];
    const bool ticking = r->timed > 0 || (r->door.fd >= 0 && r->door.events == 0);
    const int64_t patience = r->again ? 0 : ticking && most_ms > TICK_MS ? TICK_MS : most_ms;
    const int n = epoll_wait(r->epoll, events, MOST_EVENTS, (int)patience);
    if (n < 0 && errno != EINTR)
        return pel__fail_errno(err, errno, "waiting for connections");
    *watched = false;
    r->now = pel__now_ms();
    if (r->again)
        go_on_again(r);
    for (int i = 0; i < n; i++) {
        end *const e = events[i].data.ptr;
        if (e == &r->watch)
            *watched = true;
        else if (e == &r->door)
            open_door(r);
        else if (!e->p->dead)
            go_on(r, e->p);
    }
    if (r->now - r->ticked >= TICK_MS)
        tick(r);
    free_dead(r);
    return true;
}

bool pel__relay_create(pel__relay **out, const pel__relay_options *o, pel_error *err)
{
    pel__relay *r = calloc(1, sizeof *r);
    if (!r)
        return pel__fail(err, PEL_NO_MEMORY, "no memory to join connections");
    r->o = *o;
    r->door.fd = o->listener;
    r->watch.fd = o->watched;
    r->now = pel__now_ms();
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (r->epoll < 0 || !watch_end(r, &r->door, EPOLLIN) || !watch_end(r, &r->watch, EPOLLIN)) {
        (void)pel__fail_errno(err, errno, "cannot watch connections");
        pel__relay_destroy(r);
        return false;
    }
    *out = r;
    return true;
}

void pel__relay_shut(pel__relay *r)
{
    close_end(&r->door, false);
}

int64_t pel__relay_count(const pel__relay *r)
{
    return r->pairs;
}

void pel__relay_destroy(pel__relay *r)
{
    if (!r)
        return;
    while (r->first)
        bury(r, r->first, false);
    free_dead(r);
    pel__relay_shut(r);
    if (r->epoll >= 0)
        (void)close(r->epoll);
    free(r);
}
