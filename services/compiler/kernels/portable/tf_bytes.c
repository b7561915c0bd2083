/* Byte runs: copied and filled by words where both ends are aligned alike. */
#include "tinyfarm_kernels.h"

typedef uint32_t __attribute__((may_alias)) tf_word;

void tf_copy_bytes(int8_t *target, const int8_t *source, int32_t count)
{
    if ((((uintptr_t)target ^ (uintptr_t)source) & 3u) == 0u) {
        for (; count > 0 && ((uintptr_t)target & 3u) != 0u; --count) {
            *target++ = *source++;
        }
        for (; count >= 16; count -= 16) {
            tf_word a = ((const tf_word *)source)[0], b = ((const tf_word *)source)[1];
            tf_word c = ((const tf_word *)source)[2], d = ((const tf_word *)source)[3];
            ((tf_word *)target)[0] = a;
            ((tf_word *)target)[1] = b;
            ((tf_word *)target)[2] = c;
            ((tf_word *)target)[3] = d;
            target += 16;
            source += 16;
            TF_KEEP_LOOP(target);
        }
        for (; count >= 4; count -= 4) {
            *(tf_word *)target = *(const tf_word *)source;
            target += 4;
            source += 4;
            TF_KEEP_LOOP(target);
        }
    }
    for (; count > 0; --count) {
        *target++ = *source++;
        TF_KEEP_LOOP(target);
    }
}

void tf_fill_bytes(int8_t *target, int32_t value, int32_t count)
{
    const tf_word word = ((uint32_t)value & 255u) * 0x01010101u;
    for (; count > 0 && ((uintptr_t)target & 3u) != 0u; --count) {
        *target++ = (int8_t)value;
    }
    for (; count >= 4; count -= 4) {
        *(tf_word *)target = word;
        target += 4;
        TF_KEEP_LOOP(target);
    }
    for (; count > 0; --count) {
        *target++ = (int8_t)value;
        TF_KEEP_LOOP(target);
    }
}
