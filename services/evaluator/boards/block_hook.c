/* Counts the basic blocks that a model executes; called by unicorn at the start of every block.
 *
 * Counting is on from the first block of invoke to the return to its caller. A count belongs to a pair (layer, block):
 * the current layer changes when a block starts at the first address of a layer's function, and is 0 ("the glue") in the
 * body of invoke itself. It pauses in the function that the model calls for rows of its input: what rows cost is the
 * caller's. Built for the host by services/evaluator/toolchain.py and used through ctypes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

typedef int (*reg_read_fn)(void *uc, int regid, void *value);
typedef int (*reg_write_fn)(void *uc, int regid, const void *value);
typedef int (*emu_stop_fn)(void *uc);

enum { MAX_BLOCKS = 16384, KEEP_LAYER = -1 };

struct block {
    uint32_t address, size;
    int32_t layer;
    uint32_t next; /* another block of the same address and another size, 0 none */
};

struct counts {
    uint64_t count, taken;
};

/* A fully associative cache with least-recently-used replacement, filled by sectors. */
enum { MAX_LINES = 64, LINE_SHIFT = 5, SECTOR_SHIFT = 3 };

struct cache {
    uint32_t line_count, clock;
    uint32_t tag[MAX_LINES], used[MAX_LINES];
    uint8_t sectors[MAX_LINES];
};

struct misses {
    uint64_t instruction, data;
};

struct record {
    uint32_t layer, address, size, unused;
    uint64_t count, taken;
};

struct profile {
    reg_read_fn reg_read;
    emu_stop_fn emu_stop;
    int lr_register;
    uint32_t code_base, code_bytes, invoke_start, invoke_end, read_rows_start, layer_count;
    uint32_t *layer_starts;
    uint32_t *first;       /* [halfword of code] -> block number, 0 none */
    struct block *blocks;  /* [MAX_BLOCKS] */
    struct counts *counts; /* [layer_count + 1][MAX_BLOCKS] */
    uint32_t block_count;
    int counting, paused, overflow, exhausted;
    uint32_t return_address, resume_address, layer, expected;
    struct counts *previous;
    struct cache instruction_cache, data_cache; /* line_count 0: not modelled */
    struct misses *misses;                      /* [layer_count + 1] */
    reg_write_fn reg_write;
    int cpsr_register;
    uint64_t budget_bytes, bytes, calls;
    struct timespec started;
    double seconds; /* of this thread's CPU time, so that a busy machine does not look slow */
};

static uint32_t add_block(struct profile *p, uint32_t address, uint32_t size, uint32_t *link)
{
    if (p->block_count + 1u >= MAX_BLOCKS) {
        p->overflow = 1;
        return 0u;
    }
    uint32_t number = ++p->block_count;
    struct block *block = &p->blocks[number];
    block->address = address;
    block->size = size;
    block->next = 0u;
    block->layer = address >= p->invoke_start && address < p->invoke_end ? 0 : KEEP_LAYER;
    for (uint32_t i = 0; i < p->layer_count; i++) {
        if (p->layer_starts[i] == address) {
            block->layer = (int32_t)i + 1;
        }
    }
    *link = number;
    return number;
}

static uint32_t find_block(struct profile *p, uint32_t address, uint32_t size)
{
    uint32_t *link = &p->first[(address - p->code_base) >> 1];
    while (*link != 0u) {
        if (p->blocks[*link].size == size) {
            return *link;
        }
        link = &p->blocks[*link].next;
    }
    return add_block(p, address, size, link);
}

static uint32_t cache_miss(struct cache *cache, uint32_t address)
{
    uint32_t tag = address >> LINE_SHIFT, oldest = 0u;
    uint8_t sector = (uint8_t)(1u << ((address >> SECTOR_SHIFT) & 3u));
    cache->clock++;
    for (uint32_t i = 0; i < cache->line_count; i++) {
        if (cache->sectors[i] != 0u && cache->tag[i] == tag) {
            uint32_t miss = (cache->sectors[i] & sector) == 0u;
            cache->sectors[i] |= sector;
            cache->used[i] = cache->clock;
            return miss;
        }
        if (cache->used[i] < cache->used[oldest]) {
            oldest = i;
        }
    }
    cache->tag[oldest] = tag;
    cache->sectors[oldest] = sector;
    cache->used[oldest] = cache->clock;
    return 1u;
}

static uint64_t range_misses(struct cache *cache, uint32_t address, uint32_t size)
{
    uint64_t misses = 0u;
    uint32_t end = address + size;
    for (uint32_t at = address >> SECTOR_SHIFT << SECTOR_SHIFT; at < end; at += 1u << SECTOR_SHIFT) {
        misses += cache_miss(cache, at);
    }
    return misses;
}

/* Reads of flash data; registered only where the target's flash is modelled, since a memory hook is slow. */
void profile_read_hook(void *uc, int type, uint64_t address, int size, int64_t value, void *user)
{
    struct profile *p = user;
    uint32_t cpsr = 0u;
    (void)type;
    (void)value;
    /* unicorn 2.1.4 leaves stale IT bits behind a hook that fires inside an IT block. */
    p->reg_read(uc, p->cpsr_register, &cpsr);
    if ((cpsr & 0x0600FC00u) != 0u) {
        cpsr &= ~0x0600FC00u;
        p->reg_write(uc, p->cpsr_register, &cpsr);
    }
    if (p->counting && !p->paused) {
        p->misses[p->layer].data += range_misses(&p->data_cache, (uint32_t)address, (uint32_t)size);
    }
}

void profile_model_flash(struct profile *p, reg_write_fn reg_write, int cpsr_register, uint32_t instruction_lines,
                         uint32_t data_lines)
{
    p->reg_write = reg_write;
    p->cpsr_register = cpsr_register;
    p->instruction_cache.line_count = instruction_lines;
    p->data_cache.line_count = data_lines;
}

static uint32_t caller(const struct profile *p, void *uc)
{
    uint32_t lr = 0u;
    p->reg_read(uc, p->lr_register, &lr);
    return lr & ~1u;
}

/* Counting goes on at the block that starts now. */
static void resume(struct profile *p)
{
    p->previous = 0;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &p->started);
}

/* The block before went elsewhere than to the one behind it. */
static void leave(struct profile *p)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    p->seconds += (double)(now.tv_sec - p->started.tv_sec) + 1e-9 * (double)(now.tv_nsec - p->started.tv_nsec);
    if (p->previous != 0) {
        p->previous->taken++;
    }
    p->previous = 0;
}

/* Whether the block that starts at an address is to be counted. */
static int is_counted(struct profile *p, void *uc, uint32_t address)
{
    if (!p->counting) {
        if (address != p->invoke_start) {
            return 0;
        }
        p->return_address = caller(p, uc);
        p->counting = 1;
        p->calls++;
        p->layer = 0u;
        resume(p);
    } else if (p->paused) {
        if (address != p->resume_address) {
            return 0;
        }
        p->paused = 0;
        resume(p);
    } else if (address == p->return_address) {
        leave(p);
        p->counting = 0;
        return 0;
    } else if (p->read_rows_start != 0u && address == p->read_rows_start) {
        leave(p);
        p->resume_address = caller(p, uc);
        p->paused = 1;
        return 0;
    }
    return 1;
}

void profile_hook(void *uc, uint64_t address64, uint32_t size, void *user)
{
    struct profile *p = user;
    uint32_t address = (uint32_t)address64;
    p->bytes += size;
    if (p->bytes > p->budget_bytes) {
        p->exhausted = 1;
        p->emu_stop(uc);
        return;
    }
    if (!is_counted(p, uc, address)) {
        return;
    }
    if (address - p->code_base >= p->code_bytes) {
        return; /* not code of this image: the access faults by itself */
    }
    uint32_t number = find_block(p, address, size);
    if (number == 0u) {
        p->emu_stop(uc);
        return;
    }
    if (p->blocks[number].layer >= 0) {
        p->layer = (uint32_t)p->blocks[number].layer;
    }
    if (p->previous != 0 && address != p->expected) {
        p->previous->taken++;
    }
    if (p->instruction_cache.line_count != 0u) {
        p->misses[p->layer].instruction += range_misses(&p->instruction_cache, address, size);
    }
    struct counts *counts = &p->counts[(uint64_t)p->layer * MAX_BLOCKS + number];
    counts->count++;
    p->previous = counts;
    p->expected = address + size;
}

struct profile *profile_new(reg_read_fn reg_read, emu_stop_fn emu_stop, int lr_register, uint32_t code_base,
                            uint32_t code_bytes, uint32_t invoke_start, uint32_t invoke_bytes,
                            uint32_t read_rows_start, const uint32_t *layer_starts, uint32_t layer_count)
{
    struct profile *p = calloc(1, sizeof *p);
    p->reg_read = reg_read;
    p->emu_stop = emu_stop;
    p->lr_register = lr_register;
    p->code_base = code_base;
    p->code_bytes = code_bytes;
    p->invoke_start = invoke_start;
    p->invoke_end = invoke_start + invoke_bytes;
    p->read_rows_start = read_rows_start; /* 0: nothing is called back */
    p->layer_count = layer_count;
    p->layer_starts = calloc(layer_count + 1u, sizeof *p->layer_starts);
    for (uint32_t i = 0; i < layer_count; i++) {
        p->layer_starts[i] = layer_starts[i];
    }
    p->first = calloc(code_bytes / 2u + 1u, sizeof *p->first);
    p->blocks = calloc(MAX_BLOCKS, sizeof *p->blocks);
    p->counts = calloc((uint64_t)(layer_count + 1u) * MAX_BLOCKS, sizeof *p->counts);
    p->misses = calloc(layer_count + 1u, sizeof *p->misses);
    p->budget_bytes = UINT64_MAX;
    return p;
}

void profile_free(struct profile *p)
{
    free(p->layer_starts);
    free(p->first);
    free(p->blocks);
    free(p->counts);
    free(p->misses);
    free(p);
}

/* Starts a new count with a new budget. */
void profile_reset(struct profile *p, uint64_t budget_bytes)
{
    for (uint32_t layer = 0; layer <= p->layer_count; layer++) {
        for (uint32_t i = 0; i <= p->block_count; i++) {
            p->counts[(uint64_t)layer * MAX_BLOCKS + i] = (struct counts){0u, 0u};
        }
        p->misses[layer] = (struct misses){0u, 0u};
    }
    p->budget_bytes = budget_bytes;
    p->bytes = 0u;
    p->calls = 0u;
    p->seconds = 0.0;
    p->counting = p->paused = p->overflow = p->exhausted = 0;
    p->previous = 0;
}

uint32_t profile_export(const struct profile *p, struct record *records, uint32_t capacity)
{
    uint32_t written = 0u;
    for (uint32_t layer = 0; layer <= p->layer_count; layer++) {
        for (uint32_t i = 1; i <= p->block_count; i++) {
            const struct counts *c = &p->counts[(uint64_t)layer * MAX_BLOCKS + i];
            if (c->count == 0u) {
                continue;
            }
            if (written < capacity) {
                records[written] = (struct record){layer, p->blocks[i].address, p->blocks[i].size, 0u, c->count, c->taken};
            }
            written++;
        }
    }
    return written;
}

const struct misses *profile_misses(const struct profile *p) { return p->misses; }
double profile_seconds(const struct profile *p) { return p->seconds; }
int profile_exhausted(const struct profile *p) { return p->exhausted; }
int profile_overflow(const struct profile *p) { return p->overflow; }
