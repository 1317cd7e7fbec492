/* SPDX-License-Identifier: MIT
 * The hosts of an allocation, as its scheduler lists them, and what starts a command there. Lists name a host once, once a
 * core, or with a number of slots; the names stay as they are written, for launchers know no others.
 *
 *     Slurm         SLURM_JOB_NUM_NODES: srun knows the hosts itself; SLURM_HET_SIZE groups of a heterogeneous job, each with its own numbers
 *     Grid Engine   PE_HOSTFILE: a file of lines "host slots queue processors"
 *     PBS, Torque   PBS_NODEFILE: a file, a line for each MPI process; NCPUS or PBS_NUM_PPN: cores
 *     LSF           LSB_DJOB_HOSTFILE: a file, a line a slot; LSB_MCPU_HOSTS: "host slots host slots"; LSB_HOSTS: a name a slot,
 *                   not set for large jobs */
#include "cluster.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define SSH "ssh -o BatchMode=yes"

/* Nothing that a launcher or a shell could take for something else. */
static bool is_name(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:";
    return text[0] && text[0] != '-' && text[0] != '.' && text[strspn(text, allowed)] == '\0' && strlen(text) < HOST_NAME_LENGTH;
}

/* "n1" and "n1.cluster" are the same host; "n1.here" and "n1.there" are not. */
static bool is_same(const char *a, const char *b)
{
    const size_t n = strcspn(a, "."), k = strcspn(b, ".");
    if (a[n] && b[k])
        return strcasecmp(a, b) == 0;
    return n == k && strncasecmp(a, b, n) == 0;
}

static bool is_here(const char *name)
{
    char own[256] = "";
    (void)gethostname(own, sizeof own - 1);
    return strcmp(name, "localhost") == 0 || strcmp(name, "127.0.0.1") == 0 || (own[0] && is_same(name, own));
}

/* where: the list, for messages. */
static bool add_host(cluster *c, const char *name, int64_t slots, const char *where, pel_error *err)
{
    if (!is_name(name))
        return set_error(err, PEL_ARGUMENT, "--runner: %s: found \"%.100s\", expected the name of a host", where, name);
    if (slots < 1)
        return set_error(err, PEL_ARGUMENT, "--runner: %s: host %.100s has %" PRId64 " slots, expected at least one", where, name, slots);
    const char *const host = is_here(name) ? "" : name;
    for (int k = 0; k < c->process_count; k++) {
        if (host[0] ? is_same(c->processes[k].host, host) : !c->processes[k].host[0]) {
            c->processes[k].slots += slots;
            return true;
        }
    }
    if (c->process_count == MOST_PROCESSES)
        return set_error(err, PEL_ARGUMENT, "--runner: %s: more than %d hosts", where, MOST_PROCESSES);
    (void)snprintf(c->processes[c->process_count].host, sizeof c->processes[0].host, "%s", host);
    c->processes[c->process_count++].slots = slots;
    return true;
}

/* The next word of *text, up to so many letters; false: there is none. */
static bool next_word(const char **text, const char *between, char word[512])
{
    *text += strspn(*text, between);
    const size_t n = strcspn(*text, between);
    (void)snprintf(word, 512, "%.*s", (int)(n < 511 ? n : 511), *text);
    *text += n;
    return n > 0;
}

static bool slots_of(const char *word, int64_t *slots)
{
    const char *why = NULL;
    return parse_integer(word, slots, &why) && *slots <= 1000000;
}

/* Names, each perhaps with a number of slots after it. */
static bool add_list(cluster *c, const char *text, bool with_slots, const char *where, pel_error *err)
{
    char name[512], word[512];
    while (next_word(&text, ", \t\r\n", name)) {
        int64_t slots = 1;
        if (with_slots && (!next_word(&text, " \t\r\n", word) || !slots_of(word, &slots)))
            return set_error(err, PEL_ARGUMENT, "--runner: %s: found no number of slots after host %.100s", where, name);
        if (!add_host(c, name, slots, where, err))
            return false;
    }
    return c->process_count > 0 || set_error(err, PEL_ARGUMENT, "--runner: %s: there is no host in it", where);
}

/* One host a line; what else stands there: after "#" remarks, and with_slots columns of which the second is a number. */
static bool add_line(cluster *c, char *line, bool with_slots, const char *where, pel_error *err)
{
    char name[512], word[512];
    const char *at = line;
    int64_t slots = 1;
    line[strcspn(line, "#\r\n")] = '\0';
    if (!next_word(&at, " \t", name))
        return true;
    if (next_word(&at, " \t", word) && !(with_slots && slots_of(word, &slots)))
        return set_error(err, PEL_ARGUMENT, with_slots ? "--runner: %s: found \"%.60s\" after host %.60s, expected a number of slots" : "--runner: %s: found \"%.60s\" after host %.60s, expected one host a line",
                    where, word, name);
    return add_host(c, name, slots, where, err);
}

static bool add_file(cluster *c, const char *name, bool with_slots, pel_error *err)
{
    const char *const path = getenv(name);
    char line[1024], where[300];
    FILE *const f = fopen(path, "re");
    bool ok = f != NULL;
    if (!f)
        return set_error(err, PEL_ARGUMENT, "--runner: %s names %.200s, which cannot be read: %s", name, path, strerror(errno)); // NOLINT(concurrency-mt-unsafe): one thread
    for (int k = 1; ok && fgets(line, sizeof line, f); k++) {
        (void)snprintf(where, sizeof where, "%s, %.200s, line %d", name, path, k);
        ok = strlen(line) < sizeof line - 1 ? add_line(c, line, with_slots, where, err) : set_error(err, PEL_ARGUMENT, "--runner: %s: longer than a host's line can be", where);
    }
    (void)fclose(f);
    return ok && (c->process_count > 0 || set_error(err, PEL_ARGUMENT, "--runner: %s, %.200s: there is no host in it", name, path));
}

/* ---- what each scheduler says ------------------------------------------------------------------------------------------- */

/* NULL: not set, or empty. */
static const char *variable(const char *name)
{
    const char *const value = getenv(name);
    return value && value[0] ? value : NULL;
}

static int64_t integer_of(const char *name)
{
    int64_t n = 0;
    const char *const value = variable(name);
    return value && slots_of(value, &n) ? n : 0;
}

/* Of slots that mean processors: as many as the poorest host has, since tasks are alike. */
static void take_cores(cluster *c, int64_t least)
{
    int64_t cores = c->processes[0].slots;
    for (int k = 1; k < c->process_count; k++)
        cores = c->processes[k].slots < cores ? c->processes[k].slots : cores;
    if (c->job.cores == 0)
        c->job.cores = cores > least ? cores : least;
}

/* Each group of a heterogeneous job is a step of its own: their numbers of processors differ. */
static void srun_groups(cluster *c, int64_t groups)
{
    char name[64];
    for (int64_t g = 0; g < groups && c->process_count < MOST_PROCESSES; g++) {
        (void)snprintf(name, sizeof name, "SLURM_JOB_NUM_NODES_HET_GROUP_%d", (int)g);
        const int64_t nodes = integer_of(name);
        (void)snprintf(c->processes[c->process_count].host, sizeof c->processes[0].host, "*");
        c->processes[c->process_count].group = (int)g + 1;
        c->processes[c->process_count++].slots = nodes > 0 ? nodes : 1;
    }
}

static void srun(cluster *c, cluster_words *w)
{
    static char words[160];
    const char *const nodes = getenv("SLURM_JOB_NUM_NODES"), *const cores = getenv("SLURM_CPUS_PER_TASK");
    const int64_t groups = integer_of("SLURM_HET_SIZE");
    if (groups > 1 && !w->launcher) {
        srun_groups(c, groups);
        w->launcher = "srun --overlap";
        return;
    }
    (void)snprintf(words, sizeof words, "srun --overlap --nodes=%.8s --ntasks=%.8s --ntasks-per-node=1%s%.8s", nodes, nodes,
                   cores ? " --cpus-per-task=" : "", cores ? cores : "");
    c->processes[c->process_count].slots = integer_of("SLURM_JOB_NUM_NODES");
    (void)snprintf(c->processes[c->process_count++].host, sizeof c->processes[0].host, "*");
    w->launcher = w->launcher ? w->launcher : words;
}

static bool find(cluster *c, cluster_words *w, const char **launcher, pel_error *err)
{
    const char *names = NULL;
    *launcher = SSH;
    if (w->hosts)
        return add_list(c, w->hosts, false, "--hosts", err);
    if (variable("SLURM_JOB_NUM_NODES")) {
        srun(c, w);
        return true;
    }
    if (variable("PE_HOSTFILE")) {
        *launcher = "qrsh -inherit -nostdin";
        return add_file(c, "PE_HOSTFILE", true, err) && (take_cores(c, 1), true);
    }
    if (variable("PBS_NODEFILE")) {
        const int64_t ncpus = integer_of("NCPUS"), ppn = integer_of("PBS_NUM_PPN");
        if (!add_file(c, "PBS_NODEFILE", false, err))
            return false;
        if (ncpus > 0 || ppn > 0) /* else its lines may be processes of many cores each */
            take_cores(c, ncpus > ppn ? ncpus : ppn);
        return true;
    }
    *launcher = "blaunch";
    if (variable("LSB_DJOB_HOSTFILE"))
        return add_file(c, "LSB_DJOB_HOSTFILE", false, err) && (take_cores(c, 1), true);
    if ((names = variable("LSB_MCPU_HOSTS")))
        return add_list(c, names, true, "LSB_MCPU_HOSTS", err) && (take_cores(c, 1), true);
    if ((names = variable("LSB_HOSTS")))
        return add_list(c, names, false, "LSB_HOSTS", err) && (take_cores(c, 1), true);
    return set_error(err, PEL_ARGUMENT, "--runner: found no allocation of Slurm, PBS, Grid Engine or LSF here; name the hosts with --hosts");
}

bool hosts_find(cluster *c, cluster_words *w, pel_error *err)
{
    const char *launcher = NULL;
    if (!find(c, w, &launcher, err))
        return false;
    w->launcher = w->launcher ? w->launcher : launcher;
    return true;
}
