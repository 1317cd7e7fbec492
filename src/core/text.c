/* SPDX-License-Identifier: MIT
 * See text.h. */
#include "core/text.h"

#include "pellucid.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes of the letter of UTF-8 that text begins with; 0 where none does. */
static int letter(const uint8_t *text)
{
    const int n = text[0] < 0x80 ? 1 : text[0] >= 0xC2 && text[0] < 0xE0 ? 2 : text[0] >= 0xE0 && text[0] < 0xF0 ? 3
                                   : text[0] >= 0xF0 && text[0] < 0xF5 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    const bool low = (text[0] == 0xE0 && text[1] < 0xA0) || (text[0] == 0xF0 && text[1] < 0x90);
    const bool high = (text[0] == 0xED && text[1] > 0x9F) || (text[0] == 0xF4 && text[1] > 0x8F);
    return low || high ? 0 : n;
}

void pel__text_to_utf8(char *text)
{
    while (*text) {
        const int n = letter((const uint8_t *)text);
        if (n == 0)
            *text = '?';
        text += n > 0 ? n : 1;
    }
}

void pel_text_to_utf8(char *text)
{
    pel__text_to_utf8(text);
}
