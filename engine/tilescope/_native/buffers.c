/* Typed, checked views of the caller's arrays. Nothing here allocates pixels. */

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

static int view_take(Array *array, PyObject *object, const char *name, int ndim, int flags)
{
    if (PyObject_GetBuffer(object, &array->view, flags | PyBUF_FORMAT) < 0) {
        return -1;
    }
    array->held = 1;
    if (array->view.ndim != ndim) {
        PyErr_Format(PyExc_ValueError, "%s has %d axes, not %d", name, array->view.ndim, ndim);
        return -1;
    }
    const Py_ssize_t itemsize = array->view.itemsize > 0 ? array->view.itemsize : 1;
    Py_ssize_t rest = (Py_ssize_t)((uintptr_t)array->view.buf % (uintptr_t)itemsize);
    for (int i = 0; i < ndim; i++) {
        rest |= array->view.shape[i] > 1 ? array->view.strides[i] % itemsize : 0;
    }
    if (array->view.len > 0 && rest != 0) {
        PyErr_Format(PyExc_ValueError, "%s is not aligned in memory", name);
        return -1;
    }
    return 0;
}

/* Take a C-contiguous view of `object` with `ndim` axes; -1 with an exception set on failure. */
static int array_take(Array *array, PyObject *object, const char *name, int ndim, int writable)
{
    const int flags = PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0);
    return view_take(array, object, name, ndim, flags);
}

/* The same for reading, with any strides. */
static int array_take_strided(Array *array, PyObject *object, const char *name, int ndim)
{
    return view_take(array, object, name, ndim, PyBUF_STRIDES);
}

/* Give the views back and return what the function returns: None, or NULL after a failure. */
static PyObject *arrays_done(Array *arrays, int count, int failed)
{
    for (int i = 0; i < count; i++) {
        if (arrays[i].held) {
            PyBuffer_Release(&arrays[i].view);
        }
    }
    return failed ? NULL : Py_NewRef(Py_None);
}

static int check_kind(const Array *array, Kind wanted, const char *name, const char *type)
{
    if (kind_of(&array->view) != wanted) {
        PyErr_Format(PyExc_TypeError, "%s is not %s", name, type);
        return -1;
    }
    return 0;
}

/* The pixel type, when it is one that the loops know. */
static int source_kind(const Array *src, Kind *kind)
{
    *kind = kind_of(&src->view);
    if (*kind != KIND_U8 && *kind != KIND_U16 && *kind != KIND_F32) {
        PyErr_SetString(PyExc_TypeError, "pixels are uint8, uint16 or float32");
        return -1;
    }
    return 0;
}

/* The pixel type of both, when they agree. */
static int pixel_kind(const Array *src, const Array *dst, Kind *kind)
{
    if (source_kind(src, kind) < 0) {
        return -1;
    }
    if (kind_of(&dst->view) != *kind) {
        PyErr_SetString(PyExc_TypeError, "src and dst differ in type");
        return -1;
    }
    return 0;
}

/* First byte and end of what a view reaches in memory, whatever its strides. */
static void view_extent(const Py_buffer *view, uintptr_t *start, uintptr_t *end)
{
    *start = *end = (uintptr_t)view->buf;
    if (view->len == 0) {
        return;
    }
    *end += (uintptr_t)view->itemsize;
    for (int i = 0; i < view->ndim; i++) {
        const Py_ssize_t reach = view->strides[i] * (view->shape[i] - 1);
        if (reach < 0) {
            *start -= (uintptr_t)-reach;
        }
        else {
            *end += (uintptr_t)reach;
        }
    }
}

/* An output that shares memory with an input would be read after it was written. */
static int check_apart(const Array *out, const Array *in)
{
    uintptr_t out_start, out_end, in_start, in_end;
    view_extent(&out->view, &out_start, &out_end);
    view_extent(&in->view, &in_start, &in_end);
    if (out->view.len > 0 && in->view.len > 0 && out_start < in_end && in_start < out_end) {
        PyErr_SetString(PyExc_ValueError, "an output overlaps an input in memory");
        return -1;
    }
    return 0;
}

/* Take the arguments (src, dst): pixels of three axes and one type that share no memory. */
static int pixels_take(Array *src, Array *dst, PyObject *args, const char *format, Kind *kind)
{
    PyObject *src_object, *dst_object;
    if (!PyArg_ParseTuple(args, format, &src_object, &dst_object)
        || array_take(src, src_object, "src", 3, 0) < 0
        || array_take(dst, dst_object, "dst", 3, 1) < 0) {
        return -1;
    }
    return pixel_kind(src, dst, kind) < 0 ? -1 : check_apart(dst, src);
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
