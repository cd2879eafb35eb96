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
    EDGEC_ENTROPY_OUT_OF_RANGE = 1, /* a symbol that its table does not hold */
    EDGEC_ENTROPY_NO_SPACE = 2,     /* the output buffer is smaller than edgec_entropy_bound */
    EDGEC_ENTROPY_CORRUPT = 3       /* the payload was not made by the encoder with these tables and this shape */
};

/* How often each symbol occurs: one table for each channel, or for each group of elements. A table has 2 to 256 symbols. */
typedef struct {
    uint32_t tables;
    const int8_t *low;           /* smallest symbol of each table */
    const uint32_t *first;       /* tables + 1 entries: where the symbols of each table begin in `cumulative` */
    const uint16_t *cumulative;  /* sum of the frequencies of a table's symbols before each; strictly increasing from 0 */
    const uint32_t *first_place; /* tables + 1 entries: where the elements of each table begin in `places` */
    const uint32_t *places;      /* every element of the latent once; NULL, as `first_place`, for one table a channel */
} edgec_entropy_tables;

/* Bytes that hold any payload of so many symbols. */
size_t edgec_entropy_bound(size_t symbols);

/* Codes a latent of so many elements, row-major; `*length` becomes the number of bytes written. */
int edgec_entropy_encode(const edgec_entropy_tables *tables, const int8_t *latent, size_t elements,
                         uint8_t *payload, size_t capacity, size_t *length);

/* Restores a latent of so many elements. Reads at most `length` bytes whatever they are. */
int edgec_entropy_decode(const edgec_entropy_tables *tables, const uint8_t *payload, size_t length, int8_t *latent,
                         size_t elements);

#ifdef __cplusplus
}
#endif

#endif
