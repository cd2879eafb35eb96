/* The part of CUDA's driver interface that the launcher uses, and its session on a device. */
#ifndef EDGEC_GPU_CUDA_H
#define EDGEC_GPU_CUDA_H

#include "edgec_gpu_common.h"

#define TEXT_BYTES 256

/* NVIDIA's cuda.h, as far as it is needed. */
#define CUDA_SUCCESS 0
#define CU_MULTIPROCESSOR_MAJOR 75
#define CU_MULTIPROCESSOR_MINOR 76
#define CU_STREAM_NON_BLOCKING 1u
#define CU_STREAM_CAPTURE_MODE_THREAD_LOCAL 1

typedef int status_code;
typedef int device_number;
typedef void *handle;
typedef uint64_t device_address;

typedef struct functions {
    status_code (*initialise)(unsigned);
    status_code (*error_name)(status_code, const char **);
    status_code (*device_count)(int *);
    status_code (*device)(device_number *, int);
    status_code (*device_name)(char *, int, device_number);
    status_code (*attribute)(int *, int, device_number);
    status_code (*retain_context)(handle *, device_number);
    status_code (*release_context)(device_number);
    status_code (*push_context)(handle);
    status_code (*pop_context)(handle *);
    status_code (*load_module)(handle *, const void *);
    status_code (*unload_module)(handle);
    status_code (*function)(handle *, handle, const char *);
    status_code (*allocate)(device_address *, size_t);
    status_code (*release)(device_address);
    status_code (*write)(device_address, const void *, size_t, handle);
    status_code (*read)(void *, device_address, size_t, handle);
    status_code (*copy)(device_address, device_address, size_t, handle);
    status_code (*stream)(handle *, unsigned);
    status_code (*release_stream)(handle);
    status_code (*synchronise)(handle);
    status_code (*launch)(handle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, handle, void **,
                          void **);
    /* since CUDA 10.1; missing in older drivers */
    status_code (*begin_capture)(handle, int);
    status_code (*end_capture)(handle, handle *);
    status_code (*instantiate)(handle *, handle, unsigned long long);           /* since CUDA 11.4 */
    status_code (*instantiate_v1)(handle *, handle, handle *, char *, size_t); /* before that */
    status_code (*launch_graph)(handle, handle);
    status_code (*release_executable)(handle);
    status_code (*release_graph)(handle);
} functions;

typedef struct session {
    functions cuda;
    const edgec_gpu_network *network;
    device_number device;
    handle context;
    handle stream;
    handle module;
    handle *kernels;
    device_address *buffers; /* inputs, outputs, weights, arena */
    handle *graphs;          /* of each segment, replayed at once; NULL where the driver has no graphs */
    char architecture[16];   /* sm_53 */
    char name[TEXT_BYTES];
} session;

/* Loads the driver, and opens the first device or the one that EDGEC_CUDA_DEVICE numbers. */
int edgec_cuda_open_device(session *own);

/* Loads the machine code of the program: from the cache, from the artefact, or compiled here. */
int edgec_cuda_load_program(session *own);

/* Keeps the message of an error code and returns EDGEC_DEVICE_FAILED. */
int edgec_cuda_failed(const session *own, const char *what, status_code code);

/* Compiles a program by the NVRTC library of this machine and keeps the result in the cache.
 * Returns machine code or PTX to be freed; NULL with a reason in `reason` if that cannot be had. */
unsigned char *edgec_cuda_compile(const edgec_gpu_network *network, const char *architecture, char *reason,
                                  size_t reason_bytes);

/* The names in the cache of what was compiled by NVRTC, and by the script of the artefact. */
void edgec_cuda_cache_names(const edgec_gpu_network *network, const char *architecture, char *compiled, char *built);

#endif
