/* Where an input lies. */
#ifndef AMPOULE_FUZZ_MEMORY_H
#define AMPOULE_FUZZ_MEMORY_H
#include "base.h"

struct input_buffer {
    unsigned char *bytes;
    size_t size;
};

OWN int map_input(struct input_buffer *input, size_t size) {
    input->bytes = at_address(map_pages(0, size, LINUX_PROT_READ_WRITE, LINUX_MAP_MEMORY));
    input->size = size;
    return input->bytes != NULL;
}

OWN inline const unsigned char *open_input(const struct input_buffer *input, size_t size) {
    (void)size;
    return input->bytes;
}

OWN inline void close_input(const struct input_buffer *input, size_t size) {
    (void)input;
    (void)size;
}

OWN void prepare_memory(void) {}
#endif
