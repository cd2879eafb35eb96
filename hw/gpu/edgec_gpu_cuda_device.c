/* NVIDIA's driver, its devices, and the machine code of programs.
 *
 * EDGEC_CUDA_LIBRARY names another library than libcuda.so.1, EDGEC_CUDA_DEVICE another device than the first.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "edgec_gpu_cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const LIBRARIES[] = {"libcuda.so.1", "libcuda.so", NULL};

static int load(functions *cuda)
{
    const edgec_gpu_symbol symbols[] = {
        {"cuInit", &cuda->initialise, 0},
        {"cuGetErrorName", &cuda->error_name, 0},
        {"cuDeviceGetCount", &cuda->device_count, 0},
        {"cuDeviceGet", &cuda->device, 0},
        {"cuDeviceGetName", &cuda->device_name, 0},
        {"cuDeviceGetAttribute", &cuda->attribute, 0},
        {"cuDevicePrimaryCtxRetain", &cuda->retain_context, 0},
        {"cuDevicePrimaryCtxRelease", &cuda->release_context, 0},
        {"cuCtxPushCurrent_v2", &cuda->push_context, 0},
        {"cuCtxPopCurrent_v2", &cuda->pop_context, 0},
        {"cuModuleLoadData", &cuda->load_module, 0},
        {"cuModuleUnload", &cuda->unload_module, 0},
        {"cuModuleGetFunction", &cuda->function, 0},
        {"cuMemAlloc_v2", &cuda->allocate, 0},
        {"cuMemFree_v2", &cuda->release, 0},
        {"cuMemcpyHtoDAsync_v2", &cuda->write, 0},
        {"cuMemcpyDtoHAsync_v2", &cuda->read, 0},
        {"cuMemcpyDtoDAsync_v2", &cuda->copy, 0},
        {"cuStreamCreate", &cuda->stream, 0},
        {"cuStreamDestroy_v2", &cuda->release_stream, 0},
        {"cuStreamSynchronize", &cuda->synchronise, 0},
        {"cuLaunchKernel", &cuda->launch, 0},
        {"cuStreamBeginCapture_v2", &cuda->begin_capture, 1},
        {"cuStreamEndCapture", &cuda->end_capture, 1},
        {"cuGraphInstantiateWithFlags", &cuda->instantiate, 1},
        {"cuGraphInstantiate", &cuda->instantiate_v1, 1},
        {"cuGraphLaunch", &cuda->launch_graph, 1},
        {"cuGraphExecDestroy", &cuda->release_executable, 1},
        {"cuGraphDestroy", &cuda->release_graph, 1},
    };
    const char *const named = getenv("EDGEC_CUDA_LIBRARY");
    const char *const only[] = {named, NULL};
    void *const library = edgec_gpu_library(named == NULL ? LIBRARIES : only);
    if (library == NULL) {
        return edgec_gpu_fail(EDGEC_NO_DEVICE, "no CUDA driver: the system cannot load %s",
                              named == NULL ? LIBRARIES[0] : named);
    }
    const char *const missing = edgec_gpu_symbols(library, symbols, sizeof symbols / sizeof symbols[0]);
    if (missing != NULL) {
        return edgec_gpu_fail(EDGEC_NO_DEVICE, "the CUDA driver has no %s; that of CUDA 7 or later is needed", missing);
    }
    return EDGEC_OK;
}

int edgec_cuda_failed(const session *own, const char *what, status_code code)
{
    const char *name = NULL;
    if (own->cuda.error_name == NULL || own->cuda.error_name(code, &name) != CUDA_SUCCESS || name == NULL) {
        name = "an unknown error";
    }
    return edgec_gpu_fail(EDGEC_DEVICE_FAILED, "CUDA: %s failed: %s (%d)", what, name, code);
}

static int describe(session *own)
{
    int major = 0, minor = 0;
    own->cuda.device_name(own->name, (int)sizeof own->name - 1, own->device);
    status_code code = own->cuda.attribute(&major, CU_MULTIPROCESSOR_MAJOR, own->device);
    code = code == CUDA_SUCCESS ? own->cuda.attribute(&minor, CU_MULTIPROCESSOR_MINOR, own->device) : code;
    snprintf(own->architecture, sizeof own->architecture, "sm_%d%d", major, minor);
    return code == CUDA_SUCCESS ? EDGEC_OK : edgec_cuda_failed(own, "asking for the architecture", code);
}

int edgec_cuda_open_device(session *own)
{
    const char *const wanted = getenv("EDGEC_CUDA_DEVICE");
    const int number = wanted == NULL ? 0 : atoi(wanted);
    int count = 0;
    int status = load(&own->cuda);
    if (status != EDGEC_OK) {
        return status;
    }
    status_code code = own->cuda.initialise(0);
    code = code == CUDA_SUCCESS ? own->cuda.device_count(&count) : code;
    if (code != CUDA_SUCCESS || number < 0 || number >= count) {
        return edgec_gpu_fail(EDGEC_NO_DEVICE, "CUDA: there is no device %d; the driver has %d and says %d", number,
                              count, code);
    }
    code = own->cuda.device(&own->device, number);
    if (code != CUDA_SUCCESS) {
        return edgec_cuda_failed(own, "choosing the device", code);
    }
    status = describe(own);
    if (status != EDGEC_OK) {
        return status;
    }
    code = own->cuda.retain_context(&own->context, own->device);
    if (code != CUDA_SUCCESS) {
        own->context = NULL;
        return edgec_cuda_failed(own, "opening the device", code);
    }
    return EDGEC_OK;
}

static int loads(session *own, const void *code)
{
    return code != NULL && own->cuda.load_module(&own->module, code) == CUDA_SUCCESS;
}

/* Code that this machine made comes first: it was compiled by the toolkit that the driver knows. */
static int loads_from_cache(session *own)
{
    const edgec_gpu_network *const network = own->network;
    char compiled[TEXT_BYTES], built[TEXT_BYTES];
    size_t bytes = 0;
    edgec_cuda_cache_names(network, own->architecture, compiled, built);
    unsigned char *code = edgec_gpu_cache_read_plain(built, &bytes);
    int loaded = loads(own, code);
    free(code);
    if (!loaded) {
        code = edgec_gpu_cache_read(compiled, network->digest, &bytes);
        loaded = loads(own, code);
        free(code);
    }
    return loaded;
}

int edgec_cuda_load_program(session *own)
{
    const edgec_gpu_network *const network = own->network;
    char reason[1024] = "";
    if (loads_from_cache(own)) {
        return EDGEC_OK;
    }
    if (network->binary != NULL && strcmp(network->architecture, own->architecture) == 0 &&
        loads(own, network->binary)) {
        return EDGEC_OK;
    }
    unsigned char *const code = edgec_cuda_compile(network, own->architecture, reason, sizeof reason);
    const int loaded = loads(own, code);
    free(code);
    if (loaded) {
        return EDGEC_OK;
    }
    return edgec_gpu_fail(EDGEC_DEVICE_FAILED,
                          "CUDA: no machine code that %s (%s) loads: the artefact has %s; %s; "
                          "the artefact's script compile_on_board.sh makes it with nvcc",
                          own->name, own->architecture,
                          network->binary == NULL ? "none" : network->architecture, reason);
}
