/* SPDX-License-Identifier: MIT
 * Writes tiled BigTIFF with OME-XML in the first directory, one directory a plane in the order z, c, t. libtiff keeps the
 * directories; the tiles are compressed here, on the pool, and handed to it as they are. */
#include "sink/filewriter.h"

#include "core/bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <tiffio.h>
#include <unistd.h>

typedef struct writer {
    const pel__file_job *job;
    pel__out out;
    TIFF *tiff;
    int64_t at;        /* libtiff's cursor in the file */
    pel_error trouble; /* first failure of a write, or libtiff's first complaint */
    char *xml;
} writer;

/* ---- libtiff's view of the file ------------------------------------------------------------------------------ */

static tmsize_t on_read(thandle_t handle, void *data, tmsize_t n)
{
    writer *w = handle;
    const ssize_t got = pread(w->out.fd, data, (size_t)n, (off_t)w->at);
    w->at += got > 0 ? got : 0;
    return got;
}

static tmsize_t on_write(thandle_t handle, void *data, tmsize_t n)
{
    writer *w = handle;
    if (!pel__out_at(&w->out, w->at, data, n, w->trouble.code ? NULL : &w->trouble))
        return -1;
    w->at += n;
    w->out.end = pel__max(w->out.end, w->at);
    return n;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence)
{
    writer *w = handle;
    w->at = whence == SEEK_SET ? (int64_t)offset : whence == SEEK_CUR ? w->at + (int64_t)offset : w->out.end + (int64_t)offset;
    return (toff_t)w->at;
}

static toff_t on_size(thandle_t handle) { return (toff_t)((writer *)handle)->out.end; }
static int on_close(thandle_t handle) { return 0; }

static int on_error(TIFF *tiff, void *arg, const char *module, const char *format, va_list args) PEL_PRINTF(4, 0);
static int on_error(TIFF *tiff, void *arg, const char *module, const char *format, va_list args)
{
    writer *w = arg;
    char text[300];
    (void)vsnprintf(text, sizeof text, format, args);
    if (!w->trouble.code)
        (void)pel__fail(&w->trouble, PEL_IO, "%s: libtiff: %s: %s", w->job->path, module ? module : "", text);
    return 1;
}

static int on_warning(TIFF *tiff, void *arg, const char *module, const char *format, va_list args) { return 1; }

static bool open_tiff(writer *w, pel_error *err)
{
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory", w->job->path);
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, w);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, w);
    w->tiff = TIFFClientOpenExt(w->job->path, "w8m", w, on_read, on_write, on_seek, on_close, on_size, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    return w->tiff || pel__fail(err, w->trouble.code ? w->trouble.code : PEL_IO, "%s", w->trouble.code ? w->trouble.text : w->job->path);
}

/* ---- OME-XML ------------------------------------------------------------------------------------------------- */

static void put_channel(FILE *f, const pel_channel *ch, int32_t image, int64_t c)
{
    const int32_t rgba = (int32_t)(ch->rgb << 8 | 0xFF); /* OME keeps the colour as a signed number */
    (void)fprintf(f, "<Channel ID=\"Channel:%d:%" PRId64 "\" SamplesPerPixel=\"1\" Color=\"%" PRId32 "\" Name=\"", image, c, rgba);
    pel__out_xml(f, ch->name);
    (void)fputc('"', f);
    if (ch->excitation_nm > 0.0)
        (void)fprintf(f, " ExcitationWavelength=\"%.9g\" ExcitationWavelengthUnit=\"nm\"", ch->excitation_nm);
    if (ch->emission_nm > 0.0)
        (void)fprintf(f, " EmissionWavelength=\"%.9g\" EmissionWavelengthUnit=\"nm\"", ch->emission_nm);
    (void)fputs("/>", f);
}

static void put_pixels(FILE *f, const pel_image *im, int32_t image)
{
    static const char letters[] = "TCZYX";
    const char *type = im->dtype == PEL_F32 ? "float" : pel_dtype_name(im->dtype);
    (void)fprintf(f, "<Pixels ID=\"Pixels:%d\" DimensionOrder=\"XYZCT\" Type=\"%s\" BigEndian=\"false\"", image, type);
    for (int a = PEL_X; a >= PEL_T; a--)
        (void)fprintf(f, " Size%c=\"%" PRId64 "\"", letters[a], im->shape[a]);
    for (int a = PEL_X; a >= PEL_Z; a--)
        if (im->pixel_size[a] > 0.0)
            (void)fprintf(f, " PhysicalSize%c=\"%.17g\" PhysicalSize%cUnit=\"\xC2\xB5m\"", letters[a], im->pixel_size[a], letters[a]);
    if (im->pixel_size[PEL_T] > 0.0)
        (void)fprintf(f, " TimeIncrement=\"%.17g\" TimeIncrementUnit=\"s\"", im->pixel_size[PEL_T]);
    (void)fputc('>', f);
    for (int64_t c = 0; c < im->shape[PEL_C]; c++)
        put_channel(f, &im->channels[c], image, c);
    const int64_t planes = im->shape[PEL_T] * im->shape[PEL_C] * im->shape[PEL_Z];
    (void)fprintf(f, "<TiffData IFD=\"%" PRId64 "\" PlaneCount=\"%" PRId64 "\"/></Pixels>", image * planes, planes);
}

static void put_document(FILE *f, const void *arg)
{
    const pel__file_job *job = arg;
    (void)fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?><OME xmlns=\"http://www.openmicroscopy.org/Schemas/OME/2016-06\" "
                "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"http://www.openmicroscopy.org/Schemas/OME/2016-06 "
                "http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd\" Creator=\"pellucid\">", f);
    for (int32_t i = 0; i < job->image_count; i++) {
        (void)fprintf(f, "<Image ID=\"Image:%d\" Name=\"", i);
        pel__out_xml(f, job->images[i].name);
        (void)fputs("\">", f);
        put_pixels(f, &job->images[i], i);
        (void)fputs("</Image>", f);
    }
    (void)fputs("</OME>", f);
}

static bool make_xml(writer *w, pel_error *err)
{
    size_t n = 0;
    w->xml = pel__out_text(put_document, w->job, &n);
    return w->xml || pel__fail(err, PEL_NO_MEMORY, "%s: no memory for the metadata", w->job->path);
}

/* ---- tiles --------------------------------------------------------------------------------------------------- */

static int64_t bound(const pel__file_job *job, int64_t raw_bytes)
{
    return job->codec == PEL__FILE_DEFLATE ? (int64_t)libdeflate_zlib_compress_bound(NULL, (size_t)raw_bytes) : raw_bytes;
}

/* The horizontal predictor: each sample becomes its difference to the left neighbour. */
static void differentiate(const pel__file_job *job, void *raw)
{
    for (int64_t y = 0; y < job->tile_y; y++)
        for (int64_t x = job->tile_x - 1; x > 0; x--) {
            const int64_t i = y * job->tile_x + x;
            if (job->images[0].dtype == PEL_U16)
                ((uint16_t *)raw)[i] = (uint16_t)(((uint16_t *)raw)[i] - ((uint16_t *)raw)[i - 1]);
            else
                ((uint8_t *)raw)[i] = (uint8_t)(((uint8_t *)raw)[i] - ((uint8_t *)raw)[i - 1]);
        }
}

static bool predicted(const pel__file_job *job) { return job->codec == PEL__FILE_DEFLATE && job->images[0].dtype != PEL_F32; }

static int64_t encode(const pel__file_job *job, const pel__tile *tile, void *raw, int64_t raw_bytes, void *out, int64_t capacity)
{
    if (predicted(job))
        differentiate(job, raw);
    if (job->codec != PEL__FILE_DEFLATE) {
        memcpy(out, raw, (size_t)raw_bytes);
        return raw_bytes;
    }
    struct libdeflate_compressor *z = libdeflate_alloc_compressor(4);
    const size_t n = z ? libdeflate_zlib_compress(z, raw, (size_t)raw_bytes, out, (size_t)capacity) : 0;
    libdeflate_free_compressor(z);
    return (int64_t)n;
}

static bool begin_plane(writer *w, bool first)
{
    const pel__file_job *job = w->job;
    const pel_image *im = &job->images[0];
    bool ok = TIFFSetField(w->tiff, TIFFTAG_IMAGEWIDTH, (uint32_t)im->shape[PEL_X]) && TIFFSetField(w->tiff, TIFFTAG_IMAGELENGTH, (uint32_t)im->shape[PEL_Y]);
    ok = ok && TIFFSetField(w->tiff, TIFFTAG_TILEWIDTH, (uint32_t)job->tile_x) && TIFFSetField(w->tiff, TIFFTAG_TILELENGTH, (uint32_t)job->tile_y);
    ok = ok && TIFFSetField(w->tiff, TIFFTAG_BITSPERSAMPLE, (int)pel_dtype_size(im->dtype) * 8) && TIFFSetField(w->tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
    ok = ok && TIFFSetField(w->tiff, TIFFTAG_SAMPLEFORMAT, im->dtype == PEL_F32 ? SAMPLEFORMAT_IEEEFP : SAMPLEFORMAT_UINT);
    ok = ok && TIFFSetField(w->tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK) && TIFFSetField(w->tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    ok = ok && TIFFSetField(w->tiff, TIFFTAG_COMPRESSION, job->codec == PEL__FILE_DEFLATE ? COMPRESSION_ADOBE_DEFLATE : COMPRESSION_NONE);
    if (predicted(job))
        ok = ok && TIFFSetField(w->tiff, TIFFTAG_PREDICTOR, PREDICTOR_HORIZONTAL);
    if (first)
        ok = ok && TIFFSetField(w->tiff, TIFFTAG_IMAGEDESCRIPTION, w->xml) && TIFFSetField(w->tiff, TIFFTAG_SOFTWARE, "pellucid");
    return ok;
}

static bool emit(void *arg, const pel__tile *t, const void *data, int64_t n, pel_error *err)
{
    writer *w = arg;
    const int64_t across = pel__tiles_across(w->job->images[0].shape[PEL_X], w->job->tile_x, 0);
    const int64_t down = pel__tiles_across(w->job->images[0].shape[PEL_Y], w->job->tile_y, 0);
    bool ok = t->m != 0 || begin_plane(w, t->index == 0);
    ok = ok && TIFFWriteRawTile(w->tiff, (uint32_t)t->m, (void *)(uintptr_t)data, (tmsize_t)n) == (tmsize_t)n;
    if (ok && t->m == across * down - 1)
        ok = TIFFWriteDirectory(w->tiff) == 1;
    if (!ok || w->trouble.code)
        return pel__fail(err, w->trouble.code ? w->trouble.code : PEL_IO, "%s", w->trouble.code ? w->trouble.text : "libtiff failed");
    return true;
}

static bool check(const pel__file_job *job, pel_error *err)
{
    const pel_dtype type = job->images[0].dtype;
    if (type != PEL_U8 && type != PEL_U16 && type != PEL_F32)
        return pel__fail(err, PEL_UNSUPPORTED, "%s: TIFF of %s is not written", job->path, pel_dtype_name(type));
    if (job->codec == PEL__FILE_ZSTD1)
        return pel__fail(err, PEL_ARGUMENT, "%s: zstd1 belongs to CZI: use raw or deflate", job->path);
    if (job->tile_y < 16 || job->tile_x < 16 || job->tile_y % 16 || job->tile_x % 16 || job->overlap)
        return pel__fail(err, PEL_ARGUMENT, "%s: TIFF tiles of %" PRId64 " x %" PRId64 " with overlap %" PRId64 ": must be multiples of 16 without overlap", job->path,
                         job->tile_y, job->tile_x, job->overlap);
    return true;
}

bool pel__tiff_write(const pel__file_job *job, pel_error *err)
{
    static const pel__tile_codec codec = {.pad = true, .bound = bound, .encode = encode};
    writer *w = calloc(1, sizeof *w);
    if (!w)
        return pel__fail(err, PEL_NO_MEMORY, "%s: no memory", job->path);
    w->job = job;
    w->out.fd = -1;
    bool ok = check(job, err) && pel__out_open(&w->out, job->path, err) && make_xml(w, err) && open_tiff(w, err);
    ok = ok && pel__pump_tiles(job, &codec, emit, w, err);
    if (w->tiff)
        TIFFClose(w->tiff); /* may write the last offsets: trouble is looked at behind it */
    if (ok && w->trouble.code)
        ok = pel__fail(err, w->trouble.code, "%s", w->trouble.text);
    ok = ok && pel__out_commit(&w->out, err);
    pel__out_abandon(&w->out);
    free(w->xml);
    free(w);
    return ok;
}
