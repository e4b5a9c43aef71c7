/*
 * The vDSO's ELF image inside the kernel.
 */
	.section .data.vdso, "aw"
	.balign 4096
	.global vdso_image, vdso_image_end
vdso_image:
	.incbin "vdso.so"
vdso_image_end:
	.balign 4096

	.section .note.GNU-stack, "", @progbits
