/* The firmware harness: answers frames and calls the model. One for every kind of board. */
#include "protocol.h"
#include TF_MODEL_HEADER

#define TF_PAINT 0x5AA55AA5u
#define TF_ATTEMPTS 3
#define TF_NO_ROWS (-100)

/* The model's only memory. The linker script places it last, above the stack and the harness's own data. */
__attribute__((section(".arena"), aligned(TF_ARENA_ALIGN))) static uint8_t arena[TF_ARENA_BYTES];

struct invoke_result {
    int32_t code;
    uint32_t counter;
    uint32_t stack_bytes;
};

struct info {
    uint32_t version;
    uint32_t arena_bytes;
    uint32_t stack_bytes;
};

/* Bytes are moved by volatile accesses so that the harness never pulls in memcpy: a memcpy in the image
   was wanted by the model's own code and is counted as such. */
static uint32_t crc_update(uint32_t crc, const volatile uint8_t *bytes, uint32_t size)
{
    static const uint32_t nibble[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
    };
    for (uint32_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        crc = (crc >> 4) ^ nibble[crc & 15u];
        crc = (crc >> 4) ^ nibble[crc & 15u];
    }
    return crc;
}

static void send(struct tf_header *header, const void *payload)
{
    uint32_t crc = crc_update(0xFFFFFFFFu, (const uint8_t *)header, sizeof *header);
    crc = ~crc_update(crc, payload, header->length);
    tf_port_write(header, sizeof *header);
    if (header->length != 0u) {
        tf_port_write(payload, header->length);
    }
    tf_port_write(&crc, sizeof crc);
}

static void answer(const struct tf_header *request, enum tf_status status, const void *payload, uint32_t length)
{
    struct tf_header header;
    header.magic = TF_MAGIC;
    header.type = request->type;
    header.sequence = request->sequence;
    header.status = (uint16_t)status;
    header.argument = request->argument;
    header.length = length;
    send(&header, payload);
}

static uint32_t *paint_stack(void)
{
    uint32_t here;
    /* A margin below this frame stays unpainted: the compiler may still use it. */
    uint32_t *limit = &here - 32;
    for (volatile uint32_t *word = tf_stack_bottom; word < limit; word++) {
        *word = TF_PAINT;
    }
    return limit;
}

static uint32_t stack_high_water(void)
{
    const volatile uint32_t *word = tf_stack_bottom;
    while (word < tf_stack_top && *word == TF_PAINT) {
        word++;
    }
    return (uint32_t)((const uint8_t *)tf_stack_top - (const volatile uint8_t *)word);
}

static void read_header(struct tf_header *header)
{
    tf_port_read(header, sizeof *header);
    while (header->magic != TF_MAGIC) { /* lost bytes on the line: slide until a frame starts */
        uint8_t *raw = (uint8_t *)header;
        for (uint32_t i = 0; i + 1u < sizeof *header; i++) {
            ((volatile uint8_t *)raw)[i] = raw[i + 1u];
        }
        tf_port_read(raw + sizeof *header - 1u, 1u);
    }
}

/* Reads a payload, keeping it where there is a place for it, and the CRC, which covers it either way. */
static int receive(const struct tf_header *header, void *place)
{
    uint32_t crc = crc_update(0xFFFFFFFFu, (const uint8_t *)header, sizeof *header), sent;
    if (place != 0) {
        tf_port_read(place, header->length);
        crc = crc_update(crc, place, header->length);
    } else {
        for (uint32_t left = header->length; left != 0u; left--) {
            uint8_t byte;
            tf_port_read(&byte, 1u);
            crc = crc_update(crc, &byte, 1u);
        }
    }
    tf_port_read(&sent, sizeof sent);
    return ~crc == sent;
}

#ifdef TF_PULLED_ROW_BYTES

/* The counter's ticks that went into rows while the model ran. */
static uint32_t reading;

int tf_read_rows(void *context, void *rows, int32_t row, int32_t count)
{
    uint32_t start = tf_port_counter(), wanted = (uint32_t)count;
    struct tf_header header;
    int arrived = 0;
    for (int attempt = 0; attempt < TF_ATTEMPTS && !arrived; attempt++) {
        header.magic = TF_MAGIC;
        header.type = TF_ROWS;
        header.sequence = ((const struct tf_header *)context)->sequence;
        header.status = TF_OK;
        header.argument = (uint32_t)row;
        header.length = sizeof wanted;
        send(&header, &wanted);
        read_header(&header);
        int fits = header.type == TF_ROWS && header.argument == (uint32_t)row &&
                   header.length == wanted * TF_PULLED_ROW_BYTES;
        arrived = receive(&header, fits ? rows : 0) && fits;
    }
    reading += tf_port_counter() - start;
    return arrived ? 0 : TF_NO_ROWS;
}

#define TF_INVOKE(request) TF_INVOKE_MODEL(arena, tf_read_rows, (void *)(uintptr_t)(request))
#else
static const uint32_t reading = 0u;
#define TF_INVOKE(request) ((void)(request), TF_INVOKE_MODEL(arena))
#endif

/* Not inlined, so that the model's entry is always reached by a call that returns here. */
__attribute__((noinline)) static int call_model(const struct tf_header *request)
{
    return TF_INVOKE(request);
}

static void invoke(const struct tf_header *request)
{
    struct invoke_result result;
    paint_stack();
    uint32_t before = reading, start = tf_port_counter();
    result.code = call_model(request);
    result.counter = tf_port_counter() - start - (reading - before);
    result.stack_bytes = stack_high_water();
    answer(request, result.code == 0 ? TF_OK : TF_INVOKE_FAILED, &result, sizeof result);
}

static int in_arena(uint32_t offset, uint32_t size)
{
    return offset <= sizeof arena && size <= sizeof arena - offset;
}

static void serve(const struct tf_header *request, uint32_t read_bytes)
{
    struct info info = {1u, sizeof arena, (uint32_t)((uint8_t *)tf_stack_top - (uint8_t *)tf_stack_bottom)};
    switch (request->type) {
    case TF_INFO:
        answer(request, TF_OK, &info, sizeof info);
        break;
    case TF_WRITE:
        answer(request, TF_OK, 0, 0u); /* the payload went straight into the arena */
        break;
    case TF_INVOKE:
        invoke(request);
        break;
    case TF_READ:
        if (in_arena(request->argument, read_bytes)) {
            answer(request, TF_OK, arena + request->argument, read_bytes);
        } else {
            answer(request, TF_BAD_RANGE, 0, 0u);
        }
        break;
    default:
        answer(request, TF_BAD_TYPE, 0, 0u);
    }
}

static void serve_one(void)
{
    struct tf_header request;
    uint32_t read_bytes = 0u;
    void *place = 0;
    read_header(&request);
    int fits = 1;
    if (request.type == TF_WRITE) {
        fits = in_arena(request.argument, request.length);
        place = fits ? arena + request.argument : 0;
    } else if (request.type == TF_READ && request.length == sizeof read_bytes) {
        place = &read_bytes;
    }
    if (!receive(&request, place)) {
        answer(&request, TF_BAD_CRC, 0, 0u);
    } else if (!fits) {
        answer(&request, TF_BAD_RANGE, 0, 0u);
    } else {
        serve(&request, read_bytes);
    }
}

void tf_report_fault(const uint32_t *stacked, uint32_t cause)
{
    struct tf_header header = {TF_MAGIC, TF_FAULT, 0u, TF_OK, cause, 32u};
    send(&header, stacked); /* r0-r3, r12, lr, pc, xPSR */
    tf_port_stop();
}

int main(void)
{
    tf_port_open();
    for (;;) {
        serve_one();
    }
}
