/* The OpenCL library, its devices, and programs compiled for one of them.
 *
 * EDGEC_OPENCL_LIBRARY names another library, EDGEC_OPENCL_DEVICE another device: they count from 0 over all
 * platforms. Without it, the first graphics processor is taken, or else the first device of any kind.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "edgec_gpu_opencl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_DEVICES 64
#define MOST_PLATFORMS 16

static const char *const LIBRARIES[] = {
    "libOpenCL.so.1",
    "libOpenCL.so",
    "/vendor/lib64/libOpenCL.so",
    "/system/vendor/lib64/libOpenCL.so",
    "/vendor/lib64/egl/libGLES_mali.so",
    "libOpenCL-pixel.so",
    NULL,
};

static int load(functions *cl)
{
    const edgec_gpu_symbol symbols[] = {
        {"clGetPlatformIDs", &cl->platforms, 0},
        {"clGetPlatformInfo", &cl->platform_info, 0},
        {"clGetDeviceIDs", &cl->devices, 0},
        {"clGetDeviceInfo", &cl->device_info, 0},
        {"clCreateContext", &cl->context, 0},
        {"clCreateCommandQueue", &cl->queue, 0},
        {"clCreateProgramWithSource", &cl->program, 0},
        {"clCreateProgramWithBinary", &cl->program_of_binary, 0},
        {"clBuildProgram", &cl->build, 0},
        {"clGetProgramBuildInfo", &cl->build_info, 0},
        {"clGetProgramInfo", &cl->program_info, 0},
        {"clCreateKernel", &cl->kernel, 0},
        {"clSetKernelArg", &cl->argument, 0},
        {"clGetKernelWorkGroupInfo", &cl->kernel_limit, 0},
        {"clCreateBuffer", &cl->buffer, 0},
        {"clEnqueueWriteBuffer", &cl->write, 0},
        {"clEnqueueReadBuffer", &cl->read, 0},
        {"clEnqueueCopyBuffer", &cl->copy, 0},
        {"clEnqueueNDRangeKernel", &cl->launch, 0},
        {"clFinish", &cl->finish, 0},
        {"clReleaseMemObject", &cl->release_buffer, 0},
        {"clReleaseKernel", &cl->release_kernel, 0},
        {"clReleaseProgram", &cl->release_program, 0},
        {"clReleaseCommandQueue", &cl->release_queue, 0},
        {"clReleaseContext", &cl->release_context, 0},
    };
    const char *const named = getenv("EDGEC_OPENCL_LIBRARY");
    const char *const only[] = {named, NULL};
    void *const library = edgec_gpu_library(named == NULL ? LIBRARIES : only);
    if (library == NULL) {
        return edgec_gpu_fail(EDGEC_NO_DEVICE, "no OpenCL driver: the system cannot load %s",
                              named == NULL ? LIBRARIES[0] : named);
    }
    const char *const missing = edgec_gpu_symbols(library, symbols, sizeof symbols / sizeof symbols[0]);
    if (missing != NULL) {
        return edgec_gpu_fail(EDGEC_NO_DEVICE, "the OpenCL library has no %s; version 1.2 is needed", missing);
    }
    return EDGEC_OK;
}

int edgec_opencl_failed(const char *what, status_code code)
{
    return edgec_gpu_fail(EDGEC_DEVICE_FAILED, "OpenCL: %s failed with error %d", what, (int)code);
}

static int choose_device(session *own)
{
    handle platforms[MOST_PLATFORMS], devices[MOST_DEVICES];
    uint32_t platform_count = 0, count = 0;
    const char *const wanted = getenv("EDGEC_OPENCL_DEVICE");
    own->cl.platforms(MOST_PLATFORMS, platforms, &platform_count);
    for (uint32_t i = 0; i < platform_count && i < MOST_PLATFORMS; ++i) {
        uint32_t found = 0;
        const uint32_t room = MOST_DEVICES - count;
        const status_code code =
            room == 0 ? CL_SUCCESS : own->cl.devices(platforms[i], CL_DEVICE_TYPE_ALL, room, devices + count, &found);
        if (code == CL_SUCCESS) {
            count += found < room ? found : room;
        }
    }
    if (count == 0) {
        return edgec_gpu_fail(EDGEC_NO_DEVICE, "the OpenCL driver has %u platforms and no device",
                              (unsigned)platform_count);
    }
    own->device = devices[0];
    for (uint32_t i = count; i-- > 0;) {
        uint64_t type = 0;
        own->cl.device_info(devices[i], CL_DEVICE_TYPE, sizeof type, &type, NULL);
        if ((type & CL_DEVICE_TYPE_GPU) != 0) {
            own->device = devices[i];
        }
    }
    if (wanted != NULL) {
        const long number = strtol(wanted, NULL, 10);
        if (number < 0 || number >= (long)count) {
            return edgec_gpu_fail(EDGEC_NO_DEVICE, "EDGEC_OPENCL_DEVICE is %s; there are %u devices", wanted,
                                  (unsigned)count);
        }
        own->device = devices[number];
    }
    return EDGEC_OK;
}

static int open_chosen(session *own)
{
    char name[TEXT_BYTES] = "", version[TEXT_BYTES] = "";
    status_code code = CL_SUCCESS;
    own->cl.device_info(own->device, CL_DEVICE_NAME, sizeof name - 1, name, NULL);
    own->cl.device_info(own->device, CL_DRIVER_VERSION, sizeof version - 1, version, NULL);
    snprintf(own->identity, sizeof own->identity, "%s|%s", name, version);
    own->context = own->cl.context(NULL, 1, &own->device, NULL, NULL, &code);
    if (code == CL_SUCCESS) {
        own->queue = own->cl.queue(own->context, own->device, 0, &code);
    }
    return code == CL_SUCCESS ? EDGEC_OK : edgec_opencl_failed("opening the device", code);
}

static handle program_of_cache(session *own, const char *name, const char *key)
{
    size_t bytes = 0;
    status_code loaded = CL_SUCCESS, code = CL_SUCCESS;
    unsigned char *const binary = edgec_gpu_cache_read(name, key, &bytes);
    if (binary == NULL) {
        return NULL;
    }
    const unsigned char *const binaries[] = {binary};
    const handle program = own->cl.program_of_binary(own->context, 1, &own->device, &bytes,
                                                     (const unsigned char **)binaries, &loaded, &code);
    free(binary);
    if (code == CL_SUCCESS && loaded == CL_SUCCESS &&
        own->cl.build(program, 1, &own->device, "", NULL, NULL) == CL_SUCCESS) {
        return program;
    }
    if (program != NULL) {
        own->cl.release_program(program);
    }
    return NULL; /* another driver's: it is compiled and kept anew */
}

static void keep_program(session *own, handle program, const char *name, const char *key)
{
    size_t bytes = 0;
    status_code code = own->cl.program_info(program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL);
    unsigned char *binary = code == CL_SUCCESS && bytes != 0 ? malloc(bytes) : NULL;
    if (binary == NULL) {
        return;
    }
    code = own->cl.program_info(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL);
    if (code == CL_SUCCESS) {
        edgec_gpu_cache_write(name, key, binary, bytes);
    }
    free(binary);
}

int edgec_opencl_compile(session *own)
{
    const edgec_gpu_network *const network = own->network;
    char key[sizeof own->identity + TEXT_BYTES], name[TEXT_BYTES], log[1024] = "";
    status_code code = CL_SUCCESS;
    snprintf(key, sizeof key, "OpenCL|%s|%s", network->digest, own->identity);
    snprintf(name, sizeof name, "%.32s-%016llx.opencl", network->digest,
             (unsigned long long)edgec_gpu_hash(key, strlen(key)));
    own->program = program_of_cache(own, name, key);
    if (own->program != NULL) {
        return EDGEC_OK;
    }
    const char *source = network->source;
    own->program = own->cl.program(own->context, 1, &source, NULL, &code);
    if (code != CL_SUCCESS) {
        return edgec_opencl_failed("reading the kernels", code);
    }
    code = own->cl.build(own->program, 1, &own->device, "", NULL, NULL);
    if (code != CL_SUCCESS) {
        own->cl.build_info(own->program, own->device, CL_PROGRAM_BUILD_LOG, sizeof log - 1, log, NULL);
        return edgec_gpu_fail(EDGEC_DEVICE_FAILED, "OpenCL: %s does not compile the kernels, error %d: %s",
                              own->identity, (int)code, log);
    }
    keep_program(own, own->program, name, key);
    return EDGEC_OK;
}

int edgec_opencl_open_device(session *own)
{
    int status = load(&own->cl);
    status = status == EDGEC_OK ? choose_device(own) : status;
    return status == EDGEC_OK ? open_chosen(own) : status;
}
