/* 2 x 2 box reduction; at odd edges the mean of what exists. Integers round half up. */

#define BOX2_LOOP(NAME, TYPE, SUM, MEAN4, MEAN2)                                                  \
    static void NAME(const TYPE *src, TYPE *dst, Py_ssize_t h, Py_ssize_t w, Py_ssize_t bands)    \
    {                                                                                             \
        const Py_ssize_t rows = h / 2 + h % 2, pairs = w / 2;                                     \
        const Py_ssize_t stride = w * bands;                                                      \
        for (Py_ssize_t y = 0; y < rows; y++) {                                                   \
            const TYPE *a = src + 2 * y * stride;                                                 \
            /* the last row of an odd height is its own partner: the mean of two equals one */    \
            const TYPE *b = 2 * y + 1 < h ? a + stride : a;                                       \
            TYPE *restrict out = dst + y * (pairs + w % 2) * bands;                               \
            if (bands == 1) {                                                                     \
                for (Py_ssize_t x = 0; x < pairs; x++) {                                          \
                    out[x] = MEAN4((SUM)a[2 * x] + a[2 * x + 1] + b[2 * x] + b[2 * x + 1]);       \
                }                                                                                 \
            }                                                                                     \
            else if (bands == 3) {                                                                \
                for (Py_ssize_t x = 0; x < pairs; x++) {                                          \
                    const TYPE *p = a + 6 * x, *q = b + 6 * x;                                    \
                    TYPE *o = out + 3 * x;                                                        \
                    o[0] = MEAN4((SUM)p[0] + p[3] + q[0] + q[3]);                                 \
                    o[1] = MEAN4((SUM)p[1] + p[4] + q[1] + q[4]);                                 \
                    o[2] = MEAN4((SUM)p[2] + p[5] + q[2] + q[5]);                                 \
                }                                                                                 \
            }                                                                                     \
            else {                                                                                \
                for (Py_ssize_t x = 0; x < pairs; x++) {                                          \
                    const TYPE *p = a + 2 * bands * x, *q = b + 2 * bands * x;                    \
                    for (Py_ssize_t c = 0; c < bands; c++) {                                      \
                        out[x * bands + c]                                                        \
                            = MEAN4((SUM)p[c] + p[c + bands] + q[c] + q[c + bands]);              \
                    }                                                                             \
                }                                                                                 \
            }                                                                                     \
            if (w % 2) {                                                                          \
                const Py_ssize_t last = 2 * pairs * bands;                                        \
                for (Py_ssize_t c = 0; c < bands; c++) {                                          \
                    out[pairs * bands + c] = MEAN2((SUM)a[last + c] + b[last + c]);               \
                }                                                                                 \
            }                                                                                     \
        }                                                                                         \
    }

#define HALF_UP4_U8(s) ((uint8_t)(((s) + 2) >> 2))
#define HALF_UP2_U8(s) ((uint8_t)(((s) + 1) >> 1))
#define HALF_UP4_U16(s) ((uint16_t)(((s) + 2) >> 2))
#define HALF_UP2_U16(s) ((uint16_t)(((s) + 1) >> 1))
#define MEAN4_F32(s) ((s) * 0.25f)
#define MEAN2_F32(s) ((s) * 0.5f)

BOX2_LOOP(box2_u8, uint8_t, unsigned, HALF_UP4_U8, HALF_UP2_U8)
BOX2_LOOP(box2_u16, uint16_t, unsigned, HALF_UP4_U16, HALF_UP2_U16)
BOX2_LOOP(box2_f32, float, float, MEAN4_F32, MEAN2_F32)

static int box2_check(const Array *src, const Array *dst)
{
    const Py_ssize_t *from = src->view.shape, *to = dst->view.shape;
    if (to[0] != from[0] / 2 + from[0] % 2 || to[1] != from[1] / 2 + from[1] % 2
        || to[2] != from[2]) {
        PyErr_SetString(PyExc_ValueError, "dst is not half of src, rounded up, with the same bands");
        return -1;
    }
    return 0;
}

static PyObject *pixels_box2(PyObject *Py_UNUSED(module), PyObject *args)
{
    Array arrays[2] = {{.held = 0}, {.held = 0}};
    Array *src = &arrays[0], *dst = &arrays[1];
    Kind kind;
    if (pixels_take(src, dst, args, "OO:box2", &kind) < 0 || box2_check(src, dst) < 0) {
        return arrays_done(arrays, 2, 1);
    }
    const Py_ssize_t h = src->view.shape[0], w = src->view.shape[1], bands = src->view.shape[2];
    Py_BEGIN_ALLOW_THREADS
    switch (kind) {
    case KIND_U8:
        box2_u8(src->view.buf, dst->view.buf, h, w, bands);
        break;
    case KIND_U16:
        box2_u16(src->view.buf, dst->view.buf, h, w, bands);
        break;
    default:
        box2_f32(src->view.buf, dst->view.buf, h, w, bands);
    }
    Py_END_ALLOW_THREADS
    return arrays_done(arrays, 2, 0);
}
