/* The host twin: the same C library, fed from standard input, one sample after another, until it ends. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include TF_MODEL_HEADER

struct region {
    uint32_t offset, size;
};

static const struct region inputs[] = TF_INPUTS;
static const struct region outputs[] = TF_OUTPUTS;
static _Alignas(64) uint8_t arena[TF_ARENA_BYTES];

static int read_sample(void)
{
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        if (fread(arena + inputs[i].offset, 1, inputs[i].size, stdin) != inputs[i].size) {
            return 0;
        }
    }
    return 1;
}

int main(void)
{
    while (read_sample()) {
        int code = TF_INVOKE_MODEL(arena);
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
