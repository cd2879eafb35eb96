/* How to call network from C. Build, in this folder's parent:
 *
 *   cc -Iinclude example/main.c lib/libnetwork.a -lm -lpthread -o example/main
 */
#include "network.h"

#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    void *workspace = malloc(network_workspace_bytes() + 1);
    const void *inputs[NETWORK_INPUT_COUNT + 1] = {NULL};
    void *outputs[NETWORK_OUTPUT_COUNT + 1] = {NULL};
    for (int i = 0; i < NETWORK_INPUT_COUNT; ++i) {
        inputs[i] = calloc(1, network_inputs[i].bytes); /* put your data here */
    }
    for (int i = 0; i < NETWORK_OUTPUT_COUNT; ++i) {
        outputs[i] = malloc(network_outputs[i].bytes);
    }

    const int status = network_run(workspace, inputs, outputs);

    printf("%s\n", edgec_status_text(status));
    for (int i = 0; i < NETWORK_OUTPUT_COUNT; ++i) {
        printf("output %s: %zu bytes\n", network_outputs[i].name, network_outputs[i].bytes);
    }
    return status;
}
