/* What the generated tables of a network for a graphics processor are made of, and the launchers that replay them.
 *
 * A launcher keeps the device, the compiled kernels and the weights between runs, in a state that belongs to one
 * network. Runs of one network wait for each other.
 */
#ifndef EDGEC_GPU_H
#define EDGEC_GPU_H

#include "edgec.h"

#include <pthread.h>

#ifdef __cplusplus
extern "C" {
#endif

enum edgec_gpu_space {
    EDGEC_GPU_INPUT = 0,
    EDGEC_GPU_OUTPUT = 1,
    EDGEC_GPU_WEIGHTS = 2,
    EDGEC_GPU_ARENA = 3,
};

/* Where a tensor begins on the device; `index` counts inputs and outputs. */
typedef struct edgec_gpu_argument {
    uint32_t space;
    uint32_t index;
    uint32_t offset;
} edgec_gpu_argument;

/* One kernel on a grid of groups of threads; `step` is the layer that it belongs to. */
typedef struct edgec_gpu_launch {
    uint32_t kernel;
    uint32_t step;
    uint32_t first_argument;
    uint32_t argument_count;
    uint32_t grid[3];
    uint32_t block[3];
} edgec_gpu_launch;

/* A tensor that the processor reads or writes between launches. */
typedef struct edgec_gpu_range {
    edgec_gpu_argument place;
    size_t bytes;
} edgec_gpu_range;

/* A part of the network that runs on the processor, on the caller's inputs and outputs and on an arena in the caller's
 * workspace with the offsets of that on the device. `reads` ranges from the first are copied from the device before it,
 * `writes` ranges after those to the device after it. */
typedef struct edgec_gpu_host_call {
    int (*run)(void *workspace, const void *const inputs[], void *const outputs[], edgec_step_hook hook, void *context);
    uint32_t before; /* the launch that waits for it; launch_count if it comes after the last */
    uint32_t first_range;
    uint32_t reads;
    uint32_t writes;
} edgec_gpu_host_call;

/* Bytes copied on the device after the last launch. */
typedef struct edgec_gpu_copy {
    edgec_gpu_argument source;
    edgec_gpu_argument destination;
    size_t bytes;
} edgec_gpu_copy;

typedef struct edgec_gpu_network {
    const edgec_model *model;
    const char *source;          /* of all kernels, ended by a zero byte */
    const char *digest;          /* SHA-256 of the source, in hexadecimal digits */
    const char *architecture;    /* of the machine code: sm_53; empty if there is none */
    const unsigned char *binary; /* the machine code; NULL if there is none */
    const unsigned char *binary_end;
    const char *const *kernels; /* names of functions in the source */
    uint32_t kernel_count;
    const edgec_gpu_argument *arguments;
    const edgec_gpu_launch *launches;
    uint32_t launch_count;
    const edgec_gpu_host_call *host_calls;
    uint32_t host_call_count;
    const edgec_gpu_range *ranges;
    const edgec_gpu_copy *copies;
    uint32_t copy_count;
    const unsigned char *weights;
    size_t weight_bytes;
    size_t arena_bytes;
} edgec_gpu_network;

/* What a launcher keeps of a network between runs; all zero at first. */
typedef struct edgec_gpu_state {
    pthread_mutex_t in_use;
    void *session;
} edgec_gpu_state;

/* What a caller hands over for one run; hook and context may be NULL. */
typedef struct edgec_gpu_call {
    void *workspace;
    const void *const *inputs;
    void *const *outputs;
    edgec_step_hook hook;
    void *context;
} edgec_gpu_call;

/* Runs a network once; the first call finds the device, compiles the kernels and uploads the weights.
 * Returns an edgec_status; after a failure edgec_gpu_message() says more. */
int edgec_cuda_run(const edgec_gpu_network *network, edgec_gpu_state *state, const edgec_gpu_call *call);
int edgec_opencl_run(const edgec_gpu_network *network, edgec_gpu_state *state, const edgec_gpu_call *call);

/* Gives back everything that a network holds on the device; its next run begins anew. */
void edgec_cuda_close(edgec_gpu_state *state);
void edgec_opencl_close(edgec_gpu_state *state);

/* What the last failure was, with the driver's own words; empty if there was none. */
const char *edgec_gpu_message(void);

/* Where compiled kernels are kept; NULL or "" keeps none. Without this call it is what the environment says:
 * EDGEC_GPU_CACHE, or XDG_CACHE_HOME/edgec/gpu, or HOME/.cache/edgec/gpu. Call it before the first run. */
void edgec_gpu_set_cache(const char *folder);

#ifdef __cplusplus
}
#endif

#endif
