/* Replays the launches of a network through OpenCL 1.2. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "edgec_gpu_opencl.h"

#include <stdlib.h>

static int make_buffers(session *own)
{
    for (uint32_t i = 0; i < edgec_gpu_buffer_count(own->network); ++i) {
        const size_t bytes = edgec_gpu_buffer_bytes(own->network, i);
        status_code code = CL_SUCCESS;
        own->buffers[i] = own->cl.buffer(own->context, CL_MEM_READ_WRITE, bytes == 0 ? 1 : bytes, NULL, &code);
        if (code != CL_SUCCESS) {
            return edgec_gpu_fail(EDGEC_DEVICE_FAILED, "OpenCL: no buffer of %zu bytes, error %d", bytes, (int)code);
        }
    }
    const handle weights = own->buffers[edgec_gpu_buffer_number(own->network, EDGEC_GPU_WEIGHTS, 0)];
    const size_t bytes = own->network->weight_bytes;
    const status_code code =
        bytes == 0 ? CL_SUCCESS
                   : own->cl.write(own->queue, weights, CL_TRUE, 0, bytes, own->network->weights, 0, NULL, NULL);
    return code == CL_SUCCESS ? EDGEC_OK : edgec_opencl_failed("copying the weights", code);
}

static handle buffer_of(const session *own, const edgec_gpu_argument *argument)
{
    return own->buffers[edgec_gpu_buffer_number(own->network, argument->space, argument->index)];
}

/* A tensor is two arguments: a buffer, and the offset in it, as parts of buffers may not begin anywhere. */
static status_code set_argument(const session *own, handle kernel, uint32_t number, const edgec_gpu_argument *argument)
{
    const handle buffer = buffer_of(own, argument);
    const status_code code = own->cl.argument(kernel, 2 * number, sizeof buffer, &buffer);
    return code == CL_SUCCESS ? own->cl.argument(kernel, 2 * number + 1, sizeof argument->offset, &argument->offset)
                              : code;
}

static int prepare_launch(session *own, uint32_t number)
{
    const edgec_gpu_launch *const launch = &own->network->launches[number];
    const char *const name = own->network->kernels[launch->kernel];
    const size_t threads = (size_t)launch->block[0] * launch->block[1] * launch->block[2];
    size_t limit = threads;
    status_code code = CL_SUCCESS;
    own->kernels[number] = own->cl.kernel(own->program, name, &code);
    for (uint32_t i = 0; code == CL_SUCCESS && i < launch->argument_count; ++i) {
        code = set_argument(own, own->kernels[number], i, &own->network->arguments[launch->first_argument + i]);
    }
    if (code != CL_SUCCESS) {
        return edgec_gpu_fail(EDGEC_DEVICE_FAILED, "OpenCL: the kernel %s is refused, error %d", name, (int)code);
    }
    own->cl.kernel_limit(own->kernels[number], own->device, CL_KERNEL_WORK_GROUP_SIZE, sizeof limit, &limit, NULL);
    if (limit < threads) {
        return edgec_gpu_fail(EDGEC_DEVICE_FAILED, "OpenCL: %s runs %zu threads of the kernel %s in a group, not %zu",
                              own->identity, limit, name, threads);
    }
    return EDGEC_OK;
}

static void release(void *opened)
{
    session *const own = opened;
    const functions *const cl = &own->cl;
    for (uint32_t i = 0; own->kernels != NULL && i < own->network->launch_count; ++i) {
        if (own->kernels[i] != NULL) {
            cl->release_kernel(own->kernels[i]);
        }
    }
    for (uint32_t i = 0; own->buffers != NULL && i < edgec_gpu_buffer_count(own->network); ++i) {
        if (own->buffers[i] != NULL) {
            cl->release_buffer(own->buffers[i]);
        }
    }
    if (own->program != NULL) {
        cl->release_program(own->program);
    }
    if (own->queue != NULL) {
        cl->release_queue(own->queue);
    }
    if (own->context != NULL) {
        cl->release_context(own->context);
    }
    free(own->buffers);
    free(own->kernels);
}

static int prepare(void *fresh, const edgec_gpu_network *network)
{
    session *const own = fresh;
    own->network = network;
    own->buffers = calloc(edgec_gpu_buffer_count(own->network), sizeof(handle));
    own->kernels = calloc(network->launch_count + 1u, sizeof(handle));
    if (own->buffers == NULL || own->kernels == NULL) {
        return edgec_gpu_fail(EDGEC_DEVICE_FAILED, "out of memory");
    }
    int status = edgec_opencl_open_device(own);
    status = status == EDGEC_OK ? edgec_opencl_compile(own) : status;
    status = status == EDGEC_OK ? make_buffers(own) : status;
    for (uint32_t i = 0; status == EDGEC_OK && i < network->launch_count; ++i) {
        status = prepare_launch(own, i);
    }
    return status;
}

static int begin(void *opened, const edgec_gpu_call *call)
{
    const session *const own = opened;
    const edgec_model *const model = own->network->model;
    for (int i = 0; i < model->input_count; ++i) {
        const size_t bytes = model->inputs[i].bytes;
        const handle buffer = own->buffers[i];
        const status_code code =
            bytes == 0 ? CL_SUCCESS : own->cl.write(own->queue, buffer, 0, 0, bytes, call->inputs[i], 0, NULL, NULL);
        if (code != CL_SUCCESS) {
            return edgec_opencl_failed("copying an input", code);
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
        const handle buffer = own->buffers[edgec_gpu_buffer_number(own->network, EDGEC_GPU_OUTPUT, (uint32_t)i)];
        const status_code code =
            bytes == 0 ? CL_SUCCESS : own->cl.read(own->queue, buffer, 0, 0, bytes, call->outputs[i], 0, NULL, NULL);
        if (code != CL_SUCCESS) {
            return edgec_opencl_failed("copying an output", code);
        }
    }
    return EDGEC_OK;
}

static int launch(const session *own, uint32_t number)
{
    const edgec_gpu_launch *const step = &own->network->launches[number];
    size_t threads[3], block[3];
    for (int axis = 0; axis < 3; ++axis) {
        block[axis] = step->block[axis];
        threads[axis] = block[axis] * step->grid[axis];
    }
    const status_code code =
        own->cl.launch(own->queue, own->kernels[number], 3, NULL, threads, block, 0, NULL, NULL);
    if (code != CL_SUCCESS) {
        return edgec_gpu_fail(EDGEC_DEVICE_FAILED, "OpenCL: launching the kernel %s failed with error %d",
                              own->network->kernels[step->kernel], (int)code);
    }
    return EDGEC_OK;
}

static int copy_on_device(const session *own)
{
    for (uint32_t i = 0; i < own->network->copy_count; ++i) {
        const edgec_gpu_copy *const copy = &own->network->copies[i];
        const status_code code =
            own->cl.copy(own->queue, buffer_of(own, &copy->source), buffer_of(own, &copy->destination),
                         copy->source.offset, copy->destination.offset, copy->bytes, 0, NULL, NULL);
        if (code != CL_SUCCESS) {
            return edgec_opencl_failed("copying on the device", code);
        }
    }
    return EDGEC_OK;
}

static int replay(void *opened, uint32_t number, const edgec_gpu_call *call)
{
    const session *const own = opened;
    const edgec_gpu_segment segment = edgec_gpu_segment_of(own->network, number);
    int status = EDGEC_OK;
    if (call->hook != NULL) {
        own->cl.finish(own->queue);
    }
    for (uint32_t i = segment.first; status == EDGEC_OK && i < segment.last; ++i) {
        if (call->hook != NULL) {
            call->hook(call->context, (int)own->network->launches[i].step, 0);
        }
        status = launch(own, i);
        if (call->hook != NULL) {
            own->cl.finish(own->queue);
            call->hook(call->context, (int)own->network->launches[i].step, 1);
        }
    }
    return status == EDGEC_OK && segment.is_last ? copy_on_device(own) : status;
}

static int read_range(void *opened, const edgec_gpu_range *range, void *destination)
{
    const session *const own = opened;
    const status_code code = own->cl.read(own->queue, buffer_of(own, &range->place), 0, range->place.offset,
                                          range->bytes, destination, 0, NULL, NULL);
    return code == CL_SUCCESS ? EDGEC_OK : edgec_opencl_failed("copying to the processor", code);
}

static int write_range(void *opened, const edgec_gpu_range *range, const void *source)
{
    const session *const own = opened;
    const status_code code = own->cl.write(own->queue, buffer_of(own, &range->place), 0, range->place.offset,
                                           range->bytes, source, 0, NULL, NULL);
    return code == CL_SUCCESS ? EDGEC_OK : edgec_opencl_failed("copying from the processor", code);
}

static int wait_for_all(void *opened)
{
    const session *const own = opened;
    const status_code code = own->cl.finish(own->queue);
    return code == CL_SUCCESS ? EDGEC_OK : edgec_opencl_failed("running the kernels", code);
}

static void leave(void *opened)
{
    const session *const own = opened;
    own->cl.finish(own->queue);
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

int edgec_opencl_run(const edgec_gpu_network *network, edgec_gpu_state *state, const edgec_gpu_call *call)
{
    return edgec_gpu_run(&driver, network, state, call);
}

void edgec_opencl_close(edgec_gpu_state *state)
{
    edgec_gpu_close(&driver, state);
}
