/* SPDX-License-Identifier: MIT
 * The table of voxel types. */
#include "pellucid.h"

#include <string.h>

static const struct {
    const char *name;
    size_t size;
} types[] = {
    [PEL_U8] = {"uint8", 1},   [PEL_I8] = {"int8", 1},   [PEL_U16] = {"uint16", 2}, [PEL_I16] = {"int16", 2},
    [PEL_U32] = {"uint32", 4}, [PEL_I32] = {"int32", 4}, [PEL_U64] = {"uint64", 8}, [PEL_I64] = {"int64", 8},
    [PEL_F32] = {"float32", 4}, [PEL_F64] = {"float64", 8},
};

static bool is_type(pel_dtype type) { return (unsigned)type < sizeof types / sizeof types[0]; }

size_t pel_dtype_size(pel_dtype type)
{
    return is_type(type) ? types[type].size : 0;
}

const char *pel_dtype_name(pel_dtype type)
{
    return is_type(type) ? types[type].name : NULL;
}

bool pel_dtype_parse(pel_dtype *out, const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(name, types[i].name) == 0) {
            *out = (pel_dtype)i;
            return true;
        }
    }
    return false;
}
