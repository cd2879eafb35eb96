/* A network's session on a device: opened by its first run, kept until it is closed, one run at a time. */
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

int edgec_gpu_run(const edgec_gpu_driver *driver, const edgec_gpu_network *network, edgec_gpu_state *state,
                  const void *const inputs[], void *const outputs[], edgec_step_hook hook, void *context)
{
    pthread_mutex_lock(&state->in_use);
    int status = state->session != NULL ? EDGEC_OK : open_session(driver, network, state);
    if (status == EDGEC_OK) {
        status = driver->run(state->session, inputs, outputs, hook, context);
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
