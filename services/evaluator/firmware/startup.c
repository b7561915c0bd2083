/* Vector table and start-up for every Cortex-M: no chip registers but the FPU's switch. */
#include "protocol.h"

extern uint32_t tf_data_load[], tf_data_start[], tf_data_end[], tf_bss_start[], tf_bss_end[];

void Reset_Handler(void);
void Fault_Handler(void);

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    tf_stack_top,  Reset_Handler, Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler, 0, 0, 0, 0,
    Fault_Handler, Fault_Handler, 0,             Fault_Handler, Fault_Handler,
};

/* The stack may be what broke: report from the top of it, with the registers that the core stacked. */
__attribute__((naked, used)) void Fault_Handler(void)
{
    __asm__ volatile("mrs r0, msp\n"
                     "mrs r1, ipsr\n"
                     "ldr r2, =tf_stack_top\n"
                     "mov sp, r2\n"
                     "bl tf_report_fault\n");
}

__attribute__((noreturn, used)) void Reset_Handler(void)
{
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: full access to the FPU */
    __asm__ volatile("dsb\n isb\n");
#endif
    volatile uint32_t *from = tf_data_load;
    for (volatile uint32_t *to = tf_data_start; to < tf_data_end; to++) {
        *to = *from++;
    }
    for (volatile uint32_t *word = tf_bss_start; word < tf_bss_end; word++) {
        *word = 0u;
    }
    main();
    tf_port_stop();
}
