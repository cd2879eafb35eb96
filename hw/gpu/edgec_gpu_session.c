/* A network's session on a device: opened by its first run, kept until it is closed, one run at a time.
 * A run replays the launches, and between them calls what runs on the processor. */
#include "edgec_gpu_common.h"

#include <stdlib.h>

static int open_session(const edgec_gpu_driver *driver, const edgec_gpu_network *network, edgec_gpu_state *state)
{
    void *const session = calloc(1, driver->session_bytes);
    if (session == NULL) {
        return edgec_gpu_fail(EDGEC_DEVICE_FAILED, "out of memory");
    }
    const int status = driver->prepare(session, network);
    if (status != EDGEC_OK) {
        driver->release(session);
        free(session);
        return status;
    }
    state->session = session;
    return EDGEC_OK;
}

edgec_gpu_segment edgec_gpu_segment_of(const edgec_gpu_network *network, uint32_t number)
{
    const int is_last = number == network->host_call_count;
    return (edgec_gpu_segment){
        .first = number == 0 ? 0 : network->host_calls[number - 1].before,
        .last = is_last ? network->launch_count : network->host_calls[number].before,
        .is_last = is_last,
    };
}

static unsigned char *mirror_of(const edgec_gpu_range *range, const edgec_gpu_call *call)
{
    unsigned char *const start = range->place.space == EDGEC_GPU_OUTPUT
                                     ? (unsigned char *)call->outputs[range->place.index]
                                     : edgec_align(call->workspace);
    return start + range->place.offset;
}

static int call_processor(const edgec_gpu_driver *driver, const edgec_gpu_network *network, void *session,
                          const edgec_gpu_host_call *part, const edgec_gpu_call *call)
{
    const edgec_gpu_range *const read = network->ranges + part->first_range;
    const edgec_gpu_range *const written = read + part->reads;
    int status = EDGEC_OK;
    for (uint32_t i = 0; status == EDGEC_OK && i < part->reads; ++i) {
        status = driver->read(session, &read[i], mirror_of(&read[i], call));
    }
    /* even with nothing to read: what the processor writes next may still be on its way to the device */
    status = status == EDGEC_OK ? driver->wait(session) : status;
    status = status == EDGEC_OK ? part->run(call->workspace, call->inputs, call->outputs, call->hook, call->context)
                                : status;
    for (uint32_t i = 0; status == EDGEC_OK && i < part->writes; ++i) {
        status = driver->write(session, &written[i], mirror_of(&written[i], call));
    }
    return status;
}

static int run(const edgec_gpu_driver *driver, const edgec_gpu_network *network, void *session,
               const edgec_gpu_call *call)
{
    int status = driver->begin(session, call);
    for (uint32_t i = 0; status == EDGEC_OK && i <= network->host_call_count; ++i) {
        status = driver->replay(session, i, call);
        if (status == EDGEC_OK && i < network->host_call_count) {
            status = call_processor(driver, network, session, &network->host_calls[i], call);
        }
    }
    status = status == EDGEC_OK ? driver->take(session, call) : status;
    status = status == EDGEC_OK ? driver->wait(session) : status;
    driver->leave(session);
    return status;
}

int edgec_gpu_run(const edgec_gpu_driver *driver, const edgec_gpu_network *network, edgec_gpu_state *state,
                  const edgec_gpu_call *call)
{
    pthread_mutex_lock(&state->in_use);
    int status = state->session != NULL ? EDGEC_OK : open_session(driver, network, state);
    if (status == EDGEC_OK) {
        status = run(driver, network, state->session, call);
    }
    pthread_mutex_unlock(&state->in_use);
    return status;
}

void edgec_gpu_close(const edgec_gpu_driver *driver, edgec_gpu_state *state)
{
    pthread_mutex_lock(&state->in_use);
    if (state->session != NULL) {
        driver->release(state->session);
        free(state->session);
        state->session = NULL;
    }
    pthread_mutex_unlock(&state->in_use);
}
