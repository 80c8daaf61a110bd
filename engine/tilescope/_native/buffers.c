/* Typed, contiguous, checked views of the caller's arrays. Nothing here allocates pixels. */

typedef struct {
    Py_buffer view;
    int held;
} Array;

typedef enum { KIND_U8, KIND_U16, KIND_F32, KIND_I32, KIND_U32, KIND_OTHER } Kind;

static Kind kind_of(const Py_buffer *view)
{
    const char *format = view->format ? view->format : "B";
    if (format[0] == '@' || format[0] == '=') {
        format++;
    }
    if (format[0] == '\0' || format[1] != '\0') {
        return KIND_OTHER;
    }
    switch (format[0]) {
    case 'B':
        return KIND_U8;
    case 'H':
        return view->itemsize == 2 ? KIND_U16 : KIND_OTHER;
    case 'f':
        return view->itemsize == 4 ? KIND_F32 : KIND_OTHER;
    case 'i':
    case 'l': /* Windows numpy may call int32 "l" */
        return view->itemsize == 4 ? KIND_I32 : KIND_OTHER;
    case 'I':
    case 'L':
        return view->itemsize == 4 ? KIND_U32 : KIND_OTHER;
    default:
        return KIND_OTHER;
    }
}

/* Take a C-contiguous view of `object` with `ndim` axes; -1 with an exception set on failure. */
static int array_take(Array *array, PyObject *object, const char *name, int ndim, int writable)
{
    int flags = PyBUF_ND | PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, &array->view, flags) < 0) {
        return -1;
    }
    array->held = 1;
    if (array->view.ndim != ndim) {
        PyErr_Format(PyExc_ValueError, "%s has %d axes, not %d", name, array->view.ndim, ndim);
        return -1;
    }
    return 0;
}

static void arrays_release(Array *arrays, int count)
{
    for (int i = 0; i < count; i++) {
        if (arrays[i].held) {
            PyBuffer_Release(&arrays[i].view);
        }
    }
}

static int check_kind(const Array *array, Kind wanted, const char *name, const char *type)
{
    if (kind_of(&array->view) != wanted) {
        PyErr_Format(PyExc_TypeError, "%s is not %s", name, type);
        return -1;
    }
    return 0;
}

/* The pixel type of both, when they agree and it is one that the loops know. */
static int pixel_kind(const Array *src, const Array *dst, Kind *kind)
{
    *kind = kind_of(&src->view);
    if (*kind != KIND_U8 && *kind != KIND_U16 && *kind != KIND_F32) {
        PyErr_SetString(PyExc_TypeError, "pixels are uint8, uint16 or float32");
        return -1;
    }
    if (kind_of(&dst->view) != *kind) {
        PyErr_SetString(PyExc_TypeError, "src and dst differ in type");
        return -1;
    }
    return 0;
}

/* An output that shares memory with an input would be read after it was written. */
static int check_apart(const Array *out, const Array *in)
{
    const char *out_start = out->view.buf, *in_start = in->view.buf;
    if (out->view.len > 0 && in->view.len > 0 && out_start < in_start + in->view.len
        && in_start < out_start + out->view.len) {
        PyErr_SetString(PyExc_ValueError, "an output overlaps an input in memory");
        return -1;
    }
    return 0;
}

/* a * b for sizes of arrays; -1 with OverflowError. */
static Py_ssize_t checked_product(Py_ssize_t a, Py_ssize_t b)
{
    if (a < 0 || b < 0 || (b > 0 && a > PY_SSIZE_T_MAX / b)) {
        PyErr_SetString(PyExc_OverflowError, "the array is too large");
        return -1;
    }
    return a * b;
}
