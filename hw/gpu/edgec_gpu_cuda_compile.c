/* Compiles kernels on the device's own machine by NVRTC, which CUDA installs beside its other libraries. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "edgec_gpu_cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_BYTES 700

typedef struct compiler {
    status_code (*create)(handle *, const char *, const char *, int, const char *const *, const char *const *);
    status_code (*compile)(handle, int, const char *const *);
    status_code (*log_bytes)(handle, size_t *);
    status_code (*log)(handle, char *);
    status_code (*code_bytes)(handle, size_t *);
    status_code (*code)(handle, char *);
    status_code (*text_bytes)(handle, size_t *);
    status_code (*text)(handle, char *);
    status_code (*release)(handle *);
} compiler;

static const char *const LIBRARIES[] = {
    "libnvrtc.so",
    "libnvrtc.so.13",
    "libnvrtc.so.12",
    "libnvrtc.so.11.2",
    "libnvrtc.so.10.2",
    "/usr/local/cuda/lib64/libnvrtc.so",
    NULL,
};

static const char *load(compiler *nvrtc)
{
    const edgec_gpu_symbol symbols[] = {
        {"nvrtcCreateProgram", &nvrtc->create, 0},
        {"nvrtcCompileProgram", &nvrtc->compile, 0},
        {"nvrtcGetProgramLogSize", &nvrtc->log_bytes, 0},
        {"nvrtcGetProgramLog", &nvrtc->log, 0},
        {"nvrtcGetCUBINSize", &nvrtc->code_bytes, 1}, /* since CUDA 11.1 */
        {"nvrtcGetCUBIN", &nvrtc->code, 1},
        {"nvrtcGetPTXSize", &nvrtc->text_bytes, 0},
        {"nvrtcGetPTX", &nvrtc->text, 0},
        {"nvrtcDestroyProgram", &nvrtc->release, 0},
    };
    const char *const named = getenv("EDGEC_NVRTC_LIBRARY");
    const char *const only[] = {named, NULL};
    void *const library = edgec_gpu_library(named == NULL ? LIBRARIES : only);
    if (library == NULL) {
        return "the library libnvrtc.so of CUDA is not installed";
    }
    return edgec_gpu_symbols(library, symbols, sizeof symbols / sizeof symbols[0]) == NULL
               ? NULL
               : "the library libnvrtc.so lacks a function";
}

void edgec_cuda_cache_names(const edgec_gpu_network *network, const char *architecture, char *compiled, char *built)
{
    snprintf(compiled, TEXT_BYTES, "%.32s-%s.nvrtc", network->digest, architecture);
    snprintf(built, TEXT_BYTES, "%.32s-%s.cubin", network->digest, architecture);
}

/* What the compiler made: machine code, or PTX, ended by a zero byte, that the driver translates. */
static unsigned char *product(const compiler *nvrtc, handle program, int as_code, size_t *bytes)
{
    status_code (*const size)(handle, size_t *) = as_code ? nvrtc->code_bytes : nvrtc->text_bytes;
    status_code (*const get)(handle, char *) = as_code ? nvrtc->code : nvrtc->text;
    unsigned char *made = NULL;
    if (size(program, bytes) == 0 && *bytes != 0) {
        made = malloc(*bytes);
    }
    if (made != NULL && get(program, (char *)made) != 0) {
        free(made);
        made = NULL;
    }
    return made;
}

static void explain(const compiler *nvrtc, handle program, char *reason, size_t reason_bytes)
{
    size_t bytes = 0;
    char *log = NULL;
    if (nvrtc->log_bytes(program, &bytes) == 0 && bytes != 0) {
        log = calloc(1, bytes + 1);
    }
    if (log != NULL) {
        nvrtc->log(program, log);
    }
    snprintf(reason, reason_bytes, "NVRTC does not compile the kernels: %.*s", LOG_BYTES, log == NULL ? "" : log);
    free(log);
}

unsigned char *edgec_cuda_compile(const edgec_gpu_network *network, const char *architecture, char *reason,
                                  size_t reason_bytes)
{
    compiler nvrtc = {0};
    handle unit = NULL;
    char option[64], compiled[TEXT_BYTES], built[TEXT_BYTES];
    size_t bytes = 0;
    unsigned char *made = NULL;
    const char *const missing = load(&nvrtc);
    if (missing != NULL) {
        snprintf(reason, reason_bytes, "%s", missing);
        return NULL;
    }
    const int as_code = nvrtc.code_bytes != NULL && nvrtc.code != NULL;
    snprintf(option, sizeof option, "--gpu-architecture=%s%s", as_code ? "sm_" : "compute_", architecture + 3);
    const char *const options[] = {option, "-w"};
    if (nvrtc.create(&unit, network->source, "kernels.cu", 0, NULL, NULL) != 0) {
        snprintf(reason, reason_bytes, "NVRTC does not take the kernels");
        return NULL;
    }
    if (nvrtc.compile(unit, 2, options) == 0) {
        made = product(&nvrtc, unit, as_code, &bytes);
        snprintf(reason, reason_bytes, "NVRTC made nothing");
    } else {
        explain(&nvrtc, unit, reason, reason_bytes);
    }
    nvrtc.release(&unit);
    if (made != NULL) {
        edgec_cuda_cache_names(network, architecture, compiled, built);
        edgec_gpu_cache_write(compiled, network->digest, made, bytes);
    }
    return made;
}
