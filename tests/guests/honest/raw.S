/* No libc at all: what the kernel hands to a program's first instruction, and system calls that keep every register but three. */
        .globl _start
        .text
_start:
        /* Every general register but the stack pointer starts at zero; the flags say only that interrupts are on. */
        mov %rax, first+0(%rip); mov %rbx, first+8(%rip); mov %rcx, first+16(%rip); mov %rdx, first+24(%rip)
        mov %rsi, first+32(%rip); mov %rdi, first+40(%rip); mov %rbp, first+48(%rip); mov %r8, first+56(%rip)
        mov %r9, first+64(%rip); mov %r10, first+72(%rip); mov %r11, first+80(%rip); mov %r12, first+88(%rip)
        mov %r13, first+96(%rip); mov %r14, first+104(%rip); mov %r15, first+112(%rip)
        mov $1, %edi
        pushf
        pop %rax
        and $0xcd5, %eax
        jnz failed
        mov $2, %edi
        mov $15, %ecx
        lea first(%rip), %rbx
1:      cmpq $0, -8(%rbx,%rcx,8)
        jne failed
        loop 1b
        mov $3, %edi
        test $15, %spl
        jnz failed
        mov $4, %edi
        cmpq $1, (%rsp)                         /* argc, argv[0], its end */
        jb failed
        stmxcsr first(%rip)
        mov $5, %edi
        cmpl $0x1f80, first(%rip)
        jne failed
        fstcw first(%rip)
        mov $6, %edi
        cmpw $0x37f, first(%rip)
        jne failed

        /* A call keeps everything but rax, rcx and r11; rcx is the return address and r11 the flags. */
        mov $7, %ebx
        mov $0x1111111111111111, %rdx; mov $0x2222222222222222, %rsi; mov $0x3333333333333333, %rbp
        mov $0x4444444444444444, %r8; mov $0x5555555555555555, %r9; mov $0x6666666666666666, %r10
        mov $0x7777777777777777, %r12; mov $0x8888888888888888, %r13; mov $0x9999999999999999, %r14
        mov $0xaaaaaaaaaaaaaaaa, %r15; mov $0xbbbbbbbbbbbbbbbb, %rdi
        movq %rdx, %xmm0; movq %rsi, %xmm7; movq %r15, %xmm15
        mov %rsp, first(%rip)
        std
        stc
        mov $39, %eax                           /* getpid */
        syscall
after:  mov %r11, first+8(%rip)
        mov %edi, first+16(%rip)
        pushf
        pop first+24(%rip)
        cld
        mov $7, %edi
        test %eax, %eax
        jle failed
        mov $8, %edi
        lea after(%rip), %rax
        cmp %rax, %rcx
        jne failed
        mov $9, %edi
        mov first+8(%rip), %rax
        cmp first+24(%rip), %rax
        jne failed
        and $0x401, %eax
        cmp $0x401, %eax
        jne failed
        mov $10, %edi
        cmp first(%rip), %rsp
        jne failed
        .macro same register, value
        mov $\value, %rax
        cmp %rax, \register
        jne failed
        .endm
        same %rdx, 0x1111111111111111
        same %rsi, 0x2222222222222222
        same %rbp, 0x3333333333333333
        same %r8, 0x4444444444444444
        same %r9, 0x5555555555555555
        same %r10, 0x6666666666666666
        same %r12, 0x7777777777777777
        same %r13, 0x8888888888888888
        same %r14, 0x9999999999999999
        same %r15, 0xaaaaaaaaaaaaaaaa
        mov $11, %edi
        movq %xmm0, %rax; cmp %rax, %rdx; jne failed
        movq %xmm7, %rax; cmp %rax, %rsi; jne failed
        movq %xmm15, %rax; cmp %rax, %r15; jne failed
        cmpl $0xbbbbbbbb, first+16(%rip)
        jne failed

        mov $1, %eax
        mov $1, %edi
        lea text(%rip), %rsi
        mov $text_end-text, %edx
        syscall
        mov $12, %edi
        cmp $text_end-text, %rax
        jne failed
        xor %edi, %edi
failed: mov $231, %eax                          /* exit_group: the number of the check that failed */
        syscall
        hlt

        .section .rodata
text:   .ascii "nothing but instructions\n"
text_end:
        .bss
first:  .skip 128
        .section .note.GNU-stack,"",@progbits
