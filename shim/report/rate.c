#include "shim/report/rate.h"

static void widen(struct rate *rate)
{
    for (size_t i = 0; i < RATE_BINS / 2; i++)
        rate->bins[i] = rate->bins[2 * i] + rate->bins[2 * i + 1];
    for (size_t i = RATE_BINS / 2; i < RATE_BINS; i++)
        rate->bins[i] = 0;
    rate->count = (rate->count + 1) / 2;
    rate->width *= 2;
}

void rate_add(struct rate *rate, int64_t at, uint64_t amount)
{
    size_t bin;

    if (!rate->width)
        rate->width = RATE_FIRST_NS;
    if (at < 0)
        at = 0;
    while (at / rate->width >= RATE_BINS)
        widen(rate);
    bin = (size_t)(at / rate->width);
    rate->bins[bin] += amount;
    if (bin >= rate->count)
        rate->count = bin + 1;
}

void rate_align(struct rate *rate, const struct rate *other)
{
    if (!rate->width)
        rate->width = RATE_FIRST_NS;
    while (rate->width < other->width)
        widen(rate);
}
