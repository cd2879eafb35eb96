/* Replays the launches of a network through CUDA's driver: as one graph where the driver has graphs. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "edgec_gpu_cuda.h"

#include <stdlib.h>

#define MOST_ARGUMENTS 64

static int make_buffers(session *own)
{
    const edgec_gpu_network *const network = own->network;
    for (uint32_t i = 0; i < edgec_gpu_buffer_count(network); ++i) {
        const size_t bytes = edgec_gpu_buffer_bytes(network, i);
        const status_code code = own->cuda.allocate(&own->buffers[i], bytes == 0 ? 1 : bytes);
        if (code != CUDA_SUCCESS) {
            own->buffers[i] = 0;
            return edgec_cuda_failed(own, "reserving memory", code);
        }
    }
    const device_address weights = own->buffers[edgec_gpu_buffer_number(network, EDGEC_GPU_WEIGHTS, 0)];
    status_code code = CUDA_SUCCESS;
    if (network->weight_bytes != 0) {
        code = own->cuda.write(weights, network->weights, network->weight_bytes, own->stream);
        code = code == CUDA_SUCCESS ? own->cuda.synchronise(own->stream) : code;
    }
    return code == CUDA_SUCCESS ? EDGEC_OK : edgec_cuda_failed(own, "copying the weights", code);
}

static int find_kernels(session *own)
{
    for (uint32_t i = 0; i < own->network->kernel_count; ++i) {
        const char *const name = own->network->kernels[i];
        const status_code code = own->cuda.function(&own->kernels[i], own->module, name);
        if (code != CUDA_SUCCESS) {
            return edgec_cuda_failed(own, name, code);
        }
    }
    return EDGEC_OK;
}

static device_address address_of(const session *own, const edgec_gpu_argument *argument)
{
    return own->buffers[edgec_gpu_buffer_number(own->network, argument->space, argument->index)] + argument->offset;
}

static int launch(const session *own, uint32_t number)
{
    const edgec_gpu_network *const network = own->network;
    const edgec_gpu_launch *const step = &network->launches[number];
    const char *const name = network->kernels[step->kernel];
    device_address addresses[MOST_ARGUMENTS];
    void *arguments[MOST_ARGUMENTS];
    if (step->argument_count > MOST_ARGUMENTS) {
        return edgec_gpu_fail(EDGEC_DEVICE_FAILED, "CUDA: the kernel %s takes %u arguments; %d are supported", name,
                              (unsigned)step->argument_count, MOST_ARGUMENTS);
    }
    for (uint32_t i = 0; i < step->argument_count; ++i) {
        addresses[i] = address_of(own, &network->arguments[step->first_argument + i]);
        arguments[i] = &addresses[i];
    }
    const status_code code =
        own->cuda.launch(own->kernels[step->kernel], step->grid[0], step->grid[1], step->grid[2], step->block[0],
                         step->block[1], step->block[2], 0, own->stream, arguments, NULL);
    return code == CUDA_SUCCESS ? EDGEC_OK : edgec_cuda_failed(own, name, code);
}

static int copy_on_device(const session *own)
{
    for (uint32_t i = 0; i < own->network->copy_count; ++i) {
        const edgec_gpu_copy *const copy = &own->network->copies[i];
        const status_code code = own->cuda.copy(address_of(own, &copy->destination), address_of(own, &copy->source),
                                                copy->bytes, own->stream);
        if (code != CUDA_SUCCESS) {
            return edgec_cuda_failed(own, "copying on the device", code);
        }
    }
    return EDGEC_OK;
}

static int launch_all(const session *own, edgec_gpu_segment segment)
{
    int status = EDGEC_OK;
    for (uint32_t i = segment.first; status == EDGEC_OK && i < segment.last; ++i) {
        status = launch(own, i);
    }
    return status == EDGEC_OK && segment.is_last ? copy_on_device(own) : status;
}

static int has_graphs(const functions *cuda)
{
    return cuda->begin_capture != NULL && cuda->end_capture != NULL && cuda->launch_graph != NULL &&
           cuda->release_executable != NULL && cuda->release_graph != NULL &&
           (cuda->instantiate != NULL || cuda->instantiate_v1 != NULL);
}

static status_code make_executable(const functions *cuda, handle *executable, handle graph)
{
    return cuda->instantiate != NULL ? cuda->instantiate(executable, graph, 0)
                                     : cuda->instantiate_v1(executable, graph, NULL, NULL, 0);
}

/* Records a segment as a graph. A driver that cannot is no failure: then its kernels are launched one by one. */
static int record_graph(session *own, uint32_t number)
{
    const functions *const cuda = &own->cuda;
    const edgec_gpu_segment segment = edgec_gpu_segment_of(own->network, number);
    handle graph = NULL;
    if (segment.first == segment.last || !has_graphs(cuda) ||
        cuda->begin_capture(own->stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL) != CUDA_SUCCESS) {
        return EDGEC_OK;
    }
    const int status = launch_all(own, segment);
    const status_code code = cuda->end_capture(own->stream, &graph);
    if (status == EDGEC_OK && code == CUDA_SUCCESS && graph != NULL &&
        make_executable(cuda, &own->graphs[number], graph) != CUDA_SUCCESS) {
        own->graphs[number] = NULL;
    }
    if (graph != NULL) {
        cuda->release_graph(graph);
    }
    return status;
}

static int record_graphs(session *own)
{
    int status = EDGEC_OK;
    for (uint32_t i = 0; status == EDGEC_OK && i <= own->network->host_call_count; ++i) {
        status = record_graph(own, i);
    }
    return status;
}

static void release(void *opened)
{
    session *const own = opened;
    const functions *const cuda = &own->cuda;
    if (own->context != NULL) {
        cuda->push_context(own->context);
        for (uint32_t i = 0; own->graphs != NULL && i <= own->network->host_call_count; ++i) {
            if (own->graphs[i] != NULL) {
                cuda->release_executable(own->graphs[i]);
            }
        }
        for (uint32_t i = 0; own->buffers != NULL && i < edgec_gpu_buffer_count(own->network); ++i) {
            if (own->buffers[i] != 0) {
                cuda->release(own->buffers[i]);
            }
        }
        if (own->module != NULL) {
            cuda->unload_module(own->module);
        }
        if (own->stream != NULL) {
            cuda->release_stream(own->stream);
        }
        cuda->pop_context(&(handle){NULL});
        cuda->release_context(own->device);
    }
    free(own->kernels);
    free(own->buffers);
    free(own->graphs);
}

static int prepare_in_context(session *own)
{
    const status_code code = own->cuda.stream(&own->stream, CU_STREAM_NON_BLOCKING);
    int status = code == CUDA_SUCCESS ? EDGEC_OK : edgec_cuda_failed(own, "making a stream", code);
    status = status == EDGEC_OK ? edgec_cuda_load_program(own) : status;
    status = status == EDGEC_OK ? find_kernels(own) : status;
    status = status == EDGEC_OK ? make_buffers(own) : status;
    return status == EDGEC_OK ? record_graphs(own) : status;
}

static int prepare(void *fresh, const edgec_gpu_network *network)
{
    session *const own = fresh;
    own->network = network;
    own->kernels = calloc(network->kernel_count + 1u, sizeof(handle));
    own->buffers = calloc(edgec_gpu_buffer_count(network), sizeof(device_address));
    own->graphs = calloc(network->host_call_count + 1u, sizeof(handle));
    if (own->kernels == NULL || own->buffers == NULL || own->graphs == NULL) {
        return edgec_gpu_fail(EDGEC_DEVICE_FAILED, "out of memory");
    }
    int status = edgec_cuda_open_device(own);
    if (status == EDGEC_OK) {
        own->cuda.push_context(own->context);
        status = prepare_in_context(own);
        own->cuda.pop_context(&(handle){NULL});
    }
    return status;
}

static int begin(void *opened, const edgec_gpu_call *call)
{
    const session *const own = opened;
    const edgec_model *const model = own->network->model;
    own->cuda.push_context(own->context);
    for (int i = 0; i < model->input_count; ++i) {
        const size_t bytes = model->inputs[i].bytes;
        const status_code code =
            bytes == 0 ? CUDA_SUCCESS : own->cuda.write(own->buffers[i], call->inputs[i], bytes, own->stream);
        if (code != CUDA_SUCCESS) {
            return edgec_cuda_failed(own, "copying an input", code);
        }
    }
    return EDGEC_OK;
}

static int take(void *opened, const edgec_gpu_call *call)
{
    const session *const own = opened;
    const edgec_model *const model = own->network->model;
    for (int i = 0; i < model->output_count; ++i) {
        const size_t bytes = model->outputs[i].bytes;
        const device_address buffer =
            own->buffers[edgec_gpu_buffer_number(own->network, EDGEC_GPU_OUTPUT, (uint32_t)i)];
        const status_code code =
            bytes == 0 ? CUDA_SUCCESS : own->cuda.read(call->outputs[i], buffer, bytes, own->stream);
        if (code != CUDA_SUCCESS) {
            return edgec_cuda_failed(own, "copying an output", code);
        }
    }
    return EDGEC_OK;
}

static int replay_traced(const session *own, edgec_gpu_segment segment, const edgec_gpu_call *call)
{
    int status = EDGEC_OK;
    own->cuda.synchronise(own->stream);
    for (uint32_t i = segment.first; status == EDGEC_OK && i < segment.last; ++i) {
        call->hook(call->context, (int)own->network->launches[i].step, 0);
        status = launch(own, i);
        own->cuda.synchronise(own->stream);
        call->hook(call->context, (int)own->network->launches[i].step, 1);
    }
    return status == EDGEC_OK && segment.is_last ? copy_on_device(own) : status;
}

static int replay(void *opened, uint32_t number, const edgec_gpu_call *call)
{
    const session *const own = opened;
    const edgec_gpu_segment segment = edgec_gpu_segment_of(own->network, number);
    if (call->hook != NULL) {
        return replay_traced(own, segment, call);
    }
    if (own->graphs[number] == NULL) {
        return launch_all(own, segment);
    }
    const status_code code = own->cuda.launch_graph(own->graphs[number], own->stream);
    return code == CUDA_SUCCESS ? EDGEC_OK : edgec_cuda_failed(own, "launching the graph", code);
}

static int read_range(void *opened, const edgec_gpu_range *range, void *destination)
{
    const session *const own = opened;
    const status_code code = own->cuda.read(destination, address_of(own, &range->place), range->bytes, own->stream);
    return code == CUDA_SUCCESS ? EDGEC_OK : edgec_cuda_failed(own, "copying to the processor", code);
}

static int write_range(void *opened, const edgec_gpu_range *range, const void *source)
{
    const session *const own = opened;
    const status_code code = own->cuda.write(address_of(own, &range->place), source, range->bytes, own->stream);
    return code == CUDA_SUCCESS ? EDGEC_OK : edgec_cuda_failed(own, "copying from the processor", code);
}

static int wait_for_all(void *opened)
{
    const session *const own = opened;
    const status_code code = own->cuda.synchronise(own->stream);
    return code == CUDA_SUCCESS ? EDGEC_OK : edgec_cuda_failed(own, "running the kernels", code);
}

static void leave(void *opened)
{
    const session *const own = opened;
    own->cuda.synchronise(own->stream);
    own->cuda.pop_context(&(handle){NULL});
}

static const edgec_gpu_driver driver = {
    .session_bytes = sizeof(session),
    .prepare = prepare,
    .begin = begin,
    .replay = replay,
    .read = read_range,
    .write = write_range,
    .take = take,
    .wait = wait_for_all,
    .leave = leave,
    .release = release,
};

int edgec_cuda_run(const edgec_gpu_network *network, edgec_gpu_state *state, const edgec_gpu_call *call)
{
    return edgec_gpu_run(&driver, network, state, call);
}

void edgec_cuda_close(edgec_gpu_state *state)
{
    edgec_gpu_close(&driver, state);
}
