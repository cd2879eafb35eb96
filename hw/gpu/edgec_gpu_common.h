/* What the launchers share; not for users of a network. */
#ifndef EDGEC_GPU_COMMON_H
#define EDGEC_GPU_COMMON_H

#include "edgec_gpu.h"

/* Keeps a message for edgec_gpu_message and returns the status. */
int edgec_gpu_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What the launcher for one kind of driver does with a session of its own, which is all zero before `prepare`.
 *
 * `begin` sends the inputs; `replay` enqueues the launches of a segment, which are those between two calls of the
 * processor; `read` and `write` enqueue copies, and `take` those of the outputs; `wait` waits for all of it. `leave`
 * follows every `begin`, and leaves no copy of the caller's memory under way, even after a failure. */
typedef struct edgec_gpu_driver {
    size_t session_bytes;
    int (*prepare)(void *session, const edgec_gpu_network *network);
    int (*begin)(void *session, const edgec_gpu_call *call);
    int (*replay)(void *session, uint32_t segment, const edgec_gpu_call *call);
    int (*read)(void *session, const edgec_gpu_range *range, void *destination);
    int (*write)(void *session, const edgec_gpu_range *range, const void *source);
    int (*take)(void *session, const edgec_gpu_call *call);
    int (*wait)(void *session);
    void (*leave)(void *session);
    void (*release)(void *session); /* also after a failed `prepare` */
} edgec_gpu_driver;

/* The launches of a segment: from the first to before the last. Segments are numbered from 0 to host_call_count. */
typedef struct edgec_gpu_segment {
    uint32_t first;
    uint32_t last;
    int is_last; /* the copies on the device follow it */
} edgec_gpu_segment;

edgec_gpu_segment edgec_gpu_segment_of(const edgec_gpu_network *network, uint32_t number);

/* Runs a network in its session, which the first run opens; runs of one network wait for each other. */
int edgec_gpu_run(const edgec_gpu_driver *driver, const edgec_gpu_network *network, edgec_gpu_state *state,
                  const edgec_gpu_call *call);
void edgec_gpu_close(const edgec_gpu_driver *driver, edgec_gpu_state *state);

/* The first library of a list, ended by NULL, that the system loads; NULL if it loads none. */
void *edgec_gpu_library(const char *const names[]);

/* Buffers on the device are numbered: inputs, outputs, weights, arena. */
uint32_t edgec_gpu_buffer_number(const edgec_gpu_network *network, uint32_t space, uint32_t index);
uint32_t edgec_gpu_buffer_count(const edgec_gpu_network *network);
size_t edgec_gpu_buffer_bytes(const edgec_gpu_network *network, uint32_t number);

typedef struct edgec_gpu_symbol {
    const char *name;
    void *place; /* of a pointer to the function */
    int optional;
} edgec_gpu_symbol;

/* Finds functions of a library; returns the name of one that is missing, or NULL. */
const char *edgec_gpu_symbols(void *library, const edgec_gpu_symbol *symbols, size_t count);

/* A file of the cache that was written whole for this key; NULL if there is none. To be freed. */
unsigned char *edgec_gpu_cache_read(const char *name, const char *key, size_t *bytes);

/* The whole of a file of the cache that something else wrote; NULL if there is none. To be freed. */
unsigned char *edgec_gpu_cache_read_plain(const char *name, size_t *bytes);

/* Keeps a file, at once or not at all; where the folder cannot be written nothing is kept. */
void edgec_gpu_cache_write(const char *name, const char *key, const void *content, size_t bytes);

/* A number that differs for different texts, as far as 64 bits can. */
uint64_t edgec_gpu_hash(const void *content, size_t bytes);

#endif
