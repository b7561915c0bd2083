/* The host twin: the same C library, fed from standard input, one sample after another, until it ends. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include TF_MODEL_HEADER

struct region {
    uint32_t offset, size;
};

static const struct region outputs[] = TF_OUTPUTS;
static _Alignas(64) uint8_t arena[TF_ARENA_BYTES];

#ifdef TF_PULLED_ROW_BYTES
static uint8_t image[TF_IMAGE_BYTES];

static int read_rows(void *context, void *rows, int32_t row, int32_t count)
{
    (void)context;
    memcpy(rows, image + row * TF_PULLED_ROW_BYTES, (size_t)count * TF_PULLED_ROW_BYTES);
    return 0;
}

static int read_sample(void) { return fread(image, 1, sizeof image, stdin) == sizeof image; }

static int invoke(void) { return TF_INVOKE_MODEL(arena, read_rows, 0); }
#else
static const struct region inputs[] = TF_INPUTS;

static int read_sample(void)
{
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        if (fread(arena + inputs[i].offset, 1, inputs[i].size, stdin) != inputs[i].size) {
            return 0;
        }
    }
    return 1;
}

static int invoke(void) { return TF_INVOKE_MODEL(arena); }
#endif

int main(void)
{
    while (read_sample()) {
        int code = invoke();
        if (code != 0) {
            fprintf(stderr, "invoke returned %d\n", code);
            return 3;
        }
        for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
            fwrite(arena + outputs[i].offset, 1, outputs[i].size, stdout);
        }
    }
    return 0;
}
