/* Types shared by all networks that edgec compiles. */
#ifndef EDGEC_H
#define EDGEC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the functions of a network return. */
enum edgec_status {
    EDGEC_OK = 0,
    EDGEC_NULL_POINTER = 1,        /* the workspace, an input or an output is missing */
    EDGEC_UNALIGNED = 2,           /* an input or output is not aligned to its element type */
    EDGEC_KERNEL_FAILED = 3,       /* a kernel, or a part of it on one thread, returned an error */
    EDGEC_TOO_MANY_ITERATIONS = 4, /* a loop's computed trip count exceeds the bound known at compile time */
    EDGEC_NO_DEVICE = 5,           /* no driver, or no device, of the graphics processor that the network needs */
    EDGEC_DEVICE_FAILED = 6,       /* the graphics processor or its driver refused something */
};

/* A sentence in English for a status; never NULL. */
const char *edgec_status_text(int status);

/* Name, element type (numpy's name), rank, extents and size of a tensor. */
typedef struct edgec_tensor_info {
    const char *name;
    const char *dtype;
    int rank;
    const int64_t *shape;
    size_t bytes;
} edgec_tensor_info;

/* Called before (finished = 0) and after (finished = 1) each kernel; steps count from 0 in order of the text. */
typedef void (*edgec_step_hook)(void *context, int step, int finished);

/* A network as a value. */
typedef struct edgec_model {
    const char *name;
    int input_count;
    const edgec_tensor_info *inputs;
    int output_count;
    const edgec_tensor_info *outputs;
    size_t (*workspace_bytes)(void);
    int (*run_traced)(void *workspace, const void *const inputs[], void *const outputs[], edgec_step_hook hook,
                      void *context);
} edgec_model;

/* For the generated code: checks the pointers of a call. */
int edgec_check(const edgec_model *model, const void *workspace, const void *const inputs[], void *const outputs[]);

/* For the generated code: the first address in the workspace that begins a cache line. */
unsigned char *edgec_align(void *workspace);

#ifdef __cplusplus
}
#endif

#endif
