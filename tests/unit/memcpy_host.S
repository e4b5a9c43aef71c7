/* The kernel's copies under other names, for test_memcpy.c: the C library's stay what they are. */
	.section .extable, "a"
	.global memcpy_extable
memcpy_extable:
	.text
#define memcpy  k_memcpy
#define memmove k_memmove
#define memset  k_memset
#include "../../kernel/arch/x86_64/memcpy.S"
	.section .extable, "a"
	.global memcpy_extable_end
memcpy_extable_end:
