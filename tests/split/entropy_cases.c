/* Reads cases from standard input, codes and decodes each, and writes the payloads; or times the coder.
 *
 * A case, in uint32: tables, elements, number of cumulative entries, whether elements are grouped; then low (int8), first
 * (uint32), cumulative (uint16), if grouped first_place and places (uint32), and the latent (int8). The answer: length as uint32, then the payload. Status 2 where a latent differs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edgec_entropy.h"

static void *take(size_t bytes) {
    void *place = malloc(bytes ? bytes : 1);
    if (place == NULL || fread(place, 1, bytes, stdin) != bytes) exit(3);
    return place;
}

int main(void) {
    uint32_t head[4];
    while (fread(head, sizeof head, 1, stdin) == 1) {
        size_t symbols = head[1], length = 0;
        edgec_entropy_tables tables = {head[0], take(head[0]), take(4 * (head[0] + 1)), take(2 * head[2]), NULL, NULL};
        if (head[3]) tables.first_place = take(4 * (head[0] + 1));
        if (head[3]) tables.places = take(4 * symbols);
        int8_t *latent = take(symbols), *restored = malloc(symbols + 1);
        size_t bound = edgec_entropy_bound(symbols);
        uint8_t *payload = malloc(bound);
        if (edgec_entropy_encode(&tables, latent, symbols, payload, bound, &length) != EDGEC_ENTROPY_OK) return 1;
        if (edgec_entropy_decode(&tables, payload, length, restored, symbols) != EDGEC_ENTROPY_OK) return 1;
        if (memcmp(latent, restored, symbols) != 0) return 2;
        uint32_t written = (uint32_t)length;
        fwrite(&written, sizeof written, 1, stdout);
        fwrite(payload, 1, length, stdout);
        free((void *)tables.low);
        free((void *)tables.first);
        free((void *)tables.cumulative);
        free((void *)tables.first_place);
        free((void *)tables.places);
        free(latent);
        free(restored);
        free(payload);
    }
    return 0;
}
