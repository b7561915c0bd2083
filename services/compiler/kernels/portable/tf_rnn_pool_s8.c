/* RNNPool: each patch of the image is read once, pixel by pixel. A FastGRNN cell walks along every row and down every
 * column of it; a second one reads the last states of the rows, then of the columns, forwards and backwards. States
 * are Q15, sums before the nonlinearities Q12. Source: Saha et al., NeurIPS 2020; arithmetic: docs/rnnpool.md. */
#include "tinyfarm_kernels.h"

static int32_t saturated(int32_t value)
{
    return value < INT16_MIN ? INT16_MIN : value > INT16_MAX ? INT16_MAX : value;
}

/* Sigmoid of Q12 in Q15, interpolated between the entries of the table. */
static int32_t sigmoid(const int16_t *table, int32_t x)
{
    const int32_t place = saturated(x) - INT16_MIN, at = place >> 8, part = place & 255;
    return table[at] + (((table[at + 1] - table[at]) * part + 128) >> 8);
}

/* What the input adds to each sum, in Q12. */
static TF_NOINLINE void read_pixel(const tf_fast_grnn *g, const int8_t *x, int32_t *sums)
{
    const int8_t *w = g->weights;
    int32_t o, i;
    for (o = 0; o < g->hidden; ++o) {
        int32_t acc = g->offset[o];
        for (i = 0; i < g->inputs; ++i) {
            acc += x[i] * *w++;
        }
        sums[o] = tf_requantize(acc, g->multiplier, g->shift);
    }
}

static int32_t dot(const int16_t *x, const int8_t *w, int32_t count)
{
    int32_t acc = 0;
    for (; count > 0; --count) {
        acc += *x++ * *w++;
    }
    return acc;
}

static void read_state(const tf_fast_grnn *g, const int16_t *x, int32_t *sums)
{
    int32_t o;
    for (o = 0; o < g->hidden; ++o) {
        sums[o] = tf_requantize(dot(x, g->weights + o * g->inputs, g->inputs), g->multiplier, g->shift);
    }
}

static TF_NOINLINE void step(const tf_fast_grnn *g, const int16_t *table, const int32_t *sums, int16_t *state,
                             int16_t *next)
{
    const int32_t count = g->hidden;
    int32_t o;
    for (o = 0; o < count; ++o) {
        const int32_t past = dot(state, g->recurrent + o * count, count);
        const int32_t a = sums[o] + tf_requantize(past, g->recurrent_multiplier, g->recurrent_shift);
        const int32_t z = sigmoid(table, a + g->bias[o]);
        const int32_t update = 2 * sigmoid(table, 2 * saturated(a + g->bias[count + o])) - 32768;
        int32_t gain = (g->zeta * (32768 - z) + g->nu * 32768 + 16384) >> 15;
        gain = gain > INT16_MAX ? INT16_MAX : gain;
        next[o] = (int16_t)saturated((gain * update + z * state[o] + 16384) >> 15);
    }
    for (o = 0; o < count; ++o) {
        state[o] = next[o];
    }
}

/* Reads `count` states from the first on, or from the last on where `stride` is negative; writes int8 in Q7. */
static void summarize(const tf_rnn_pool_s8_params *p, const int16_t *states, int32_t count, int32_t stride,
                      int32_t *sums, int16_t *next, int16_t *state, int8_t *output)
{
    const tf_fast_grnn *g = &p->summary;
    int32_t i;
    for (i = 0; i < g->hidden; ++i) {
        state[i] = 0;
    }
    for (i = 0; i < count; ++i) {
        read_state(g, states, sums);
        step(g, p->sigmoid, sums, state, next);
        states += stride;
    }
    for (i = 0; i < g->hidden; ++i) {
        const int32_t value = (state[i] + 128) >> 8;
        output[i] = (int8_t)(value > INT8_MAX ? INT8_MAX : value);
    }
}

static void patch(const tf_rnn_pool_s8_params *p, const tf_region *region, const int8_t *input, int32_t top,
                  int32_t left, int8_t *output, int32_t *scratch)
{
    const tf_window *k = &p->window;
    const tf_fast_grnn *g = &p->sweep;
    const int32_t hidden = g->hidden, last = p->summary.hidden, most = hidden > last ? hidden : last;
    const int32_t rows = k->kernel_h, columns = k->kernel_w;
    int16_t *next = (int16_t *)(scratch + most), *row = next + most;
    int16_t *first_row = row, *column = row + rows * hidden, *state = column + columns * hidden;
    int32_t y, x, i;
    for (i = 0; i < (rows + columns) * hidden; ++i) {
        row[i] = 0;
    }
    for (y = 0; y < rows; ++y) {
        for (x = 0; x < columns; ++x) {
            const int32_t iy = top + y, ix = left + x;
            if (iy >= 0 && iy < k->in_h && ix >= 0 && ix < k->in_w) {
                read_pixel(g, tf_row(input, p->in_row_stride, region, iy) + ix * g->inputs, scratch);
            } else {
                for (i = 0; i < hidden; ++i) {
                    scratch[i] = 0; /* padding is the real number 0 */
                }
            }
            step(g, p->sigmoid, scratch, row, next);
            step(g, p->sigmoid, scratch, column + x * hidden, next);
        }
        row += hidden;
    }
    summarize(p, first_row, rows, hidden, scratch, next, state, output);
    summarize(p, row - hidden, rows, -hidden, scratch, next, state, output + last);
    summarize(p, column, columns, hidden, scratch, next, state, output + 2 * last);
    summarize(p, column + (columns - 1) * hidden, columns, -hidden, scratch, next, state, output + 3 * last);
}

void tf_rnn_pool_s8(const tf_rnn_pool_s8_params *p, const tf_region *region, const int8_t *input, int8_t *output,
                    int32_t *scratch)
{
    const tf_window *k = &p->window;
    const int32_t channels = 4 * p->summary.hidden;
    int32_t oy, ox;
    for (oy = region->row_start; oy < region->row_stop; ++oy) {
        int8_t *out = output + oy * p->out_row_stride + region->col_start * channels;
        for (ox = region->col_start; ox < region->col_stop; ++ox) {
            patch(p, region, input, oy * k->stride_h - k->pad_top, ox * k->stride_w - k->pad_left, out, scratch);
            out += channels;
        }
    }
}
