/* A guest without library or SDK, written from docs/abi.md alone: what it uses must be there.
 * It exports `double`, bytes in and bytes out: each byte twice. Arguments come into the first 4 KiB of a buffer of 2 MiB, or are fetched
 * if they are longer, and are doubled where they are, from the last byte down. */

        .set    ATTACH, 0x10000000
        .set    NEXT, 0x10000001
        .set    FETCH, 0x10000003
        .set    VERSION, 1 << 16
        .set    OUTCOME_NONE, 0
        .set    OUTCOME_RETURNED, 1
        .set    OUTCOME_PANICKED, 2
        .set    GATE, 0x7fffffffd000
        .set    EMSGSIZE, 90

        .set    FIRST_ROOM, 4 << 10             /* for arguments that come with the call */
        .set    ROOM, 1 << 20                   /* for those that are fetched: the reply has twice as many bytes */

        .globl  _start
        .text
_start:
        /* By the instruction: nobody knows yet whether there is a gate. */
        mov     $ATTACH, %eax
        mov     $VERSION, %edi
        lea     table(%rip), %rsi
        mov     $table_end - table, %edx
        xor     %r10d, %r10d                    /* no features: no ring */
        syscall
        test    %rax, %rax
        jnz     alone

        mov     $OUTCOME_NONE, %edi
        xor     %esi, %esi
        xor     %edx, %edx
next:   /* RDI, RSI, RDX: the answer to the last call. */
        lea     buffer(%rip), %r10
        mov     $FIRST_ROOM, %r9d
        mov     $NEXT, %eax
        call    gate
        cmp     $-EMSGSIZE, %rax
        je      fetch
        test    %rax, %rax
        js      broken
serve:  /* RAX bytes are in the buffer, for export RDI: there is only one. */
        test    %rdi, %rdi
        jnz     broken
        lea     buffer(%rip), %rsi
        lea     (%rax,%rax), %rdx
1:      test    %rax, %rax
        jz      2f
        dec     %rax
        mov     (%rsi,%rax), %cl
        mov     %cl, (%rsi,%rax,2)
        mov     %cl, 1(%rsi,%rax,2)
        jmp     1b
2:      mov     $OUTCOME_RETURNED, %edi
        jmp     next

fetch:  mov     %rdi, %r12                      /* the ordinal; calls keep R12 */
        lea     buffer(%rip), %rdi
        mov     $ROOM, %esi
        mov     $FETCH, %eax
        call    gate
        mov     %r12, %rdi
        test    %rax, %rax
        jns     serve
        mov     $OUTCOME_PANICKED, %edi
        lea     too_long(%rip), %rsi
        mov     $too_long_end - too_long, %edx
        jmp     next

        /* A call by the gate, which returns to the address in RCX. */
gate:   lea     1f(%rip), %rcx
        movabs  $GATE, %r8
        jmp     *%r8
1:      ret

        /* Nobody calls into this program: it says what it is. */
alone:  mov     $1, %eax                        /* write */
        mov     $2, %edi
        lea     text(%rip), %rsi
        mov     $text_end - text, %edx
        syscall
        mov     $2, %edi
        jmp     exit
broken: mov     $3, %edi
exit:   mov     $231, %eax                      /* exit_group */
        syscall

        .section .rodata
table:  .ascii  "export double\n"
table_end:
too_long:
        .ascii  "more than 1 MiB of arguments\0from_the_document.S"
too_long_end:
text:   .ascii  "This program is a plugin for Ampoule and does nothing by itself. It exports double(bytes) -> bytes.\n"
text_end:

        .section .note.ampoule, "a", @note
        .balign 4
        .long   8                               /* bytes of the name */
        .long   note_end - note                 /* bytes of the description */
        .long   1                               /* an export */
        .asciz  "Ampoule"
note:   .short  1, 0                            /* version */
        .ascii  "double(bytes) -> bytes"
note_end:
        .balign 4

        .bss
        .balign 16
buffer: .skip   2 * ROOM

        .section .note.GNU-stack, "", @progbits
