/* Buffers that the caller owns, taken as arrays of one kind and given back together. */

/* What a buffer must look like; ndim, itemsize and one of the format letters. */
struct want {
    const char *name;
    const char *formats;
    Py_ssize_t itemsize;
    int ndim;
    int writable;
};

/* Fill `view` from `object`; 0, or -1 with an exception set and nothing to release. */
static int take(PyObject *object, const struct want *want, Py_buffer *view)
{
    int flags = PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (want->writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, view, flags) < 0)
        return -1;
    const char *format = view->format ? view->format : "B";
    if (view->ndim != want->ndim || view->itemsize != want->itemsize || strlen(format) != 1 ||
        !strchr(want->formats, format[0]) || (uintptr_t)view->buf % (uintptr_t)want->itemsize) {
        PyErr_Format(PyExc_TypeError,
                     "%s must be an aligned C-contiguous %d-dimensional array of %zd-byte items of "
                     "type %s",
                     want->name, want->ndim, want->itemsize, want->formats);
        PyBuffer_Release(view);
        return -1;
    }
    return 0;
}

static void release_all(Py_buffer *views, int count)
{
    for (int i = 0; i < count; i++)
        PyBuffer_Release(&views[i]);
}

/* Fill `views` in order; on failure release those already filled. */
static int take_all(PyObject *const *objects, const struct want *wants, Py_buffer *views, int count)
{
    for (int i = 0; i < count; i++) {
        if (take(objects[i], &wants[i], &views[i]) < 0) {
            release_all(views, i);
            return -1;
        }
    }
    return 0;
}
