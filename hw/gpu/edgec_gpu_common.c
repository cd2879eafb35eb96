/* Messages, the numbering of buffers, libraries that are loaded at run time, and the cache of compiled kernels. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "edgec_gpu_common.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 1024

static char message[2048];
static char chosen_folder[PATH_BYTES];
static int folder_is_chosen;

const char *edgec_gpu_message(void)
{
    return message;
}

int edgec_gpu_fail(int status, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof message, format, values);
    va_end(values);
    return status;
}

void *edgec_gpu_library(const char *const names[])
{
    for (int i = 0; names[i] != NULL; ++i) {
        void *const library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (library != NULL) {
            return library;
        }
    }
    return NULL;
}

const char *edgec_gpu_symbols(void *library, const edgec_gpu_symbol *symbols, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        void *const function = dlsym(library, symbols[i].name);
        if (function == NULL && !symbols[i].optional) {
            return symbols[i].name;
        }
        memcpy(symbols[i].place, &function, sizeof function);
    }
    return NULL;
}

uint32_t edgec_gpu_buffer_number(const edgec_gpu_network *network, uint32_t space, uint32_t index)
{
    const edgec_model *const model = network->model;
    switch (space) {
    case EDGEC_GPU_INPUT:
        return index;
    case EDGEC_GPU_OUTPUT:
        return (uint32_t)model->input_count + index;
    default:
        return (uint32_t)(model->input_count + model->output_count) + space - EDGEC_GPU_WEIGHTS;
    }
}

uint32_t edgec_gpu_buffer_count(const edgec_gpu_network *network)
{
    return edgec_gpu_buffer_number(network, EDGEC_GPU_ARENA, 0) + 1;
}

size_t edgec_gpu_buffer_bytes(const edgec_gpu_network *network, uint32_t number)
{
    const uint32_t inputs = (uint32_t)network->model->input_count, outputs = (uint32_t)network->model->output_count;
    if (number < inputs) {
        return network->model->inputs[number].bytes;
    }
    if (number < inputs + outputs) {
        return network->model->outputs[number - inputs].bytes;
    }
    return number == inputs + outputs ? network->weight_bytes : network->arena_bytes;
}

uint64_t edgec_gpu_hash(const void *content, size_t bytes)
{
    /* FNV-1a: Fowler, Noll, Vo */
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < bytes; ++i) {
        hash = (hash ^ ((const unsigned char *)content)[i]) * 1099511628211u;
    }
    return hash;
}

void edgec_gpu_set_cache(const char *folder)
{
    folder_is_chosen = 1;
    snprintf(chosen_folder, sizeof chosen_folder, "%s", folder == NULL ? "" : folder);
}

/* The folder of the cache; 0 if nothing is to be kept. */
static int cache_folder(char *folder)
{
    const char *const named = folder_is_chosen ? chosen_folder : getenv("EDGEC_GPU_CACHE");
    const char *const caches = getenv("XDG_CACHE_HOME");
    const char *const home = getenv("HOME");
    int length = 0;
    if (named != NULL) {
        length = snprintf(folder, PATH_BYTES, "%s", named);
    } else if (caches != NULL && caches[0] == '/') {
        length = snprintf(folder, PATH_BYTES, "%s/edgec/gpu", caches);
    } else if (home != NULL && home[0] == '/') {
        length = snprintf(folder, PATH_BYTES, "%s/.cache/edgec/gpu", home);
    }
    return length > 0 && length < PATH_BYTES;
}

static int cache_file(char *path, size_t bytes, const char *name)
{
    char folder[PATH_BYTES];
    if (!cache_folder(folder)) {
        return 0;
    }
    const int length = snprintf(path, bytes, "%s/%s", folder, name);
    return length > 0 && (size_t)length < bytes;
}

static void make_folders(const char *path)
{
    char part[2 * PATH_BYTES];
    const size_t length = strlen(path);
    for (size_t i = 1; i < length && i < sizeof part; ++i) {
        if (path[i] == '/') {
            memcpy(part, path, i);
            part[i] = '\0';
            mkdir(part, 0700); /* one that exists is fine; without one the file cannot be opened, which is seen */
        }
    }
}

unsigned char *edgec_gpu_cache_read_plain(const char *name, size_t *bytes)
{
    char path[2 * PATH_BYTES];
    FILE *const file = cache_file(path, sizeof path, name) ? fopen(path, "rb") : NULL;
    if (file == NULL) {
        return NULL;
    }
    unsigned char *content = NULL;
    long length = 0;
    if (fseek(file, 0, SEEK_END) == 0 && (length = ftell(file)) > 0 && fseek(file, 0, SEEK_SET) == 0) {
        content = malloc((size_t)length);
    }
    if (content != NULL && fread(content, 1, (size_t)length, file) != (size_t)length) {
        free(content);
        content = NULL;
    }
    fclose(file);
    *bytes = (size_t)length;
    return content;
}

/* A file holds its key, ended by a zero byte, the hash of what follows, and the content. */
unsigned char *edgec_gpu_cache_read(const char *name, const char *key, size_t *bytes)
{
    size_t length = 0;
    unsigned char *const file = edgec_gpu_cache_read_plain(name, &length);
    const size_t head = strlen(key) + 1;
    uint64_t hash = 0;
    if (file == NULL) {
        return NULL;
    }
    if (length <= head + sizeof hash || memcmp(file, key, head) != 0) {
        free(file);
        return NULL;
    }
    memcpy(&hash, file + head, sizeof hash);
    *bytes = length - head - sizeof hash;
    memmove(file, file + head + sizeof hash, *bytes);
    if (edgec_gpu_hash(file, *bytes) != hash) {
        free(file);
        return NULL;
    }
    return file;
}

void edgec_gpu_cache_write(const char *name, const char *key, const void *content, size_t bytes)
{
    char path[2 * PATH_BYTES];
    char unfinished[2 * PATH_BYTES + 32];
    if (!cache_file(path, sizeof path, name)) {
        return;
    }
    make_folders(path);
    snprintf(unfinished, sizeof unfinished, "%s.%ld", path, (long)getpid());
    FILE *const file = fopen(unfinished, "wb");
    if (file == NULL) {
        return;
    }
    const uint64_t hash = edgec_gpu_hash(content, bytes);
    int whole = fwrite(key, 1, strlen(key) + 1, file) == strlen(key) + 1;
    whole &= fwrite(&hash, 1, sizeof hash, file) == sizeof hash;
    whole &= fwrite(content, 1, bytes, file) == bytes;
    whole &= fclose(file) == 0;
    if (!whole || rename(unfinished, path) != 0) {
        remove(unfinished);
    }
}
