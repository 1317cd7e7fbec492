/* SPDX-License-Identifier: MIT
 * See damage.h. */
#include "source/damage.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pel__damage {
    pthread_mutex_t lock;
    bool zero;
    int64_t count, pieces;
    int64_t seen[PEL__DAMAGE_MOST];
    char first[sizeof(((pel_error *)NULL)->text)];
};

static const char way_out[] = " (--damaged zero reads what is damaged as zero)";

bool pel__damage_create(pel__damage **out, bool zero, pel_error *err)
{
    pel__damage *const d = calloc(1, sizeof *d);
    if (!d)
        return pel__fail(err, PEL_NO_MEMORY, "no memory to count damaged tiles");
    (void)pthread_mutex_init(&d->lock, NULL);
    d->zero = zero;
    *out = d;
    return true;
}

void pel__damage_destroy(pel__damage *d)
{
    if (!d)
        return;
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
}

bool pel__damage_is_zero(const pel_open_options *options)
{
    return options->damaged ? strcmp(options->damaged, "zero") == 0 : options->recover;
}

static bool is_new(const pel__damage *d, int64_t piece)
{
    for (int64_t i = 0; i < d->pieces; i++)
        if (d->seen[i] == piece)
            return false;
    return d->pieces < PEL__DAMAGE_MOST;
}

static void count(pel__damage *d, int64_t piece, const char *text)
{
    (void)pthread_mutex_lock(&d->lock);
    d->count++;
    if (is_new(d, piece))
        d->seen[d->pieces++] = piece;
    if (d->count == 1)
        (void)snprintf(d->first, sizeof d->first, "%s", text);
    (void)pthread_mutex_unlock(&d->lock);
}

bool pel__damage_take(pel__damage *d, int64_t piece, pel_error *why)
{
    if (!d || (why->code != PEL_DAMAGED && why->code != PEL_FORMAT))
        return false;
    if (!d->zero) {
        const size_t n = strlen(why->text);
        if (n + sizeof way_out <= sizeof why->text)
            memcpy(why->text + n, way_out, sizeof way_out);
        return false;
    }
    count(d, piece, why->text);
    *why = (pel_error){0};
    return true;
}

void pel__damage_pad(pel__damage *d, int64_t piece, const char *text)
{
    if (d)
        count(d, piece, text);
}

int64_t pel__damage_count(pel__damage *d)
{
    if (!d)
        return 0;
    (void)pthread_mutex_lock(&d->lock);
    const int64_t n = d->count;
    (void)pthread_mutex_unlock(&d->lock);
    return n;
}

int64_t pel__damage_pieces(pel__damage *d, char *first, size_t size)
{
    if (size > 0)
        first[0] = '\0';
    if (!d)
        return 0;
    (void)pthread_mutex_lock(&d->lock);
    const int64_t n = d->pieces;
    if (size > 0)
        (void)snprintf(first, size, "%s", d->first);
    (void)pthread_mutex_unlock(&d->lock);
    return n;
}

int64_t pel_source_damaged(const pel_source *source, char *first, size_t size)
{
    return pel__damage_pieces(source->damage, first, size);
}
