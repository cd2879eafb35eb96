/* A stand-in for NVIDIA's driver: it keeps device memory in this process, computes nothing, and writes what it is asked
 * for to the file that STUB_CUDA_LOG names. */
#define _POSIX_C_SOURCE 200809L
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int capturing;

static void say(const char *format, ...)
{
    FILE *const file = fopen(getenv("STUB_CUDA_LOG"), "a");
    va_list values;
    va_start(values, format);
    vfprintf(file, format, values);
    va_end(values);
    fputc('\n', file);
    fclose(file);
}

static int setting(const char *name)
{
    const char *const text = getenv(name);
    return text == NULL ? 0 : atoi(text);
}

int cuInit(unsigned flags) { (void)flags; return setting("STUB_CUDA_INIT"); }
int cuGetErrorName(int code, const char **name) { (void)code; *name = "CUDA_ERROR_STUB"; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int number) { *device = number; return 0; }
int cuDeviceGetName(char *name, int bytes, int device) { (void)device; snprintf(name, bytes, "Stub"); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    (void)device;
    *value = attribute == 75 ? 5 : 3;
    return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { (void)device; *context = &capturing; return 0; }
int cuDevicePrimaryCtxRelease(int device) { (void)device; say("released"); return 0; }
int cuCtxPushCurrent_v2(void *context) { (void)context; return 0; }
int cuCtxPopCurrent_v2(void **context) { *context = NULL; return 0; }
int cuModuleLoadData(void **module, const void *image)
{
    if (setting("STUB_CUDA_REFUSES_CODE")) {
        return 200;
    }
    say("code %.3s", (const char *)image + 1);
    *module = &capturing;
    return 0;
}
int cuModuleUnload(void *module) { (void)module; return 0; }
int cuModuleGetFunction(void **function, void *module, const char *name)
{
    (void)module;
    *function = strdup(name);
    return 0;
}
int cuMemAlloc_v2(uint64_t *address, size_t bytes) { *address = (uint64_t)(uintptr_t)calloc(1, bytes); return 0; }
int cuMemFree_v2(uint64_t address) { free((void *)(uintptr_t)address); return 0; }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream)
{
    (void)stream;
    say("write %zu", bytes);
    memcpy((void *)(uintptr_t)to, from, bytes);
    return 0;
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream)
{
    (void)stream;
    say("read %zu", bytes);
    memcpy(to, (void *)(uintptr_t)from, bytes);
    return 0;
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *stream)
{
    (void)stream;
    say("%scopy %zu", capturing ? "capture " : "", bytes);
    memcpy((void *)(uintptr_t)to, (void *)(uintptr_t)from, bytes);
    return 0;
}
int cuStreamCreate(void **stream, unsigned flags) { (void)flags; *stream = &capturing; return 0; }
int cuStreamDestroy_v2(void *stream) { (void)stream; return 0; }
int cuStreamSynchronize(void *stream) { (void)stream; return 0; }
int cuLaunchKernel(const char *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **arguments, void **extra)
{
    (void)shared, (void)stream, (void)extra;
    uint64_t first = 0;
    memcpy(&first, arguments[0], sizeof first);
    say("%slaunch %s grid %u,%u,%u block %u,%u,%u first %g", capturing ? "capture " : "", kernel, gx, gy, gz, bx, by,
        bz, *(float *)(uintptr_t)first);
    return 0;
}
int cuStreamBeginCapture_v2(void *stream, int mode) { (void)stream, (void)mode; capturing = 1; return 0; }
int cuStreamEndCapture(void *stream, void **graph) { (void)stream; capturing = 0; *graph = &capturing; return 0; }
int cuGraphInstantiate(void **executable, void *graph, void *node, char *log, size_t bytes)
{
    (void)graph, (void)node, (void)log, (void)bytes;
    if (setting("STUB_CUDA_REFUSES_GRAPHS")) {
        return 801;
    }
    *executable = &capturing;
    return 0;
}
int cuGraphLaunch(void *executable, void *stream) { (void)executable, (void)stream; say("graph"); return 0; }
int cuGraphExecDestroy(void *executable) { (void)executable; return 0; }
int cuGraphDestroy(void *graph) { (void)graph; return 0; }
