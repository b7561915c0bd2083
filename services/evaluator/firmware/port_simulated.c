/* The simulated board's line: a device that moves a block of bytes between memory and the host. */
#include "protocol.h"

struct device {
    volatile uint32_t address;
    volatile uint32_t size;
    volatile uint32_t command; /* 1 read, 2 write, 3 stop */
};

#define DEVICE ((struct device *)0x4F000000u)

static void transfer(const void *bytes, uint32_t size, uint32_t command)
{
    DEVICE->address = (uint32_t)(uintptr_t)bytes;
    DEVICE->size = size;
    __asm__ volatile("" ::: "memory");
    DEVICE->command = command;
    __asm__ volatile("" ::: "memory");
}

void tf_port_open(void) {}

void tf_port_read(void *bytes, uint32_t size) { transfer(bytes, size, 1u); }

void tf_port_write(const void *bytes, uint32_t size) { transfer(bytes, size, 2u); }

uint32_t tf_port_counter(void) { return 0u; } /* the simulator counts */

void tf_port_stop(void)
{
    for (;;) {
        DEVICE->command = 3u;
    }
}
