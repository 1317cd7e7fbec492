/* SPDX-License-Identifier: MIT
 * pellucid-tls: encrypts what goes between a manager and its workers, whose own protocol knows no encryption. Two of it stand
 * between them, each on the machine of what it serves (tls_relay.h):
 *
 *     pellucid-tls front  --key FILE --address A --port N [--exactly] --to PORT
 *         before the manager, which starts it: listens on A, says "port N" on standard output, joins each connection that
 *         shows the key to PORT of this machine. SIGTERM: what is under way may end.
 *     pellucid-tls worker --key FILE --address A --port N -- COMMAND…
 *         before a worker: listens on this machine, starts COMMAND with "127.0.0.1 PORT" at its end, joins its connections to
 *         the front at A; hands on signals, ends with it and as it did.
 *
 * FILE is the run's password. A program of its own because nothing else needs OpenSSL; `pellucid cluster --tls` starts it.
 * Exit codes: 0 done, 1 it could not listen or serve, 2 refused; of a worker its own. */
#include "core/clock.h"
#include "core/error.h"
#include "engine/tls_relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECRET_MOST 4096
#define SECRET_LEAST 32
#define SHAKE_MS 10000
#define LINGER_MS 60000
#define LAST_MS 3000 /* for what is under way when all is over */
#define WORKER_PAIRS 64
#define BIND_TRIES 20 /* 50 ms each: the front of a manager that was killed goes with it, though not in the same moment */
#define OFTEN 8 /* complaints; afterwards each that doubles their number */

typedef struct {
    const char *key, *address;
    int64_t port, to, shake_ms;
    bool worker, exactly;
    char **command;
} options;

typedef struct {
    options o;
    pel__tls *tls;
    pel__relay *relay;
    int listener, signals;
    sigset_t mask; /* as we were started */
    struct sigaction pipe;
    pid_t child;
    int status; /* of the child */
    bool over;
    int64_t complaints;
} front;

/* A stranger, or a worker of another run, may come again and again. */
static void complain(void *arg, const char *peer, const char *text)
{
    front *const f = arg;
    if (!text[0]) {
        f->complaints = 0;
        return;
    }
    const int64_t n = ++f->complaints;
    if (n > OFTEN && (n & (n - 1)) != 0)
        return;
    if (f->o.worker)
        (void)fprintf(stderr, "pellucid-tls: manager at %s, port %" PRId64 ": %s\n", peer, f->o.port, text);
    else
        (void)fprintf(stderr, "pellucid-tls: refused a connection from %s: %s\n", peer, text);
    if (n == OFTEN)
        (void)fputs("pellucid-tls: from now on not each of these is told\n", stderr);
}

/* ---- beginning ------------------------------------------------------------------------------------------------------------ */

static bool read_key(front *f, pel_error *err)
{
    unsigned char secret[SECRET_MOST + 1], key[PEL__TLS_KEY];
    FILE *const file = fopen(f->o.key, "re");
    if (!file)
        return pel__fail_errno(err, errno, "%s: cannot read the password", f->o.key);
    setbuf(file, NULL); /* no copy of it elsewhere */
    const size_t n = fread(secret, 1, sizeof secret, file);
    (void)fclose(file);
    bool ok = (n >= SECRET_LEAST && n <= SECRET_MOST) ||
              pel__fail(err, PEL_REFUSED, "%s: found %zu bytes, expected a password of %d to %d", f->o.key, n, SECRET_LEAST, SECRET_MOST);
    ok = ok && pel__tls_key(key, secret, n, err) && pel__tls_create(&f->tls, !f->o.worker, key, err);
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(key, sizeof key);
    return ok;
}

static bool address_of(struct sockaddr_in *out, const char *address, int64_t port, pel_error *err)
{
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, address, &out->sin_addr) == 1 || pel__fail(err, PEL_ARGUMENT, "--address: found \"%s\", expected four numbers", address);
}

static bool try_to_listen(int *fd, struct sockaddr_in at)
{
    const int one = 1;
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return false;
    (void)setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(*fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(*fd, SOMAXCONN) == 0)
        return true;
    const int number = errno;
    (void)close(*fd);
    *fd = -1;
    errno = number;
    return false;
}

/* On the port that was asked for, or on any. */
static bool start_listening(front *f, const char *address, int64_t wanted, pel_error *err)
{
    struct sockaddr_in at;
    if (!address_of(&at, address, wanted, err))
        return false;
    bool ok = try_to_listen(&f->listener, at);
    for (int i = 0; !ok && errno == EADDRINUSE && wanted > 0 && i < BIND_TRIES; i++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        ok = try_to_listen(&f->listener, at);
    }
    if (!ok && errno == EADDRINUSE && wanted > 0 && !f->o.exactly) {
        at.sin_port = 0;
        ok = try_to_listen(&f->listener, at);
    }
    return ok || pel__fail_errno(err, errno, "cannot listen on %s, port %" PRId64, address, wanted);
}

static int64_t port_of(int fd)
{
    struct sockaddr_in at = {0};
    socklen_t n = sizeof at;
    return getsockname(fd, (struct sockaddr *)&at, &n) == 0 ? ntohs(at.sin_port) : 0;
}

/* As many connections as files may be open; two a pair. */
static int64_t most_pairs(const front *f)
{
    struct rlimit r = {0};
    if (f->o.worker)
        return WORKER_PAIRS;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r);
        (void)getrlimit(RLIMIT_NOFILE, &r);
    }
    const int64_t files = r.rlim_cur > 1000000 ? 1000000 : (int64_t)r.rlim_cur;
    return files > 100 ? (files - 64) / 2 : 16;
}

static bool catch_signals(front *f, pel_error *err)
{
    const int all[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        (void)sigaddset(&set, all[i]);
    (void)sigaction(SIGPIPE, &ignore, &f->pipe);
    f->signals = pthread_sigmask(SIG_BLOCK, &set, &f->mask) == 0 ? signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC) : -1;
    return f->signals >= 0 || pel__fail_errno(err, errno, "cannot watch signals");
}

/* ---- the worker ------------------------------------------------------------------------------------------------------------ */

static void become_worker(const front *f, pid_t parent, int64_t port)
{
    char text[16], host[] = "127.0.0.1";
    int n = 0;
    while (f->o.command[n])
        n++;
    char **const words = calloc((size_t)n + 3, sizeof *words);
    if (!words)
        _exit(127);
    memcpy(words, f->o.command, (size_t)n * sizeof *words);
    (void)snprintf(text, sizeof text, "%" PRId64, port);
    words[n] = host;
    words[n + 1] = text;
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* it ends its tasks then, too */
    (void)sigaction(SIGPIPE, &f->pipe, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &f->mask, NULL);
    if (getppid() != parent)
        _exit(127);
    (void)execvp(words[0], words);
    (void)fprintf(stderr, "pellucid-tls: %s: %s\n", words[0], strerror(errno)); // NOLINT(concurrency-mt-unsafe): one thread
    _exit(127);
}

static bool start_worker(front *f, pel_error *err)
{
    const pid_t parent = getpid();
    const int64_t port = port_of(f->listener);
    f->child = fork();
    if (f->child == 0)
        become_worker(f, parent, port);
    return f->child > 0 || pel__fail_errno(err, errno, "cannot start %s", f->o.command[0]);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------------------- */

static void take_signals(front *f)
{
    struct signalfd_siginfo s;
    while (read(f->signals, &s, sizeof s) == (ssize_t)sizeof s) {
        const int number = (int)s.ssi_signo;
        if (number == SIGCHLD)
            f->over = f->over || (f->child > 0 && waitpid(f->child, &f->status, WNOHANG) == f->child);
        else if (f->o.worker && !f->over)
            (void)kill(f->child, number);
        else if (number == SIGTERM) /* other signals are the manager's business, whose group we are in */
            f->over = true;
    }
}

/* Until it is over, and a little longer for what is under way. */
static bool serve(front *f, pel_error *err)
{
    bool signalled = false;
    while (!f->over) {
        if (!pel__relay_turn(f->relay, 3600000, &signalled, err))
            return false;
        if (signalled)
            take_signals(f);
    }
    pel__relay_shut(f->relay);
    for (const int64_t end = pel__now_ms() + LAST_MS; pel__relay_count(f->relay) > 0 && pel__now_ms() < end;)
        if (!pel__relay_turn(f->relay, 50, &signalled, err))
            return false;
    return true;
}

static bool begin(front *f, pel_error *err)
{
    pel__relay_options r = {.tls = NULL, .server = !f->o.worker, .shake_ms = f->o.shake_ms, .linger_ms = LINGER_MS, .complain = complain, .arg = f};
    if (!read_key(f, err) || !catch_signals(f, err))
        return false;
    if (f->o.worker ? !address_of(&r.to, f->o.address, f->o.port, err) || !start_listening(f, "127.0.0.1", 0, err)
                    : !address_of(&r.to, "127.0.0.1", f->o.to, err) || !start_listening(f, f->o.address, f->o.port, err))
        return false;
    const int64_t port = port_of(f->listener);
    r.most = most_pairs(f);
    r.tls = f->tls;
    r.listener = f->listener;
    r.watched = f->signals;
    f->listener = -1;
    if (!pel__relay_create(&f->relay, &r, err))
        return false;
    if (f->o.worker) {
        f->listener = r.listener;
        const bool ok = start_worker(f, err);
        f->listener = -1;
        return ok;
    }
    (void)printf("port %" PRId64 "\n", port);
    return fflush(stdout) == 0 && fclose(stdout) == 0;
}

static bool number(const char *text, int64_t *out)
{
    char *end = NULL;
    *out = strtoll(text, &end, 10);
    return end != text && *end == '\0' && *out >= 0 && *out <= 1000000;
}

static bool read_options(options *o, int argc, char **argv)
{
    static const struct option names[] = {{"key", 1, NULL, 'k'}, {"address", 1, NULL, 'a'}, {"port", 1, NULL, 'p'}, {"to", 1, NULL, 't'},
                                          {"shake-ms", 1, NULL, 's'}, {"exactly", 0, NULL, 'x'}, {0}};
    bool ok = argc > 1 && (strcmp(argv[1], "front") == 0 || strcmp(argv[1], "worker") == 0);
    if (!ok)
        return false;
    o->worker = argv[1][0] == 'w';
    optind = 2;
    for (int c = 0; ok && (c = getopt_long(argc, argv, "+", names, NULL)) != -1;) { // NOLINT(concurrency-mt-unsafe)
        if (c == 'k' || c == 'a')
            *(c == 'k' ? &o->key : &o->address) = optarg;
        else if (c == 'x')
            o->exactly = true;
        else
            ok = c != '?' && number(optarg, c == 'p' ? &o->port : c == 't' ? &o->to : &o->shake_ms);
    }
    o->command = argv + optind;
    ok = ok && o->key && o->address && o->port <= 65535 && o->to <= 65535;
    return ok && (o->worker ? optind < argc && o->port > 0 : optind == argc && o->to > 0);
}

int main(int argc, char **argv)
{
    front f = {.o = {.shake_ms = SHAKE_MS}, .listener = -1, .signals = -1};
    pel_error err = {0};
    if (!read_options(&f.o, argc, argv)) {
        (void)fputs("pellucid-tls is started by `pellucid cluster --tls`, see there\n", stderr);
        return 2;
    }
    const bool ok = begin(&f, &err) && serve(&f, &err);
    if (err.code != 0)
        (void)fprintf(stderr, "pellucid-tls: %s\n", err.text);
    pel__relay_destroy(f.relay);
    pel__tls_destroy(f.tls);
    if (f.child > 0 && !f.over) /* we failed: it cannot go on */
        (void)kill(f.child, SIGTERM);
    if (ok && f.o.worker && WIFSIGNALED(f.status)) { /* ends as it did */
        const struct rlimit none = {0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(WTERMSIG(f.status), SIG_DFL);
        (void)pthread_sigmask(SIG_SETMASK, &f.mask, NULL);
        (void)raise(WTERMSIG(f.status));
        return 128 + WTERMSIG(f.status);
    }
    return !ok ? 1 : f.o.worker ? WEXITSTATUS(f.status) : 0;
}
