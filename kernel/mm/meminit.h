/*
 * Memory set-up; once, from kernel_main(), after boot_parse() and cpu_init().
 */
#pragma once

void memory_init(void);
