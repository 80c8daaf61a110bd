/* Bands that are stored one after the other, as OME-Zarr has them, into pixels of all bands. */

#if defined(__GNUC__) && defined(__x86_64__) && defined(__GLIBC__)
/* three interleaved bytes need a byte shuffle, which the baseline of x86-64 has not */
#define PLANAR_CLONES __attribute__((target_clones("avx2", "ssse3", "default")))
#else
#define PLANAR_CLONES
#endif

PLANAR_CLONES static void planar_rgb8(const uint8_t *restrict red, const uint8_t *restrict green,
                                      const uint8_t *restrict blue, uint8_t *restrict dst,
                                      Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        dst[3 * i] = red[i];
        dst[3 * i + 1] = green[i];
        dst[3 * i + 2] = blue[i];
    }
}

#define PLANAR_LOOP(NAME, TYPE)                                                              \
    static void NAME(const TYPE *restrict src, TYPE *restrict dst, Py_ssize_t bands,         \
                     Py_ssize_t count)                                                       \
    {                                                                                        \
        for (Py_ssize_t band = 0; band < bands; band++, src += count) {                      \
            for (Py_ssize_t i = 0; i < count; i++) {                                         \
                dst[bands * i + band] = src[i];                                              \
            }                                                                                \
        }                                                                                    \
    }

PLANAR_LOOP(planar_u8, uint8_t)
PLANAR_LOOP(planar_u16, uint16_t)
PLANAR_LOOP(planar_f32, float)

static void planar_fill(Kind kind, const void *src, void *dst, Py_ssize_t bands, Py_ssize_t count)
{
    if (kind == KIND_U8 && bands == 3) {
        const uint8_t *planes = src;
        planar_rgb8(planes, planes + count, planes + 2 * count, dst, count);
    }
    else if (kind == KIND_U8) {
        planar_u8(src, dst, bands, count);
    }
    else if (kind == KIND_U16) {
        planar_u16(src, dst, bands, count);
    }
    else {
        planar_f32(src, dst, bands, count);
    }
}

static int planar_check(const Array *src, const Array *dst)
{
    const Py_ssize_t *from = src->view.shape, *to = dst->view.shape;
    if (to[0] != from[1] || to[1] != from[2] || to[2] != from[0]) {
        PyErr_SetString(PyExc_ValueError, "dst is not [height, width, bands] of src");
        return -1;
    }
    return 0;
}

static PyObject *pixels_bands_last(PyObject *Py_UNUSED(module), PyObject *args)
{
    Array arrays[2] = {{.held = 0}, {.held = 0}};
    Array *src = &arrays[0], *dst = &arrays[1];
    Kind kind;
    if (pixels_take(src, dst, args, "OO:bands_last", &kind) < 0 || planar_check(src, dst) < 0) {
        return arrays_done(arrays, 2, 1);
    }
    const Py_ssize_t *from = src->view.shape;
    Py_BEGIN_ALLOW_THREADS
    planar_fill(kind, src->view.buf, dst->view.buf, from[0], from[1] * from[2]);
    Py_END_ALLOW_THREADS
    return arrays_done(arrays, 2, 0);
}
