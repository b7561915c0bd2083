/* QEMU's mps2-an386/an500 line: semihosting console, and the CMSDK timer 0 as counter (25 MHz). */
#include "protocol.h"

#define SYS_OPEN 0x01
#define SYS_WRITE 0x05
#define SYS_READ 0x06
#define SYS_EXIT 0x18

struct timer {
    volatile uint32_t control, value, reload, interrupt;
};

#define TIMER0 ((struct timer *)0x40000000u)

static int32_t input, output;

static int32_t semihost(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

static int32_t open_console(uint32_t mode)
{
    const uint32_t arguments[3] = {(uint32_t)(uintptr_t)":tt", mode, 3u};
    return semihost(SYS_OPEN, arguments);
}

void tf_port_open(void)
{
    input = open_console(0u);
    output = open_console(4u);
    TIMER0->reload = 0xFFFFFFFFu;
    TIMER0->value = 0xFFFFFFFFu;
    TIMER0->control = 1u;
}

void tf_port_read(void *bytes, uint32_t size)
{
    uint8_t *to = bytes;
    while (size != 0u) {
        const uint32_t arguments[3] = {(uint32_t)input, (uint32_t)(uintptr_t)to, size};
        uint32_t left = (uint32_t)semihost(SYS_READ, arguments);
        if (left == size) {
            tf_port_stop(); /* end of file: the host is gone */
        }
        to += size - left;
        size = left;
    }
}

void tf_port_write(const void *bytes, uint32_t size)
{
    const uint32_t arguments[3] = {(uint32_t)output, (uint32_t)(uintptr_t)bytes, size};
    semihost(SYS_WRITE, arguments);
}

uint32_t tf_port_counter(void) { return 0xFFFFFFFFu - TIMER0->value; }

void tf_port_stop(void)
{
    for (;;) {
        semihost(SYS_EXIT, (const void *)0x20026u);
    }
}
