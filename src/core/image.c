/* SPDX-License-Identifier: MIT
 * Where the voxels of an image lie, from what its description says: one formula for whoever writes or shows it. */
#include "core/number.h"
#include "pellucid.h"

void pel_image_place(const pel_image *image, double step[PEL_AXES], double place[PEL_AXES])
{
    for (int a = 0; a < PEL_AXES; a++) {
        step[a] = image->pixel_size[a] > 0 ? image->pixel_size[a] : image->scale[a] > 0 ? image->scale[a] : 1;
        place[a] = image->place[a] + (double)image->origin[a] * step[a];
        place[a] = image->origin[a] == 0 ? place[a] : pel__rounded(place[a]);
    }
    step[PEL_C] = 1;
    place[PEL_C] = 0;
}
