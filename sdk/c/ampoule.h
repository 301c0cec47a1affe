/* Ampoule guests in C and C++: functions that a host calls, and calls to the host's.
 *
 *     #include "ampoule.h"
 *
 *     AMPOULE_IMPORT(lookup);
 *
 *     static int hash(const void *input, size_t size, struct ampoule_reply *reply) {
 *         uint64_t sum = my_hash(input, size);
 *         return ampoule_reply_set(reply, &sum, sizeof sum);
 *     }
 *     AMPOULE_EXPORT(hash);
 *
 *     int main(void) {
 *         ampoule_serve();    // does not come back while the host calls
 *         return 2;           // nobody calls: it has said so
 *     }
 *
 * Compile it together with ampoule.c into a static program: `musl-gcc -static plugin.c ampoule.c`, or gcc, clang, g++. Only a freestanding
 * compiler is needed, with C99 or any C++, and what runs constructors (every libc does). Not for several threads.
 *
 * Functions that can fail return a negative error number of Linux's, such as -AMPOULE_ENOSYS. What crosses the border, byte for byte,
 * is described in docs/abi.md. */
#ifndef AMPOULE_H
#define AMPOULE_H
#include <stddef.h>
#include <stdint.h>

#include "ampoule_abi.h"
#include "ampoule_values.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- offering functions ------------------------------------------------------------------------------------------ */

/* What a function answers with: see ampoule_reply_set and the others below. Empty at the start of a call. */
struct ampoule_reply;

/* A function that the host can call. `input` is aligned for anything, and gone when it returns. It returns AMPOULE_OK, what a function for
 * replies returned, what ampoule_fail returned, AMPOULE_BAD_ARGUMENTS, or any other number, which the caller is told as a failure. No C++
 * exception may leave it. */
typedef int ampoule_function(const void *input, size_t size, struct ampoule_reply *reply);

/* The reply is the result. */
#define AMPOULE_OK 0
/* It failed, and the reply says how: ampoule_fail returns it. */
#define AMPOULE_FAILED 1
/* The input is not what the function takes. */
#define AMPOULE_BAD_ARGUMENTS 2

/* Offers `function`, bytes in and bytes out, under its own name. At file scope, once for each name. */
#define AMPOULE_EXPORT(function) AMPOULE_EXPORT_NAMED(function, #function, "(bytes) -> bytes")

/* Offers it with a signature, such as "(name: string, n: u32) -> f64": the host then checks its callers' types before the first call, and
 * the input is what ampoule_read_* reads, the reply what ampoule_write_* writes. The grammar of signatures is in docs/abi.md. */
#define AMPOULE_EXPORT_TYPED(function, signature) AMPOULE_EXPORT_NAMED(function, #function, signature)

/* Offers it under another name: 1 to 255 graphic ASCII characters without ( ) " and \, in quotes. */
#define AMPOULE_EXPORT_NAMED(function, name, signature)                                                                     \
    AMPOULE_NOTE("1", name signature);                                                                                      \
    static struct ampoule_export ampoule_export_##function = {name, function, __FILE__ ":" AMPOULE_TEXT(__LINE__), 0};      \
    __attribute__((constructor)) static void ampoule_export_add_##function(void) {                                          \
        ampoule_add_export(&ampoule_export_##function);                                                                     \
    }                                                                                                                       \
    struct ampoule_export

/* Copies the bytes, which are not the reply's own, into the reply, in place of what it held. AMPOULE_OK, or -AMPOULE_ENOMEM. */
int ampoule_reply_set(struct ampoule_reply *reply, const void *bytes, size_t size);

/* The reply is these bytes, where they are: they must stay as they are until the next call. AMPOULE_OK. */
int ampoule_reply_borrow(struct ampoule_reply *reply, const void *bytes, size_t size);

/* Makes room for `size` bytes and says that they are the reply; the caller writes them. NULL if there is no memory. A later call with a
 * smaller size keeps what was written: ask for the most, write, and ask again for what it was. */
unsigned char *ampoule_reply_reserve(struct ampoule_reply *reply, size_t size);

/* `return ampoule_fail(reply, "no such user");` – the caller gets the message, and the file and line of this. AMPOULE_FAILED. */
#define ampoule_fail(reply, message) ampoule_fail_at((reply), (message), __FILE__ ":" AMPOULE_TEXT(__LINE__))
int ampoule_fail_at(struct ampoule_reply *reply, const char *message, const char *location);

/* Attaches and serves. Comes back only when it failed, with a reason on the standard error stream: see ampoule_attach and ampoule_run. */
int ampoule_serve(void);

/* Tells the host what is offered and needed; afterwards the host's functions can be called. Only for programs that want to do that
 * before they serve. 0 or
 * -AMPOULE_ENOSYS  nobody calls into this program: it runs outside Ampoule, or as a command
 * -AMPOULE_EBUSY   it is attached already
 * -AMPOULE_ENOMEM  there is no memory for the buffers.
 * Names that are no names or not different, and a host of another version of the ABI, end the program: its host says why. */
int ampoule_attach(void);

/* Serves the host's calls, in whatever way it makes them. Comes back only when it failed:
 * -AMPOULE_ENOSYS  not attached
 * -AMPOULE_EBUSY   a function that is being served wants to serve
 * -AMPOULE_EPROTO  the host said something that it must not say
 * and with what else the host answered. */
int ampoule_run(void);

/* ---- calling the host -------------------------------------------------------------------------------------------- */

/* Needs the host's function `variable`, bytes in and bytes out, and defines a static variable of that name for ampoule_import. */
#define AMPOULE_IMPORT(variable) AMPOULE_IMPORT_NAMED(variable, #variable, "(bytes) -> bytes")
/* The same with a signature. */
#define AMPOULE_IMPORT_TYPED(variable, signature) AMPOULE_IMPORT_NAMED(variable, #variable, signature)
/* The same for a function with another name. */
#define AMPOULE_IMPORT_NAMED(variable, name, signature)                                                                     \
    AMPOULE_NOTE("2", name signature);                                                                                      \
    static struct ampoule_import variable = {name, 0, 0};                                                                   \
    __attribute__((constructor)) static void ampoule_import_add_##variable(void) { ampoule_add_import(&variable); }         \
    struct ampoule_import

struct ampoule_import;

/* Calls the host's function. Returns how many bytes of its result are in `output`, or
 * -AMPOULE_EMSGSIZE   they are more than `capacity`: get them with ampoule_fetch
 * -AMPOULE_EREMOTEIO  the function failed: ampoule_fetch gets the reason, in UTF-8
 * -AMPOULE_EBADMSG    the input is not what the function takes
 * -AMPOULE_ENOENT     the host has no such function
 * -AMPOULE_ENOSYS     not attached. */
long ampoule_import(const struct ampoule_import *import, const void *input, size_t size, void *output, size_t capacity);

/* How many bytes wait for ampoule_fetch; 0 if none. */
size_t ampoule_fetch_size(void);

/* Gets the result that did not fit, or the reason of a failure; it is there until it was got or the next ampoule_import. Returns how many
 * bytes that were, -AMPOULE_ENOMSG if there are none, -AMPOULE_EMSGSIZE if they are more than `capacity` (they stay). */
long ampoule_fetch(void *output, size_t capacity);

/* ---- telling and asking the host --------------------------------------------------------------------------------- */

/* Posts event 0–511 with a value: no answer, and much cheaper than a call. 0, -AMPOULE_EINVAL, or -AMPOULE_ENOSYS if the host does not
 * listen to events or the program is not attached. */
int ampoule_event(unsigned event, uint64_t value);

/* Says something to whoever looks after this program; level 1 is an error, 2 a warning, 3 information, 4 for debugging, 5 a trace. Costs
 * next to nothing if nobody listens at that level. At most 4095 bytes of target and message (UTF-8) are kept. 0, -AMPOULE_EINVAL for the
 * level, -AMPOULE_ENOSYS if not attached. */
int ampoule_log(int level, const char *target, const char *message);

/* Nanoseconds that are left of the call's time; 0 if it is over, UINT64_MAX if it has no end or the program is not attached. */
uint64_t ampoule_remaining_ns(void);

/* Another number in every clone and after every restore: whoever keeps anything random, or anything that must be unique, looks whether
 * it changed and makes it new. 0 if not attached. */
uint64_t ampoule_generation(void);

/* 32 random bytes that no other clone has, the same for as long as the generation is; meant as the seed of a generator. Returns the
 * generation that they belong to. If the program is not attached they are the kernel's, and different each time. */
uint64_t ampoule_entropy(unsigned char seed[32]);

/* Memory that the host shares under that name, read-only here, and its size. NULL if there is none. The host may change it meanwhile:
 * copy what is looked at twice. */
const volatile void *ampoule_region(const char *name, size_t *size);

/* ---- what the macros above are made of --------------------------------------------------------------------------- */

struct ampoule_export {
    const char *name;
    ampoule_function *function;
    const char *location;
    struct ampoule_export *next;
};
struct ampoule_import {
    const char *name;
    uint32_t ordinal;
    struct ampoule_import *next;
};
void ampoule_add_export(struct ampoule_export *one);
void ampoule_add_import(struct ampoule_import *one);

#ifdef __cplusplus
}
#endif
#endif
