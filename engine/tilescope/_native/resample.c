/* Separable resampling with taps that the caller computed.
 *
 * Rows are combined first, because that loop runs over contiguous memory and vectorises; the
 * combined row waits in the caller's scratch and is then combined across columns. The taps of one
 * output end at its first zero weight, so a value is the same sum in the same order whatever
 * rectangle it is part of.
 */

static Py_ssize_t taps_used(const float *weights, Py_ssize_t k)
{
    Py_ssize_t used = 0;
    while (used < k && weights[used] != 0.0f) {
        used++;
    }
    return used;
}

static int taps_check(const int32_t *start, const float *weights, Py_ssize_t n, Py_ssize_t k,
                      Py_ssize_t limit, const char *axis)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        const Py_ssize_t used = taps_used(weights + i * k, k);
        if (used == 0 || start[i] < 0 || used > limit || start[i] > limit - used) {
            PyErr_Format(PyExc_ValueError, "the %s taps of output %zd leave the source", axis, i);
            return -1;
        }
    }
    return 0;
}

#define COMBINE_ROWS(NAME, TYPE)                                                                  \
    static void NAME(const TYPE *src, float *restrict row, Py_ssize_t stride, const float *weights, \
                     Py_ssize_t used)                                                             \
    {                                                                                             \
        for (Py_ssize_t i = 0; i < stride; i++) {                                                 \
            row[i] = weights[0] * (float)src[i];                                                  \
        }                                                                                         \
        for (Py_ssize_t k = 1; k < used; k++) {                                                   \
            const TYPE *line = src + k * stride;                                                  \
            const float weight = weights[k];                                                      \
            for (Py_ssize_t i = 0; i < stride; i++) {                                             \
                row[i] += weight * (float)line[i];                                                \
            }                                                                                     \
        }                                                                                         \
    }

#define ROUND_U8(v) ((v) <= 0.0f ? 0 : (v) >= 255.0f ? 255 : (uint8_t)((v) + 0.5f))
#define ROUND_U16(v) ((v) <= 0.0f ? 0 : (v) >= 65535.0f ? 65535 : (uint16_t)((v) + 0.5f))
#define KEEP_F32(v) (v)

#define COMBINE_COLUMNS(NAME, TYPE, STORE)                                                        \
    static void NAME(const float *row, TYPE *restrict dst, Py_ssize_t n, Py_ssize_t bands,        \
                     const int32_t *start, const float *weights, Py_ssize_t k)                    \
    {                                                                                             \
        for (Py_ssize_t x = 0; x < n; x++) {                                                      \
            const float *tap = weights + x * k, *p = row + start[x] * bands;                      \
            if (bands == 3) {                                                                     \
                float r = tap[0] * p[0], g = tap[0] * p[1], b = tap[0] * p[2];                    \
                for (Py_ssize_t i = 1; i < k && tap[i] != 0.0f; i++) {                            \
                    r += tap[i] * p[3 * i];                                                       \
                    g += tap[i] * p[3 * i + 1];                                                   \
                    b += tap[i] * p[3 * i + 2];                                                   \
                }                                                                                 \
                dst[3 * x] = STORE(r);                                                            \
                dst[3 * x + 1] = STORE(g);                                                        \
                dst[3 * x + 2] = STORE(b);                                                        \
                continue;                                                                         \
            }                                                                                     \
            for (Py_ssize_t c = 0; c < bands; c++) {                                              \
                float sum = tap[0] * p[c];                                                        \
                for (Py_ssize_t i = 1; i < k && tap[i] != 0.0f; i++) {                            \
                    sum += tap[i] * p[i * bands + c];                                             \
                }                                                                                 \
                dst[x * bands + c] = STORE(sum);                                                  \
            }                                                                                     \
        }                                                                                         \
    }

COMBINE_ROWS(rows_u8, uint8_t)
COMBINE_ROWS(rows_u16, uint16_t)
COMBINE_ROWS(rows_f32, float)
COMBINE_COLUMNS(columns_u8, uint8_t, ROUND_U8)
COMBINE_COLUMNS(columns_u16, uint16_t, ROUND_U16)
COMBINE_COLUMNS(columns_f32, float, KEEP_F32)

enum { SRC, DST, X_START, X_WEIGHTS, Y_START, Y_WEIGHTS, SCRATCH, RESAMPLE_ARRAYS };

static int resample_take(Array *a, PyObject **objects)
{
    static const struct {
        const char *name;
        int ndim, writable;
    } wanted[RESAMPLE_ARRAYS] = {{"src", 3, 0},     {"dst", 3, 1},       {"x_start", 1, 0},
                                 {"x_weights", 2, 0}, {"y_start", 1, 0}, {"y_weights", 2, 0},
                                 {"scratch", 1, 1}};
    for (int i = 0; i < RESAMPLE_ARRAYS; i++) {
        if (array_take(&a[i], objects[i], wanted[i].name, wanted[i].ndim, wanted[i].writable) < 0) {
            return -1;
        }
    }
    return 0;
}

static int resample_check_kinds(const Array *a, Kind *kind)
{
    if (pixel_kind(&a[SRC], &a[DST], kind) < 0
        || check_kind(&a[X_START], KIND_I32, "x_start", "int32") < 0
        || check_kind(&a[Y_START], KIND_I32, "y_start", "int32") < 0
        || check_kind(&a[X_WEIGHTS], KIND_F32, "x_weights", "float32") < 0
        || check_kind(&a[Y_WEIGHTS], KIND_F32, "y_weights", "float32") < 0
        || check_kind(&a[SCRATCH], KIND_F32, "scratch", "float32") < 0) {
        return -1;
    }
    for (int i = SRC; i < RESAMPLE_ARRAYS; i++) {
        if ((i != DST && check_apart(&a[DST], &a[i]) < 0)
            || (i != SCRATCH && check_apart(&a[SCRATCH], &a[i]) < 0)) {
            return -1;
        }
    }
    return 0;
}

static int resample_check_shapes(const Array *a)
{
    const Py_ssize_t *src = a[SRC].view.shape, *dst = a[DST].view.shape;
    const Py_ssize_t row = checked_product(src[1], src[2]);
    if (row < 0) {
        return -1;
    }
    if (dst[2] != src[2] || a[X_START].view.shape[0] != dst[1] || a[Y_START].view.shape[0] != dst[0]
        || a[X_WEIGHTS].view.shape[0] != dst[1] || a[Y_WEIGHTS].view.shape[0] != dst[0]) {
        PyErr_SetString(PyExc_ValueError, "the taps do not match dst");
        return -1;
    }
    if (a[SCRATCH].view.shape[0] < row) {
        PyErr_SetString(PyExc_ValueError, "scratch is shorter than one row of src");
        return -1;
    }
    if (taps_check(a[X_START].view.buf, a[X_WEIGHTS].view.buf, dst[1], a[X_WEIGHTS].view.shape[1],
                   src[1], "x") < 0) {
        return -1;
    }
    return taps_check(a[Y_START].view.buf, a[Y_WEIGHTS].view.buf, dst[0],
                      a[Y_WEIGHTS].view.shape[1], src[0], "y");
}

static void resample_loop(const Array *a, Kind kind)
{
    const Py_ssize_t bands = a[SRC].view.shape[2], stride = a[SRC].view.shape[1] * bands;
    const Py_ssize_t ny = a[DST].view.shape[0], nx = a[DST].view.shape[1];
    const Py_ssize_t kx = a[X_WEIGHTS].view.shape[1], ky = a[Y_WEIGHTS].view.shape[1];
    const int32_t *x_start = a[X_START].view.buf, *y_start = a[Y_START].view.buf;
    const float *x_weights = a[X_WEIGHTS].view.buf, *y_weights = a[Y_WEIGHTS].view.buf;
    float *row = a[SCRATCH].view.buf;
    for (Py_ssize_t y = 0; y < ny; y++) {
        const float *tap = y_weights + y * ky;
        const Py_ssize_t used = taps_used(tap, ky), from = y_start[y] * stride, to = y * nx * bands;
        switch (kind) {
        case KIND_U8:
            rows_u8((const uint8_t *)a[SRC].view.buf + from, row, stride, tap, used);
            columns_u8(row, (uint8_t *)a[DST].view.buf + to, nx, bands, x_start, x_weights, kx);
            break;
        case KIND_U16:
            rows_u16((const uint16_t *)a[SRC].view.buf + from, row, stride, tap, used);
            columns_u16(row, (uint16_t *)a[DST].view.buf + to, nx, bands, x_start, x_weights, kx);
            break;
        default:
            rows_f32((const float *)a[SRC].view.buf + from, row, stride, tap, used);
            columns_f32(row, (float *)a[DST].view.buf + to, nx, bands, x_start, x_weights, kx);
        }
    }
}

static PyObject *pixels_resample(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *o[RESAMPLE_ARRAYS];
    Array arrays[RESAMPLE_ARRAYS];
    Kind kind;
    memset(arrays, 0, sizeof(arrays));
    if (!PyArg_ParseTuple(args, "OOOOOOO:resample", &o[0], &o[1], &o[2], &o[3], &o[4], &o[5],
                          &o[6])) {
        return NULL;
    }
    if (resample_take(arrays, o) < 0 || resample_check_kinds(arrays, &kind) < 0
        || resample_check_shapes(arrays) < 0) {
        return arrays_done(arrays, RESAMPLE_ARRAYS, 1);
    }
    Py_BEGIN_ALLOW_THREADS
    resample_loop(arrays, kind);
    Py_END_ALLOW_THREADS
    return arrays_done(arrays, RESAMPLE_ARRAYS, 0);
}
