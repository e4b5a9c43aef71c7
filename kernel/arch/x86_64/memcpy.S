/*
 * memcpy, memmove, memset for the kernel, and the copies to application memory, which are
 * the same code with exception-table entries. Short lengths take overlapping moves
 * without a loop; longer ones REP MOVSQ with a moved tail. REP MOVSB is no better than
 * that on CPUs with ERMS and much worse without (and under emulation).
 */
	.section .text.memcpy, "ax"

	/* An instruction that may fault on an application's address; recovery at \to. */
	.macro user insn:vararg
100:	\insn
	.pushsection .extable, "a"
	.quad 100b, user_fault
	.popsection
	.endm
	.macro plain insn:vararg
	\insn
	.endm

	/* rdi dst, rsi src, rdx n; rax is left alone. Clobbers rcx, r8, r9, r10, r11. Nothing is
	 * stored before both ends were loaded for n <= 32, so those may overlap. */
	.macro copy_body op
	cmp $16, %rdx
	ja 3f
	cmp $8, %rdx
	jae 2f
	cmp $4, %rdx
	jae 1f
	test %rdx, %rdx
	jz 9f
	\op movzbl (%rsi), %r8d
	cmp $1, %rdx
	je 0f
	\op movzwl -2(%rsi, %rdx), %r9d
	\op mov %r9w, -2(%rdi, %rdx)
0:	\op mov %r8b, (%rdi)
	jmp 9f
1:	\op mov (%rsi), %r8d
	\op mov -4(%rsi, %rdx), %r9d
	\op mov %r8d, (%rdi)
	\op mov %r9d, -4(%rdi, %rdx)
	jmp 9f
2:	\op mov (%rsi), %r8
	\op mov -8(%rsi, %rdx), %r9
	\op mov %r8, (%rdi)
	\op mov %r9, -8(%rdi, %rdx)
	jmp 9f
3:	cmp $32, %rdx
	ja 4f
	\op mov (%rsi), %r8
	\op mov 8(%rsi), %r9
	\op mov -16(%rsi, %rdx), %r10
	\op mov -8(%rsi, %rdx), %r11
	\op mov %r8, (%rdi)
	\op mov %r9, 8(%rdi)
	\op mov %r10, -16(%rdi, %rdx)
	\op mov %r11, -8(%rdi, %rdx)
	jmp 9f
4:	/* the last 8 bytes first, then whole words upwards */
	\op mov -8(%rsi, %rdx), %r8
	lea -8(%rdi, %rdx), %r9
	lea -1(%rdx), %rcx
	shr $3, %rcx
	\op rep movsq
	\op mov %r8, (%r9)
9:
	.endm

	.balign 16
	.global memcpy
memcpy:
	.cfi_startproc
	mov %rdi, %rax
	copy_body plain
	ret
	.cfi_endproc

	/* size_t user_copy(dst, src, n): bytes NOT copied. A fault is reported as "nothing usable
	 * copied" (n): callers only need to know that it failed. */
	.balign 16
	.global user_copy
user_copy:
	.cfi_startproc
	xor %eax, %eax
	copy_body user
	ret
	.cfi_endproc

	.balign 16
	.global memmove
memmove:
	.cfi_startproc
	mov %rdi, %rax
	mov %rdi, %rcx
	sub %rsi, %rcx
	cmp %rdx, %rcx		/* dst - src >= n, unsigned: upwards is safe */
	jae 5f
	cmp $32, %rdx
	jbe 5f
	/* downwards; the first 8 bytes are kept apart */
	mov (%rsi), %r8
	lea -1(%rdx), %rcx
	shr $3, %rcx
	lea -8(%rsi, %rdx), %rsi
	lea -8(%rdi, %rdx), %rdi
	std
	rep movsq
	cld
	mov %r8, (%rax)
	ret
	/* upwards with dst < src and overlap: the tail must be read after nothing overwrote it */
5:	cmp $32, %rdx
	jbe 7f
	sub %rdi, %rsi		/* src - dst */
	cmp %rdx, %rsi
	lea (%rsi, %rdi), %rsi
	jae 7f
	mov %rdx, %rcx
	shr $3, %rcx
	rep movsq
	and $7, %edx
	mov %edx, %ecx
	rep movsb
	ret
7:	copy_body plain
	ret
	.cfi_endproc

	.macro set_body op
	cmp $16, %rdx
	jae 2f
	cmp $8, %rdx
	jae 1f
	mov %rdx, %rcx
	test %rcx, %rcx
	jz 9f
0:	\op mov %al, -1(%rdi, %rcx)
	dec %rcx
	jnz 0b
	jmp 9f
1:	\op mov %rax, (%rdi)
	\op mov %rax, -8(%rdi, %rdx)
	jmp 9f
2:	\op mov %rax, -8(%rdi, %rdx)
	lea -1(%rdx), %rcx
	shr $3, %rcx
	\op rep stosq
9:
	.endm

	.balign 16
	.global memset
memset:
	.cfi_startproc
	movzbl %sil, %eax
	mov %rdi, %r8
	test %eax, %eax
	jz 8f
	mov $0x0101010101010101, %r9
	imul %r9, %rax
8:	set_body plain
	mov %r8, %rax
	ret
	.cfi_endproc

	/* size_t user_zero(dst, n) */
	.balign 16
	.global user_zero
user_zero:
	.cfi_startproc
	mov %rsi, %rdx
	xor %eax, %eax
	set_body user
	xor %eax, %eax
	ret
user_fault:
	mov %rdx, %rax
	ret
	.cfi_endproc

	.section .note.GNU-stack, "", @progbits
