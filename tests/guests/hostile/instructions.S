/* Instructions that no program should run, one for each name: `instructions NAME`. One that has no effect ends the program with 42,
 * an unknown name with 2. `instructions list` prints the names, so that a suite cannot forget one. */

        /* op NAME: what follows runs when argv[1] is NAME. */
        .macro op name
        .pushsection .rodata.names, "a"
9:      .ascii "\name\()\n"
        .popsection
        .pushsection .rodata.ops, "a"
        .quad 9b, 8f
        .popsection
        jmp harmless
        .balign 16
8:
        .endm

        .section .rodata.names, "a"
names:
        .section .rodata.ops, "a"
ops:
        .globl _start
        .text
_start:
        cmpq $2, (%rsp)
        jb unknown
        mov 16(%rsp), %rsi
        lea ops(%rip), %rbx
next:   mov (%rbx), %rdi
        test %rdi, %rdi
        jz unknown
        mov %rsi, %rdx
1:      mov (%rdx), %al
        mov (%rdi), %cl
        inc %rdx
        inc %rdi
        cmp $'\n', %cl
        je 2f
        cmp %al, %cl
        je 1b
        add $16, %rbx
        jmp next
2:      test %al, %al
        lea 16(%rbx), %rbx
        jnz next
        /* Everything a host might take for an argument holds something no host gave out. */
        mov $0xdead0000, %eax
        mov %eax, %ecx
        mov %eax, %edx
        jmp *-8(%rbx)
unknown:
        mov $2, %edi
        jmp leave
harmless:
        mov $42, %edi
leave:  mov $231, %eax
        syscall
        jmp leave

        op list
        mov $1, %eax
        mov $1, %edi
        lea names(%rip), %rsi
        lea names_end(%rip), %rdx
        sub %rsi, %rdx
        syscall
        xor %edi, %edi
        jmp leave

        /* Privileged: a general protection fault on any machine. */
        op hlt
        hlt
        op cli
        cli
        op sti
        sti
        op clts
        clts
        op invd
        invd
        op wbinvd
        wbinvd
        op invlpg
        invlpg (%rsp)
        op wrmsr
        mov $0xc0000080, %ecx
        wrmsr
        op rdmsr
        mov $0xc0000082, %ecx
        rdmsr
        op wrmsr-lstar
        mov $0xc0000082, %ecx
        xor %edx, %edx
        wrmsr
        op mov-to-cr0
        mov %rax, %cr0
        op mov-to-cr3
        mov %rax, %cr3
        op mov-to-cr4
        mov %rax, %cr4
        op mov-to-cr8
        mov %rax, %cr8
        op mov-from-cr0
        mov %cr0, %rax
        op mov-from-cr2
        mov %cr2, %rax
        op mov-from-cr3
        mov %cr3, %rax
        op mov-to-dr7
        mov %rax, %dr7
        op mov-from-dr6
        mov %dr6, %rax
        op lgdt
        lgdt (%rsp)
        op lidt
        lidt (%rsp)
        op lldt
        lldt %ax
        op ltr
        ltr %ax
        op lmsw
        lmsw %ax
        op swapgs
        swapgs
        op sysretq
        sysretq
        op sysexit
        sysexitl
        op xsetbv
        xor %ecx, %ecx
        xsetbv
        op invpcid
        .byte 0x66, 0x0f, 0x38, 0x82, 0x04, 0x24
        op monitor
        monitor
        op mwait
        mwait
        op rsm
        rsm
        op stac
        .byte 0x0f, 0x01, 0xcb
        op clac
        .byte 0x0f, 0x01, 0xca
        op rdpmc
        xor %ecx, %ecx
        rdpmc

        /* Ports. */
        op in
        in $0x64, %al
        op in-dx
        mov $0xcf8, %edx
        in %dx, %eax
        op out
        out %al, $0x80
        op out-dx
        mov $0xcf9, %edx
        out %eax, %dx
        op insb
        mov $0x60, %edx
        lea scratch(%rip), %rdi
        insb
        op rep-outsb
        mov $0x3f8, %edx
        mov $4096, %ecx
        lea scratch(%rip), %rsi
        rep outsb

        /* Calls to a hypervisor, with the numbers that KVM knows and none. */
        op vmcall
        vmcall
        op vmmcall
        vmmcall
        op vmcall-map-gpa-range
        mov $12, %eax
        xor %ebx, %ebx
        mov $1, %ecx
        mov $16, %edx
        vmcall
        op vmmcall-map-gpa-range
        mov $12, %eax
        xor %ebx, %ebx
        mov $1, %ecx
        mov $16, %edx
        vmmcall
        op vmlaunch
        vmlaunch
        op vmxoff
        vmxoff
        op vmfunc
        .byte 0x0f, 0x01, 0xd4
        op vmrun
        mov %rsp, %rax
        vmrun
        op vmload
        mov %rsp, %rax
        vmload
        op clgi
        clgi
        op stgi
        stgi
        op skinit
        skinit
        op invlpga
        invlpga

        /* Gates and undefined instructions. */
        op int-0x80
        mov $1, %eax
        int $0x80
        op int-0x20
        int $0x20
        op int-0xff
        int $0xff
        op int-page-fault
        int $14
        op int-double-fault
        int $8
        op int-nmi
        int $2
        op int3
        int3
        op int1
        .byte 0xf1
        op into-in-64-bit
        .byte 0xce
        op sysenter
        sysenter
        op syscall-32
        .byte 0x66, 0x0f, 0x05
        op ud2
        ud2
        op ud1
        .byte 0x0f, 0xb9, 0xc0
        op lock-on-register
        .byte 0xf0, 0x48, 0x89, 0xc0
        op fifteen-prefixes
        .fill 16, 1, 0x66
        nop
        op divide-by-zero
        xor %ecx, %ecx
        div %ecx
        op divide-overflow
        mov $0x80000000, %eax
        cdq
        mov $-1, %ecx
        idiv %ecx

        /* Returns and jumps to where the kernel would be. */
        op iretq-to-kernel
        pushq $0x10
        push %rsp
        pushq $2
        pushq $0x8
        lea harmless(%rip), %rax
        push %rax
        iretq
        op iretq-to-zero-selectors
        pushq $0
        push %rsp
        pushq $2
        pushq $0
        lea harmless(%rip), %rax
        push %rax
        iretq
        op iretq-noncanonical
        pushq $0x2b
        push %rsp
        pushq $0x202
        pushq $0x33
        mov $0x0000900000000000, %rax
        push %rax
        iretq
        op iretq-to-compatibility-mode
        pushq $0x2b
        push %rsp
        pushq $0x202
        pushq $0x23
        lea harmless(%rip), %eax
        push %rax
        iretq
        op far-call
        .byte 0x48, 0xff, 0x1c, 0x24            /* lcall *(%rsp) */
        op far-return-to-kernel
        pushq $0x8
        lea harmless(%rip), %rax
        push %rax
        lretq
        op jump-to-kernel
        mov $0xffffffff81000000, %rax
        jmp *%rax
        op jump-to-upper-half
        mov $0xffff800000000000, %rax
        jmp *%rax
        op jump-noncanonical
        mov $0x0000800000000000, %rax
        jmp *%rax
        op jump-to-top
        mov $-1, %rax
        jmp *%rax
        op jump-to-zero
        xor %eax, %eax
        jmp *%rax
        /* Into the gate that system calls pass, with a return address of one's own: see CALL_GATE in guest-kernel/src/layout.rs. */
        .macro through_the_gate address
        mov $39, %eax
        movabs $\address, %rcx
        mov %rcx, %r8
        movabs $0x7fffffffd000, %rdx
        jmp *%rdx
        .endm
        op gate-to-noncanonical
        through_the_gate 0x0000900000000000
        op gate-to-kernel
        through_the_gate 0xffff800000001000
        op gate-to-top
        through_the_gate 0xffffffffffffffff
        op gate-to-the-hole
        through_the_gate 0x0000800000000000
        op call-with-stack-at-zero
        xor %esp, %esp
        call harmless
        op call-with-stack-noncanonical
        mov $0x0000900000000000, %rsp
        call harmless
        op call-with-stack-in-kernel
        mov $0xffffffff81000000, %rsp
        call harmless
        op fault-with-stack-in-kernel
        mov $0xffffffff81000000, %rsp
        ud2
        op fault-with-stack-at-zero
        xor %esp, %esp
        ud2
        op syscall-with-stack-in-kernel
        mov $0xffffffff81000000, %rsp
        mov $39, %eax
        syscall
        op syscall-with-stack-noncanonical
        mov $0x0000900000000000, %rsp
        mov $39, %eax
        syscall

        /* Flags: what popf lets a program set, and what it does not. */
        op trap-flag
        pushq $0x302
        popf
        nop
        nop
        op alignment-check
        pushq $0x40202
        popf
        mov scratch+1(%rip), %rax
        op nested-task
        pushq $0x4202
        popf
        mov $39, %eax
        syscall
        op nested-task-iretq
        pushq $0x2b
        push %rsp
        pushq $0x202
        pushq $0x33
        lea harmless(%rip), %rax
        push %rax
        pushq $0x4202
        popf
        iretq
        op io-privilege-level
        pushq $0x3202
        popf
        cli
        op all-flags-then-syscall
        pushq $0x277ed7                         /* all but TF, IF stays */
        popf
        mov $39, %eax
        syscall
        op trap-flag-and-syscall
        pushq $0x302
        popf
        syscall
        op trap-flag-and-fault
        pushq $0x302
        popf
        ud2
        op mov-ss-and-syscall
        mov %ss, %eax
        mov %eax, %ss
        syscall
        op mov-ss-and-int3
        mov %ss, %eax
        mov %eax, %ss
        int3

        /* Segments. */
        op load-kernel-data-selector
        mov $0x10, %eax
        mov %eax, %ds
        op load-kernel-stack-selector
        mov $0x10, %eax
        mov %eax, %ss
        op load-null-stack-selector
        xor %eax, %eax
        mov %eax, %ss
        op load-code-selector
        mov %cs, %eax
        mov %eax, %cs:scratch(%rip)
        mov $0x8, %eax
        mov %eax, %ss
        op load-local-selector
        mov $7, %eax
        mov %eax, %es
        op load-selector-past-the-table
        mov $0xfffb, %eax
        mov %eax, %gs
        op descriptor-tables
        sgdt scratch(%rip)
        sidt scratch(%rip)
        sldt %eax
        str %eax
        smsw %eax
        op verify-selectors
        mov $0x10, %eax
        verr %ax
        verw %ax
        lar %eax, %ecx
        lsl %eax, %ecx
        op write-fs-base
        .byte 0xf3, 0x48, 0x0f, 0xae, 0xd0      /* wrfsbase %rax */
        op write-gs-base-noncanonical
        mov $0x0000900000000000, %rax
        .byte 0xf3, 0x48, 0x0f, 0xae, 0xd8      /* wrgsbase %rax */
        op read-gs-at-zero
        mov %gs:0, %rax

        /* What asks for or leaves behind machine state. */
        op cpuid
        mov $0x40000000, %eax
        cpuid
        op rdtscp
        rdtscp
        op clflush
        clflush scratch(%rip)
        op mxcsr-reserved-bits
        movl $-1, scratch(%rip)
        ldmxcsr scratch(%rip)
        op xrstor-of-garbage
        mov $-1, %eax
        mov %eax, %edx
        lea scratch(%rip), %rdi
        movq $-1, 512(%rdi)
        movq $-1, 520(%rdi)
        xrstor (%rdi)
        op xsaves
        lea scratch(%rip), %rdi
        .byte 0x0f, 0xc7, 0x2f
        op xbegin
        .byte 0xc7, 0xf8, 0, 0, 0, 0
        op sse-unmasked
        movl $0, scratch(%rip)
        ldmxcsr scratch(%rip)
        xorps %xmm0, %xmm0
        divps %xmm0, %xmm0
        op unaligned-sse
        movaps scratch+1(%rip), %xmm0
        op cmpxchg-across-lines
        lock cmpxchg %rax, scratch+60(%rip)

        op last
        jmp harmless

        .section .rodata.names, "a"
names_end:
        .section .rodata.ops, "a"
        .quad 0
        .data
        .balign 64
scratch:
        .skip 8192
        .section .note.GNU-stack,"",@progbits
