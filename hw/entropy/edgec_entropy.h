/* Entropy coding of the latent tensor of a split network, in integers only: the same bytes on every machine.
 *
 * Asymmetric numeral systems (Duda, arXiv 1311.2540) with a 64-bit state, 32-bit words and 24-bit probabilities, the
 * layout of the Rust and Python library constriction. A frequency of f in 65536 stands for the probability f / 65536.
 */
#ifndef EDGEC_ENTROPY_H
#define EDGEC_ENTROPY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    EDGEC_ENTROPY_OK = 0,
    EDGEC_ENTROPY_OUT_OF_RANGE = 1, /* a symbol that its channel's table does not hold */
    EDGEC_ENTROPY_NO_SPACE = 2,     /* the output buffer is smaller than edgec_entropy_bound */
    EDGEC_ENTROPY_CORRUPT = 3       /* the payload was not made by the encoder with these tables and this shape */
};

/* The frequencies of the symbols of each channel. Every channel has 2 to 256 symbols. */
typedef struct {
    uint32_t channels;
    const int8_t *low;           /* smallest symbol of each channel */
    const uint32_t *first;       /* channels + 1 entries: where the symbols of each channel begin in `cumulative` */
    const uint16_t *cumulative;  /* sum of the frequencies of a channel's symbols before each; strictly increasing from 0 */
} edgec_entropy_tables;

/* Bytes that hold any payload of so many symbols. */
size_t edgec_entropy_bound(size_t symbols);

/* Codes a latent of shape [channels, per_channel]; `*length` becomes the number of bytes written. */
int edgec_entropy_encode(const edgec_entropy_tables *tables, const int8_t *latent, size_t per_channel,
                         uint8_t *payload, size_t capacity, size_t *length);

/* Restores a latent of shape [channels, per_channel]. Reads at most `length` bytes whatever they are. */
int edgec_entropy_decode(const edgec_entropy_tables *tables, const uint8_t *payload, size_t length, int8_t *latent,
                         size_t per_channel);

#ifdef __cplusplus
}
#endif

#endif
