/*
 * Memory set-up; once, from kernel_main(), after boot_parse() and cpu_init().
 */
#pragma once

void mem_init(void);
