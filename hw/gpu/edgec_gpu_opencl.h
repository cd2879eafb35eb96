/* The part of OpenCL 1.2 that the launcher uses, and its session on a device. */
#ifndef EDGEC_GPU_OPENCL_H
#define EDGEC_GPU_OPENCL_H

#include "edgec_gpu_common.h"

/* The Khronos Group's OpenCL 1.2 headers (cl.h), as far as they are needed. */
#define CL_SUCCESS 0
#define CL_TRUE 1
#define CL_DEVICE_TYPE_GPU 0x4u
#define CL_DEVICE_TYPE_ALL 0xFFFFFFFFu
#define CL_PLATFORM_VERSION 0x0901
#define CL_DEVICE_TYPE 0x1000
#define CL_DEVICE_NAME 0x102B
#define CL_DRIVER_VERSION 0x102D
#define CL_MEM_READ_WRITE 0x1u
#define CL_PROGRAM_BINARY_SIZES 0x1165
#define CL_PROGRAM_BINARIES 0x1166
#define CL_PROGRAM_BUILD_LOG 0x1183
#define CL_KERNEL_WORK_GROUP_SIZE 0x11B0

#define TEXT_BYTES 256

typedef int32_t status_code;
typedef void *handle;

typedef struct functions {
    status_code (*platforms)(uint32_t, handle *, uint32_t *);
    status_code (*platform_info)(handle, uint32_t, size_t, void *, size_t *);
    status_code (*devices)(handle, uint64_t, uint32_t, handle *, uint32_t *);
    status_code (*device_info)(handle, uint32_t, size_t, void *, size_t *);
    handle (*context)(const intptr_t *, uint32_t, const handle *, void *, void *, status_code *);
    handle (*queue)(handle, handle, uint64_t, status_code *);
    handle (*program)(handle, uint32_t, const char **, const size_t *, status_code *);
    handle (*program_of_binary)(handle, uint32_t, const handle *, const size_t *, const unsigned char **,
                                status_code *, status_code *);
    status_code (*build)(handle, uint32_t, const handle *, const char *, void *, void *);
    status_code (*build_info)(handle, handle, uint32_t, size_t, void *, size_t *);
    status_code (*program_info)(handle, uint32_t, size_t, void *, size_t *);
    handle (*kernel)(handle, const char *, status_code *);
    status_code (*argument)(handle, uint32_t, size_t, const void *);
    status_code (*kernel_limit)(handle, handle, uint32_t, size_t, void *, size_t *);
    handle (*buffer)(handle, uint64_t, size_t, void *, status_code *);
    status_code (*write)(handle, handle, uint32_t, size_t, size_t, const void *, uint32_t, const handle *, handle *);
    status_code (*read)(handle, handle, uint32_t, size_t, size_t, void *, uint32_t, const handle *, handle *);
    status_code (*copy)(handle, handle, handle, size_t, size_t, size_t, uint32_t, const handle *, handle *);
    status_code (*launch)(handle, handle, uint32_t, const size_t *, const size_t *, const size_t *, uint32_t,
                          const handle *, handle *);
    status_code (*finish)(handle);
    status_code (*release_buffer)(handle);
    status_code (*release_kernel)(handle);
    status_code (*release_program)(handle);
    status_code (*release_queue)(handle);
    status_code (*release_context)(handle);
} functions;

typedef struct edgec_opencl_session {
    functions cl;
    const edgec_gpu_network *network;
    handle device;
    handle context;
    handle queue;
    handle program;
    handle *buffers; /* inputs, outputs, weights, arena */
    handle *kernels; /* one a launch, with its arguments */
    char identity[3 * TEXT_BYTES];
} session;

/* Loads the library and chooses and opens a device. */
int edgec_opencl_open_device(session *own);

/* Compiles the program, or takes it from the cache. */
int edgec_opencl_compile(session *own);

/* Keeps the message of an error code and returns EDGEC_DEVICE_FAILED. */
int edgec_opencl_failed(const char *what, status_code code);

#endif
