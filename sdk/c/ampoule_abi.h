/* The numbers of docs/abi.md, which explains them. A test compares both with the host's. */
#ifndef AMPOULE_ABI_H
#define AMPOULE_ABI_H

#define AMPOULE_ABI_MAJOR 1
#define AMPOULE_ABI_MINOR 0

#define AMPOULE_CALL_ATTACH 0x10000000
#define AMPOULE_CALL_NEXT 0x10000001
#define AMPOULE_CALL_IMPORT 0x10000002
#define AMPOULE_CALL_FETCH 0x10000003
#define AMPOULE_CALL_LOG 0x10000004
#define AMPOULE_CALL_REGION 0x10000005
#define AMPOULE_CALL_PARK 0x10000006
#define AMPOULE_CALL_FUZZ 0x10000007

#define AMPOULE_OUTCOME_NONE 0
#define AMPOULE_OUTCOME_RETURNED 1
#define AMPOULE_OUTCOME_PANICKED 2
#define AMPOULE_OUTCOME_BAD_ARGUMENTS 3

#define AMPOULE_SWITCH_TO_RING 0xffffffffffffffff
#define AMPOULE_FEATURE_RING 1

#define AMPOULE_TABLE_MAX_BYTES 0x10000
#define AMPOULE_NAME_MAX_BYTES 255
#define AMPOULE_LOG_MAX_BYTES 0x1000

#define AMPOULE_RING_ADDRESS 0x7fffffc00000
#define AMPOULE_EVENTS_ADDRESS 0x7fffffff9000
#define AMPOULE_INFO_ADDRESS 0x7fffffffb000
#define AMPOULE_GATE_ADDRESS 0x7fffffffd000

#define AMPOULE_INFO_VERSION 0x00
#define AMPOULE_INFO_GENERATION 0x08
#define AMPOULE_INFO_DEADLINE 0x10
#define AMPOULE_INFO_LOG_LEVEL 0x18
#define AMPOULE_INFO_IDLE 0x20
#define AMPOULE_INFO_TICKS 0x28
#define AMPOULE_INFO_EVENTS 0x30
#define AMPOULE_INFO_SEED 0x40

#define AMPOULE_RING_BYTES 0x200000
#define AMPOULE_RING_CELLS 64
#define AMPOULE_RING_CELL_BYTES 64
#define AMPOULE_RING_INLINE_BYTES 32
#define AMPOULE_RING_PIECE_BYTES 0x78000
#define AMPOULE_RING_TO_GUEST_CONSUMED 0x0
#define AMPOULE_RING_TO_GUEST_CELLS 0x1000
#define AMPOULE_RING_TO_GUEST_BULK 0x10000
#define AMPOULE_RING_TO_HOST_CONSUMED 0x40
#define AMPOULE_RING_TO_HOST_CELLS 0x2000
#define AMPOULE_RING_TO_HOST_BULK 0x100000
#define AMPOULE_RING_CALL 1
#define AMPOULE_RING_REPLY 2
#define AMPOULE_RING_IMPORT 3
#define AMPOULE_RING_IMPORT_REPLY 4
#define AMPOULE_RING_LEAVE 5

#define AMPOULE_BATCH_GATE_ADDRESS 0x7fffffffd400
#define AMPOULE_FUZZ_COUNTERS 1
#define AMPOULE_FUZZ_PROGRAM_COUNTERS 2
#define AMPOULE_FUZZ_START 3
#define AMPOULE_FUZZ_WINDOW 4
#define AMPOULE_FUZZ_FINDING 5

#define AMPOULE_FINDING_KIND 0x00
#define AMPOULE_FINDING_ACCESS 0x08
#define AMPOULE_FINDING_ADDRESS 0x10
#define AMPOULE_FINDING_SIZE 0x18
#define AMPOULE_FINDING_BLOCK 0x20
#define AMPOULE_FINDING_BLOCK_SIZE 0x28
#define AMPOULE_FINDING_ALLOCATED 0x30
#define AMPOULE_FINDING_FREED 0x70
#define AMPOULE_FINDING_FRAMES 8
#define AMPOULE_FINDING_TEXT 0xb0
#define AMPOULE_FINDING_TEXT_SIZE 0xb8
#define AMPOULE_FINDING_BYTES 0xc0
#define AMPOULE_HEAP_OVERFLOW 1
#define AMPOULE_STACK_OVERFLOW 2
#define AMPOULE_GLOBAL_OVERFLOW 3
#define AMPOULE_USE_AFTER_FREE 4
#define AMPOULE_USE_AFTER_SCOPE 5
#define AMPOULE_DOUBLE_FREE 6
#define AMPOULE_BAD_FREE 7
#define AMPOULE_INPUT_OVERFLOW 8
#define AMPOULE_INVALID_ACCESS 9

#define AMPOULE_COMPARISONS_HEADER_BYTES 0x10
#define AMPOULE_COMPARISONS_UNWANTED 0x08
#define AMPOULE_COMPARISONS_ENTRY_BYTES 0x20
#define AMPOULE_COMPARISONS_ADDRESS 0x00
#define AMPOULE_COMPARISONS_KIND 0x08
#define AMPOULE_COMPARISONS_LEFT 0x10
#define AMPOULE_COMPARISONS_RIGHT 0x18

/* The same numbers as errno.h's, which a freestanding compiler has not. */
#define AMPOULE_ENOENT 2
#define AMPOULE_ENOMEM 12
#define AMPOULE_EFAULT 14
#define AMPOULE_EBUSY 16
#define AMPOULE_EINVAL 22
#define AMPOULE_ENOSYS 38
#define AMPOULE_ENOMSG 42
#define AMPOULE_EPROTO 71
#define AMPOULE_EBADMSG 74
#define AMPOULE_EMSGSIZE 90
#define AMPOULE_EREMOTEIO 121

#define AMPOULE_TEXT(number) AMPOULE_TEXT_OF(number)
#define AMPOULE_TEXT_OF(number) #number

/* One interface note, at file scope. `kind` is "1" for an export and "2" for an import, `text` the function's name and signature. It is
 * written in assembly because a C array with exactly the text's bytes, rounded up to 4, is not valid C++; and linkers keep a section of
 * the type `note` whatever else they drop. */
#define AMPOULE_NOTE(kind, text)                                                                                            \
    __asm__(".pushsection .note.ampoule, \"a\", @note\n\t"                                                                  \
            ".balign 4\n\t"                                                                                                 \
            ".long 8, 9f - 8f, " kind "\n\t"                                                                                \
            ".ascii \"Ampoule\\0\"\n"                                                                                       \
            "8:\t.short " AMPOULE_TEXT(AMPOULE_ABI_MAJOR) ", " AMPOULE_TEXT(AMPOULE_ABI_MINOR) "\n\t"                       \
            ".ascii \"" text "\"\n"                                                                                         \
            "9:\t.balign 4\n\t"                                                                                             \
            ".popsection")
#endif
