/* SPDX-License-Identifier: MIT
 * What the files of `cluster` share: its words, the workers it keeps, the network. */
#ifndef PELLUCID_CLI_CLUSTER_H
#define PELLUCID_CLI_CLUSTER_H

#include "jobs.h"

#include <limits.h>

typedef struct cluster_words {
    const char *output, *workers, *interface, *config, *hosts, *launcher, *worker_program, *worker_scratch, *tls_program, *hand_over;
    job_words job;
    const char *scale; /* of a running manager: other bounds */
    int64_t port, batch_seconds, straggler_seconds, attempts, poll, answer, seconds, worker_timeout;
    bool runner, detach, quiet, tls;
} cluster_words;

enum cluster_kind { CLUSTER_LOCAL, CLUSTER_SCHEDULER, CLUSTER_RUNNER };

#define MOST_PROCESSES 4096
#define HOST_NAME_LENGTH 256

typedef struct cluster {
    const verb *self;
    const cluster_words *words;
    cluster_words with_launcher; /* words, and what the allocation adds to them */
    enum cluster_kind kind;
    int64_t least, most;  /* workers */
    char output[PATH_MAX], password[PATH_MAX], manager_program[PATH_MAX], program[PATH_MAX];
    char worker_script[PATH_MAX]; /* what launchers start; "": none was written */
    char tls_program[PATH_MAX]; /* "": nothing is encrypted */
    char address[64];
    int64_t port;
    char last[400];       /* host, address and port of the last manager: its workers look for it there; "": none */
    pid_t manager;
    bool sweep;           /* blocks along y hand on what they share */
    int64_t task_memory;  /* what the plan wants; a worker may have more */
    job_script job;       /* of a worker */
    /* processes of this machine: local workers, or what launches them elsewhere */
    struct {
        pid_t pid;
        char host[HOST_NAME_LENGTH]; /* "": this one; "*": all those that the launcher knows */
        int64_t slots, began, starts;
        int group; /* of a heterogeneous job of Slurm, whose hosts are reached group by group, from 1; 0: none */
    } processes[MOST_PROCESSES];
    int process_count;
    int64_t last_poll, done_before; /* blocks, when we began */
    submissions jobs;     /* workers that were ever submitted */
    scaling scaling;
    bool silent;          /* the scheduler did not answer the last time */
    bool given_up;        /* it takes fewer jobs than the least */
    int64_t scaled_us;    /* when the bounds that hold were asked for; 0: by the command */
    char limit_said[512]; /* what it said when it took no more */
    bool told;            /* the manager was asked to stop */
    char said[512]; /* by the scheduler, the last time it failed */
} cluster;

/* network.c. wanted: interface or address of this machine; NULL: loopback where all is local, else a private address.
 * False: there is none; found: what there is. */
bool network_address(char out[64], char *found, size_t size, const char *wanted, bool local);

/* hosts.c: fills the processes with the hosts that were named, or those of the allocation; sets w->launcher, and cores where
 * the allocation tells how many there are. */
bool hosts_find(cluster *c, cluster_words *w, pel_error *err);

/* workers.c */
bool workers_check(const cluster *c, pel_error *err); /* whether a job's script can say all that it must */
bool workers_find(cluster *c, pel_error *err); /* where they will be, and how many */
bool workers_begin(cluster *c, pel_error *err); /* the manager listens: have workers. False: there can be none */
/* Called about once a second. connected: workers that the manager sees. */
void workers_keep(cluster *c, int64_t blocks_left, int64_t connected);
void workers_end(cluster *c);

/* workers.c, for workers_jobs.c: writes the script of so many workers. */
bool workers_script(cluster *c, job_script *job, char path[PATH_MAX], pel_error *err);

/* workers_jobs.c: workers that are jobs of a scheduler. */
bool jobs_begin(cluster *c, pel_error *err);
void jobs_keep(cluster *c, int64_t blocks_left, int64_t connected);
void jobs_end(cluster *c);

/* scale.c: other bounds for a manager that is at work, by a file in OUT.run. */
bool parse_bounds(const char *text, int64_t *least, int64_t *most); /* "N", "A..B" */
int scale_ask(const verb *self, const cluster_words *w);
void scale_begin(cluster *c);
bool scale_hear(cluster *c); /* true: they are new */

/* config.c: the words of the site's, the user's and the named file as if they were typed before the others; NULL: *code.
 * jobs_only: those members only that say how jobs are asked for. */
#define CONFIG_HELP "JSON or YAML (.yaml) with these options, also in the words of dask-jobqueue; over /etc/pellucid/cluster.json and ~/.config/pellucid/cluster.json (or .yaml), which none leaves out"
char **config_words(const verb *self, int argc, char **argv, bool jobs_only, int *count, int *code);

#endif
