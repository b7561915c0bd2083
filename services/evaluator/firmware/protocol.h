/* Frames between a board and its host; the protocol is described in README.md beside this file. */
#ifndef TF_PROTOCOL_H
#define TF_PROTOCOL_H

#include <stdint.h>

#define TF_MAGIC 0x31524654u /* "TFR1", little-endian */

enum tf_frame_type { TF_INFO = 1, TF_WRITE = 2, TF_INVOKE = 3, TF_READ = 4, TF_FAULT = 5, TF_ROWS = 6 };

enum tf_status {
    TF_OK = 0,
    TF_BAD_CRC = 1,
    TF_BAD_TYPE = 2,
    TF_BAD_RANGE = 3,
    TF_INVOKE_FAILED = 4,
};

/* 16 bytes, then `length` bytes of payload, then the CRC-32 of header and payload. */
struct tf_header {
    uint32_t magic;
    uint8_t type;
    uint8_t sequence;
    uint16_t status;
    uint32_t argument;
    uint32_t length;
};

/* The board's line to its host: one implementation for each kind of board (port_*.c). */
void tf_port_open(void);
void tf_port_read(void *bytes, uint32_t size);
void tf_port_write(const void *bytes, uint32_t size);
/* Free-running counter of the board: CPU cycles on hardware, 0 where the host counts. */
uint32_t tf_port_counter(void);
__attribute__((noreturn)) void tf_port_stop(void);

/* What a model that pulls its input calls for rows: asks the host. Simulators know by its name what not to count. */
int tf_read_rows(void *context, void *rows, int32_t row, int32_t count);

/* Set by the linker script. */
extern uint32_t tf_stack_bottom[], tf_stack_top[];

void tf_report_fault(const uint32_t *stacked, uint32_t cause);
int main(void);

#endif
