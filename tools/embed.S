/* The bytes of the Linux guest's init (linux-init.c), for linux_guest.c. */
    .section .rodata
    .global linux_init_start, linux_init_end
    .balign 16
linux_init_start:
    .incbin EMBED_FILE
linux_init_end:
    .section .note.GNU-stack, "", @progbits
