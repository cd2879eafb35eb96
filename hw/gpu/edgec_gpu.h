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

/* A range of a buffer on the device that kernels take as an argument; `index` counts inputs and outputs. */
typedef struct edgec_gpu_view {
    uint32_t space;
    uint32_t index;
    uint64_t offset;
    uint64_t bytes;
} edgec_gpu_view;

/* Source text of kernels, ended by a zero byte, and its machine code for one architecture if there is some. */
typedef struct edgec_gpu_program {
    const char *source;
    const char *digest; /* SHA-256 of the source, in hexadecimal digits */
    const unsigned char *binary;
    size_t binary_bytes;
} edgec_gpu_program;

typedef struct edgec_gpu_kernel {
    const char *name;
    uint32_t program;
} edgec_gpu_kernel;

/* One kernel on a grid of groups of threads; its arguments are numbers of views. */
typedef struct edgec_gpu_launch {
    uint32_t kernel;
    uint32_t first_argument;
    uint32_t argument_count;
    uint32_t grid[3];
    uint32_t block[3];
} edgec_gpu_launch;

typedef struct edgec_gpu_network {
    const edgec_model *model;
    const char *architecture; /* of the machine code: sm_53; empty if there is none */
    const edgec_gpu_program *programs;
    uint32_t program_count;
    const edgec_gpu_kernel *kernels;
    uint32_t kernel_count;
    const edgec_gpu_view *views;
    uint32_t view_count;
    const uint32_t *arguments;
    const edgec_gpu_launch *launches;
    uint32_t launch_count;
    const unsigned char *weights;
    size_t weight_bytes;
    size_t arena_bytes;
} edgec_gpu_network;

/* What a launcher keeps of a network between runs; all zero at first. */
typedef struct edgec_gpu_state {
    pthread_mutex_t in_use;
    void *session;
} edgec_gpu_state;

/* Runs a network once; the first call finds the device, compiles the kernels and uploads the weights.
 * Returns an edgec_status; after a failure edgec_gpu_message() says more. */
int edgec_cuda_run(const edgec_gpu_network *network, edgec_gpu_state *state, const void *const inputs[],
                   void *const outputs[], edgec_step_hook hook, void *context);
int edgec_opencl_run(const edgec_gpu_network *network, edgec_gpu_state *state, const void *const inputs[],
                     void *const outputs[], edgec_step_hook hook, void *context);

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
