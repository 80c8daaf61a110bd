/* OpenSlide's premultiplied ARGB words over an opaque background. */

static inline uint8_t over(unsigned colour, unsigned alpha, unsigned background)
{
    /* x / 255 rounded, for x <= 255 * 255 + 127 */
    unsigned rest = background * (255 - alpha) + 128;
    unsigned value = colour + ((rest + (rest >> 8)) >> 8);
    return value > 255 ? 255 : (uint8_t)value;
}

static void argb_over_loop(const uint32_t *src, uint8_t *dst, Py_ssize_t count,
                           const unsigned char background[3])
{
    for (Py_ssize_t i = 0; i < count; i++) {
        const uint32_t word = src[i];
        const unsigned alpha = word >> 24;
        uint8_t *out = dst + 3 * i;
        if (alpha == 255) {
            out[0] = (uint8_t)(word >> 16);
            out[1] = (uint8_t)(word >> 8);
            out[2] = (uint8_t)word;
        }
        else {
            out[0] = over((word >> 16) & 255, alpha, background[0]);
            out[1] = over((word >> 8) & 255, alpha, background[1]);
            out[2] = over(word & 255, alpha, background[2]);
        }
    }
}

static int argb_check(const Array *src, const Array *dst)
{
    const Py_ssize_t *from = src->view.shape, *to = dst->view.shape;
    if (check_kind(src, KIND_U32, "src", "uint32") < 0
        || check_kind(dst, KIND_U8, "dst", "uint8") < 0 || check_apart(dst, src) < 0) {
        return -1;
    }
    if (to[0] != from[0] || to[1] != from[1] || to[2] != 3) {
        PyErr_SetString(PyExc_ValueError, "dst is not [height, width, 3] of src");
        return -1;
    }
    return 0;
}

static PyObject *pixels_argb_over(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *src_object, *dst_object;
    unsigned char background[3];
    Array arrays[2] = {{.held = 0}, {.held = 0}};
    Array *src = &arrays[0], *dst = &arrays[1];
    if (!PyArg_ParseTuple(args, "OO(bbb):argb_over", &src_object, &dst_object, &background[0],
                          &background[1], &background[2])) {
        return NULL;
    }
    if (array_take(src, src_object, "src", 2, 0) < 0 || array_take(dst, dst_object, "dst", 3, 1) < 0
        || argb_check(src, dst) < 0) {
        return arrays_done(arrays, 2, 1);
    }
    const Py_ssize_t count = src->view.shape[0] * src->view.shape[1];
    Py_BEGIN_ALLOW_THREADS
    argb_over_loop(src->view.buf, dst->view.buf, count, background);
    Py_END_ALLOW_THREADS
    return arrays_done(arrays, 2, 0);
}
