/* Outlines of labelled objects: tracing them in a label image, thinning them, filling them,
 * drawing them, testing them.
 *
 * Every function takes buffers that the caller owns, checks them, and releases the GIL around its
 * loop; nothing is allocated here.  Offsets follow one rule everywhere: item i owns the vertices
 * offsets[i] .. offsets[i + 1] of one long vertex array.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "views.c"

/* With sides of at most 2^20 no sum of coordinates over all pixel edges can overflow int64. */
#define MAX_SIDE ((Py_ssize_t)1 << 20)

enum outcome { FINE, BAD_OFFSETS, CHANGED };

static int raise_for(enum outcome outcome)
{
    if (outcome == BAD_OFFSETS)
        PyErr_SetString(PyExc_ValueError, "offsets must rise from 0 to the number of vertices");
    if (outcome == CHANGED)
        PyErr_SetString(PyExc_RuntimeError, "labels changed while they were being traced");
    return outcome == FINE ? 0 : -1;
}

static int check_sides(const Py_buffer *view, const char *name)
{
    if (view->shape[0] <= MAX_SIDE && view->shape[1] <= MAX_SIDE)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s of %zd x %zd pixels has a side above %zd", name,
                 view->shape[1], view->shape[0], MAX_SIDE);
    return -1;
}

struct grid {
    const int32_t *labels;
    uint8_t *seen; /* 1 where the upper edge of the pixel belongs to a loop already walked */
    int64_t h, w;
    int64_t steps_left; /* every pixel has four edges: more steps mean that labels changed */
};

struct sink {
    int32_t *vertices;
    int64_t *ends;
    int32_t *owners;
    int64_t *areas;
    int64_t max_vertices, max_loops;
    int64_t n_vertices, n_loops;
};

static inline int is_label(const struct grid *g, int64_t x, int64_t y, int32_t value)
{
    return x >= 0 && y >= 0 && x < g->w && y < g->h && g->labels[y * g->w + x] == value;
}

static inline void put_vertex(struct sink *s, int64_t x, int64_t y)
{
    if (s->n_vertices < s->max_vertices) {
        s->vertices[2 * s->n_vertices] = (int32_t)x;
        s->vertices[2 * s->n_vertices + 1] = (int32_t)y;
    }
    s->n_vertices++;
}

/* Directions east, south, west, north; the object is on the right hand.  AHEAD_RIGHT and
 * AHEAD_LEFT are the two pixels in front of a corner, relative to the pixel south-east of it. */
static const int STEP_X[4] = {1, 0, -1, 0};
static const int STEP_Y[4] = {0, 1, 0, -1};
static const int AHEAD_RIGHT[4][2] = {{0, 0}, {-1, 0}, {-1, -1}, {0, -1}};
static const int AHEAD_LEFT[4][2] = {{0, -1}, {0, 0}, {-1, 0}, {-1, -1}};

/* Walk the loop of pixel edges that begins with the upper edge of pixel (x0, y0) and write its
 * corners; return its area, negative around a hole.  Turning right first at a corner where two
 * pixels of the object touch diagonally keeps components 4-connected.  The walk is a permutation
 * of directed edges, so it returns to its first edge. */
static int64_t walk(struct grid *g, struct sink *s, int64_t x0, int64_t y0)
{
    const int32_t value = g->labels[y0 * g->w + x0];
    int64_t x = x0, y = y0, area = 0;
    int d = 0;
    do {
        if (d == 0)
            g->seen[y * g->w + x] = 1;
        area += d == 1 ? x : d == 3 ? -x : 0;
        x += STEP_X[d];
        y += STEP_Y[d];
        int turn = 0;
        if (!is_label(g, x + AHEAD_RIGHT[d][0], y + AHEAD_RIGHT[d][1], value))
            turn = 1;
        else if (is_label(g, x + AHEAD_LEFT[d][0], y + AHEAD_LEFT[d][1], value))
            turn = 3;
        if (turn) {
            put_vertex(s, x, y);
            d = (d + turn) & 3;
        }
        /* Only a writer in another thread can lead the walk off the object; stop before it
         * touches memory outside the image or walks for ever. */
        if (--g->steps_left < 0 || (d == 0 && !is_label(g, x, y, value))) {
            g->steps_left = -1;
            return 0;
        }
    } while (x != x0 || y != y0 || d != 0);
    return area;
}

static enum outcome trace_all(struct grid *g, struct sink *s)
{
    for (int64_t y = 0; y < g->h; y++) {
        const int32_t *row = g->labels + y * g->w;
        for (int64_t x = 0; x < g->w; x++) {
            if (row[x] <= 0 || (y > 0 && row[x - g->w] == row[x]) || g->seen[y * g->w + x])
                continue;
            const int64_t first = s->n_vertices;
            const int32_t owner = row[x];
            const int64_t area = walk(g, s, x, y);
            if (g->steps_left < 0)
                return CHANGED;
            if (area <= 0) {
                s->n_vertices = first;
                continue;
            }
            if (s->n_loops < s->max_loops) {
                s->ends[s->n_loops] = s->n_vertices;
                s->owners[s->n_loops] = owner;
                s->areas[s->n_loops] = area;
            }
            s->n_loops++;
        }
    }
    return FINE;
}

static PyObject *py_trace(PyObject *module, PyObject *args)
{
    (void)module;
    static const struct want wants[6] = {
        {"labels", "il", 4, 2, 0}, {"seen", "B", 1, 2, 1},    {"vertices", "il", 4, 2, 1},
        {"ends", "lq", 8, 1, 1},   {"owners", "il", 4, 1, 1}, {"areas", "lq", 8, 1, 1},
    };
    PyObject *o[6];
    Py_buffer v[6];
    if (!PyArg_ParseTuple(args, "OOOOOO:trace", &o[0], &o[1], &o[2], &o[3], &o[4], &o[5]))
        return NULL;
    if (take_all(o, wants, v, 6) < 0)
        return NULL;
    PyObject *result = NULL;
    if (check_sides(&v[0], "labels") < 0)
        goto done;
    if (v[1].shape[0] != v[0].shape[0] || v[1].shape[1] != v[0].shape[1] || v[2].shape[1] != 2 ||
        v[4].shape[0] != v[3].shape[0] || v[5].shape[0] != v[3].shape[0]) {
        PyErr_SetString(PyExc_ValueError, "trace: the shapes of the arrays do not belong together");
        goto done;
    }
    struct grid g = {v[0].buf, v[1].buf, v[0].shape[0], v[0].shape[1], 0};
    g.steps_left = 4 * g.h * g.w;
    struct sink s = {v[2].buf,       v[3].buf,       v[4].buf, v[5].buf,
                     v[2].shape[0], v[3].shape[0], 0,        0};
    enum outcome outcome;
    Py_BEGIN_ALLOW_THREADS
    outcome = trace_all(&g, &s);
    Py_END_ALLOW_THREADS
    if (raise_for(outcome) == 0)
        result = Py_BuildValue("LL", (long long)s.n_loops, (long long)s.n_vertices);
done:
    release_all(v, 6);
    return result;
}

/* Directions in which a ray from the anchor passes all points so far within the tolerance. */
struct wedge {
    double low_x, low_y, high_x, high_y;
    double reach; /* squared distance of the last point from the anchor */
    int open;     /* no point has narrowed it yet */
};

static inline double cross(double ax, double ay, double bx, double by)
{
    return ax * by - ay * bx;
}

/* Narrow the wedge by the circle of radius `tolerance` around (x, y) from the anchor. */
static void narrow(struct wedge *k, double x, double y, double tolerance)
{
    const double r2 = x * x + y * y;
    if (r2 <= tolerance * tolerance)
        return;
    const double sine = tolerance / sqrt(r2);
    const double cosine = sqrt(1.0 - sine * sine);
    const double lx = cosine * x + sine * y, ly = cosine * y - sine * x;
    const double hx = cosine * x - sine * y, hy = cosine * y + sine * x;
    if (k->open || cross(k->low_x, k->low_y, lx, ly) > 0) {
        k->low_x = lx;
        k->low_y = ly;
    }
    if (k->open || cross(k->high_x, k->high_y, hx, hy) < 0) {
        k->high_x = hx;
        k->high_y = hy;
    }
    k->open = 0;
}

static int accepts(const struct wedge *k, double x, double y)
{
    if (x * x + y * y < k->reach)
        return 0;
    return k->open || (cross(k->low_x, k->low_y, x, y) >= 0 &&
                       cross(x, y, k->high_x, k->high_y) >= 0 && x * k->low_x + y * k->low_y > 0);
}

/* Mark the vertices of one closed ring to keep, going round once: a run of vertices is dropped
 * when all of them lie within the tolerance of the chord over them.  Each vertex is looked at
 * at most twice. */
static int64_t thin_ring(const double *p, int64_t n, double tolerance, uint8_t *keep)
{
    int64_t anchor = 0, kept = 1;
    struct wedge k = {0, 0, 0, 0, 0, 1};
    memset(keep, 0, (size_t)n);
    keep[0] = 1;
    for (int64_t i = 1; i <= n; i++) {
        const double *q = p + 2 * (i % n);
        if (i > anchor + 1 && !accepts(&k, q[0] - p[2 * anchor], q[1] - p[2 * anchor + 1])) {
            anchor = i - 1;
            keep[anchor] = 1;
            kept++;
            k = (struct wedge){0, 0, 0, 0, 0, 1};
        }
        const double x = q[0] - p[2 * anchor], y = q[1] - p[2 * anchor + 1];
        narrow(&k, x, y, tolerance);
        k.reach = x * x + y * y;
    }
    return kept;
}

static enum outcome thin_all(const double *rings, int64_t total, const int64_t *offsets, int64_t n,
                             double tolerance, uint8_t *keep)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t a = offsets[i], b = offsets[i + 1];
        if (a < 0 || b < a || b > total)
            return BAD_OFFSETS;
        if (b > a && thin_ring(rings + 2 * a, b - a, tolerance, keep + a) < 3)
            memset(keep + a, 1, (size_t)(b - a));
    }
    return FINE;
}

static PyObject *py_thin(PyObject *module, PyObject *args)
{
    (void)module;
    static const struct want wants[3] = {
        {"rings", "d", 8, 2, 0}, {"offsets", "lq", 8, 1, 0}, {"keep", "B", 1, 1, 1}};
    PyObject *o[3];
    Py_buffer v[3];
    double tolerance;
    if (!PyArg_ParseTuple(args, "OOdO:thin", &o[0], &o[1], &tolerance, &o[2]))
        return NULL;
    if (take_all(o, wants, v, 3) < 0)
        return NULL;
    PyObject *result = NULL;
    if (v[0].shape[1] != 2 || v[1].shape[0] < 1 || v[2].shape[0] != v[0].shape[0] ||
        !(tolerance >= 0)) {
        PyErr_SetString(PyExc_ValueError,
                        "thin: needs rings[m, 2], offsets[n + 1], keep[m] and a tolerance >= 0");
        goto done;
    }
    enum outcome outcome;
    Py_BEGIN_ALLOW_THREADS
    outcome = thin_all(v[0].buf, v[0].shape[0], v[1].buf, v[1].shape[0] - 1, tolerance, v[2].buf);
    Py_END_ALLOW_THREADS
    if (raise_for(outcome) == 0)
        result = Py_NewRef(Py_None);
done:
    release_all(v, 3);
    return result;
}

struct canvas {
    uint32_t *out;
    uint8_t *flips; /* all zero between two rings */
    int64_t h, w;
    int64_t left, top, right, bottom; /* flips that the present ring has touched */
};

/* Index of the first pixel centre at or after `v`, kept within 0 .. limit; NaN gives 0. */
static inline int64_t first_centre(double v, int64_t limit)
{
    const double c = ceil(v - 0.5);
    if (!(c > 0))
        return 0;
    return c < (double)limit ? (int64_t)c : limit;
}

/* Flip, in every row whose centre line the edge crosses, the first pixel centre at or right of
 * the crossing.  Going from the upper end whichever way the ring runs makes the crossing the
 * same number for both neighbours of a shared edge, so each pixel falls to exactly one. */
static void flip_edge(struct canvas *c, const double *a, const double *b)
{
    if (a[1] > b[1]) {
        const double *swap = a;
        a = b;
        b = swap;
    }
    const int64_t y0 = first_centre(a[1], c->h), y1 = first_centre(b[1], c->h);
    const double slope = (b[0] - a[0]) / (b[1] - a[1]);
    for (int64_t y = y0; y < y1; y++) {
        const int64_t x = first_centre(a[0] + ((double)y + 0.5 - a[1]) * slope, c->w);
        if (x >= c->w)
            continue;
        c->flips[y * c->w + x] ^= 1;
        c->left = x < c->left ? x : c->left;
        c->right = x > c->right ? x : c->right;
        c->top = y < c->top ? y : c->top;
        c->bottom = y > c->bottom ? y : c->bottom;
    }
}

/* Write `id` where an odd number of flips lies at or left of the pixel, and clear the flips. */
static void fill_flipped(struct canvas *c, uint32_t id, int64_t end_x)
{
    for (int64_t y = c->top; y <= c->bottom; y++) {
        uint8_t inside = 0;
        uint8_t *flips = c->flips + y * c->w;
        uint32_t *out = c->out + y * c->w;
        for (int64_t x = c->left; x < end_x; x++) {
            inside ^= flips[x];
            flips[x] = 0;
            if (inside)
                out[x] = id;
        }
    }
}

static void fill_ring(struct canvas *c, const double *p, int64_t n, uint32_t id)
{
    double high = p[0];
    c->left = c->w;
    c->top = c->h;
    c->right = c->bottom = -1;
    for (int64_t i = 0; i < n; i++) {
        const double *q = p + 2 * ((i + 1) % n);
        flip_edge(c, p + 2 * i, q);
        high = q[0] > high ? q[0] : high;
    }
    /* A crossing right of the block flips nothing, so the row is inside up to the block's edge. */
    const int64_t end_x = first_centre(high, c->w);
    fill_flipped(c, id, end_x > c->right ? end_x : c->right + 1);
}

static enum outcome fill_all(struct canvas *c, const double *rings, int64_t total,
                             const int64_t *offsets, const uint32_t *ids, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t a = offsets[i], b = offsets[i + 1];
        if (a < 0 || b < a || b > total)
            return BAD_OFFSETS;
        if (b - a >= 3)
            fill_ring(c, rings + 2 * a, b - a, ids[i]);
    }
    return FINE;
}

static PyObject *py_fill(PyObject *module, PyObject *args)
{
    (void)module;
    static const struct want wants[5] = {{"rings", "d", 8, 2, 0},
                                         {"offsets", "lq", 8, 1, 0},
                                         {"ids", "IL", 4, 1, 0},
                                         {"flips", "B", 1, 2, 1},
                                         {"out", "iIlL", 4, 2, 1}};
    PyObject *o[5];
    Py_buffer v[5];
    if (!PyArg_ParseTuple(args, "OOOOO:fill", &o[0], &o[1], &o[2], &o[3], &o[4]))
        return NULL;
    if (take_all(o, wants, v, 5) < 0)
        return NULL;
    PyObject *result = NULL;
    if (check_sides(&v[4], "out") < 0)
        goto done;
    if (v[0].shape[1] != 2 || v[1].shape[0] != v[2].shape[0] + 1 ||
        v[3].shape[0] != v[4].shape[0] || v[3].shape[1] != v[4].shape[1]) {
        PyErr_SetString(PyExc_ValueError, "fill: the shapes of the arrays do not belong together");
        goto done;
    }
    struct canvas c = {v[4].buf, v[3].buf, v[4].shape[0], v[4].shape[1], 0, 0, -1, -1};
    enum outcome outcome;
    Py_BEGIN_ALLOW_THREADS
    outcome = fill_all(&c, v[0].buf, v[0].shape[0], v[1].buf, v[2].buf, v[2].shape[0]);
    Py_END_ALLOW_THREADS
    if (raise_for(outcome) == 0)
        result = Py_NewRef(Py_None);
done:
    release_all(v, 5);
    return result;
}

#include "lines.c"
#include "star.c"

static PyMethodDef methods[] = {
    {"trace", py_trace, METH_VARARGS,
     "trace(labels, seen, vertices, ends, owners, areas) -> (loops, vertices)\n"
     "Corners of the outer outline of every 4-connected component."},
    {"thin", py_thin, METH_VARARGS,
     "thin(rings, offsets, tolerance, keep)\n"
     "Mark the vertices that closed rings need to stay within the tolerance."},
    {"fill", py_fill, METH_VARARGS,
     "fill(rings, offsets, ids, flips, out)\n"
     "Write ids where pixel centres lie inside the rings."},
    {"draw", shapes_draw, METH_VARARGS,
     "draw(points, offsets, colors, opacity, width_px, most_dots, cover, owners, picture)\n"
     "Paint thin smooth lines around rings over a picture; cover and owners are scratch."},
    {"star_shaped", shapes_star_shaped, METH_VARARGS,
     "star_shaped(points, offsets, star)\n"
     "Tell which closed rings, and which way, go round their middle without turning back."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_shapes",
    .m_doc = "Tracing, thinning, filling and drawing outlines.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__shapes(void)
{
    return PyModuleDef_Init(&module_def);
}
